#!/usr/bin/env bash
# Snakemake runs a copy of this file once, inside the new conda environment, from the working directory.
set -euo pipefail

root="${PULSEVEIL_ROOT:-$PWD}"
if [[ ! -x "$root/envs/install.sh" ]]; then
    echo "error: $root is not the PulseVeil project; set PULSEVEIL_ROOT to the folder that holds envs/install.sh" >&2
    exit 1
fi
"$root/envs/install.sh" "$CONDA_PREFIX/bin/python"
