#!/usr/bin/env bash
# Measures what reading a stream costs, over a Kafka of its own on loopback: see indexer/benches/stream.rs.
#
#   scripts/bench-stream.sh [PAGES [SECONDS]]     pages of the corpus, 2,000; seconds that the surge lasts, 60
#
#   KAFKA_PORT   where the broker listens, with the port after it; 19192
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

port=${KAFKA_PORT:-19192}
dir=$(mktemp -d)
stop() {
    scripts/kafka.sh stop "$dir"
    rm -rf "$dir"
}
trap stop EXIT
scripts/kafka.sh start "$dir" "$port"
TESSERA_BENCH_KAFKA=127.0.0.1:$port cargo bench -p indexer --bench stream -- "$@"
