#!/usr/bin/env bash
# Runs the fuzz targets one after another, each for so many seconds of its own CPU time, and prints a line for each.
# Usage: fuzz/run.sh [SECONDS [TARGET…]]     Needs: cargo install cargo-fuzz --locked
# TIMEOUT is the longest wall time of one input, 5 seconds: more where the machine is busy.
# NO_BUILD=1 runs what was built before; SANITIZER=address adds AddressSanitizer, which is slow and looks for what unsafe
# code of dependencies could do.
set -euo pipefail
cd "$(dirname "$0")"

seconds=${1:-60}
shift || true
targets=("$@")
[ ${#targets[@]} -gt 0 ] || mapfile -t targets < <(sed -n 's/^name = "\(.*\)"$/\1/p' Cargo.toml | tail -n +2)
command -v cargo-fuzz >/dev/null || { echo "cargo-fuzz is missing; run: cargo install cargo-fuzz --locked" >&2; exit 1; }

# Coverage and sanitizers are unstable options of a stable compiler.
export RUSTC_BOOTSTRAP=1
host=$(rustc -vV | sed -n 's/^host: //p')
[ -n "${NO_BUILD:-}" ] || (cd .. && cargo fuzz build --sanitizer "${SANITIZER:-none}" --target "$host")
binaries=${CARGO_TARGET_DIR:-target}/$host/release

# Bytes of the longest input; longer ones only take longer.
declare -A longest=([policy_load]=8192)
declare -A dictionary=([json_scan]=json [envelope]=json [policy_load]=cedar [sql_facts]=sql [sql_sqlite]=sql [lockfile]=json)
# Targets that share seeds.
declare -A seeds=([sql_sqlite]=sql_facts)

# A figure that a slice ended with.
said() { sed -n "s/^stat::$1: *//p" "$slice" | tail -n 1; }

# One target: slices of wall time until the CPU time is used up, or something is found.
fuzz() {
  local target=$1 used=0 executions=0 slowest=0 peak=0 status=0 log=corpus/$1.log
  mkdir -p "corpus/$target" "artifacts/$target"
  : >"$log"
  while [ "$status" = 0 ] && [ "$used" -lt "$seconds" ]; do
    local rest=$((seconds - used)) slice=corpus/$target.slice
    local spent
    TIMEFORMAT=%U
    spent=$({ time "$binaries/$target" "corpus/$target" "seeds/${seeds[$target]:-$target}" \
      -dict="dictionaries/${dictionary[$target]:-$target}.dict" -max_len="${longest[$target]:-4096}" \
      -timeout="${TIMEOUT:-5}" -rss_limit_mb=1024 -max_total_time=$((rest < 600 ? rest : 600)) -print_final_stats=1 \
      -artifact_prefix="artifacts/$target/" >"$slice" 2>&1; } 2>&1) || status=$?
    cat "$slice" >>"$log"
    used=$((used + ${spent%.*} + 1))
    local units seen
    units=$(said number_of_executed_units) seen=$(said slowest_unit_time_sec)
    executions=$((executions + ${units:-0}))
    slowest=$((${seen:-0} > slowest ? ${seen:-0} : slowest))
    seen=$(said peak_rss_mb)
    peak=$((${seen:-0} > peak ? ${seen:-0} : peak))
    rm -f "$slice"
  done
  local coverage
  coverage=$(grep -o 'cov: [0-9]* ft: [0-9]*' "$log" | tail -n 1)
  printf '%-14s %6d CPU s %12d executions  %-24s slowest %d s, %d MiB, exit status %d\n' \
    "$target" "$used" "$executions" "$coverage" "$slowest" "$peak" "$status"
  [ "$status" = 0 ] || { tail -n 40 "$log" >&2; return 1; }
}

failed=0
for target in "${targets[@]}"; do fuzz "$target" || failed=1; done
exit $failed
