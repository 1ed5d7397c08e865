"""Check the files and epsilons of a release. Its own verify.py does the same without PulseVeil.

pulseveil verify release/posterior
"""

from __future__ import annotations

import argparse
from pathlib import Path

from pulseveil.core.errors import InputError, run_command
from pulseveil.release import verify


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="unpacked folder of a release")
    options = parser.parse_args()
    if not (options.folder / verify.MANIFEST).exists():
        raise InputError(f"{options.folder}: no {verify.MANIFEST}; expected the unpacked folder of a release")
    raise SystemExit(verify.main(options.folder))


if __name__ == "__main__":
    run_command(main)
