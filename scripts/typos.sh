#!/usr/bin/env bash
# Checks spelling with `typos`, the installed one or else one from PyPI in .cache:
#
#   scripts/typos.sh
#
# Where there is neither, it says SKIPPED and succeeds.
set -euo pipefail

version=1.52.0
repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv=$repository/.cache/typos-$version
cd "$repository"

if command -v typos >/dev/null; then
    exec typos
fi
if [ ! -x "$venv/bin/typos" ]; then
    if ! { python3 -m venv "$venv" && "$venv/bin/pip" install --quiet --disable-pip-version-check "typos==$version"; } \
        >/dev/null 2>&1; then
        rm -rf "$venv"
        echo "SKIPPED: spelling; install typos (cargo install --locked typos-cli, or pip install typos)"
        exit 0
    fi
fi
exec "$venv/bin/typos"
