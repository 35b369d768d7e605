#!/usr/bin/env bash
# Serves the sample workspace and sends the API requests made from its OpenAPI description, valid and not:
#
#   scripts/schemathesis.sh [OPTION OF SCHEMATHESIS]...
#
# Fails when a response has a status 5xx, or a status, header, media type or body that the description does not promise. The
# server runs on a data folder of its own, which is removed. `--seed N` repeats a run.
#
#   PORT          where the server listens; 8099.
#   TESSERA       a binary to use instead of building one.
#   EXAMPLES      most requests per operation and phase; 200.
#   SCHEMATHESIS  a schemathesis to use instead of the one in .cache.
set -euo pipefail

version=4.32.5
repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$repository"
port=${PORT:-8099}
address=127.0.0.1:$port

schemathesis=${SCHEMATHESIS:-}
if [ -z "$schemathesis" ]; then
    venv=$repository/.cache/schemathesis-$version
    schemathesis=$venv/bin/schemathesis
    if [ ! -x "$schemathesis" ]; then
        if ! { python3 -m venv "$venv" && "$venv/bin/pip" install --quiet --disable-pip-version-check "schemathesis==$version"; }; then
            rm -rf "$venv"
            echo "SKIPPED: schemathesis $version could not be installed, see above"
            exit 0
        fi
    fi
fi

tessera=${TESSERA:-}
if [ -z "$tessera" ]; then
    cargo build --locked
    tessera=${CARGO_TARGET_DIR:-target}/debug/tessera
fi

data_dir=$(mktemp -d)
server=
stop() {
    [ -z "$server" ] || { kill "$server" 2>/dev/null; wait "$server"; } || true
    rm -rf "$data_dir"
}
trap stop EXIT

"$tessera" import markdown samples/northwind-observatory --workspace observatory --text-only --data-dir "$data_dir"
TESSERA__LOG__FILTER=warn TESSERA__QUERY__FEEDBACK__ENABLED=true "$tessera" serve --dev --listen "$address" --data-dir "$data_dir" &
server=$!
for _ in $(seq 300); do
    curl -sf "http://$address/readyz" >/dev/null && break
    kill -0 "$server" 2>/dev/null || { echo "schemathesis: the server did not start" >&2; exit 1; }
    sleep 0.1
done

# What takes a language model says so where there is none: that is a status of its own.
cat >"$data_dir/schemathesis.toml" <<'TOML'
[[operations]]
include-path = "/v1/generate"
[operations.checks.not_a_server_error]
expected-statuses = ["2xx", "3xx", "4xx", "501"]
TOML

# Three identities: a member, a guest, and somebody whom the workspace does not know.
for user in ada rafael nobody; do
    echo "== as $user"
    (cd "$data_dir" && "$(command -v "$schemathesis")" run "http://$address/openapi.json" --max-examples "${EXAMPLES:-200}" --workers 1 \
        --header "Tessera-Workspace: observatory" --header "Tessera-User: $user" \
        --checks not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,response_schema_conformance \
        --suppress-health-check all --no-color "$@")
done
