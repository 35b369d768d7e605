#!/usr/bin/env bash
# Starts the servers that some tests need, on loopback, and runs those tests:
#
#   S3    s3s-fs, which checks signatures and keeps its objects on disk; built once into .cache (two minutes or more)
#
# What cannot be had is said, and its tests are not run.
#
#   S3S_FS    a binary to use instead of building one
#   S3_PORT   where it listens; 8098
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

version=0.14.1
port=${S3_PORT:-8098}
server=${S3S_FS:-}
if [ -z "$server" ]; then
    root=$PWD/.cache/s3s-fs-$version
    server=$root/bin/s3s-fs
    if [ ! -x "$server" ] && ! CARGO_TARGET_DIR=$root/target cargo install --quiet --locked s3s-fs --version "$version" --features binary --root "$root"; then
        echo "SKIPPED: all tests with S3; s3s-fs $version could not be built, see above"
        exit 0
    fi
    rm -rf "$root/target"
fi

dir=$(mktemp -d)
stop() {
    [ -z "${pid:-}" ] || { kill "$pid" 2>/dev/null; wait "$pid"; } || true
    rm -rf "$dir"
}
trap stop EXIT
mkdir "$dir/tessera"
RUST_LOG=warn "$server" --host 127.0.0.1 --port "$port" --access-key tessera --secret-key tessera-secret "$dir" &
pid=$!
for _ in $(seq 100); do
    # Any answer will do: without a signature it is a refusal.
    curl -s "http://127.0.0.1:$port/" >/dev/null && break
    kill -0 "$pid" 2>/dev/null || { echo "test-services: the S3 server did not start" >&2; exit 1; }
    sleep 0.1
done

export AWS_ENDPOINT_URL=http://127.0.0.1:$port AWS_REGION=us-east-1
export AWS_ACCESS_KEY_ID=tessera AWS_SECRET_ACCESS_KEY=tessera-secret
TESSERA_TEST_S3=s3://tessera/tests cargo test --workspace --lib --test it s3 -- --nocapture
