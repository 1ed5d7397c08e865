"""Figure of what detectors reach with some of the signals: all, one alone, all but one."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pulseveil.detectors import MODEL
from pulseveil.summary import labels
from pulseveil.summary.column import title_of
from pulseveil.summary.description import StudyDescription
from pulseveil.summary.figures import line_handles, reference_rows, rule_lines
from pulseveil.summary.main_columns import HEADLINES
from pulseveil.summary.palette import (
    INK,
    PAGE,
    detector_colours,
    legend_columns,
    legend_inches,
    open_axes,
    style,
    wrapped,
)
from pulseveil.summary.results import NO_GENERATOR

_METRICS = ("accuracy", "f1")
_MARKERS = ("o", "s", "D", "^", "v", "P")
_KEYS = ["generator", "detector"]
_ROW_INCHES, _SERIES_INCHES = 0.12, 0.1
# The share of the width for names of signals, and the height of a line of such a name.
_NAMES, _LINE_INCHES = 0.28, 0.13


def ablations(main: pd.DataFrame) -> list[str]:
    """Evaluations whose models read different signals, in table order."""
    models = main[main["role"] == MODEL]
    levels = models.groupby("evaluation", sort=False)["signals"].nunique()
    return [str(name) for name in levels.index[levels > 1]]


def ablation_figure(main: pd.DataFrame, description: StudyDescription, width: float = PAGE) -> Figure:
    """Accuracy and stress F1 by the signals that detectors read, with 95 % intervals over subjects.

    One row of panels per evaluation, one series per generator and detector. All other axes stay at their
    reference: largest epsilon, least noise, most synthetic subjects.
    """
    names = ablations(main)
    parts = [_reference(main[main["evaluation"] == name]) for name in names]
    with mpl.rc_context(style(width)):
        heights = [_height(rows, width) for rows in parts]
        handles = [*_series_handles(pd.concat(parts), description), *line_handles(main, description)]
        height = 0.6 + sum(heights) + 0.3 * len(parts) + legend_inches(handles, width)
        figure = Figure(figsize=(width, height), layout="constrained")
        grid = figure.subplots(
            len(parts), 2, squeeze=False, sharex="col", gridspec_kw={"height_ratios": heights}
        )
        for panels, name, rows in zip(grid, names, parts, strict=True):
            rules = main[(main["evaluation"] == name) & (main["role"] != MODEL)].drop_duplicates("detector")
            for panel, metric in zip(panels, _METRICS, strict=True):
                rule_lines(panel, rules, metric, description)
                _draw(panel, rows, metric, description, width)
            panels[0].set_title(labels.evaluation(name), loc="left", fontweight="bold")
            panels[1].tick_params(labelleft=False)
        for panel, metric in zip(grid[-1], _METRICS, strict=True):
            panel.set_xlabel(title_of(metric, HEADLINES))
        columns = legend_columns(handles, width)
        figure.legend(handles=handles, loc="outside lower center", ncols=columns)
    return figure


def _reference(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of an evaluation's models that differ from a reference row in their signals only."""
    axes = [*_KEYS, "unit", "epsilon_generator", "epsilon_detector", "subjects", "noise"]
    models = rows[rows["role"] == MODEL]
    return models.merge(reference_rows(rows)[axes].drop_duplicates(), on=axes)


def _height(rows: pd.DataFrame, width: float) -> float:
    """Height of a panel in inches."""
    series = len(rows[_KEYS].drop_duplicates())
    lines = max(_name(level, width).count("\n") + 1 for level in rows["signals"])
    row = max(_ROW_INCHES + _SERIES_INCHES * series, _LINE_INCHES * lines + 0.05)
    return float(rows["signals"].nunique() * row)


def _name(level: str, width: float) -> str:
    return wrapped(labels.signals(level), _NAMES * width)


def _draw(panel: Axes, rows: pd.DataFrame, metric: str, description: StudyDescription, width: float) -> None:
    levels = list(dict.fromkeys(rows["signals"]))
    styles = _styles(rows, description)
    # Side by side: intervals of models that read the same signals would cover each other.
    offsets = np.linspace(-0.3, 0.3, len(styles)) if len(styles) > 1 else np.zeros(1)
    for (pair, (colour, marker)), offset in zip(styles.items(), offsets.tolist(), strict=True):
        own = rows[(rows["generator"] == pair[0]) & (rows["detector"] == pair[1])]
        y = np.array([levels.index(signals) for signals in own["signals"]]) + offset
        mean, low, high = own[[metric, f"{metric}_low", f"{metric}_high"]].to_numpy(float).T
        panel.hlines(y, low, high, colors=colour, linewidth=1.4)
        panel.scatter(mean, y, color=colour, marker=marker, s=16, zorder=3, linewidths=0)
    panel.set_yticks(range(len(levels)), [_name(level, width) for level in levels])
    panel.set_ylim(len(levels) - 0.4, -0.6)
    open_axes(panel, grid="x")
    panel.spines["left"].set_visible(False)


def _styles(rows: pd.DataFrame, description: StudyDescription) -> dict[tuple[str, str], tuple[str, str]]:
    """Colour of the detector and marker of the generator of each series."""
    colours = detector_colours(description)
    markers = {name: _MARKERS[i % len(_MARKERS)] for i, name in enumerate(rows["generator"].unique())}
    pairs = rows[_KEYS].drop_duplicates().to_numpy().tolist()
    return {(generator, detector): (colours[detector], markers[generator]) for generator, detector in pairs}


def _series_handles(rows: pd.DataFrame, description: StudyDescription) -> list[Line2D]:
    handles = []
    for (generator, detector), (colour, marker) in _styles(rows, description).items():
        of = "" if generator == NO_GENERATOR else f" · {description.generator_title(generator)}"
        label = description.detector_title(detector) + of
        handles.append(Line2D([], [], color=colour, marker=marker, ms=4, lw=1.4, label=label))
    return [*handles, Line2D([], [], color=INK, lw=1.4, label="95 % interval")]
