"""All figures of a summary: which ones a study has, and their captions and files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from pulseveil.core.processes import Spread
from pulseveil.summary.ablation_figure import ablation_figure, ablations
from pulseveil.summary.axis_figures import (
    AXES_FIGURE,
    axis_figure,
    privacy_figure,
    private_evaluations,
    study_axes,
)
from pulseveil.summary.description import StudyDescription
from pulseveil.summary.figures import main_figure, reference_rows, subject_figure
from pulseveil.summary.noise_figure import CAPTION as NOISE_CAPTION
from pulseveil.summary.noise_figure import noise_columns, noise_figure
from pulseveil.summary.palette import save_widths
from pulseveil.summary.quality_figures import quality_figure, quality_pages
from pulseveil.summary.report import Picture
from pulseveil.summary.results import Cells
from pulseveil.summary.ways_figure import questions, ways_figure
from pulseveil.summary.weights_figure import read_weights, weights_figure
from pulseveil.summary.window_figures import window_figure, window_pages


@dataclass(frozen=True, eq=False)
class Drawing:
    """A figure of a summary; draw: the figure of a width in inches."""

    name: str
    draw: Callable[[float], Figure]
    caption: str

    def write(self, folder: Path) -> list[Path]:
        """Write the figure in all widths and formats below a folder; returns the paths."""
        return save_widths(self.draw, folder, self.name)

    def picture(self, folder: Path) -> Picture:
        """The written figure, for the report."""
        return Picture(folder / f"{self.name}.svg", self.caption)


def write_all(drawings: Sequence[Drawing], folder: Path, spread: Spread) -> list[Path]:
    """Write figures below a folder; returns the paths. spread: as in `results.collect`."""
    return [path for paths in spread(partial(Drawing.write, folder=folder), drawings) for path in paths]


def result_drawings(
    main: pd.DataFrame, audits: pd.DataFrame, cells: Cells, description: StudyDescription
) -> Iterator[Drawing]:
    """Figures of the main table, which depend on what the study has."""
    axes = study_axes(cells.keys)
    part = (
        ""
        if len(reference_rows(main)) == len(main)
        else " One cell per generator and detector is shown, at the reference of each axis."
    )
    yield Drawing(
        "main",
        partial(main_figure, main, description),
        "Accuracy and stress F1: mean over subjects with its 95 % interval; lines show rules that learn "
        "from no sensor data." + (part if axes else ""),
    )
    yield Drawing(
        "per_subject",
        partial(subject_figure, main, cells, description),
        "Accuracy of each subject (mean over seeds); the subject with the lowest accuracy is named.",
    )
    for evaluation, own in groupby(axes, key=lambda axis: axis.evaluation):
        yield Drawing(
            AXES_FIGURE.format(evaluation=evaluation),
            partial(axis_figure, main, [*own], description),
            f"Evaluation {evaluation}: accuracy and stress F1 along the axes of the study; bands are 95 % "
            "intervals over subjects.",
        )
    if ablations(main):
        yield Drawing(
            "ablation",
            partial(ablation_figure, main, description),
            "Accuracy and stress F1 by the signals that the detectors read; bars are 95 % intervals over "
            "subjects, lines are rules, which read what they always read.",
        )
    if private_evaluations(main):
        yield Drawing(
            "privacy",
            partial(privacy_figure, main, description),
            "Accuracy and stress F1 by the epsilon of one trained model, for each unit; bars are "
            "95 % intervals over subjects, lines are rules that use no private data.",
        )
    if asked := questions(main, description):
        yield Drawing(
            "ways",
            partial(ways_figure, asked, description),
            "Privacy and utility of all ways to a private detector side by side: accuracy and stress F1 by "
            "the epsilon of one trained model, for each unit; bars are 95 % intervals over subjects. Lines "
            "use no private data: rules, and generators that draw from public knowledge alone.",
        )
    if weights := read_weights(map(Path, description.linear_detectors), description):
        yield Drawing(
            "weights",
            partial(weights_figure, weights),
            "What linear detectors read: the weight of each statistic of each signal, mean and SD over folds "
            "(first seed). Red speaks for stress, blue against it.",
        )
    if noised := noise_columns(main, audits, description):
        yield Drawing("noise", partial(noise_figure, noised, description), NOISE_CAPTION)


def window_drawings(description: StudyDescription) -> Iterator[Drawing]:
    """Pages of synthetic windows beside real ones."""
    pages = quality_pages(map(Path, description.portraits))
    for windows in window_pages(pages):
        yield Drawing(windows.name, partial(window_figure, windows, description), windows.caption)
    for page in pages:
        caption = page.caption(description.generator_title(page.generator))
        yield Drawing(page.name, partial(quality_figure, page), caption)
