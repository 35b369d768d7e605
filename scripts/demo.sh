#!/usr/bin/env bash
# Builds Tessera, imports the sample workspace and serves it on loopback, where callers are believed without proof.
#
#   scripts/demo.sh                    serve until Ctrl-C
#   DEMO_ONESHOT=1 scripts/demo.sh     serve, search as three people, print what they find, stop
#
#   DATA_DIR   where the index lies; .tessera. Importing into it again changes nothing.
#   PORT       where to listen; 8080.
#   TESSERA    a binary to use instead of building one.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

data_dir=${DATA_DIR:-.tessera}
port=${PORT:-8080}
address=127.0.0.1:$port
workspace=observatory

if [ -z "${TESSERA:-}" ]; then
    scripts/setup.sh
    scripts/fetch-models.sh || echo "SKIPPED: search by meaning; the model could not be fetched, see above. Words are searched."
    cargo build --release --locked
    tessera=${CARGO_TARGET_DIR:-target}/release/tessera
else
    tessera=$TESSERA
fi

echo
echo "== Importing the sample workspace into $data_dir"
"$tessera" import markdown samples/northwind-observatory --workspace "$workspace" --data-dir "$data_dir"

# Searches over HTTP and prints title and path of the first hits.
search_as() {
    local user=$1 query=$2
    echo
    echo "== $user searches: $query"
    curl -sS --fail-with-body --get "http://$address/v1/search" --data-urlencode "query=$query" --data limit=3 \
        --header "Tessera-Workspace: $workspace" --header "Tessera-User: $user" |
        python3 -c '
import json, sys
hits = json.load(sys.stdin)["results"]
for hit in hits:
    print("  ", " / ".join([c["title"] for c in hit["breadcrumb"]] + [hit["page"]["title"]]))
print("   nothing" if not hits else "", end="" if hits else "\n")'
}

if [ -n "${DEMO_ONESHOT:-}" ]; then
    "$tessera" serve --dev --listen "$address" --data-dir "$data_dir" &
    server=$!
    trap 'kill "$server" 2>/dev/null || true' EXIT
    for _ in $(seq 300); do
        curl -sf "http://$address/readyz" >/dev/null && break
        kill -0 "$server" 2>/dev/null || { echo "demo: the server did not start" >&2; exit 1; }
        sleep 0.1
    done
    search_as seoyeon "animals chewing on cables"
    search_as petra '"vellumcrest"'
    search_as ada '"vellumcrest"'
    kill -TERM "$server"
    wait "$server"
    trap - EXIT
    echo
    echo "== The demo ran, and stopped."
    exit 0
fi

cat <<TRY

== Open http://$address in a browser: search, switch the person who asks, and see why they may see what they find.

== What to try, in another terminal

The observatory has 85 pages in seven languages. Who sees what is told in samples/README.md.

Oskar works nights; he finds what to do when the dome stalls:

  curl -sG http://$address/v1/search -d query=ERR_DOME_STALL \\
    -H 'Tessera-Workspace: $workspace' -H 'Tessera-User: oskar'

Seo-yeon asks in other words than the page has, which tells of a marten and the network:

  curl -sG http://$address/v1/search --data-urlencode 'query=animals chewing on cables' \\
    -H 'Tessera-Workspace: $workspace' -H 'Tessera-User: seoyeon'

Petra finds the director's terms; Ada, the director, does not:

  $tessera search '"vellumcrest"' --workspace $workspace --as petra --data-dir $data_dir
  $tessera search '"vellumcrest"' --workspace $workspace --as ada --data-dir $data_dir

Rafael is a guest; he finds three pages, whatever he asks:

  curl -sG http://$address/v1/search -d query=dome -H 'Tessera-Workspace: $workspace' -H 'Tessera-User: rafael'

The API describes itself at http://$address/openapi.json. Ctrl-C stops.

TRY
exec "$tessera" serve --dev --listen "$address" --data-dir "$data_dir"
