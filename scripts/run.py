"""Run a study on this machine, from recordings to tables and report; a second run trains only what is new.

    pulseveil run                                 the demo
    pulseveil run my-study.yaml --dry-run         the plan alone
    pulseveil run my-study.yaml --cores 8 -- --keep-going

Arguments after `--` go to Snakemake.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from pulseveil.core.errors import InputError, run_command
from pulseveil.study.yaml_files import load_yaml

PROJECT = Path(__file__).resolve().parents[1]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("study", type=Path, nargs="?", help="study file (YAML); default: the demo")
    parser.add_argument("--cores", type=int, default=os.cpu_count(), help="jobs at once (all cores)")
    parser.add_argument("--dry-run", action="store_true", help="print the plan and run nothing")
    parser.add_argument("--directory", type=Path, default=Path(), help="folder for results/")
    # Apart from argparse, which would take the first word after `--` for the study.
    words = sys.argv[1:]
    end = words.index("--") if "--" in words else len(words)
    options = parser.parse_args(words[:end])
    run = ["--snakefile", PROJECT / "Snakefile", "--directory", options.directory, "--cores", options.cores]
    if options.study is not None:
        if not options.study.exists():
            raise InputError(f"{options.study}: no such file; expected a study, such as config/sound.yaml")
        # Snakemake reads the file before the workflow can, and says neither line nor column of a fault.
        load_yaml(options.study)
        run += ["--configfile", options.study]
    run += ["--dry-run"] if options.dry_run else []
    # In place of this process, so that signals and the exit code are Snakemake's.
    command = [sys.executable, "-m", "snakemake", *map(str, run), *words[end + 1 :]]
    os.execv(sys.executable, command)


if __name__ == "__main__":
    run_command(main)
