"""Cohort jobs: from a cohort's settings to its windows, and a summary of each subject.

The summary has the share of each subject's recording in windows, the repairs, and the irregularities.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from pulseveil.cohorts import Cohort, CohortSettings, copies, require_classes, require_units
from pulseveil.core import limits, registry
from pulseveil.core.contracts import WindowSet
from pulseveil.core.errors import InputError, noting, refuse
from pulseveil.core.identity import COHORT, cell_hash, file_hash
from pulseveil.core.settings import explain, explain_choice
from pulseveil.study.jobs import CohortJob
from pulseveil.windows.cutting import SubjectWindows, cut_person
from pulseveil.windows.recipe import Recipe


@dataclass(frozen=True)
class SubjectSummary:
    """One row of the summary; `stress_share` is None for a subject without windows.

    measured: mean share of the labelled seconds that each sensor measured, and of those in which the heart
    rate is clear. left_out: number of windows left out because a sensor measured too little of them, by
    sensor and reason. rmssd_ms: median over the windows that have enough clean beats. chest_error: median
    absolute difference (beats/min) between the heart rates of wrist and chest ECG. repairs, notes: sentences
    about what was repaired, and about what is irregular but was left as it is.
    """

    subject: str
    seconds: int
    labelled_seconds: int
    windows: int
    calibration_windows: int
    stress_share: float | None
    repairs: tuple[str, ...]
    notes: tuple[str, ...]
    measured: Mapping[str, float]
    left_out: Mapping[str, int]
    rmssd_ms: float | None
    chest_error: float | None

    def as_json(self) -> dict[str, Any]:
        """The row for a JSON file."""
        return asdict(self)


# What the table shows the measured share of: heart rate, and sensors.
_SENSORS = ("heart rate", "BVP", "EDA", "ACC", "TEMP")


def summarize(subjects: Iterable[SubjectWindows]) -> tuple[SubjectSummary, ...]:
    """Summary with one row per subject."""
    return tuple(
        SubjectSummary(
            subject=item.subject,
            seconds=item.seconds,
            labelled_seconds=item.labelled_seconds,
            windows=len(item.windows),
            calibration_windows=int(item.windows.calibration.sum()),
            stress_share=float(item.windows.stress.mean()) if len(item.windows) else None,
            repairs=item.repairs,
            notes=item.notes,
            measured=item.measured,
            left_out=item.left_out,
            rmssd_ms=float(np.nanmedian(item.rmssd_ms)) if np.isfinite(item.rmssd_ms).any() else None,
            chest_error=item.chest_error,
        )
        for item in subjects
    )


def render(rows: Sequence[SubjectSummary]) -> str:
    """Summary as plain text: a table, then each repair and note with the subjects that it concerns."""
    return "\n".join(
        [
            table(rows),
            *_sentences("Repaired:", [(row.subject, row.repairs) for row in rows]),
            *_sentences("Noted, left as it is:", [(row.subject, row.notes) for row in rows]),
        ]
    )


def table(rows: Sequence[SubjectSummary]) -> str:
    """The table of a summary as plain text, with the numbers of repairs and notes alone."""
    header = (
        *("subject", "seconds", "labelled", "windows", "calibration", "stress", "repairs", "notes"),
        *("RMSSD, ms", "error to ECG, beats/min", *_SENSORS, "left out"),
    )
    cells = [header, *(_cells(row) for row in rows), _total(rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    lines = [
        "  ".join(cell.rjust(width) if i else cell.ljust(width) for i, (cell, width) in enumerate(pairs))
        for pairs in (list(zip(row, widths, strict=True)) for row in cells)
    ]
    lines.insert(-1, "-" * len(lines[0]))
    return "\n".join(lines)


def _cells(row: SubjectSummary) -> tuple[str, ...]:
    counts = (row.seconds, row.labelled_seconds, row.windows, row.calibration_windows)
    return (
        row.subject,
        *(str(count) for count in counts),
        _percent(row.stress_share),
        str(len(row.repairs)),
        str(len(row.notes)),
        _number(row.rmssd_ms, 0),
        _number(row.chest_error, 1),
        *(_percent(row.measured.get(sensor)) for sensor in _SENSORS),
        str(sum(row.left_out.values())),
    )


def _total(rows: Sequence[SubjectSummary]) -> tuple[str, ...]:
    windows = sum(row.windows for row in rows)
    stress = sum((row.stress_share or 0.0) * row.windows for row in rows)
    return (
        f"all {len(rows)}",
        str(sum(row.seconds for row in rows)),
        str(sum(row.labelled_seconds for row in rows)),
        str(windows),
        str(sum(row.calibration_windows for row in rows)),
        _percent(stress / windows if windows else None),
        str(sum(len(row.repairs) for row in rows)),
        str(sum(len(row.notes) for row in rows)),
        *("" for _ in ("RMSSD", "ECG", *_SENSORS)),
        str(sum(sum(row.left_out.values()) for row in rows)),
    )


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _sentences(title: str, by_subject: Sequence[tuple[str, tuple[str, ...]]]) -> list[str]:
    """Each sentence once, with its subjects, in the order of first mention."""
    subjects: dict[str, list[str]] = {}
    for subject, sentences in by_subject:
        for sentence in sentences:
            subjects.setdefault(sentence, []).append(subject)
    if not subjects:
        return []
    return ["", title, *(f"  {', '.join(who)}: {sentence}" for sentence, who in subjects.items())]


logger = logging.getLogger(__name__)

# Keys of a job that change the recipe of its protocol.
_RECIPE = ("channels", "scaling", "window_s", "stride_s", "calibration_s", "measured", "label_rule")


@dataclass(frozen=True, eq=False)
class PreparedCohort:
    """Windows of a cohort, together and by subject, and the hash of all that they depend on.

    pieces: of the recordings, by which other cohorts find copies.
    """

    windows: WindowSet
    subjects: tuple[SubjectWindows, ...]
    cell_hash: str
    pieces: copies.Pieces = field(default_factory=dict)


def check_settings(values: Mapping[str, Any], source: str) -> CohortSettings:
    """Typed settings of a registered kind of cohort; `source` names the origin of `values` in messages.

    Raises:
        InputError: the kind is unknown, or a key is wrong; the message names the key.
    """
    known = registry.names("cohorts")
    kind = values.get("kind")
    if kind not in known:
        raise InputError(explain_choice(source, "kind", kind, known))
    schema: type[CohortSettings] = registry.load("cohorts", str(kind)).Settings
    try:
        return schema.model_validate(values)
    except ValidationError as error:
        raise InputError(*explain(error, schema, values, source)) from None


def prepare_cohort(
    settings: CohortSettings, recipe: Recipe, seen: copies.Seen | None = None
) -> PreparedCohort:
    """Read all recordings of a cohort and cut them into windows.

    seen: pieces of other cohorts of the study, whose recordings must not be in this one.

    Raises:
        InputError: recordings cannot be used (all are named) or are copies, or no interval is as long as a
            window.
    """
    seen = copies.Seen() if seen is None else seen
    require_units(settings.kind, recipe.protocol, recipe.channels, recipe.scaling)
    cohort: Cohort = registry.load("cohorts", settings.kind)(settings)
    require_classes(cohort.outline(), f"cohort of kind {settings.kind}")
    subjects: list[SubjectWindows] = []
    faults: list[str] = []
    recordings = copies.without_copies(cohort.recordings(), seen)
    # All people are read, whatever is wrong with one: their owner mends all recordings at once.
    with noting(faults):
        # One person at a time, so that memory does not grow with the cohort.
        for subject, own in groupby(recordings, lambda item: item.subject):
            of_person = list(own)
            with noting(faults):
                subjects.append(cut_person(of_person, recipe))
                logger.info("%s: %d windows", subject, len(subjects[-1].windows))
    refuse(faults)
    windows = WindowSet.concatenate([subject.windows for subject in subjects])
    if not len(windows):
        raise InputError(
            f"cohort of kind {settings.kind}: found no interval as long as a window of {recipe.window_s} s; "
            "use a shorter window_s"
        )
    return PreparedCohort(windows, tuple(subjects), windows_hash(cohort, settings, recipe), seen.pieces)


def prepare(job: CohortJob, source: str, seen: copies.Seen | None = None) -> PreparedCohort:
    """Windows of a job; `source` names the origin of its settings in messages, `seen` as in `prepare_cohort`.

    Raises:
        InputError: a setting is wrong, or as in `prepare_cohort`.
    """
    given = {key: getattr(job, key) for key in _RECIPE}
    recipe = Recipe.with_defaults(job.protocol, job.windows, **given)
    return prepare_cohort(check_settings(job.settings, source), recipe, seen)


def windows_hash(cohort: Cohort, settings: CohortSettings, recipe: Recipe) -> str:
    """Hash of settings, source files, recipe and versions, for the windows of a cohort."""
    # Files count by content and never by path: moved recordings give the same windows.
    used = {name: value for name, value in settings.model_dump().items() if not isinstance(value, Path)}
    dependencies = {
        "versions": [COHORT, cohort.version],
        "cohort": used,
        "sources": [file_hash(path) for path in cohort.sources()],
        "recipe": recipe.settings(),
    }
    return cell_hash(dependencies)


def read_pieces(path: Path) -> copies.Pieces:
    """The pieces of a cohort that `PreparedCohort.pieces` gave, from their JSON file.

    Raises:
        InputError: the file is missing or damaged.
    """
    content = limits.read_bytes(path, limits.JSON_BYTES, "pieces of a cohort; rerun prepare_cohort")
    try:
        return {
            str(person): {str(channel): list(map(int, found)) for channel, found in channels.items()}
            for person, channels in json.loads(content).items()
        }
    except (ValueError, AttributeError, TypeError, RecursionError) as error:
        raise InputError(f"{path}: not the pieces of a cohort ({error}); rerun prepare_cohort") from None
