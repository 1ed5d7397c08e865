"""The hours of a plan beside those that its jobs took, from the benchmark files that Snakemake writes."""

from __future__ import annotations

import csv
from pathlib import Path

import pandas as pd

from pulseveil.core.errors import InputError
from pulseveil.study import costs
from pulseveil.study.plan import Plan
from pulseveil.study.tasks import benchmark, tasks

# Snakemake looks at a job when it starts, then every half second, after 15 s every half minute.
SHORT_PAUSE_S, LONG_PAUSE_S, SHORT_PAUSES = 0.5, 30.0, 30
_GROUP = ["stage", "rule", "model"]


def hours(plan: Plan, folder: Path) -> pd.DataFrame:
    """Expected and measured CPU hours of a study that ran in `folder`.

    One row a stage, rule and model: jobs, expected_hours (of all jobs), measured_jobs, expected_of_measured
    (hours of those that have a benchmark file), measured_hours, ratio (measured to expected of measured). A
    job that ran elsewhere has no file; one that found its trainings finished has one of less than they took.
    """
    rows = [
        (
            costs.stage(task),
            task.rule,
            task.model,
            costs.cost(plan, task).seconds,
            measured_seconds(folder / benchmark(plan, task)),
        )
        for task in tasks(plan)
    ]
    table = pd.DataFrame(rows, columns=[*_GROUP, "expected", "measured"]).astype({"measured": float})
    table["expected_of_measured"] = table["expected"].where(table["measured"].notna(), 0.0)
    groups = table.groupby(_GROUP, sort=False)
    found = pd.DataFrame(
        {
            "jobs": groups.size(),
            "expected_hours": groups["expected"].sum() / 3600,
            "measured_jobs": groups["measured"].count(),
            "expected_of_measured": groups["expected_of_measured"].sum() / 3600,
            "measured_hours": groups["measured"].sum(min_count=1) / 3600,
        }
    )
    found["ratio"] = found["measured_hours"] / found["expected_of_measured"]
    return found.reset_index()


def measured_seconds(path: Path) -> float | None:
    """CPU seconds of the job that left a benchmark file; None without the file.

    Raises InputError for a file without these columns.
    """
    if not path.exists():
        return None
    with open(path, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    try:
        # A row is one try of the job.
        return sum(cpu_seconds(float(row["s"]), _number(row["cpu_time"])) for row in rows)
    except (KeyError, TypeError, ValueError):
        raise InputError(f"{path}: expected Snakemake's columns s and cpu_time; delete this file") from None


def cpu_seconds(wall_s: float, sampled_s: float | None) -> float:
    """CPU seconds of a job of `wall_s` whose last look saw `sampled_s`: it goes on at the same rate.

    Without a look (None, or none after the start) the job counts as one busy core.
    """
    looked_s = last_look(wall_s)
    return wall_s if sampled_s is None or looked_s == 0 else sampled_s * wall_s / looked_s


def last_look(wall_s: float) -> float:
    """Seconds after its start when Snakemake looked last at a job of `wall_s`."""
    short_s = SHORT_PAUSE_S * SHORT_PAUSES
    if wall_s < short_s:
        return wall_s // SHORT_PAUSE_S * SHORT_PAUSE_S
    return short_s + (wall_s - short_s) // LONG_PAUSE_S * LONG_PAUSE_S


def describe(table: pd.DataFrame) -> str:
    """The table of `hours` as plain text, with the sum of all rows, and what is missing in it."""
    total = table.drop(columns=[*_GROUP, "ratio"]).sum()
    if total["measured_jobs"]:
        total["ratio"] = total["measured_hours"] / total["expected_of_measured"]
    rows = [*table.to_dict("records"), {"stage": "all", "rule": "", "model": "", **total.to_dict()}]
    header = f"{'stage':<24}{'rule':<18}{'model':<18}{'jobs':>7}{'planned h':>11}{'measured':>10}"
    lines = [f"{header}{'their plan':>11}{'CPU h':>9}{'ratio':>7}"]
    for row in rows:
        words = f"{row['stage']:<24}{row['rule']:<18}{row['model']:<18}"
        counts = f"{row['jobs']:>7.0f}{row['expected_hours']:>11.4f}{row['measured_jobs']:>10.0f}"
        if row["measured_jobs"]:
            counts += f"{row['expected_of_measured']:>11.4f}{row['measured_hours']:>9.4f}{row['ratio']:>7.2f}"
        lines.append(words + counts)
    return "\n".join([*lines, _missing(int(total["jobs"]), int(total["measured_jobs"]))])


def _missing(jobs: int, measured: int) -> str:
    if measured == jobs:
        return "All jobs were measured. A repeated job counts its last run."
    return (
        f"{jobs - measured} of {jobs} jobs have no benchmark file here: not run yet, or their results were "
        "copied\nfrom elsewhere. The ratio is that of the measured jobs. A repeated job counts its last run."
    )


def _number(text: str) -> float | None:
    """A number of a benchmark file; `NA` and `-` stand for none."""
    return None if text in ("NA", "-") else float(text)
