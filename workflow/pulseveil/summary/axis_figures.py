"""Figures over an axis of the study: privacy, number of synthetic subjects, input noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pulseveil.summary import labels
from pulseveil.summary.cells import MAJORITY, NO_GENERATOR, YARDSTICKS
from pulseveil.summary.figures import reference_rows
from pulseveil.summary.palette import STYLE, detector_colours, open_axes

AXES = ("epsilon_generator", "epsilon_detector", "subjects", "noise")
Dash = str | tuple[int, tuple[float, ...]]
_DASHES: tuple[Dash, ...] = ("-", (0, (5, 1.5)), (0, (1, 1.2)), (0, (5, 1.5, 1, 1.5)))


@dataclass(frozen=True)
class StudyAxis:
    """An evaluation in which the models of at least one generator and detector differ along `axis`."""

    evaluation: str
    axis: str


def study_axes(keys: pd.DataFrame) -> list[StudyAxis]:
    """The axes of a study, from the keys of its cells; empty when there is nothing to draw."""
    models = keys[~keys["detector"].isin(YARDSTICKS)]
    axes = []
    for name, rows in models.groupby("evaluation", sort=False):
        levels = rows.groupby(["generator", "detector"])[list(AXES)].nunique().max()
        axes += [StudyAxis(str(name), axis) for axis in AXES if levels[axis] > 1]
    return axes


def axis_figure(main: pd.DataFrame, axes: Sequence[StudyAxis]) -> Figure:
    """Accuracy and stress F1 over each axis, with the 95 % interval as a band; a row an axis.

    The other axes stay at their reference: least private, least noisy, most synthetic subjects.
    """
    models = main[~main["detector"].isin(YARDSTICKS)]
    colours = detector_colours(models["detector"])
    dashes = dict(zip(models["generator"].unique(), cycle(_DASHES), strict=False))
    with mpl.rc_context(dict(STYLE)):
        figure = Figure(figsize=(7.2, 0.6 + 2.5 * len(axes)), layout="constrained")
        grid = figure.subplots(len(axes), 2, squeeze=False)
        for row, axis in zip(grid, axes, strict=True):
            lines = _along(models, axis)
            for panel, metric in zip(row, ("accuracy", "f1"), strict=True):
                _draw(panel, lines, axis, metric, colours, dashes)
                _majority_line(panel, main, axis, metric)
            row[0].set_title(labels.evaluation(axis.evaluation), loc="left", fontweight="bold")
        figure.legend(handles=_legend(models, colours, dashes), loc="outside lower center", ncols=4)
    return figure


def _along(models: pd.DataFrame, axis: StudyAxis) -> pd.DataFrame:
    """The rows of an evaluation that differ from the reference rows along the axis only."""
    rows = models[models["evaluation"] == axis.evaluation]
    others = [name for name in ("generator", "detector", "unit", *AXES) if name != axis.axis]
    return rows.merge(reference_rows(rows)[others].drop_duplicates(), on=others)


def _draw(
    panel: Axes,
    rows: pd.DataFrame,
    axis: StudyAxis,
    metric: str,
    colours: dict[str, str],
    dashes: dict[str, Dash],
) -> None:
    levels = np.sort(rows[axis.axis].unique())
    for (generator, detector), members in rows.groupby(["generator", "detector"], sort=False):
        line = members.sort_values(axis.axis)
        colour, dash = colours[str(detector)], dashes[str(generator)]
        x = _positions(line[axis.axis].to_numpy(float), levels, axis.axis)
        mean, low, high = line[[metric, f"{metric}_low", f"{metric}_high"]].to_numpy(float).T
        panel.fill_between(x, low, high, color=colour, alpha=0.13, linewidth=0)
        panel.plot(x, mean, marker="o", markersize=4, linewidth=1.6, color=colour, linestyle=dash)
        if metric == "accuracy" and "published_accuracy" in line:
            published = line["published_accuracy"]
            panel.scatter(x, published, marker="D", s=20, facecolors="white", edgecolors=colour, zorder=4)
    if axis.axis != "noise":
        panel.set_xticks(range(len(levels)), [labels.level(value) for value in levels])
    panel.set_xlabel(labels.AXES[axis.axis])
    panel.set_ylabel(labels.METRICS[metric])
    open_axes(panel, grid="y")


def _positions(values: np.ndarray, levels: np.ndarray, axis: str) -> np.ndarray:
    """Noise is drawn to scale; epsilons (with infinity) and numbers of subjects one step a level."""
    return values if axis == "noise" else np.searchsorted(levels, values).astype(float)


def _majority_line(panel: Axes, main: pd.DataFrame, axis: StudyAxis, metric: str) -> None:
    rows = main[(main["evaluation"] == axis.evaluation) & (main["detector"] == MAJORITY)]
    if metric == "accuracy":
        for value in rows[metric].head(1):
            panel.axhline(value, color="#777777", linestyle=(0, (4, 2)), linewidth=1.2, zorder=1)


def _legend(models: pd.DataFrame, colours: dict[str, str], dashes: dict[str, Dash]) -> list[Line2D]:
    detectors = models["detector"].unique()
    handles = [Line2D([], [], color=colours[d], marker="o", ms=4, label=labels.model(d)) for d in detectors]
    generators = [name for name in models["generator"].unique() if name != NO_GENERATOR]
    if len(generators) > 1:
        handles += [Line2D([], [], color="#555555", ls=dashes[g], label=labels.model(g)) for g in generators]
    handles.append(Line2D([], [], color="#777777", ls=(0, (4, 2)), lw=1.2, label="majority"))
    if "published_accuracy" in models and models["published_accuracy"].notna().any():
        handles.append(
            Line2D([], [], color="#555555", marker="D", mfc="white", ms=4, ls="", label="published")
        )
    return handles
