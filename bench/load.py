#!/usr/bin/env python3
"""What the edge costs: the same tools/call direct to an upstream that answers at once, through nginx as a plain TLS
reverse proxy, through the edge with everything on (TLS, token, policy, records), and through edge and tunnel. `change` is
the edge with a tool that may change something: its record is durable before the call is sent, not only before the answer.

Starts everything itself on free loopback ports, measures in interleaved rounds so that a noisy machine does not decide,
and prints medians, the CPU time each proxy process spent per request, memory and start-up time beside the goals.
A slow figure never fails; a refused or broken request does.

    bench/load.py [--portunus target/release/portunus] [--rounds 5] [--seconds 2] [--connections 1,32,256]
"""

import argparse
import http.client
import json
import os
import pathlib
import shutil
import signal
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
WORKERS = os.cpu_count() or 1
ANSWER = '{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"done"}]}}'
TICKS = os.sysconf("SC_CLK_TCK")

NGINX_COMMON = """
daemon off; pid {dir}/nginx.pid; error_log {dir}/error.log warn; worker_processes {workers}; worker_rlimit_nofile 8192;
events {{ worker_connections 4096; }}
"""
NGINX_PATHS = """
  access_log off; keepalive_timeout 75s; keepalive_requests 100000000; client_body_temp_path {dir}/body;
  proxy_temp_path {dir}/proxy; fastcgi_temp_path {dir}/f; uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s;
"""
UPSTREAM = NGINX_COMMON + "http {{" + NGINX_PATHS + """
  server {{ listen 127.0.0.1:{port} backlog=4096; default_type application/json; location / {{ return 200 '{answer}'; }} }}
}}
"""
PROXY = NGINX_COMMON + "http {{" + NGINX_PATHS + """
  upstream tool {{ server 127.0.0.1:{upstream}; keepalive 512; keepalive_requests 100000000; }}
  server {{
    listen 127.0.0.1:{port} ssl backlog=4096; ssl_certificate {cert}; ssl_certificate_key {key}; ssl_protocols TLSv1.2 TLSv1.3;
    location / {{ proxy_pass http://tool; proxy_http_version 1.1; proxy_set_header Connection ""; }}
  }}
}}
"""
POLICY = """
@id("bench-callers")
permit(principal in Group::"bench", action in Action::"call", resource in Server::"direct");
@id("bench-callers-tunnel")
permit(principal in Group::"bench", action in Action::"call", resource in Server::"harbour");
@id("bench-no-shouting") @reason("Text may not shout.")
forbid(principal, action in Action::"call", resource) when { context.arguments has text && context.arguments.text == "SHOUT" };
"""


def main() -> int:
    options = arguments()
    missing = [tool for tool in ("nginx", "wrk", "openssl") if not shutil.which(tool)]
    if missing:
        sys.exit(f"missing {', '.join(missing)}: apt-get install nginx-light wrk openssl, or run `make bench`")
    with tempfile.TemporaryDirectory(prefix="portunus-bench-") as directory, Processes() as processes:
        bench = Bench(options, pathlib.Path(directory), processes)
        targets = bench.start()
        for target in targets:
            target.check()
        idle = {name: memory(pids) for name, pids in bench.proxies()}
        results = measure(targets, options)
        report(targets, results, options.connections)
        report_processes(bench, idle)
        print(f"  one write and fdatasync on this disk, without any of this: {fdatasync(bench.directory):.0f} us")
    return 0


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--portunus", default="target/release/portunus", help="the binary to measure")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=2, help="of one measurement")
    parser.add_argument("--connections", type=lambda text: [int(n) for n in text.split(",")], default=[1, 32, 256])
    parser.add_argument("--only", type=lambda text: text.split(","), help="some of direct,nginx,edge,tunnel,change")
    return parser.parse_args()


class Target:
    """One way to the upstream."""

    def __init__(self, name, url, trust=None, token=None, pids=(), tool="read", metrics=None):
        self.name, self.url, self.trust, self.token, self.pids, self.tool = name, url, trust, token, pids, tool
        self.metrics = metrics

    def check(self):
        """One call by another client: what is measured must be the real answer."""
        deadline = time.monotonic() + 15
        while True:
            try:
                status, body = post(self.url, self.trust, self.token, self.tool)
            except OSError as error:
                status, body = 0, str(error)
            if status == 200 and '"done"' in body:
                return
            if time.monotonic() > deadline:
                sys.exit(f"{self.name} at {self.url} answered {status}: {body[:400]}")
            time.sleep(0.05)

    def load(self, connections, seconds):
        scheme, _, rest = self.url.partition("://")
        authority, _, path = rest.partition("/")
        environment = {**os.environ, "BENCH_PATH": "/" + path, "BENCH_TOOL": self.tool}
        if self.token:
            environment["BENCH_TOKEN"] = self.token
        before, done = cpu(self.pids), self.done()
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", HERE / "call.lua", f"{scheme}://{authority}"]
        out = subprocess.run(command, env=environment, text=True, capture_output=True, check=True).stdout
        found = json.loads(next(line for line in out.splitlines() if line.startswith("{")))
        if found["refused"] or found["broken"]:
            sys.exit(f"{self.name}, {connections} connections: {found['refused']} refused, {found['broken']} broken\n{out}")
        # A refusal of the edge is a JSON-RPC error in a 200: only calls that its own metrics call done count.
        if self.metrics and self.done() - done < 0.99 * found["requests"]:
            sys.exit(f"{self.name}: {found['requests']} answers, but only {self.done() - done} calls were done")
        found["rate"] = found["requests"] * 1e6 / found["micros"]
        found["cpu"] = {pid: (after - before[pid]) * 1e6 / found["requests"] for pid, after in cpu(self.pids).items()}
        return found

    def done(self):
        """Calls that the edge passed on whole."""
        if not self.metrics:
            return 0
        with urllib.request.urlopen(self.metrics, timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        ends = [line for line in lines if line.startswith("portunus_call_ends_total") and 'end="done"' in line.lower()]
        return sum(int(line.split()[-1]) for line in ends)


class Bench:
    """Everything that runs while we measure."""

    def __init__(self, options, directory, processes):
        self.options, self.directory, self.processes = options, directory, processes
        self.starts = []
        self.named = {}

    def start(self):
        upstream = self.nginx("upstream", UPSTREAM, 1, answer=ANSWER)
        cert, key = self.certificate()
        proxy = self.nginx("nginx", PROXY, WORKERS, upstream=upstream.port, cert=cert, key=key)
        self.named["nginx"] = tree(proxy.pid)
        targets = [
            Target("direct", f"http://127.0.0.1:{upstream.port}/mcp"),
            Target("nginx", f"https://127.0.0.1:{proxy.port}/mcp", trust=False, pids=self.named["nginx"]),
        ]
        if not self.options.only or {"edge", "tunnel", "change"} & set(self.options.only):
            targets += self.portunus(upstream.port)
        return [target for target in targets if not self.options.only or target.name in self.options.only]

    def proxies(self):
        return list(self.named.items())

    def nginx(self, name, template, workers, **values):
        folder = self.directory / name
        folder.mkdir()
        port = free_port()
        config = folder / "nginx.conf"
        config.write_text(template.format(dir=folder, workers=workers, port=port, **values))
        process = self.processes.start(["nginx", "-p", folder, "-c", config, "-e", folder / "error.log"], folder / "out.log")
        wait_for_port(port, folder / "error.log")
        process.port = port
        return process

    def certificate(self):
        cert, key = self.directory / "cert.pem", self.directory / "key.pem"
        command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
        subprocess.run([*command.split(), "-keyout", key, "-out", cert], check=True, capture_output=True)
        return cert, key

    def portunus(self, upstream):
        binary = str(pathlib.Path(self.options.portunus).resolve())
        state = self.directory / "state"
        policies = self.directory / "policies"
        policies.mkdir()
        (policies / "bench.cedar").write_text(POLICY)
        https, admin = free_port(), free_port()
        config = self.directory / "portunus.yaml"
        server = 'owner: bench@localhost\n    purpose: Benchmark\n    environment: test\n    actors: [assistant, autonomous]\n    tools: { echo: [read] }'
        config.write_text(f"""
public_url: https://localhost:{https}
listen: {{ https: 127.0.0.1:{https}, admin: 127.0.0.1:{admin} }}
tls: {{ local_ca: true }}
store: sqlite:{state}/portunus.db
sealing_key: {{ file: {state}/sealing.key }}
login: {{ local: true }}
policies: {policies}
servers:
  - name: direct
    title: Straight to the upstream
    {server}
    upstream: {{ url: http://127.0.0.1:{upstream}/mcp }}
    credential: none
  - name: harbour
    title: Through the tunnel
    {server}
    upstream: tunnel
""")
        serve = [binary, "serve", "-c", config]
        for _ in range(5):
            begun = time.monotonic()
            edge = self.processes.start(serve, self.directory / "edge.log")
            wait_ready(admin, edge, self.directory / "edge.log")
            self.starts.append(time.monotonic() - begun)
            if len(self.starts) < 5:
                edge.terminate()
                edge.wait()
        def admin_call(*words):
            command = [binary, *words, "--state", state, "--json"]
            return subprocess.run(command, check=True, text=True, capture_output=True).stdout

        def token(server, user):
            admin_call("user", "add", user, "--group", "bench")
            return json.loads(admin_call("token", "issue", "--server", server, "--as", user, "--ttl", "1h"))["access_token"]

        ca_file = state / "ca.pem"
        join = self.directory / "join-token"
        join.write_text(json.loads(admin_call("join", "issue", "--server", "harbour"))["join_token"])
        connector = self.processes.start(
            [binary, "connect", "--gateway", f"https://localhost:{https}", "--name", "harbour", "--to",
             f"http://127.0.0.1:{upstream}/mcp", "--token-file", join, "--ca-file", ca_file,
             "--state", self.directory / "connector", "--plain"],
            self.directory / "connector.log",
        )
        self.named["edge"], self.named["connector"] = [edge.pid], [connector.pid]
        url, metrics = f"https://localhost:{https}", f"http://127.0.0.1:{admin}/metrics"
        # A user for each, since a user's calls in flight are bounded.
        return [
            Target("edge", f"{url}/direct/mcp", ca_file, token("direct", "ana"), [edge.pid], metrics=metrics),
            Target("tunnel", f"{url}/harbour/mcp", ca_file, token("harbour", "bo"), [edge.pid, connector.pid], metrics=metrics),
            Target("change", f"{url}/direct/mcp", ca_file, token("direct", "cy"), [edge.pid], "change", metrics),
        ]


def measure(targets, options):
    """Rounds of every target at every number of connections, the order turning by one each round."""
    results = {}
    total = options.rounds * len(options.connections) * len(targets)
    step = 0
    for connections in options.connections:
        for target in targets:
            target.load(connections, 1)
        for turn in range(options.rounds):
            for target in targets[turn % len(targets):] + targets[:turn % len(targets)]:
                step += 1
                if sys.stderr.isatty():
                    print(f"\r{step}/{total} {target.name:<8}{connections:>4} connections ", end="", file=sys.stderr)
                found = target.load(connections, options.seconds)
                results.setdefault((target.name, connections), []).append(found)
    if sys.stderr.isatty():
        print("\r" + " " * 60 + "\r", end="", file=sys.stderr)
    return results


def report(targets, results, connections_list):
    print(f"tools/call, {WORKERS} cores shared by load generator, proxy and upstream; nginx {WORKERS} workers; medians\n")
    print(f"{'':<8}{'connections':>12}{'requests/s':>12}{'p50 us':>9}{'p99 us':>9}{'CPU us/request':>28}")
    middle = {}
    for connections in connections_list:
        for target in targets:
            rounds = results[target.name, connections]
            row = {key: statistics.median(found[key] for found in rounds) for key in ("rate", "p50", "p99")}
            row["cpu"] = sum_cpu(rounds, target.pids)
            middle[target.name, connections] = row
            names = {2: "edge {:.0f} + connector {:.0f}", 1: "{:.0f}"}
            shown = names[2].format(*row["cpu"]) if target.name == "tunnel" else f"{sum(row['cpu']):.0f}" if row["cpu"] else "-"
            print(f"{target.name:<8}{connections:>12}{row['rate']:>12.0f}{row['p50']:>9.0f}{row['p99']:>9.0f}{shown:>28}")
        print()
    goals(middle, connections_list)


def sum_cpu(rounds, pids):
    return [statistics.median(found["cpu"][pid] for found in rounds) for pid in pids]


def goals(middle, connections_list):
    """The goals beside the figures."""
    def line(text, figure, goal, good):
        print(f"  {'ok  ' if good else 'MISS'} {text:<58}{figure:>14}   goal {goal}")

    print("goals")
    for connections in connections_list:
        edge, nginx = middle.get(("edge", connections)), middle.get(("nginx", connections))
        if not edge or not nginx:
            continue
        share = edge["rate"] / nginx["rate"]
        line(f"edge's share of nginx's throughput, {connections} connections", f"{share:.0%}", "≥ 50 %", share >= 0.5)
        ratio = sum(edge["cpu"]) / max(sum(nginx["cpu"]), 1e-9)
        line(f"edge's CPU per request over nginx's, {connections} connections", f"{ratio:.2f}x", "≤ 2.5x", ratio <= 2.5)
    if ("edge", 1) in middle and ("nginx", 1) in middle:
        over = middle["edge", 1]["p50"] - middle["nginx", 1]["p50"]
        line("edge over nginx at p50, one connection", f"{over:.0f} us", "≤ 100 us", over <= 100)
    if ("tunnel", 1) in middle and ("edge", 1) in middle:
        over = middle["tunnel", 1]["p50"] - middle["edge", 1]["p50"]
        line("tunnel over edge at p50, one connection", f"{over:.0f} us", "≤ 120 us", over <= 120)


def report_processes(bench, idle):
    for name, pids in bench.proxies():
        now = memory(pids)
        print(f"  memory of {name:<10} idle {idle[name]['VmRSS']:>6.1f} MB ({idle[name]['RssAnon']:.1f} of its own)   under load (peak) {now['VmHWM']:>6.1f} MB")
    if "edge" in idle:
        good = idle["edge"]["VmRSS"] <= 40
        print(f"  {'ok  ' if good else 'MISS'} {'edge resident, idle':<58}{idle['edge']['VmRSS']:>11.1f} MB   goal ≤ 40 MB")
    if bench.starts:
        start = statistics.median(bench.starts) * 1000
        print(f"  {'ok  ' if start <= 200 else 'MISS'} {'start to /readyz':<58}{start:>11.0f} ms   goal ≤ 200 ms")


def post(url, trust, token, tool):
    scheme, _, rest = url.partition("://")
    authority, _, path = rest.partition("/")
    if scheme == "https":
        context = ssl.create_default_context(cafile=trust) if trust else ssl._create_unverified_context()
        connection = http.client.HTTPSConnection(authority, context=context, timeout=10)
    else:
        connection = http.client.HTTPConnection(authority, timeout=10)
    headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream",
               "MCP-Protocol-Version": "2025-11-25"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool, "arguments": {"text": "once"}}})
    connection.request("POST", "/" + path, body, headers)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text


class Processes:
    """Ends what it started, whatever happens."""

    def __enter__(self):
        self.running = []
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        return self

    def start(self, command, log):
        with open(log, "ab") as output:
            process = subprocess.Popen([str(word) for word in command], stdout=output, stderr=output, stdin=subprocess.DEVNULL)
        self.running.append(process)
        return process

    def __exit__(self, *_):
        for process in reversed(self.running):
            if process.poll() is None:
                process.terminate()
        for process in self.running:
            try:
                process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                process.kill()


def tree(pid):
    children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(int(child) for child in children)]


def cpu(pids):
    """User and system seconds of each process."""
    seconds = {}
    for pid in pids:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        seconds[pid] = (int(fields[11]) + int(fields[12])) / TICKS
    return seconds


def memory(pids):
    total = {"VmRSS": 0.0, "VmHWM": 0.0, "RssAnon": 0.0}
    for pid in pids:
        for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
            key = line.partition(":")[0]
            if key in total:
                total[key] += int(line.split()[1]) / 1024
    return total


def fdatasync(directory):
    """What a durable record costs here at least: the median of a write of 600 bytes and fdatasync, in microseconds."""
    file = os.open(directory / "sync", os.O_RDWR | os.O_CREAT)
    os.pwrite(file, bytes(1 << 20), 0)
    os.fsync(file)
    times = []
    for turn in range(300):
        begun = time.perf_counter()
        os.pwrite(file, bytes([turn % 251]) * 600, turn * 600)
        os.fdatasync(file)
        times.append(time.perf_counter() - begun)
    os.close(file)
    return statistics.median(times) * 1e6


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for_port(port, log):
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.01)
    sys.exit(f"nothing listens on {port}: {pathlib.Path(log).read_text()}")


def wait_ready(port, process, log):
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and process.poll() is None:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
            connection.request("GET", "/readyz")
            if connection.getresponse().status == 200:
                return
        except OSError:
            pass
        time.sleep(0.002)
    sys.exit(f"the edge did not become ready:\n{pathlib.Path(log).read_text()[-2000:]}")


if __name__ == "__main__":
    sys.exit(main())
