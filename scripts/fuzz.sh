#!/usr/bin/env bash
# Fuzzes what takes bytes from outside:
#
#   scripts/fuzz.sh [SECONDS [TARGET...]]
#
# Each target of fuzz/fuzz_targets (all, unless some are named) runs so many seconds, 60 unless another number is given, from
# the seeds in fuzz/corpus. What fuzzing adds goes to .cache/fuzz/corpus, and is taken up again by the next run. Fails when a
# target crashes, takes over 10 s or over 2 GiB for one input; the input then lies in fuzz/artifacts/TARGET.
#
# Needs rustup: cargo-fuzz and a nightly compiler are installed when they are not there. No sanitizer is used, since nothing
# of ours is unsafe; debug assertions and overflow checks are on.
set -euo pipefail

fail() {
    echo "fuzz: $*" >&2
    exit 1
}

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$repository"
seconds=${1:-60}
shift || true
[[ $seconds =~ ^[0-9]+$ ]] || fail "the first argument is a number of seconds, not $seconds"

command -v rustup >/dev/null || fail "rustup is missing: https://rustup.rs"
rustup toolchain list | grep -q '^nightly' || rustup toolchain install nightly --profile minimal
export PATH=$repository/.cache/cargo-fuzz/bin:$PATH
command -v cargo-fuzz >/dev/null ||
    cargo install cargo-fuzz --version 0.13.2 --locked --root .cache/cargo-fuzz --target-dir .cache/cargo-fuzz/target

targets=("$@")
if [ ${#targets[@]} = 0 ]; then
    mapfile -t targets < <(cargo +nightly fuzz list)
fi
cargo +nightly fuzz build --sanitizer none --debug-assertions

failed=()
for target in "${targets[@]}"; do
    grown=.cache/fuzz/corpus/$target
    mkdir -p "$grown"
    dictionary=fuzz/dictionaries/$target.dict
    options=(-max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -max_len=16384 -print_final_stats=1 -verbosity=0)
    [ ! -e "$dictionary" ] || options+=(-dict="$dictionary")
    echo "fuzz: $target, $seconds s"
    cargo +nightly fuzz run --sanitizer none --debug-assertions "$target" "$grown" "fuzz/corpus/$target" -- "${options[@]}" ||
        failed+=("$target")
done
[ ${#failed[@]} = 0 ] || fail "crashed: ${failed[*]}; see fuzz/artifacts"
echo "fuzz: ${#targets[@]} targets, $seconds s each, nothing found"
