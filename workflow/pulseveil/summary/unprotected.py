"""List of files of a private study that hold data of real people without noise, for its statement."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from pulseveil.summary.description import StudyDescription


class Holding(NamedTuple):
    """A pattern of files below a study's results, and what they hold of real people without noise.

    of_single_people: values of single people or windows, which must not leave.
    """

    files: str
    what: str
    of_single_people: bool = False

    def __str__(self) -> str:
        store = "PRIVATE STORE, must not leave: " if self.of_single_people else ""
        return f"{self.files}: {store}{self.what}."


_STORES = (
    Holding(
        ".runs/**",
        "finished trainings, stored under hashes of their data; keys of running trainings",
        of_single_people=True,
    ),
    Holding(
        "windows/**",
        "the windows of each person, counts of what was read and repaired, pages of the signals",
        of_single_people=True,
    ),
    Holding("features/*/real.h5", "the features of each window", of_single_people=True),
    Holding("scores/**/*.h5", "start, label and scores of each tested window", of_single_people=True),
)
_RESULTS = (
    Holding("tables/main.*", "means over the tested people, and tests of these means"),
    Holding("history/*/main.csv", "tables/main.csv of this run and of earlier ones"),
    Holding(
        "tables/per_subject.csv",
        "each tested person by name: number of windows, of stress windows, and metrics",
    ),
    Holding("tables/differences.csv", "paired differences over the tested people"),
    Holding("figures/*", "figures of these tables"),
    Holding("report.html", "these tables and figures on one page"),
    # A sha256 of a file with unprotected numbers lets anybody test a guess of these numbers.
    Holding("ro-crate-metadata.json", "sizes and sha256 of the files that it lists"),
)
_UNBUDGETED = (
    Holding("generators/**/epsilon_generator=inf/*.h5", "generators without a budget"),
    Holding("synthetic/**/epsilon_generator=inf/*.h5", "synthetic windows of generators without a budget"),
    Holding("features/**/epsilon_generator=inf/*.h5", "features of synthetic windows without a budget"),
)
_QUALITY = (
    Holding("quality/**/*.csv", "distances between synthetic and real windows, and among the real ones"),
    Holding(
        "quality/**/portrait.h5", "distributions, spectra and a map of the real windows, and some of them"
    ),
    Holding("figures/windows_*", "some of the real windows"),
    Holding("tables/quality.csv", "means of the distances between synthetic and real windows"),
)
_AUDITS = (
    Holding("audit/**/*.csv", "attacks on models of the real people, some by name"),
    Holding("tables/audit.csv", "the same attacks in one table"),
)
_WEIGHTS = (Holding("figures/weights.*", "weights of linear detectors, with a budget or without"),)
_REPRODUCTION = (
    Holding("tables/reproduction.csv", "means over the tested people beside published means"),
    Holding("reproduction.html", "tables/reproduction.csv as a page"),
)


def unprotected(description: StudyDescription) -> tuple[Holding, ...]:
    """Files of a private study that depend on real people other than through noised releases."""
    repeated = any(description.repeats_published(name) for name in description.evaluations)
    return (
        *_STORES,
        *(_UNBUDGETED if any(map(_has_no_budget, description.models)) else ()),
        *(Holding(files, "detectors without a budget") for files in description.unprotected_detectors),
        *(_QUALITY if description.quality else ()),
        *(_WEIGHTS if description.linear_detectors else ()),
        *(_AUDITS if description.audits else ()),
        *_RESULTS,
        *(_REPRODUCTION if repeated else ()),
    )


def _has_no_budget(model: str) -> bool:
    return Path(model).parent.name == "epsilon_generator=inf"
