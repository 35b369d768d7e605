#!/usr/bin/env bash
# Measures reading a stream, over a Kafka of its own on loopback, and prints what is promised of it in one table at the end:
# rates by indexer/benches/stream.rs, a surge and an import beside edits by eval/benches/scale, on the pages of docs-win32.
#
#   scripts/bench-stream.sh [OPTION...]     options of the bench `scale`, as --seconds 60 and --pages 2000
#
#   KAFKA_PORT   where the broker listens, with the port after it; 19192
#   CORPUS       the folder of docs-win32; ../shared/data/docs-win32
#   RATE_PAGES   pages whose events the rates are measured with; 20,000, so that connecting is little of it
#   PROFILE      with which cargo builds; bench
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

port=${KAFKA_PORT:-19192}
dir=$(mktemp -d)
stop() {
    scripts/kafka.sh stop "$dir/kafka"
    rm -rf "$dir"
}
trap stop EXIT
scripts/kafka.sh start "$dir/kafka" "$port"
export TESSERA_BENCH_KAFKA=127.0.0.1:$port
bench=(cargo bench --workspace --profile "${PROFILE:-bench}")
"${bench[@]}" --bench stream -- "${RATE_PAGES:-20000}" | tee "$dir/rates"
"${bench[@]}" --bench scale -- --only stream --copies 1 --corpus "$(realpath "${CORPUS:-../shared/data/docs-win32}")" "$@" | tee "$dir/scale"
echo
echo "| What | Measured | Goal |"
echo "|---|---|---|"
grep -h '^|' "$dir/rates" "$dir/scale"
