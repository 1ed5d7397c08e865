"""Planned and measured CPU hours and energy of a study, and hours of its trainings.

Measured hours are those of Snakemake's benchmark files, which hold the last run of each job alone. The
journal holds each training that was carried out, those of interrupted jobs too, but by the clock: on a busy
core a training takes more of such hours than of CPU hours.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from pulseveil.core.errors import InputError
from pulseveil.study import costs
from pulseveil.study.plan import Plan
from pulseveil.study.tasks import Task, benchmark, tasks

# Times at which Snakemake samples the CPU time of a job: at its start, then every half second, and after 15 s
# every half minute.
SHORT_PAUSE_S, LONG_PAUSE_S, SHORT_PAUSES = 0.5, 30.0, 30
_GROUP = ["stage", "rule", "model"]


class Used(NamedTuple):
    """Measured seconds of a job: of its cores together, and from its start to its end."""

    cpu_s: float
    wall_s: float


def hours(plan: Plan, folder: Path, trainings: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Expected and measured CPU hours of a study that ran in `folder`; trainings: the lines of its journal.

    One row per stage, rule and model: jobs, expected_hours (of all jobs), measured_jobs (jobs with a
    benchmark file), expected_of_measured (expected hours of the measured jobs), measured_hours, ratio
    (measured_hours / expected_of_measured), trained_hours (of the clock, from start to end of each training;
    NaN without any), and by the study's watts expected_kwh (of all jobs), measured_kwh and measured_co2e_kg
    (NaN without `carbon`). A job that ran elsewhere has no benchmark file. The file of a job that found its
    trainings finished holds less time than the trainings took.

    Raises:
        InputError: a benchmark file lacks Snakemake's columns, or a training lacks its keys.
    """
    rows = [_row(plan, task, measured(folder / benchmark(plan, task))) for task in tasks(plan)]
    # A column without any measured job would have objects, which have no sum.
    table = pd.DataFrame(rows).astype({"measured_hours": float, "measured_kwh": float})
    table["expected_of_measured"] = table["expected_hours"].where(table["measured_hours"].notna(), 0.0)
    groups = table.groupby(_GROUP, sort=False)
    found = pd.DataFrame(
        {
            "jobs": groups.size(),
            "expected_hours": groups["expected_hours"].sum(),
            "measured_jobs": groups["measured_hours"].count(),
            "expected_of_measured": groups["expected_of_measured"].sum(),
            # NaN where no job was measured: 0 hours would look like a measurement.
            "measured_hours": groups["measured_hours"].sum(min_count=1),
            "expected_kwh": groups["expected_kwh"].sum(),
            "measured_kwh": groups["measured_kwh"].sum(min_count=1),
        }
    )
    found["measured_co2e_kg"] = found["measured_kwh"].map(plan.study.energy.co2e_kilograms)
    found["ratio"] = found["measured_hours"] / found["expected_of_measured"]
    trained = _trained(trainings)
    found["trained_hours"] = [trained.get(group, np.nan) for group in found.index]
    return found.reset_index()


def _trained(trainings: Iterable[Mapping[str, Any]]) -> Mapping[tuple[str, ...], float]:
    """Hours of trainings by stage, rule and model.

    Raises:
        InputError: a training lacks its keys.
    """
    found = defaultdict[tuple[str, ...], float](float)
    for training in trainings:
        try:
            found[_group(training)] += float(training["seconds"]) / 3600
        except (KeyError, TypeError, ValueError):
            raise InputError(
                f"journal.jsonl: expected the keys of a training and its seconds, found "
                f"{str(training)[:200]}; remove this line"
            ) from None
    return found


def _group(training: Mapping[str, Any]) -> tuple[str, str, str]:
    """Stage, rule and model of a training."""
    if training["stage"] == "generator":
        return costs.stage_of_rule("train_generator"), "train_generator", str(training["generator"])
    return costs.detector_stage(training["evaluation"]), "train_detectors", str(training["detector"])


def _row(plan: Plan, task: Task, used: Used | None) -> dict[str, str | float | None]:
    """Expected and measured hours and energy of a task."""
    expected = costs.cost(plan, task)
    # A process on a GPU waits for it: the GPU counts from the job's start to its end.
    gpu_s = used.wall_s if used and expected.gpu and plan.study.resources.gpu else 0.0
    return {
        "stage": costs.stage(task),
        "rule": task.rule,
        "model": task.model,
        "expected_hours": expected.seconds / 3600,
        "expected_kwh": costs.kilowatt_hours(plan, expected),
        "measured_hours": used and used.cpu_s / 3600,
        "measured_kwh": used and plan.study.energy.kilowatt_hours(used.cpu_s, gpu_s),
    }


def measured(path: Path) -> Used | None:
    """Seconds of a job from its benchmark file; None if there is no file.

    Raises:
        InputError: the file lacks Snakemake's columns.
    """
    if not path.exists():
        return None
    with open(path, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    try:
        # Each row is one try of the job, and failed tries took time too.
        walls = [float(row["s"]) for row in rows]
        sampled = [_number(row["cpu_time"]) for row in rows]
        return Used(sum(map(cpu_seconds, walls, sampled)), sum(walls))
    except (KeyError, TypeError, ValueError):
        raise InputError(
            f"{path}: expected Snakemake's columns s and cpu_time with numbers; delete this file"
        ) from None


def cpu_seconds(wall_s: float, sampled_s: float | None) -> float:
    """CPU seconds of a job of `wall_s` seconds, of which `sampled_s` were used at Snakemake's last sample.

    The rate up to the last sample is extrapolated to the end of the job. Without a sample after the start the
    job counts as one busy core.

    Examples:
        >>> cpu_seconds(20.0, 30.0)
        40.0
        >>> cpu_seconds(0.4, None)
        0.4
    """
    looked_s = last_look(wall_s)
    return wall_s if sampled_s is None or looked_s == 0 else sampled_s * wall_s / looked_s


def last_look(wall_s: float) -> float:
    """Time of Snakemake's last sample of a job of `wall_s` seconds, in seconds after the job's start.

    Examples:
        >>> last_look(3.7), last_look(50.0)
        (3.5, 45.0)
    """
    short_s = SHORT_PAUSE_S * SHORT_PAUSES
    if wall_s < short_s:
        return wall_s // SHORT_PAUSE_S * SHORT_PAUSE_S
    return short_s + (wall_s - short_s) // LONG_PAUSE_S * LONG_PAUSE_S


def describe(plan: Plan, table: pd.DataFrame) -> str:
    """The table of `hours` as plain text: sum of all rows, number of unmeasured jobs, measured energy."""
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
    lines.append(_missing(int(total["jobs"]), int(total["measured_jobs"])))
    if total["trained_hours"]:
        lines.append(
            f"All trainings of the journal, those of interrupted jobs too: {total['trained_hours']:.2f} "
            "hours of the clock,\nwhich on busy cores are more than CPU hours."
        )
    if total["measured_jobs"]:
        lines += costs.describe_energy(plan, total["measured_kwh"], "energy of the measured jobs")
    return "\n".join(lines)


def _missing(jobs: int, measured: int) -> str:
    if measured == jobs:
        return "All jobs were measured. A repeated job counts its last run."
    return (
        f"{jobs - measured} of {jobs} jobs have no benchmark file here: they have not run yet, or their "
        "results were copied\nfrom elsewhere. The ratio is that of the measured jobs. A repeated job "
        "counts its last run."
    )


def _number(text: str) -> float | None:
    """A number in a benchmark file; None for `NA` and `-`."""
    return None if text in ("NA", "-") else float(text)
