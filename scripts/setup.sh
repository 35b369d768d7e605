#!/usr/bin/env bash
# Makes sure that this machine has what building and running Tessera takes:
#
#   scripts/setup.sh [services]     with `services`, also what `make test-services` runs servers and clients by: Node.js and npm
#
# On Debian and Ubuntu, missing packages are installed with apt-get, as root or by sudo; elsewhere they are named. When
# everything is there already nothing is touched, and no network is needed. Rust is not installed: rustup.rs says how, and
# the toolchain that rust-toolchain.toml pins comes by itself.
set -euo pipefail

fail() {
    echo "setup: $*" >&2
    exit 1
}

packages=()
need() {
    local command=$1 package=$2
    command -v "$command" >/dev/null || packages+=("$package")
}
need g++ g++ # the tokenizer and the compression have parts in C and C++
need make make
need pkg-config pkg-config
need curl curl
need python3 python3
python3 -m pip --version >/dev/null 2>&1 || command -v pip3 >/dev/null || packages+=(python3-pip)
# The Kafka client speaks TLS by OpenSSL; macOS and others bring it under other names.
pkg-config --exists openssl 2>/dev/null || [ -n "${OPENSSL_DIR:-}" ] || packages+=(libssl-dev)
[ -e /etc/ssl/certs/ca-certificates.crt ] || [ -e /etc/pki/tls/certs/ca-bundle.crt ] || packages+=(ca-certificates)
if [ "${1:-}" = services ]; then
    need node nodejs
    need npm npm
fi

if [ ${#packages[@]} -gt 0 ]; then
    command -v apt-get >/dev/null || fail "please install what is missing: ${packages[*]} (names as in Debian)"
    as_root=()
    if [ "$(id -u)" != 0 ]; then
        command -v sudo >/dev/null || fail "please install as root: apt-get install ${packages[*]}"
        as_root=(sudo)
    fi
    echo "setup: installing ${packages[*]}"
    "${as_root[@]}" apt-get update -qq
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null
fi

command -v cargo >/dev/null || fail "cargo is missing; install Rust as https://rustup.rs says"
