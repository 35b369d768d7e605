#!/usr/bin/env bash
# PostgreSQL on loopback, for tests and for trying things out:
#
#   scripts/postgres.sh fetch              installs it where it is missing, as root on Debian and Ubuntu
#   scripts/postgres.sh start DIR [PORT]   initialises DIR if it is new, starts the server and waits until it answers; 15432
#   scripts/postgres.sh stop DIR           stops it
#   scripts/postgres.sh kill DIR           kills it, as a crash would
#
# Its superuser is `postgres`, with the password `tessera`. Where openssl is there, it speaks TLS too, with a certificate for
# 127.0.0.1 that rests on DIR/ca.pem. Run by root, the server runs as the user `postgres`, who must be able
# to reach DIR. Exits with 3 where PostgreSQL is missing and cannot be installed. The log is DIR/log.
set -euo pipefail

# The folder of the server's programs, of the newest release.
programs() {
    local found
    found=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1)
    [ -n "$found" ] || found=$(dirname "$(command -v pg_ctl 2>/dev/null)" 2>/dev/null) || true
    [ -x "$found/pg_ctl" ] && [ -x "$found/initdb" ] && echo "$found"
}

fetch() {
    programs >/dev/null && return 0
    if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
        echo "postgres: installing postgresql" >&2
        if apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends postgresql >/dev/null; then
            programs >/dev/null && return 0
        fi
    fi
    echo "postgres: PostgreSQL is missing (apt-get install postgresql)" >&2
    exit 3
}

# certify DIR: makes a certificate for 127.0.0.1, and one that it rests on.
certify() {
    local dir=$1
    openssl req -new -x509 -nodes -newkey rsa:2048 -days 3650 -subj "/CN=Tessera tests" -keyout "$dir/ca.key" -out "$dir/ca.pem" \
        -addext basicConstraints=critical,CA:TRUE
    openssl req -new -nodes -newkey rsa:2048 -subj /CN=127.0.0.1 -keyout "$dir/server.key" -out "$dir/server.csr"
    openssl x509 -req -in "$dir/server.csr" -CA "$dir/ca.pem" -CAkey "$dir/ca.key" -CAcreateserial -days 3650 -out "$dir/server.pem" \
        -extfile <(printf 'subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n')
    chmod 600 "$dir/server.key"
    [ "$(id -u)" != 0 ] || chown postgres "$dir/server.key" "$dir/server.pem"
}

# as_server COMMAND...: the server refuses to run as root.
as_server() {
    if [ "$(id -u)" = 0 ]; then
        runuser -u postgres -- "$@"
    else
        "$@"
    fi
}

start() {
    local dir=$1 port=${2:-15432} bin
    fetch
    bin=$(programs)
    mkdir -p "$dir"
    dir=$(cd "$dir" && pwd)
    [ "$(id -u)" != 0 ] || chown postgres "$dir"
    cd "$dir" # where the other user may be
    if [ ! -e "$dir/data/PG_VERSION" ]; then
        echo tessera >"$dir/password"
        [ "$(id -u)" != 0 ] || chown postgres "$dir/password"
        as_server "$bin/initdb" -D "$dir/data" -U postgres -E UTF8 --no-locale --auth=scram-sha-256 \
            --pwfile="$dir/password" >"$dir/initdb.log" 2>&1 ||
            { cat "$dir/initdb.log" >&2; echo "postgres: $dir could not be initialised" >&2; exit 1; }
        ! command -v openssl >/dev/null || certify "$dir" >>"$dir/initdb.log" 2>&1 ||
            { cat "$dir/initdb.log" >&2; echo "postgres: no certificates could be made" >&2; exit 1; }
    fi
    local options="-c listen_addresses=127.0.0.1 -c port=$port -c unix_socket_directories=$dir"
    [ ! -e "$dir/server.pem" ] || options+=" -c ssl=on -c ssl_cert_file=$dir/server.pem -c ssl_key_file=$dir/server.key"
    # The transactions of autovacuum would hold up rows of outboxes at times, which tests count.
    options+=" -c max_prepared_transactions=4 -c shared_buffers=32MB -c autovacuum=off"
    as_server "$bin/pg_ctl" -D "$dir/data" -l "$dir/log" -w -t 60 -s -o "$options" start ||
        { tail -n 20 "$dir/log" >&2; echo "postgres: it did not start" >&2; exit 1; }
}

end() {
    local mode=$1 dir=$2 bin
    [ -e "$dir/data/postmaster.pid" ] || return 0
    bin=$(programs)
    dir=$(cd "$dir" && pwd)
    cd "$dir"
    if [ "$mode" = kill ]; then
        kill -KILL "$(head -n 1 "$dir/data/postmaster.pid")" 2>/dev/null || true
    else
        as_server "$bin/pg_ctl" -D "$dir/data" -m fast -w -t 30 -s stop || true
    fi
}

case "${1:-}" in
    fetch) fetch ;;
    start) start "${2:?a folder}" "${3:-}" ;;
    stop) end stop "${2:?a folder}" ;;
    kill) end kill "${2:?a folder}" ;;
    *) sed -n '2,12p' "${BASH_SOURCE[0]}" | sed 's/^# \{0,1\}//'; exit 2 ;;
esac
