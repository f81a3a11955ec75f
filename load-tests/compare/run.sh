#!/usr/bin/env bash
# Measures Sfumato beside the other servers that are there, in turns, by one generator, and writes figures and plots:
#   load-tests/compare/run.sh [FOLDER]
# RUNS, SECONDS_EACH, SERVER_CORES and GENERATOR_CORES change what the names say; SERVERS names some of servers.json by blanks;
# SFUMATO and SFUMATO_LOAD name the programs. Everything runs in a network namespace of its own, and ends with it.
set -euo pipefail
cd "$(dirname "$0")/../.."
out=${1:-target/compare}
load=${SFUMATO_LOAD:-target/release/sfumato-load}
runs=${RUNS:-3} seconds=${SECONDS_EACH:-5}
# Longest time for one scenario, seconds: past it something hangs.
LIMIT=280

for program in "$load" "${SFUMATO:-target/release/sfumato}"; do
  [ -x "$program" ] || { echo "compare: no $program: cargo build --release -p sfumato -p sfumato-load" >&2; exit 1; }
done
scripts/private-network --check || { echo "compare: no network namespaces here" >&2; exit 1; }

# Of the list those that are asked for and there.
mkdir -p "$out"
python3 load-tests/compare/choose.py >"$out/servers.json"

# The generator ends the server that it started when it is interrupted, so that this is how it is always told to stop.
generator=
stop() {
  trap - INT TERM
  [ -z "$generator" ] || { kill -INT "$generator" 2>/dev/null && wait "$generator"; } || true
  exit 130
}
trap stop INT TERM

status=0
for scenario in "fanout --viewers 50" "meeting --participants 10"; do
  # shellcheck disable=SC2086 # a scenario is words
  timeout --signal=INT --kill-after=20 "$LIMIT" \
    scripts/private-network "$load" $scenario --targets "$out/servers.json" --allow-remote \
    --cores "${GENERATOR_CORES:-1}" --runs "$runs" --duration "$seconds" --warmup 2 --out "$out" &
  generator=$!
  wait "$generator" || status=$?
  generator=
done
exit $status
