"""Attack released windows alone, without any training: membership of people, with exact p-values.

    python scripts/audit_release.py released.h5 --windows results/STUDY/windows/wesad/detector.h5 \\
        --members S2 S3 S4 S5 S6 S7 S8 --out attack.csv

All people of the windows who are no members are the hold-out. With --sources the released windows have names
of people, as noised recordings have, and each person is linked to the nearest one by dynamic time warping.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pulseveil.audit import alone
from pulseveil.audit.attacks import BAND
from pulseveil.audit.tables import reidentification_row
from pulseveil.core import store
from pulseveil.core.atomic import atomic_path
from pulseveil.core.contracts import SyntheticSet, WindowSet
from pulseveil.core.errors import InputError, run_command
from pulseveil.runs import script


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "released", type=Path, help="windows of synthesize.py, release.py or prepare_cohort.py"
    )
    parser.add_argument("--windows", type=Path, required=True, help="windows of real people")
    parser.add_argument("--members", nargs="+", required=True, help="people who may have been learnt from")
    parser.add_argument(
        "--sources", action="store_true", help="released windows have names of people: link them"
    )
    parser.add_argument("--out", type=Path, required=True, help="CSV file for the table")
    options = parser.parse_args()
    script.log_progress()
    real = store.read_record(options.windows, WindowSet)
    released = _released(options.released)
    form, wanted = _form(released), _form(real)
    if form != wanted:
        raise InputError(f"{options.released}: expected {wanted} as in {options.windows}, found {form}")
    people = np.unique(real.subject).tolist()
    if unknown := [name for name in options.members if name not in people]:
        raise InputError(
            f"--members: {unknown[0]} has no windows in {options.windows}; expected {', '.join(people)}"
        )
    member = np.isin(real.subject, options.members)
    attacks = alone.membership(real.windows, real.subject, member, released.windows)
    rows = [_row(attack) for attack in attacks]
    if options.sources:
        found = alone.link(real.windows, real.subject, released.windows, released.subject, BAND)
        rows.append(dict(reidentification_row("nearest source", found)))
    table = pd.DataFrame(rows)
    with atomic_path(options.out) as temporary:
        table.to_csv(temporary, index=False)
    print(table.to_string(index=False))


def _released(path: Path) -> SyntheticSet | WindowSet:
    if store.record_kind(path) is WindowSet:
        return store.read_record(path, WindowSet)
    return store.read_record(path, SyntheticSet)


def _form(windows: SyntheticSet | WindowSet) -> str:
    return f"{' '.join(windows.channels)}, scaling {windows.scaling}, {windows.window_s:g} s"


def _row(found: alone.GroupMembership) -> dict[str, Any]:
    low, high = found.auc_interval()
    return {
        "attack": f"membership by {found.attack}",
        "members": found.members,
        "held_out": found.held_out,
        "auc": found.auc,
        "auc_low": low,
        "auc_high": high,
        "p": found.p,
        "ceiling": found.ceiling,
        "power": found.power,
    }


if __name__ == "__main__":
    run_command(main)
