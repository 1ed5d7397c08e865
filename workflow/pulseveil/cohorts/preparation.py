"""From a cohort's settings to its windows: what one cohort job does."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pulseveil import registry
from pulseveil.cohorts import Cohort, CohortSettings
from pulseveil.config_errors import explain, explain_choice
from pulseveil.contracts import WindowSet
from pulseveil.errors import InputError
from pulseveil.provenance import cell_hash, file_hash
from pulseveil.stages import COHORT
from pulseveil.windows import Recipe, SubjectWindows, cut_subject

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class PreparedCohort:
    """The windows of a cohort, the same subject by subject, and the hash of all that they depend on."""

    windows: WindowSet
    subjects: tuple[SubjectWindows, ...]
    cell_hash: str


def check_settings(values: Mapping[str, Any], source: str) -> CohortSettings:
    """The typed settings of any registered kind of cohort; raises InputError with the key that is wrong."""
    known = registry.names("cohorts")
    kind = values.get("kind")
    if kind not in known:
        raise InputError(explain_choice(source, "kind", kind, known))
    schema: type[CohortSettings] = registry.load("cohorts", str(kind)).Settings
    try:
        return schema.model_validate(values)
    except ValidationError as error:
        raise InputError(explain(error, schema, values, source)) from None


def prepare_cohort(settings: CohortSettings, recipe: Recipe) -> PreparedCohort:
    """Read all recordings, one at a time, and cut them; raises InputError for what cannot be used."""
    cohort: Cohort = registry.load("cohorts", settings.kind)(settings)
    subjects = []
    for recording in cohort.recordings():
        subjects.append(cut_subject(recording, recipe))
        logger.info("%s: %d windows", recording.subject, len(subjects[-1].windows))
    windows = WindowSet.concatenate([subject.windows for subject in subjects])
    if not len(windows):
        raise InputError(
            f"cohort of kind {settings.kind}: no interval is as long as a window of {recipe.window_s} s"
        )
    return PreparedCohort(windows, tuple(subjects), windows_hash(cohort, settings, recipe))


def windows_hash(cohort: Cohort, settings: CohortSettings, recipe: Recipe) -> str:
    """The hash of settings, source files (by content, never by path), recipe and versions."""
    used = {name: value for name, value in settings.model_dump().items() if not isinstance(value, Path)}
    dependencies = {
        "versions": [COHORT, cohort.version],
        "cohort": used,
        "sources": [file_hash(path) for path in cohort.sources()],
        "recipe": recipe.settings(),
    }
    return cell_hash(dependencies)
