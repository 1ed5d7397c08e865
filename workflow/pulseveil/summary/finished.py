"""The part of a study that has run, for tables of a study that is not finished."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pulseveil.core import paths
from pulseveil.core.errors import InputError
from pulseveil.core.identity import number_label
from pulseveil.summary.description import StudyDescription

_FILES = ("quality", "portraits", "models", "linear_detectors", "audits")
_NUMBERS = ("epsilon_generator", "epsilon_detector", "subjects", "noise", "seed")


def finished_part(
    description: StudyDescription, scores: Sequence[Path], folder: Path
) -> tuple[StudyDescription, list[Path]]:
    """The description of the cells that have scores, with a note that says how many, and their score files.

    folder: with results/ of the study.

    Raises:
        InputError: no cell has scores.
    """
    found = [path for path in scores if path.exists()]
    if not found:
        raise InputError(f"{folder / paths.results(description.study)}: no score file; run the study first")
    if len(found) == len(scores):
        return description, found
    note = f"Not finished: {len(found)} of {len(scores)} score files exist, and other cells are not shown."
    files = {
        name: tuple(file for file in getattr(description, name) if Path(file).exists()) for name in _FILES
    }
    shared = tuple(row for row in description.shared if (folder / _trained(description.study, row)).exists())
    changed = {**files, "shared": shared, "note": " ".join(filter(None, [note, description.note]))}
    return description.model_copy(update=changed), found


def _trained(study: str, row: Mapping[str, Any]) -> str:
    """Score file of a cell that an earlier evaluation trains; row: of `Plan.shared_cells`."""
    words = {**row, "evaluation": row["trained_in"], **{name: number_label(row[name]) for name in _NUMBERS}}
    return paths.fill(paths.SCORES, study=study, **{name: str(word) for name, word in words.items()})
