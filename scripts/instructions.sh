#!/usr/bin/env bash
# Counts the instructions of the hot paths and compares them with what they took before:
#
#   scripts/instructions.sh [--update] [PATH...]
#
# The paths are those of eval/benches/instructions.rs: mask, lexical, semantic, fusion, decode; all, unless some are named.
# Each runs under valgrind's callgrind, which counts inside the function that is measured and nowhere else. A path fails
# that takes over 3 % more than eval/baselines/instructions.json says; --update writes what was counted there instead.
# Counts are those of one compiler and, through the C library, nearly of one machine: the tolerance covers the rest (hash
# tables with random keys, another C library). Under valgrind every processor is one with AVX2 and without AVX-512.
#
# On Debian and Ubuntu valgrind is installed with apt-get, as root; elsewhere, without it, this says SKIPPED and succeeds.
set -euo pipefail

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
baseline=$repository/eval/baselines/instructions.json
cd "$repository"

update=
if [ "${1:-}" = --update ]; then
    update=1
    shift
fi
paths=("$@")
[ ${#paths[@]} -gt 0 ] || paths=(mask lexical semantic fusion decode)

if ! command -v valgrind >/dev/null && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends valgrind >/dev/null || true
fi
if ! command -v valgrind >/dev/null; then
    echo "SKIPPED: instruction counts; install valgrind"
    exit 0
fi

# Beside the binary, so that dependencies have the features that it ships with.
bench=$(cargo bench --quiet -p eval -p tessera --bench instructions --no-run --message-format=json |
    python3 -c 'import json, sys
for line in sys.stdin:
    message = json.loads(line)
    if message.get("target", {}).get("name") == "instructions" and message.get("executable"):
        print(message["executable"])' | tail -1)

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$bench" prepare "$work/index"
for path in "${paths[@]}"; do
    valgrind --tool=callgrind --collect-atstart=no --toggle-collect='*measured_*' --callgrind-out-file="$work/$path.out" \
        "$bench" "$path" "$work/index" >"$work/$path.log" 2>&1 || {
        cat "$work/$path.log" >&2
        echo "instructions: the path $path does not run under valgrind" >&2
        exit 1
    }
    sed -n "s/^totals: \([0-9]*\).*/$path \1/p" "$work/$path.out" >>"$work/counts"
done

python3 - "$baseline" "$work/counts" "$update" <<'PYTHON'
import json
import sys

TOLERANCE = 0.03
baseline_path, counts_path, update = sys.argv[1:]
counts = {path: int(count) for path, count in map(str.split, open(counts_path))}
try:
    known = json.load(open(baseline_path))
except FileNotFoundError:
    known = {}
if update:
    with open(baseline_path, "w") as out:
        json.dump(dict(sorted({**known, **counts}.items())), out, indent=2)
        out.write("\n")
failed = False
for path, count in counts.items():
    before = known.get(path)
    change = f"{(count / before - 1) * 100:+7.2f} %" if before else "     new"
    verdict = ""
    if not update and before is None:
        verdict, failed = "not in the baseline: run with --update", True
    elif not update and count > before * (1 + TOLERANCE):
        verdict, failed = f"MORE than the tolerance of {TOLERANCE:.0%}", True
    elif not update and count < before * (1 - TOLERANCE):
        verdict = "less: --update keeps what was won"
    print(f"{path:>10} {count:>14,} instructions {change}  {verdict}".rstrip())
if any(count == 0 for count in counts.values()):
    sys.exit("instructions: nothing was counted; is the measured function inlined?")
sys.exit("instructions: a hot path takes more instructions than before" if failed else 0)
PYTHON
