"""Page of all files of a study and all columns of its tables, from the lists that write them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import pandas as pd

from pulseveil.core import paths
from pulseveil.summary import columns, printing
from pulseveil.summary.axis_figures import AXES_FIGURE
from pulseveil.summary.description import DESCRIPTIONS

_FIGURES: Mapping[str, str] = {
    "main": "Accuracy and stress F1 of each model with intervals.",
    "per_subject": "Accuracy of each subject.",
    AXES_FIGURE: "Accuracy and stress F1 of an evaluation along each axis of the study.",
    "ablation": "Accuracy and stress F1 by the signals that detectors read.",
    "privacy": "Accuracy and stress F1 by epsilon and unit.",
    "ways": "All ways to a private detector side by side.",
    "weights": "Weights of linear detectors.",
    "noise": "Noise on real windows: what detectors learn, and how many people are recognised.",
    paths.QUALITY_FIGURE: "Synthetic windows of a generator beside real windows.",
    paths.WINDOW_FIGURE: "Example windows, real ones beside those of each generator.",
}
_OTHER_TABLES: Mapping[str, str] = {
    "tables/main.tex": "Main table for a paper (LaTeX, package booktabs), with the study's `table_columns`.",
    "tables/main.html": "Main table as HTML; of more than 2,000 rows those at the reference of each axis.",
    "tables/main.EVALUATION.html": "All rows of an evaluation, if the main table has more than 2,000 rows.",
    "tables/main.txt": "Main table as the terminal shows it.",
}
_STORED: Mapping[str, str] = {
    paths.WINDOWS: "Windows of a cohort with subject, start and label, in HDF5.",
    paths.COHORT_PAGE: "Signals of each person over time; stays where the recordings are.",
    paths.PIECES: "Pieces of the recordings from which windows are cut.",
    paths.REAL_FEATURES: "Features of each real window.",
    paths.MODELS: "Trained generators, one per fold, with their ledgers.",
    paths.SYNTHETIC: "Synthetic windows, one set per fold.",
    paths.SYNTHETIC_FEATURES: "Features of each synthetic window.",
    paths.QUALITY: "Quality measures of the synthetic windows of one seed.",
    paths.PORTRAIT: "What the figures of quality show: distributions, spectra, correlations and maps.",
    paths.GENERATOR_AUDIT: "Attacks on a generator.",
    paths.DETECTOR_AUDIT: "Attacks on a detector.",
    paths.NOISED_AUDIT: "Attacks on windows with noise.",
    paths.SCORES: "Score of each tested window.",
    paths.DETECTORS: "Trained detectors, one per fold.",
    "journal.jsonl": "One line per training that was carried out.",
    ".runs/**": "Finished runs by the hash of their settings, so that no finished training is repeated.",
    "**/*.provenance.json": "Provenance of the file beside it: settings, inputs, versions and times.",
    "workflow/rules/*.smk": "Rules of the workflow.",
}
_ABOUT_FILES = "Paths lie below results/STUDY. Words in capitals stand for names and levels of the study."
_ABOUT_COLUMNS = (
    "Examples are rounded and show the form of a value; the file has full precision. A column marked "
    "'sometimes' is missing where it does not apply."
)


class Section(NamedTuple):
    """A heading of the page, a sentence below it, and a table as HTML."""

    heading: str
    text: str
    table: str


def every_file() -> dict[str, str]:
    """What each file of a study holds, by its path below `results/STUDY` with words in capitals."""
    figures = {
        f"figures/{_in_capitals(name)}.{{pdf,png,svg}}": (
            f"{meaning} As wide as two columns of a journal; NAME-column.* of one column."
        )
        for name, meaning in _FIGURES.items()
    }
    stored = {_in_capitals(name): meaning for name, meaning in _STORED.items()}
    return {**DESCRIPTIONS, **_OTHER_TABLES, **figures, **stored}


def _in_capitals(template: str) -> str:
    below = template.removeprefix("results/{study}/")
    return re.sub(r"\{(\w+)\}", lambda word: word[1].upper(), below)


def sections() -> Iterator[Section]:
    """The parts of the page: all files, then the columns of each table."""
    files = pd.DataFrame([{"file": name, "content": meaning} for name, meaning in every_file().items()])
    yield Section("All files", _ABOUT_FILES, printing.static_html(files))
    for name, declared in columns.TABLES.items():
        rows = [
            {
                "column": column.key,
                "meaning": column.meaning + (" (sometimes)" if column.sometimes else ""),
                "unit": column.unit,
                "example": column.example,
            }
            for column in declared
        ]
        table = pd.DataFrame(rows)
        shown = table if table["example"].any() else table.drop(columns="example")
        yield Section(name, _ABOUT_COLUMNS if table["example"].any() else "", printing.static_html(shown))


def markdown() -> str:
    """The page for the documentation."""
    parts = [f"## {part.heading}\n\n{part.text}\n\n{part.table}" for part in sections()]
    return "\n\n".join(["# Files and columns", *parts]) + "\n"


def file_page(study: str) -> str:
    """The page beside the report of a study, as HTML without links to other places."""
    return printing.render("files.html.jinja", study=study, sections=list(sections()))
