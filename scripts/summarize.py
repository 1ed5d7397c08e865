"""Write tables, figures and report of a finished study from its score files, and print the main table."""

import argparse
import json
import logging
import shutil
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from pulseveil.core import paths
from pulseveil.core.atomic import atomic_path, write_json
from pulseveil.core.errors import InputError, run_command
from pulseveil.core.identity import describe_run
from pulseveil.core.processes import spread_over
from pulseveil.runs import archive, detectors, script
from pulseveil.runs.run_store import Journal
from pulseveil.study import hours, tasks
from pulseveil.study.checks import make_plan
from pulseveil.study.reading import check_study, read_study
from pulseveil.study.study import Study
from pulseveil.summary import columns, crate, history
from pulseveil.summary.column import in_declared_order
from pulseveil.summary.description import describe
from pulseveil.summary.finished import finished_part
from pulseveil.summary.job_runs import job_runs
from pulseveil.summary.printing import write_csv
from pulseveil.summary.published import read_published
from pulseveil.summary.summarize import summarize
from pulseveil.summary.terminal import WIDTH, terminal_summary

PROJECT = Path(__file__).resolve().parents[1]
PUBLISHED = PROJECT / "config" / "published.csv"
WORKFLOW = PROJECT / "workflow"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--configfile", type=Path, help="study file (YAML)")
    source.add_argument("--study", help="the study as JSON text")
    parser.add_argument("--results", type=Path, default=Path(), help="folder with results/")
    parser.add_argument(
        "--archive",
        type=Path,
        help="restore the study from this archive first; pages of example windows, which no archive has, are "
        "left out",
    )
    parser.add_argument(
        "--finished", action="store_true", help="summarize the cells that have scores, and say so in the note"
    )
    parser.add_argument("--processes", type=int, default=1, help="processes that read and draw side by side")
    parser.add_argument("--published", type=Path, default=PUBLISHED, help="CSV file of published results")
    options = parser.parse_args()
    script.log_progress()
    # fontTools logs many lines per embedded font at this level.
    logging.getLogger("fontTools").setLevel(logging.WARNING)
    started = datetime.now(UTC)
    plan = make_plan(read_study(options.configfile) if options.configfile else from_json(options.study))
    if options.archive:
        archive.restore(plan, options.archive, options.results)
    description = describe(plan, options.results)
    if options.archive:
        description = description.model_copy(update={"portraits": ()})
    folder = options.results / paths.results(plan.study.name)
    scores = [options.results / path for path in tasks.files(plan, "train_detectors")]
    if options.finished:
        description, scores = finished_part(description, scores, options.results)
    with spread_over(options.processes) as spread:
        summary = summarize(
            description,
            scores,
            folder,
            published=read_published(options.published),
            own_hashes=detectors.own_hashes(plan, options.results),
            spread=spread,
        )
    console = Console(width=WIDTH, record=True)
    console.print(terminal_summary(summary.main, summary.files, summary.note), highlight=False)
    with atomic_path(folder / "tables" / "main.txt") as temporary:
        console.save_text(str(temporary))
    trainings = Journal(options.results / paths.journal(plan.study.name)).entries()
    spent_hours = in_declared_order(hours.hours(plan, options.results, trainings), columns.HOURS)
    write_csv(folder / "hours.csv", spent_hours)
    settings = crate.settings_file(plan.study)
    write_json(folder / "study.json", settings)
    added = [folder / name for name in ("tables/main.txt", "hours.csv", "study.json")]
    added += copied_workflow(folder)
    # Score files of a private study hold labels of each person: they stay out of the crate, which may leave.
    files = [*summary.files, *added, *([] if plan.is_private else scores)]
    run = describe_run(plan.study.name, started)
    jobs = job_runs(plan, options.results, run)
    write_json(folder / crate.NAME, crate.crate(plan.study, folder, files, run, jobs))
    history.keep(folder, settings, run["git"] or "", started)


def copied_workflow(folder: Path) -> list[Path]:
    """Copies of the workflow's files in a folder of results, for readers of the crate."""
    copies = []
    for path in (WORKFLOW / "Snakefile", *sorted(WORKFLOW.glob("rules/*.smk"))):
        copies.append(folder / "workflow" / path.relative_to(WORKFLOW))
        with atomic_path(copies[-1]) as temporary:
            shutil.copyfile(path, temporary)
    return copies


def from_json(text: str) -> Study:
    """Study from JSON text.

    Raises:
        InputError: the text is not valid JSON, or not a valid study.
    """
    try:
        return check_study(json.loads(text), "--study")
    except (json.JSONDecodeError, RecursionError) as error:
        raise InputError(f"--study: not valid JSON ({error})") from None


if __name__ == "__main__":
    run_command(main)
