#!/usr/bin/env bash
# Installs the locked packages and then this project (editable) into the environment of an interpreter.
# usage: envs/install.sh PYTHON [LOCK]        LOCK: by default envs/lock-pyXY.txt of that interpreter
set -euo pipefail

python="$1"
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
tag="$("$python" -c 'import sys; print("py%d%d" % sys.version_info[:2])')"
lock="${2:-$root/envs/lock-$tag.txt}"
if [[ ! -f "$lock" ]]; then
    echo "error: no lock file $lock; PulseVeil runs on Python 3.11 and 3.12, and $python is $tag" >&2
    exit 1
fi

# --no-deps and --ignore-requires-python: tensorflow-privacy declares old pins and Python < 3.12 but needs neither.
pip_install() {
    "$python" -m pip install --disable-pip-version-check --no-input -qq \
        --no-deps --ignore-requires-python --no-build-isolation "$@"
}

echo "Installing $(grep -c '==' "$lock") locked packages from ${lock#"$root"/}: about two minutes the first time ..."
# Packages without a wheel are built with the locked setuptools and wheel, which must be there before.
pip_install --require-hashes -r <(grep -E '^(setuptools|wheel)==' "$lock")
pip_install --require-hashes -r "$lock"
pip_install --editable "$root"
