#!/usr/bin/env bash
# Drives the page at / in a real Chromium, and /mcp by a client library, against a server of its own on the sample workspace:
#
#   scripts/test-browser.sh
#
#   TESSERA    a binary to use instead of building one
#   CHROMIUM   the browser; /usr/bin/chromium, installed with apt-get where that can be done
#   WEB        a folder whose files are shown in the place of those in the binary, as query/web
#   PORT       where the server listens; 8093
#   SECONDS_MAX  how long the tests may take once everything is there; 600
#
# Screenshots are left in target/browser. Where Node.js, Chromium or the embedding model cannot be had, that is said, and nothing is run;
# what is run and fails, fails. Nothing but apt-get and npm asks the network.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

skip() {
    echo "SKIPPED: ALL tests of the page in a browser and of the assistants' protocol by its own client; $1"
    exit 0
}

# thrice COMMAND...: a registry may not answer at once; each try has five minutes.
thrice() {
    local try
    for try in 1 2 3; do
        timeout 300 "$@" && return
        echo "test-browser: try $try of 3 failed: $*" >&2
        sleep $((try * 5))
    done
    return 1
}

chromium=${CHROMIUM:-/usr/bin/chromium}
command -v npm >/dev/null && command -v node >/dev/null || skip "Node.js and npm are missing, \`scripts/setup.sh services\` installs them"
[ -e .cache/models/libonnxruntime.so ] || skip "there is no embedding model, \`make models\` fetches it"
if [ ! -x "$chromium" ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    export DEBIAN_FRONTEND=noninteractive
    { thrice apt-get update -qq && thrice apt-get install -y -qq --no-install-recommends chromium >/dev/null; } || true
fi
[ -x "$chromium" ] || skip "$chromium is missing, set CHROMIUM to one"
mkdir -p .cache/browser
# Where it really lies: npm takes a way there over a link for another folder.
tests=$(cd -P .cache/browser && pwd)
rm -f "$tests"/*.mjs
cp query/web/tests/* query/web/counters.js "$tests"
# Packages that are there already, as the lock file has them, are not fetched again.
if ! cmp -s "$tests/package-lock.json" "$tests/node_modules/.lock"; then
    thrice npm ci --prefix "$tests" --silent --no-audit --no-fund --ignore-scripts ||
        skip "the packages in query/web/tests/package.json could not be fetched"
    cp "$tests/package-lock.json" "$tests/node_modules/.lock"
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
"$tessera" eval run samples/northwind-observatory --no-embed --queries 10 --cache "$data/eval" --out "$data/report"
TESSERA__HTTP__EVALUATION_FILE=$data/report/evaluation.json TESSERA__MODELS__GENERATE__BUDGETS__WORKSPACE_TOKENS_PER_MONTH=1000000 \
    "$tessera" serve --dev --listen "127.0.0.1:$port" --data-dir "$data" &
pid=$!
ready=0
for _ in $(seq 600); do
    curl -sf "http://127.0.0.1:$port/readyz" >/dev/null && ready=1 && break
    kill -0 "$pid" 2>/dev/null || break
    sleep 0.1
done
[ "$ready" = 1 ] || { echo "test-browser: the server did not start" >&2; exit 1; }
TESSERA_URL=http://127.0.0.1:$port CHROMIUM=$chromium SHOTS=$PWD/target/browser \
    timeout --kill-after 10 "${SECONDS_MAX:-600}" node --test --test-concurrency=1 --test-reporter=spec "$tests"/*.test.mjs
