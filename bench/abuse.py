#!/usr/bin/env python3
"""The long versions of the abuse tests against a demo on this machine: 20 connections of each HTTP/2 flood at once
(tests/clients/floods.py), and 1,000 slow connections of three kinds (Debian's slowhttptest). Prints what was seen."""

import argparse
import json
import os
import pathlib
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent


def resident_kib(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))


def token(portunus, state):
    words = [portunus, "token", "issue", "--server", "sales", "--as", "ana", "--ttl", "1h", "--json"]
    issued = subprocess.run(words, env={**os.environ, "PORTUNUS_STATE": state}, stdout=subprocess.PIPE, check=True)
    return json.loads(issued.stdout)["access_token"]


def slow(kind, url, seconds):
    """Opens 1,000 connections; says how many were still open at the end."""
    words = ["slowhttptest", kind, "-c", "1000", "-r", "200", "-i", "5", "-l", str(seconds), "-u", url, "-p", "3"]
    text = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT).stdout.decode(errors="replace")
    lines = [line.strip() for line in text.splitlines() if ":" in line]
    wanted = ("closed", "connected", "pending", "error", "service available", "exit status")
    return [line for line in lines if line.lower().startswith(wanted)][-7:]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--portunus", default="target/release/portunus")
    portunus = str(pathlib.Path(parser.parse_args().portunus).resolve())
    with tempfile.TemporaryDirectory() as directory:
        words = [portunus, "demo", "--state", f"{directory}/state", "--listen", "127.0.0.1:18443", "--json"]
        with open(f"{directory}/log", "w") as log:
            demo = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=log)
        try:
            ready = json.loads(demo.stdout.readline())
            environment = {
                **os.environ,
                "PORTUNUS_URL": ready["mcp_url"],
                "PORTUNUS_TOKEN": token(portunus, ready["state"]),
                "PORTUNUS_PID": str(demo.pid),
                "PORTUNUS_TOOL": "list_tables",
                "SSL_CERT_FILE": ready["ca_file"],
            }
            python = ROOT / "tests/clients/.venv/bin/python"
            subprocess.run([python, ROOT / "tests/clients/floods.py", "20"], env=environment)
            for name, kind in [("headers", "-H"), ("bodies", "-B"), ("readers", "-X")]:
                before, begun = resident_kib(demo.pid), time.monotonic()
                seen = slow(kind, ready["mcp_url"], 60)
                grown = resident_kib(demo.pid) - before
                took = round(time.monotonic() - begun)
                print(json.dumps({"slow": name, "seconds": took, "grown_kib": grown, "seen": seen}), flush=True)
        finally:
            demo.terminate()
            demo.wait()


if __name__ == "__main__":
    main()
