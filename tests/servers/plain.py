#!/usr/bin/env python3
"""An MCP server over stdio without any library, in both eras, that can also misbehave: each tool is one way to do so."""

import hashlib
import json
import os
import subprocess
import sys
import threading
import time

WRITE = threading.Lock()
CANCELLED = set()
ANSWERS = {}
TOOLS = "echo env identity pid slow progress log ask crash garbage big spawn stderr descriptors deaf long cancelled".split()


def say(message):
    with WRITE:
        sys.stdout.write(json.dumps(message) + "\n")
        sys.stdout.flush()


def text(value):
    return {"content": [{"type": "text", "text": value if isinstance(value, str) else json.dumps(value)}]}


def ask(identifier, method, params):
    """A request to the client; its answer."""
    event = ANSWERS[identifier] = threading.Event()
    event.answer = "no answer"
    say({"jsonrpc": "2.0", "id": identifier, "method": method, "params": params})
    event.wait(20)
    return event.answer


def call(number, params):
    name, given = params["name"], params.get("arguments", {})
    token = params.get("_meta", {}).get("progressToken")
    if name == "echo":
        return text(given)
    if name == "env":
        return text(dict(os.environ))
    if name == "identity":
        secret = os.environ.get("PGPASSWORD", "").encode()
        time.sleep(given.get("seconds", 0))
        return text({"user": os.environ.get("PGUSER"), "password_sha256": hashlib.sha256(secret).hexdigest(), "pid": os.getpid()})
    if name == "pid":
        return text(str(os.getpid()))
    if name == "descriptors":
        places = [f"/proc/self/fd/{name}" for name in os.listdir("/proc/self/fd")]
        return text([os.readlink(place) for place in places if os.path.exists(place)])
    if name == "slow":
        time.sleep(given["seconds"])
    if name == "progress":
        for step in range(given.get("steps", 2)):
            say({"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": token, "progress": step, "message": given.get("secret", "")}})
            time.sleep(given.get("pause", 0))
        return text({"token": token, "id": number})
    if name == "log":
        say({"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": given.get("secret", "")}})
    if name == "ask":
        return text(ask(f"q{number}", "sampling/createMessage", {"messages": [], "maxTokens": 1, "systemPrompt": given.get("secret", "")}))
    if name == "crash":
        sys.stderr.write("about to crash\n")
        sys.stderr.flush()
        os._exit(3)
    if name == "garbage":
        with WRITE:
            for _ in range(given.get("lines", 10)):
                sys.stdout.write("no message at all\n")
            sys.stdout.flush()
    if name == "big":
        return text("x" * given["bytes"])
    if name == "spawn":
        # A shell that leaves the session, ignores SIGTERM and starts one more that does the same.
        one = "trap '' TERM HUP; (trap '' TERM HUP; exec -a {0} sleep 300) & exec -a {0} sleep 300".format(given["mark"])
        subprocess.Popen(["setsid", "bash", "-c", one], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        subprocess.Popen(["bash", "-c", "exec -a {0} sleep 300".format(given["mark"])])
    if name == "stderr":
        for _ in range(given.get("lines", 1)):
            sys.stderr.write((os.path.expandvars(given["text"]) if given.get("expand") else given["text"]) + "\n")
        sys.stderr.flush()
    if name == "deaf":
        with WRITE:
            time.sleep(300)
    if name == "long":
        with WRITE:
            for _ in range(given["megabytes"]):
                sys.stdout.write("x" * 1_000_000)
            sys.stdout.write("\n")
            sys.stdout.flush()
    if name == "cancelled":
        return text(sorted(CANCELLED))
    return text("done")


def answer(message):
    number, method, params = message["id"], message["method"], message.get("params", {})
    modern = "io.modelcontextprotocol/protocolVersion" in params.get("_meta", {})
    if method == "initialize":
        result = {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}, "logging": {}, "resources": {"subscribe": True}}, "serverInfo": {"name": "plain", "version": "1"}, "heard": params, "unknown": {"kept": [1.0, 1e2]}}
    elif method == "server/discover" and "--legacy" not in sys.argv:
        result = {"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}, "serverInfo": {"name": "plain", "version": "1"}}
    elif method == "subscriptions/listen" and modern:
        meta = {"io.modelcontextprotocol/subscriptionId": number}
        say({"jsonrpc": "2.0", "method": "notifications/subscriptions/acknowledged", "params": {"notifications": {}, "_meta": meta}})
        say({"jsonrpc": "2.0", "method": "notifications/tools/list_changed", "params": {"_meta": meta}})
        result = {"_meta": meta}
    elif method == "tools/list":
        result = {"tools": [{"name": name, "inputSchema": {"type": "object"}} for name in TOOLS]}
    elif method == "tools/call":
        result = call(number, params)
    elif method in ("ping", "logging/setLevel", "resources/subscribe", "resources/unsubscribe"):
        result = {}
    else:
        say({"jsonrpc": "2.0", "id": number, "error": {"code": -32601, "message": "no such method"}})
        return
    if modern:
        result["resultType"] = "complete"
    say({"jsonrpc": "2.0", "id": number, "result": result})


def main():
    if "--silent" in sys.argv:
        time.sleep(300)
    if "--never" in sys.argv:
        sys.exit("this one never starts")
    for line in sys.stdin:
        message = json.loads(line)
        if "method" not in message:
            event = ANSWERS.get(message["id"])
            event.answer = message.get("result", message.get("error"))
            event.set()
        elif "id" not in message:
            if message["method"] == "notifications/cancelled":
                CANCELLED.add(message["params"]["requestId"])
        elif message["method"] == "tools/call":
            threading.Thread(target=answer, args=[message], daemon=True).start()
        else:
            answer(message)


main()
