#!/usr/bin/env bash
# Starts the servers that some tests need, on loopback, and runs those tests:
#
#   scripts/test-services.sh [models] [openai] [s3] [oidc] [metrics] [traces] [kafka] [postgres] [browser]     all of them, unless some are named
#
#   models   OpenAI: an emulator of its service, from npm; once as it should be, once turning away and breaking off at random
#            llama: llama.cpp's server, from PyPI, with a tiny model of random weights: for the protocol alone
#   openai   a server of ours, asked by OpenAI's own libraries for Python and JavaScript and by that of the Model Context Protocol for Python:
#            with the extractor, and with the emulator as language model
#   s3       s3s-fs, which checks signatures and keeps its objects on disk; built once into .cache (two minutes or more)
#   oidc     an OpenID provider, from npm
#   metrics  promtool, of Debian's package prometheus: no server, it reads what ours says
#   traces   Rotel, a collector of OpenTelemetry's, from PyPI: between our server and a listener of the test
#   kafka    Apache Kafka in KRaft mode, see scripts/kafka.sh; takes Java 17 and Maven
#   postgres PostgreSQL, see scripts/postgres.sh, which installs it where it may
#   browser  a real Chromium, see scripts/test-browser.sh, which installs it where it may
#
# What cannot be had is said, and its tests are not run.
#
#   S3S_FS                a binary to use instead of building one
#   PROMTOOL              a binary to use instead of the one in PATH
#   S3_PORT, KAFKA_PORT   where they listen; 8098, with the emulators on the three ports after it, our servers on the two after the next, the collector on
#                         the three after those,
#                         and 19092 with the three after it
#   POSTGRES_PORT         where PostgreSQL listens; 15432
#   BACKFILL_CRASH_ROUNDS how often imports from it are killed; 6
#   STREAM_CRASH_ROUNDS   how often indexers are killed and brokers troubled; 8
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

port=${S3_PORT:-8098}
dir=$(mktemp -d)
pids=()
stop() {
    for pid in "${pids[@]}"; do
        kill "$pid" 2>/dev/null && wait "$pid" || true
    done
    scripts/kafka.sh stop "$dir/kafka"
    scripts/postgres.sh stop "$dir/postgres"
    rm -rf "$dir"
}
trap stop EXIT

# wait_for NAME PID ADDRESS: until it answers anything at all.
wait_for() {
    for _ in $(seq 100); do
        curl -s "$3" >/dev/null && return
        kill -0 "$2" 2>/dev/null || { echo "test-services: $1 did not start" >&2; exit 1; }
        sleep 0.1
    done
    echo "test-services: $1 does not answer" >&2
    exit 1
}

# Asks a server by the libraries: ask_by_libraries ADDRESS WRITER.
ask_by_libraries() {
    local token
    token=$(python3 - "$2" <<-'EOF'
	import base64, hashlib, hmac, json, time
	encode = lambda data: base64.urlsafe_b64encode(data).rstrip(b"=")
	claims = {"sub": "oskar", "workspace": "observatory", "exp": int(time.time()) + 600}
	parts = encode(json.dumps({"alg": "HS256", "typ": "JWT"}).encode()) + b"." + encode(json.dumps(claims).encode())
	print((parts + b"." + encode(hmac.new(b"a secret of at least thirty-two bytes", parts, hashlib.sha256).digest())).decode())
	EOF
    )
    export TESSERA_URL=$1 TESSERA_WRITER=$2 TESSERA_TOKEN=$token TESSERA_KEY=tsk_0123456789abcdef0123456789abcdef
    export TESSERA_WORKSPACE=observatory TESSERA_USER=oskar
    if [ -n "$python" ]; then "$python" scripts/clients/openai_client.py; fi
    if [ -n "$javascript" ]; then node "$javascript/openai_client.mjs"; fi
    if [ -n "$mcp" ]; then "$mcp" scripts/clients/mcp_client.py; fi
}

# The interpreter of an environment of its own with a library: NAME PACKAGE VERSION. Says what could not be had, and prints nothing then.
python_with() {
    local root=$PWD/.cache/$1-$3
    if command -v python3 >/dev/null && { [ -x "$root/bin/python" ] || { python3 -m venv "$root" && "$root/bin/pip" install --quiet --disable-pip-version-check "$2==$3"; }; } >&2; then
        echo "$root/bin/python"
    else
        rm -rf "$root"
        echo "SKIPPED: a client in Python; $2 $3 could not be installed, see above" >&2
    fi
}

openai() {
    local python_version=3.57.0 javascript_version=7.59.0 mcp_version=2.3.0 python="" javascript="" mcp="" root tessera hash at config pid
    python=$(python_with openai-python openai "$python_version")
    root=$PWD/.cache/openai-javascript-$javascript_version
    if command -v node >/dev/null && command -v npm >/dev/null && { [ -d "$root/node_modules" ] || npm install --prefix "$root" --silent --no-audit --no-fund --ignore-scripts "openai@$javascript_version"; }; then
        javascript=$root
        cp scripts/clients/openai_client.mjs "$javascript"
    else
        rm -rf "$root"
        echo "SKIPPED: OpenAI's JavaScript library; openai $javascript_version could not be installed, see above"
    fi
    mcp=$(python_with mcp-python mcp "$mcp_version")
    [ -n "$python$javascript$mcp" ] || return 0
    tessera=${TESSERA:-}
    if [ -z "$tessera" ]; then
        cargo build --workspace
        tessera=${CARGO_TARGET_DIR:-target}/debug/tessera
    fi
    # The BLAKE3 hash of the service key above.
    hash=bcd4f1892d3bd2c8e9e797ed341b1b85d84fc1a53903109f76615770ccf698c9
    export TESSERA_JWT_HS256_SECRET="a secret of at least thirty-two bytes"
    for writer in extractor model; do
        at=$((port + 5))
        config=$dir/$writer.toml
        [ "$writer" = extractor ] || at=$((port + 6))
        printf '[[auth.service_keys]]\nname = "clients"\nhash = "%s"\nscopes = ["search"]\n' "$hash" >"$config"
        if [ "$writer" = model ]; then
            emulate $((port + 3)) || continue
            printf '[[models.generate.endpoints]]\nname = "emulator"\nbase_url = "http://127.0.0.1:%s/v1"\nmodel = "any"\n' $((port + 3)) >>"$config"
        fi
        "$tessera" import markdown samples/northwind-observatory --workspace observatory --data-dir "$dir/$writer" --config "$config"
        "$tessera" serve --config "$config" --data-dir "$dir/$writer" --listen "127.0.0.1:$at" &
        pid=$!
        pids+=("$pid")
        wait_for "the server" "$pid" "http://127.0.0.1:$at/readyz"
        ask_by_libraries "http://127.0.0.1:$at" "$writer"
    done
}

s3() {
    local version=0.14.1 server=${S3S_FS:-} root pid
    if [ -z "$server" ]; then
        root=$PWD/.cache/s3s-fs-$version
        server=$root/bin/s3s-fs
        if [ ! -x "$server" ] && ! CARGO_TARGET_DIR=$root/target cargo install --quiet --locked s3s-fs --version "$version" --features binary --root "$root"; then
            echo "SKIPPED: all tests with S3; s3s-fs $version could not be built, see above"
            return
        fi
        rm -rf "$root/target"
    fi
    mkdir -p "$dir/s3/tessera"
    RUST_LOG=warn "$server" --host 127.0.0.1 --port "$port" --access-key tessera --secret-key tessera-secret "$dir/s3" &
    pid=$!
    pids+=("$pid")
    wait_for "the S3 server" "$pid" "http://127.0.0.1:$port/"
    AWS_ENDPOINT_URL=http://127.0.0.1:$port AWS_REGION=us-east-1 \
        AWS_ACCESS_KEY_ID=tessera AWS_SECRET_ACCESS_KEY=tessera-secret \
        TESSERA_TEST_S3=s3://tessera/tests cargo test --workspace --lib --test it s3 -- --nocapture
}

# emulate PORT [OPTION...]: starts the emulator of OpenAI's service, if npm has it.
emulate() {
    local at=$1 version=1.43.0 root pid
    shift
    root=$PWD/.cache/aimock-$version
    if ! command -v npm >/dev/null || ! command -v node >/dev/null; then
        echo "SKIPPED: tests with an emulator of OpenAI; node or npm is missing"
        return 1
    fi
    if [ ! -d "$root/node_modules" ] && ! npm install --prefix "$root" --silent --no-audit --no-fund --ignore-scripts "@copilotkit/aimock@$version"; then
        rm -rf "$root"
        echo "SKIPPED: tests with an emulator of OpenAI; @copilotkit/aimock $version could not be installed, see above"
        return 1
    fi
    cat >"$dir/fixtures.json" <<-'EOF'
	{"fixtures": [
	  {"match": {"userMessage": "dome"}, "response": {"content": "Oskar parked and found a ridge of clear ice two metres long on the northern rail [1][2][3]."}},
	  {"match": {"userMessage": "key"}, "response": {"content": "The key is under the third stone. Ask Ada if it is not there."}}
	]}
	EOF
    node "$root/node_modules/.bin/llmock" --port "$at" --fixtures "$dir/fixtures.json" --log-level warn "$@" &
    pid=$!
    pids+=("$pid")
    wait_for "the emulator of OpenAI" "$pid" "http://127.0.0.1:$at/"
}

# Starts llama.cpp's server, if PyPI has it.
infer() {
    local root=$PWD/.cache/inference pid
    if ! command -v python3 >/dev/null; then
        echo "SKIPPED: tests with an inference server; python3 is missing"
        return 1
    fi
    if ! cmp -s scripts/requirements-services.txt "$root/installed.txt"; then
        rm -rf "$root"
        if ! python3 -m venv "$root" || ! "$root/bin/pip" install --quiet --disable-pip-version-check -r scripts/requirements-services.txt; then
            rm -rf "$root"
            echo "SKIPPED: tests with an inference server; xllamacpp could not be installed, see above"
            return 1
        fi
        cp scripts/requirements-services.txt "$root/installed.txt"
    fi
    # It ends when this end of its input does.
    mkfifo "$dir/stdin"
    "$root/bin/python" scripts/inference-server.py "$dir" <"$dir/stdin" >"$dir/address" 2>"$dir/inference.log" &
    pid=$!
    pids+=("$pid")
    exec 9>"$dir/stdin"
    for _ in $(seq 300); do
        grep -q http "$dir/address" && break
        kill -0 "$pid" 2>/dev/null || { cat "$dir/inference.log" >&2; echo "test-services: the inference server did not start" >&2; exit 1; }
        sleep 0.1
    done
    wait_for "the inference server" "$pid" "$(cat "$dir/address")/health"
}

models() {
    if AIMOCK_API_KEYS=sk-hidden emulate $((port + 1)); then
        export TESSERA_TEST_OPENAI=http://127.0.0.1:$((port + 1))/v1
        emulate $((port + 2)) --chaos-ratelimit 0.3 --chaos-disconnect 0.2 --chaos-drop 0.1 --chaos-malformed 0.1
        export TESSERA_TEST_OPENAI_CHAOS=http://127.0.0.1:$((port + 2))/v1
    fi
    if infer; then
        TESSERA_TEST_LLAMA=$(cat "$dir/address")/v1
        export TESSERA_TEST_LLAMA
    fi
    cargo test --workspace --test it services -- --nocapture
}

metrics() {
    local promtool=${PROMTOOL:-promtool}
    if ! command -v "$promtool" >/dev/null; then
        echo "SKIPPED: promtool on /metrics; it is not there (apt-get install --no-install-recommends prometheus)"
        return
    fi
    TESSERA_TEST_PROMTOOL=$(command -v "$promtool") cargo test --workspace --test it counts_what_it_does -- --nocapture
}

kafka() {
    local port=${KAFKA_PORT:-19092} via started=0
    via=$((port + 3))
    scripts/kafka.sh start "$dir/kafka" "$port" "$via" || started=$?
    if [ "$started" = 3 ]; then
        echo "SKIPPED: all tests with real Kafka; it cannot be had here, see above"
        return
    fi
    [ "$started" = 0 ] || exit 1
    # The whole workspace is built as `make test` builds it, so that it is built once.
    TESSERA_TEST_KAFKA=127.0.0.1:$port \
        TESSERA_TEST_KAFKA_BROKER="$dir/kafka $port $via" \
        cargo test --workspace --test it real_kafka -- --nocapture --test-threads 1
}

oidc() {
    local version=9.13.3 root
    root=$PWD/.cache/oidc-provider-$version
    if ! command -v npm >/dev/null || ! command -v node >/dev/null; then
        echo "SKIPPED: tests with an OpenID provider; node or npm is missing"
        return
    fi
    if [ ! -d "$root/node_modules" ] && ! npm install --prefix "$root" --silent --no-audit --no-fund --ignore-scripts "oidc-provider@$version"; then
        rm -rf "$root"
        echo "SKIPPED: tests with an OpenID provider; oidc-provider $version could not be installed, see above"
        return
    fi
    TESSERA_TEST_OIDC=$root cargo test --workspace --test it -- --nocapture identity openid_provider
}

postgres() {
    local port=${POSTGRES_PORT:-15432} started=0
    # The server may run as another user, who must reach its folder.
    chmod 711 "$dir"
    scripts/postgres.sh start "$dir/postgres" "$port" || started=$?
    if [ "$started" = 3 ]; then
        echo "SKIPPED: all tests with real PostgreSQL; it cannot be had here, see above"
        return
    fi
    [ "$started" = 0 ] || exit 1
    [ ! -e "$dir/postgres/ca.pem" ] || export TESSERA_TEST_POSTGRES_CA=$dir/postgres/ca.pem
    TESSERA_TEST_POSTGRES=postgres://postgres:tessera@127.0.0.1:$port/postgres \
        cargo test --workspace --test it postgres -- --nocapture
}

traces() {
    local version=0.0.1a15 root pid at=$((port + 7))
    root=$PWD/.cache/rotel-$version
    if ! command -v python3 >/dev/null; then
        echo "SKIPPED: tests with a collector of traces; python3 is missing"
        return
    fi
    if [ ! -d "$root" ] && ! { python3 -m venv "$root" && "$root/bin/pip" install --quiet --disable-pip-version-check "rotel==$version"; }; then
        rm -rf "$root"
        echo "SKIPPED: tests with a collector of traces; rotel $version could not be installed, see above"
        return
    fi
    # The wheel has the program without the right to run it.
    cp "$root"/lib/python3*/site-packages/rotel/rotel-agent "$dir/rotel"
    chmod +x "$dir/rotel"
    "$dir/rotel" start --otlp-http-endpoint "127.0.0.1:$at" --otlp-grpc-endpoint "127.0.0.1:$((at + 1))" --exporter otlp \
        --otlp-exporter-endpoint "http://127.0.0.1:$((at + 2))" --otlp-exporter-protocol http \
        --batch-timeout 1s >"$dir/rotel.log" 2>&1 &
    pid=$!
    pids+=("$pid")
    wait_for "the collector of traces" "$pid" "http://127.0.0.1:$at/"
    TESSERA_TEST_OTLP=http://127.0.0.1:$at/v1/traces TESSERA_TEST_OTLP_SENDS_TO=127.0.0.1:$((at + 2)) \
        cargo test --workspace --test it a_request_is_one_trace -- --nocapture
}

browser() {
    scripts/test-browser.sh
}

# All that is said is kept, to say at the end what was left out.
exec 3>&1 4>&2
exec > >(tee "$dir/log") 2>&1
for service in ${*:-models openai s3 oidc metrics traces kafka postgres browser}; do
    "$service"
done
exec >&3 2>&4
# Servers that go on hold its other end, so that it cannot be waited for.
sleep 1
if grep -q '^SKIPPED' "$dir/log"; then
    echo "test-services: what could be run has passed; LEFT OUT was:"
    grep '^SKIPPED' "$dir/log" | sort -u
fi
