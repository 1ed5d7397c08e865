"""Read all recordings of a study, and print per person what is in them, what was repaired, and what is wrong.

    pulseveil check-data my-study.yaml

Nothing is trained or written. The exit code is 2 if a cohort cannot be used.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from pulseveil.core.errors import InputError, run_command
from pulseveil.runs.cohort import prepare, render, summarize
from pulseveil.study import tasks
from pulseveil.study.cells import WindowsCell
from pulseveil.study.checks import make_plan
from pulseveil.study.jobs import CohortJob
from pulseveil.study.reading import read_study


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("study", type=Path, help="study file (YAML)")
    options = parser.parse_args()
    plan = make_plan(read_study(options.study))
    faults = []
    for name in plan.study.cohorts:
        job = tasks.job(plan, tasks.Task("prepare_cohort", WindowsCell(name, "detector")))
        assert isinstance(job, CohortJob)
        try:
            print(f"cohort {name}\n\n{render(summarize(prepare(job, f'cohort {name}').subjects))}\n")
        except InputError as error:
            faults += [f"cohort {name}: {message}" for message in error.messages]
    if faults:
        print("\n".join(f"error: {fault}" for fault in faults), file=sys.stderr)
        raise SystemExit(2)


if __name__ == "__main__":
    run_command(main)
