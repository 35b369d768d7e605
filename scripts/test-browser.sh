#!/usr/bin/env bash
# Drives the page at / in a real Chromium, and /mcp by a client library, against a server of its own on the sample workspace:
#
#   scripts/test-browser.sh
#
#   TESSERA    a binary to use instead of building one
#   CHROMIUM   the browser; /usr/bin/chromium, installed with apt-get where that can be done
#   PORT       where the server listens; 8093
#
# Screenshots are left in target/browser. Where Node.js or Chromium cannot be had, that is said, and nothing is run.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

chromium=${CHROMIUM:-/usr/bin/chromium}
if ! command -v npm >/dev/null; then
    echo "SKIPPED: the page in a browser; Node.js and npm are missing"
    exit 0
fi
if [ ! -x "$chromium" ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null; } || true
fi
if [ ! -x "$chromium" ]; then
    echo "SKIPPED: the page in a browser; $chromium is missing, set CHROMIUM to one"
    exit 0
fi
tests=.cache/browser
mkdir -p "$tests"
cp query/web/tests/* "$tests"
if ! npm ci --prefix "$tests" --silent --no-audit --no-fund; then
    echo "SKIPPED: the page in a browser; the packages in query/web/tests/package.json could not be fetched"
    exit 0
fi

tessera=${TESSERA:-}
if [ -z "$tessera" ]; then
    cargo build --workspace
    tessera=${CARGO_TARGET_DIR:-target}/debug/tessera
fi
port=${PORT:-8093}
data=$(mktemp -d)
stop() {
    [ -z "${pid:-}" ] || { kill "$pid" 2>/dev/null; wait "$pid"; } || true
    rm -rf "$data"
}
trap stop EXIT
"$tessera" import markdown samples/northwind-observatory --workspace observatory --data-dir "$data"
"$tessera" serve --dev --listen "127.0.0.1:$port" --data-dir "$data" &
pid=$!
for _ in $(seq 300); do
    curl -sf "http://127.0.0.1:$port/readyz" >/dev/null && break
    kill -0 "$pid" 2>/dev/null || { echo "test-browser: the server did not start" >&2; exit 1; }
    sleep 0.1
done
TESSERA_URL=http://127.0.0.1:$port CHROMIUM=$chromium SHOTS=$PWD/target/browser \
    node --test --test-concurrency=1 --test-reporter=spec "$tests"/*.test.mjs
