#!/usr/bin/env bash
# Snakemake runs a copy of this file once, in the new conda environment and from the working directory: the path of
# the copy says nothing of the project's folder.
set -euo pipefail

root="${PULSEVEIL_ROOT:-$PWD}"
if [[ ! -x "$root/envs/install.sh" ]]; then
    echo "error: $root is not the PulseVeil project; set PULSEVEIL_ROOT to the folder with envs/install.sh" >&2
    exit 1
fi
"$root/envs/install.sh" "$CONDA_PREFIX/bin/python"
