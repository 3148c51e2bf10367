#!/usr/bin/env bash
# Debian's testssl.sh against a demo: fails on a finding of LOW or worse that is not about the demo's own CA. Takes minutes.
set -euo pipefail
cd "$(dirname "$0")/.."
tests/packages.sh testssl.sh bsdextrautils dnsutils openssl
state=$(mktemp -d)
port=$((20000 + RANDOM % 20000))
target/debug/portunus demo --state "$state/state" --listen "127.0.0.1:$port" --admin-listen "127.0.0.1:$((port + 1))" --json >"$state/ready" 2>"$state/log" &
demo=$!
trap 'kill $demo 2>/dev/null || true; wait $demo 2>/dev/null || true; rm -rf "$state"' EXIT
until [ -s "$state/ready" ]; do sleep 0.1; kill -0 $demo; done
testssl --quiet --color 0 --warnings off --ip 127.0.0.1 --jsonfile "$state/report.json" "localhost:$port" || true
python3 - "$state/report.json" <<'P'
import json, sys
findings = json.load(open(sys.argv[1]))
# What a certificate of one's own CA, made minutes ago for localhost, cannot have.
own = ("cert_", "DNS_CAArecord", "OCSP", "grade_cap", "overall_grade", "scan", "HSTS_preload")
bad = [f for f in findings if f["severity"] in ("LOW", "MEDIUM", "HIGH", "CRITICAL", "FATAL") and not f["id"].startswith(own)]
grades = {f["id"]: f["finding"] for f in findings if f["id"] in ("protocol_support_score", "key_exchange_score", "cipher_strength_score", "overall_grade")}
print(json.dumps({"findings": len(findings), "bad": [(f["id"], f["severity"], f["finding"]) for f in bad], "grades": grades}, indent=1))
sys.exit(1 if bad or len(findings) < 50 else 0)
P
