#!/usr/bin/env bash
# Creates a virtual environment with a suitable Python unless it exists, and installs a lock into it.
# usage: envs/venv.sh VENV [PYTHON [LOCK]]        PYTHON: by default the first suitable one that is found
set -euo pipefail

venv="$1"
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"

minor() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null; }

suitable() { [[ "$(minor "$1")" =~ ^3\.1[12]$ ]]; }

find_python() {
    local candidate tried=()
    for candidate in "$@"; do
        if suitable "$candidate"; then
            echo "$candidate"
            return
        fi
        tried+=("$candidate ($(minor "$candidate" || echo "not found"))")
    done
    echo "error: PulseVeil needs Python 3.11 or 3.12; tried: ${tried[*]}." >&2
    echo "Install one of them, then name it: make PYTHON=/path/to/python3.12 ..." >&2
    return 1
}

create() {
    if "$1" -c 'import ensurepip' 2>/dev/null; then
        "$1" -m venv --clear "$venv"
    else # Debian and Ubuntu without python3-venv: the interpreter's own pip installs pip into the environment
        "$1" -m venv --clear --without-pip "$venv"
        "$1" -m pip --python "$venv/bin/python" install -qq pip
    fi
}

if [[ -n "${2:-}" ]]; then candidates=("$2"); else candidates=("$venv/bin/python" python3.11 python3.12 python3); fi
python="$(find_python "${candidates[@]}")"
if [[ "$(minor "$venv/bin/python")" != "$(minor "$python")" ]]; then
    echo "Making $venv with $python ($(minor "$python"))"
    create "$python"
fi
"$root/envs/install.sh" "$venv/bin/python" "${@:3:1}"
