"""Print the plan of a study: runs, jobs, expected hours, files kept and new, and what private cells spend."""

import argparse
import logging
from pathlib import Path

from pulseveil.core import paths
from pulseveil.core.atomic import atomic_path
from pulseveil.core.errors import run_command
from pulseveil.runs import calibration
from pulseveil.runs.run_store import Journal
from pulseveil.study import costs, dag, hours
from pulseveil.study.checks import make_plan
from pulseveil.study.reading import read_study
from pulseveil.summary import main_columns


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study", type=Path, help="study file (YAML)")
    parser.add_argument("--runs", type=Path, help="CSV file for the table of all detector runs")
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument(
        "--measured", action="store_true", help="print planned and measured hours instead of the plan"
    )
    instead.add_argument(
        "--calibrate",
        action="store_true",
        help="time short trainings on a core of this machine (a minute) and print the study's hours here",
    )
    parser.add_argument("--directory", type=Path, default=Path(), help="folder with results/ and benchmarks/")
    options = parser.parse_args()
    plan = make_plan(read_study(options.study))
    main_columns.require_main(plan.study.table_columns)
    if options.measured:
        trainings = Journal(options.directory / paths.journal(plan.study.name)).entries()
        print(hours.describe(plan, hours.hours(plan, options.directory, trainings)))
    elif options.calibrate:
        # Generators warn of what they did not learn in a second.
        logging.getLogger("pulseveil").setLevel(logging.ERROR)
        planned = sum(line.cpu_hours for line in costs.lines(plan))
        print(calibration.describe(calibration.calibrate(), planned))
    else:
        print(dag.describe(plan, options.directory))
    if options.runs:
        with atomic_path(options.runs) as path:
            plan.runs().to_csv(path, index=False)


if __name__ == "__main__":
    run_command(main)
