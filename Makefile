# The two commands of the README are `make demo` and `make test`; the others are for those who work on Portunus.

CARGO ?= cargo
STATE ?= .demo
LISTEN ?= 127.0.0.1:8443
SECONDS ?= 60
NEXTEST := $(shell command -v cargo-nextest 2>/dev/null)

.NOTPARALLEL:
.PHONY: demo test lint bench fuzz packages clients unit doc audit abuse

## Builds, then runs everything in one process with embedded defaults; leaves it running (Ctrl-C ends it).
demo:
	@tests/packages.sh gcc libc6-dev
	@echo "Building Portunus (a few minutes the first time) …"
	$(CARGO) build --locked -p portunus-cli
	@exec target/debug/portunus demo --state $(STATE) --listen $(LISTEN)

## Installs what the tests need, then runs every test.
test: packages clients lint doc unit

packages:
	@tests/packages.sh gcc libc6-dev python3 python3-venv chromium fonts-dejavu-core faketime pebble nginx haproxy openssl postgresql openssh-client openssh-server

clients: packages
	@tests/clients/setup.sh

lint:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings

## Unit, property, integration and end-to-end tests.
unit:
ifdef NEXTEST
	$(CARGO) nextest run --locked --workspace --no-fail-fast
else
	$(CARGO) test --locked --workspace --all-targets --no-fail-fast
endif

doc:
	$(CARGO) test --locked --workspace --doc

## Criterion for the pure crates, then the load test; prints the goals beside the figures, fails on none of them.
bench:
	@tests/packages.sh gcc libc6-dev python3 nginx wrk openssl
	$(CARGO) build --locked --release -p portunus-cli
	$(CARGO) bench --locked -p portunus-mcp -p portunus-policy -p portunus-disclose -p portunus-edge -p portunus-ledger --benches
	bench/load.py --portunus target/release/portunus

## Every fuzz target for SECONDS of CPU time each; `make test` runs the same over meddled seeds. See docs/fuzzing.md.
fuzz:
	@tests/packages.sh gcc g++ libc6-dev
	fuzz/run.sh $(SECONDS)

## testssl.sh against a demo: nothing vulnerable, nothing old.
audit:
	$(CARGO) build --locked -p portunus-cli
	tests/audit.sh

## Floods and crowds of slow connections, longer than `make test` has time for; prints what was seen.
abuse: clients
	@tests/packages.sh slowhttptest
	$(CARGO) build --locked --release -p portunus-cli
	bench/abuse.py --portunus target/release/portunus
