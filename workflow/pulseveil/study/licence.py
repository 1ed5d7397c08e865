"""Licence of a study's results: named by the study, and asked for where recordings of people are in it."""

from __future__ import annotations

from collections.abc import Iterator

from pulseveil.cohorts import Origin, origin_of
from pulseveil.core.errors import InputError
from pulseveil.study.study import Study

_OF_SIMULATED = "MIT"
"""Licence of results that come from nobody's recordings, if the study names none."""


def results_licence(study: Study) -> str | None:
    """SPDX identifier of the licence of a study's results; None if the study has to name one, and does not.

    Recordings of people have terms of their own, so that nothing but the study can say under which licence
    their results go out.
    """
    if study.license or any(_of_people(study)):
        return study.license
    return _OF_SIMULATED


def require_licence(study: Study) -> str:
    """SPDX identifier of the licence of a study's results.

    Raises:
        InputError: recordings of people are in the study, which names no licence.
    """
    licence = results_licence(study)
    if licence is None:
        raise InputError(f"license: this key is missing. {_asked(study)}")
    return licence


def describe(study: Study) -> str:
    """That a release will ask for a licence, as text; empty if the study names one or needs none."""
    return "" if results_licence(study) else f"license: none named yet. {_asked(study)}"


def _asked(study: Study) -> str:
    terms = "; ".join(f"{name}: {origin.terms}" for name, origin in _of_people(study))
    return (
        "A release of results from recordings of people needs a licence that the terms of the recordings "
        f"allow, as an SPDX identifier such as CC-BY-NC-4.0. Terms: {terms}"
    )


def _of_people(study: Study) -> Iterator[tuple[str, Origin]]:
    """Cohorts of recorded people with their origins."""
    for name, settings in study.cohort_settings.items():
        origin = origin_of(settings.kind)
        if not origin.simulated:
            yield name, origin
