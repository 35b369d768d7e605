#!/bin/bash
# Succeeds when the server in this container says that it is ready: `tessera-ready [PORT]`, 8080 unless one is named.
#
# By bash alone, so that the image needs no client for HTTP.
set -euo pipefail
exec 3<>"/dev/tcp/127.0.0.1/${1:-8080}"
printf 'GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n' >&3
IFS= read -r -t 4 status <&3
[[ $status == "HTTP/1.1 200"* ]]
