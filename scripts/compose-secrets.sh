#!/usr/bin/env bash
# Makes up the secrets that docker-compose.yml asks for, in .env, which only its owner can read, and the folder of models that it mounts, for
# Docker would make that as root and `make models` could not write to it:
#
#   scripts/compose-secrets.sh
#
# What is there already stays as it is; what lacks is added.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

mkdir -p .cache/models
umask 077
touch .env
for name in TESSERA_JWT_HS256_SECRET POSTGRES_PASSWORD GRAFANA_ADMIN_PASSWORD; do
    if ! grep -q "^$name=" .env; then
        printf '%s=%s\n' "$name" "$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')" >>.env
        echo "compose-secrets: made $name"
    fi
done
