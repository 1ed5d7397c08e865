"""The report of a study: one self-contained HTML file."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pulseveil.core.identity import installed
from pulseveil.detectors import BASELINE
from pulseveil.summary import audited, claimed, columns, labels, main_columns, printing
from pulseveil.summary.column import Column, titled
from pulseveil.summary.description import DESCRIPTIONS, StageDescription, StudyDescription
from pulseveil.summary.printing import has_published, html, printed_table
from pulseveil.summary.published import page_values
from pulseveil.summary.quality import printed_quality
from pulseveil.summary.row_pages import MOST_ROWS, cut, page_rows

_TRAINS_ON = {
    "real": "real windows",
    "synthetic": "synthetic windows",
    "real+synthetic": "real and synthetic windows",
}
_CAVEATS = {
    "intervals": "Values are means over subjects per seed, then over seeds; pooled values weight all windows "
    "equally. Intervals are 95 % bootstrap-t intervals over subjects (Student's t below five subjects): they "
    "show how the mean would vary with other people and the same trained models. The SD over seeds is a "
    "column of its own. Paired differences stand with their 95 % interval and the p value of the same test: "
    "p is at most 0.05 exactly where the interval leaves out 0. p values are not corrected for the number of "
    "rows.",
    "not_better": "† marks rows whose accuracy is not shown to be better than always answering 'no stress': "
    "the interval of the paired difference reaches 0 or below.",
    "two_people": "‡ marks differences that two people decide: without the two most or the two least "
    "favourable people the interval lies on another side of 0.",
    "few_seeds": "Some private rows average fewer noise draws than 'n_seeds_asked' in main.csv (100 for "
    "single queries, 5 for trainings): another run can differ much, so no such row is said to show use of "
    "private data.",
    "no_baseline": f"The {BASELINE} rule is not part of this study: no row is compared with it.",
    "saw": "If 'Generator saw test subject' is yes, one generator was trained on all subjects, including "
    "those that test its detectors: the value can be too high.",
    "calibration": "Windows that overlap a subject's calibration seconds are never tested.",
    "min_max": "Signals are scaled by the minimum and maximum of each subject, including the test subject: a "
    "device cannot know them before its recording ends.",
    "undefined": "Some metrics are undefined for some subjects (for example without a stress window). Such "
    "subjects are left out of the mean and counted in the '_undefined' columns of main.csv.",
    "published": "Published values: Lange, Wenzlitschke, Rahm, Sensors 2024, 24(10), 3052. The published F1 "
    "averages over both outputs and is near accuracy: compare it with 'Published F1', not with stress F1. "
    "'=' marks published values equal to the share of windows without stress (.717).",
}


@dataclass(frozen=True)
class Picture:
    """A figure of the report: an SVG file with its caption."""

    path: Path
    caption: str


@dataclass(frozen=True, eq=False)
class Findings:
    """Tables of a study; `compared` is the reproduction table, None without published values."""

    main: pd.DataFrame
    quality: pd.DataFrame
    spending: pd.DataFrame
    audits: pd.DataFrame
    compared: pd.DataFrame | None


def render_report(
    description: StudyDescription,
    findings: Findings,
    pictures: Sequence[Picture],
    quality_pictures: Sequence[Picture],
    digest: str,
    privacy: str,
    *,
    most_rows: int = MOST_ROWS,
    pages: Sequence[str] = (),
) -> str:
    """The report as one HTML page with embedded figures: the page loads no other file.

    `digest`: hash over all score files. `privacy`: text of the privacy statement. most_rows: number of rows
    of each table; the rest is in CSV. pages: files in tables/ with all rows of the main table.

    The page holds no times and no machine names: the same scores give the same page.
    """
    main, compared = findings.main, findings.compared
    shown = page_rows(main, most_rows)
    reproduction: Mapping[str, Any] = {"scenarios": []}
    if compared is not None and (own := compared["ours"].notna()).any():
        others = int((~own).sum())
        reproduction = page_values(compared[own], description) | {"others": others}
    return printing.render(
        "report.html.jinja",
        description=description,
        plan=plan_rows(description),
        evaluations=plain_html(_evaluations(description)),
        hours=stage_rows(description),
        gpu_speedup=_speedup(description),
        brief=html(printed_table(shown, description, main_columns.BRIEF), "brief"),
        main=html(printed_table(shown, description), "main"),
        cut=cut(main, most_rows),
        pages=pages,
        quality="" if findings.quality.empty else _of_quality(findings.quality, description, most_rows),
        quality_pictures=[embedded(picture) for picture in quality_pictures],
        spending=_readable_table(findings.spending, columns.SPENDING),
        audits=_readable_table(findings.audits.head(most_rows), columns.AUDIT),
        audits_in_words=_readable_table(audited.in_words(findings.audits).head(most_rows), audited.IN_WORDS),
        cohorts={name: _cohort(cohort.summary) for name, cohort in description.cohorts.items()},
        pictures=[embedded(picture) for picture in pictures],
        caveats=caveats(description, main),
        private_differences=private_differences(description, main),
        versions=installed(),
        digest=digest,
        privacy=privacy,
        sentences=claimed.sentences(shown, description),
        leaving=plain_html(pd.DataFrame(claimed.files(main, description))),
        files=DESCRIPTIONS,
        **reproduction,
    )


def caveats(description: StudyDescription, main: pd.DataFrame) -> list[str]:
    """Sentences that a reader needs to interpret the numbers, only those that apply to this study."""
    undefined = [column for column in main if str(column).endswith("_undefined")]
    applies = {
        "intervals": True,
        "not_better": bool((main[f"better_than_{BASELINE}"] == "no").any()),
        "two_people": printing.decided_by_two(main, main_columns.PRINTED),
        "no_baseline": not (main["role"] == BASELINE).any(),
        "few_seeds": "n_seeds_asked" in main and bool((main["n_seeds"] < main["n_seeds_asked"]).any()),
        "saw": bool((main["generator_saw_test_subject"] == "yes").any()),
        "calibration": description.scaling == "calibration",
        "min_max": description.scaling == "min-max",
        "undefined": bool(main[undefined].to_numpy().any()),
        "published": has_published(main),
    }
    return [sentence for name, sentence in _CAVEATS.items() if applies[name]]


def private_differences(description: StudyDescription, main: pd.DataFrame) -> dict[str, tuple[str, ...]]:
    """What each private training of the study changes beside clipping and noise, by the model's title.

    A reader who takes the difference of two rows for the price of privacy must know what else differs.
    """
    models = {"generator": description.generators, "detector": description.detectors}
    return {
        described.title: described.private_differences
        for role, of_role in models.items()
        for name, described in of_role.items()
        if described.private_differences
        and np.isfinite(main.loc[main[role] == name, f"epsilon_{role}"].astype(float)).any()
    }


def plan_rows(description: StudyDescription) -> list[tuple[str, str]]:
    """Settings and size of the study as (name, value)."""
    rows: dict[str, Any] = {
        "Protocol": description.protocol,
        "Channels": description.channels,
        "Scaling": description.scaling,
        "Seeds": description.seeds,
        **{str(key).capitalize(): value for key, value in description.plan.items()},
    }
    return [(name, f"{value:,}" if isinstance(value, int) else str(value)) for name, value in rows.items()]


def stage_rows(description: StudyDescription) -> list[dict[str, str]]:
    """Expected hours per stage and in total, as text; GPU columns only if a job asks for a GPU."""
    stages = description.stages
    if not stages:
        return []
    total = StageDescription(
        stage="all",
        runs=sum(stage.runs for stage in stages),
        jobs=sum(stage.jobs for stage in stages),
        cpu_hours=sum(stage.cpu_hours for stage in stages),
        gpu_jobs=sum(stage.gpu_jobs for stage in stages),
        gpu_hours=sum(stage.gpu_hours for stage in stages),
    )
    # The demo takes minutes: one decimal of an hour would show zeros.
    digits = 4 if total.cpu_hours < 1 else 1
    rows = []
    for stage in (*stages, total):
        row = {"Stage": stage.stage, "Runs": f"{stage.runs:,}", "Jobs": f"{stage.jobs:,}"}
        row["Expected CPU hours"] = f"{stage.cpu_hours:,.{digits}f}"
        if total.gpu_jobs:
            row |= {"GPU jobs": f"{stage.gpu_jobs:,}", "GPU hours": f"{stage.gpu_hours:,.{digits}f}"}
        rows.append(row)
    return rows


def _speedup(description: StudyDescription) -> str:
    """The study's `gpu_speedup` as text; empty if no job asks for a GPU."""
    asks = any(stage.gpu_jobs for stage in description.stages)
    return f"{description.gpu_speedup:g}" if asks else ""


def _of_quality(quality: pd.DataFrame, description: StudyDescription, most_rows: int) -> str:
    return plain_html(printed_quality(quality, description).head(most_rows))


def _readable_table(table: pd.DataFrame, declared: Sequence[Column]) -> str:
    return "" if table.empty else plain_html(titled(table, declared))


def _evaluations(description: StudyDescription) -> pd.DataFrame:
    rows = pd.DataFrame(
        {
            "Evaluation": labels.evaluation(name),
            "Cohort": evaluation.cohort,
            "Trains on": _TRAINS_ON[evaluation.train],
            "Tested on": evaluation.tested_on
            + (f" ({evaluation.test_cohort})" if evaluation.test_cohort else ""),
            "Generator": _generator(evaluation.train, evaluation.generator_shared),
            "Published scenario": evaluation.published or "",
        }
        for name, evaluation in description.evaluations.items()
    )
    # Most studies repeat no published scenario, and some have no generator.
    return rows.loc[:, (rows != "").any()]


def _generator(train: str, shared: bool) -> str:
    if train == "real":
        return ""
    return "one for all subjects" if shared else "one per fold"


def _cohort(rows: Sequence[Mapping[str, Any]]) -> str:
    if not rows:
        return ""
    return plain_html(pd.DataFrame([dict(row) for row in rows]).rename(columns=labels.evaluation))


def plain_html(table: pd.DataFrame) -> str:
    """A table as HTML, numbers with four digits and missing values empty."""
    return printing.static_html(table.map(_readable))


def _readable(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.4g}"
    if isinstance(value, (list, tuple)):
        return "; ".join(map(str, value))
    return str(value)


def embedded(picture: Picture) -> tuple[str, str]:
    """The figure as a data URI, and its caption."""
    # Embedded, so that the report stays whole when it is mailed or moved without its folder.
    content = base64.b64encode(picture.path.read_bytes()).decode()
    return f"data:image/svg+xml;base64,{content}", picture.caption
