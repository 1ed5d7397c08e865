"""Print what a study would run: runs, jobs, starts of TensorFlow, expected CPU hours, GPU jobs."""

import argparse
from pathlib import Path

from pulseveil import costs
from pulseveil.errors import run_command
from pulseveil.plan import make_plan
from pulseveil.store import atomic_path
from pulseveil.study import read_study


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study", type=Path, help="study file (YAML)")
    parser.add_argument("--runs", type=Path, help="also write every detector run as a CSV table")
    options = parser.parse_args()
    plan = make_plan(read_study(options.study))
    print(costs.describe(plan))
    if options.runs:
        with atomic_path(options.runs) as path:
            plan.runs().to_csv(path, index=False)


if __name__ == "__main__":
    run_command(main)
