"""Figures over an axis of the study: epsilon, number of synthetic subjects, input noise.

The privacy figure shows accuracy and stress F1 over epsilon for each unit of protection.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from pulseveil.core.tables import in_order, levels
from pulseveil.detectors import BASELINE, MODEL
from pulseveil.summary import labels
from pulseveil.summary.column import title_of
from pulseveil.summary.description import StudyDescription
from pulseveil.summary.figures import line_handles, line_styles, reference_rows
from pulseveil.summary.main_columns import CELL, HEADLINES
from pulseveil.summary.palette import (
    BASELINE_LINE,
    GREY,
    INK,
    LEAST_PT,
    PAGE,
    detector_colours,
    generator_colours,
    legend_columns,
    legend_inches,
    open_axes,
    style,
    wrapped,
)
from pulseveil.summary.results import NO_GENERATOR

# One figure per evaluation: panels of all evaluations of a large study would fill several pages.
AXES_FIGURE = "axes_{evaluation}"
AXES = ("epsilon_generator", "epsilon_detector", "subjects", "noise")
_METRICS = ("accuracy", "f1")
_PANEL_INCHES = (1.15, 1.25)
_LABEL_INCHES = 0.7


@dataclass(frozen=True)
class StudyAxis:
    """An axis of an evaluation along which the cells of at least one generator and detector differ."""

    evaluation: str
    axis: str


def study_axes(keys: pd.DataFrame) -> list[StudyAxis]:
    """Axes of a study that a figure can show, from the keys of its cells (`Cells.keys`)."""
    # Rules depend on no axis: two rows of a rule differ in their keys only.
    models = keys[keys["role"] == MODEL]
    axes = []
    for name, rows in models.groupby("evaluation", sort=False):
        # Counted per pair: epsilons of two different models are not levels of one axis.
        counts = rows.groupby(["generator", "detector"])[list(AXES)].nunique().max()
        axes += [StudyAxis(str(name), axis) for axis in AXES if counts[axis] > 1]
    return axes


def axis_figure(
    main: pd.DataFrame, axes: Sequence[StudyAxis], description: StudyDescription, width: float = PAGE
) -> Figure:
    """Accuracy and stress F1 over each axis, with bands of 95 % intervals over subjects.

    One column per detector, as far as they fit side by side, one colour per generator. All other axes stay at
    their reference: largest epsilon, least noise, most synthetic subjects.
    """
    models = main[main["role"] == MODEL]
    lines = [_along(models, axis) for axis in axes]
    # The axis with most detectors sets the columns of all axes: panels of one figure keep one width.
    columns = max(rows["detector"].nunique() for rows in lines)
    columns = min(columns, int((width - _LABEL_INCHES) / _PANEL_INCHES[0]))
    with mpl.rc_context(style(width)):
        handles = _legend(pd.concat(lines), description)
        blocks = [-(-rows["detector"].nunique() // columns) for rows in lines]
        heights = [0.45 + count * (0.3 + _PANEL_INCHES[1] * len(_METRICS)) for count in blocks]
        heights.append(legend_inches(handles, width))
        figure = Figure(figsize=(width, sum(heights)), layout="constrained")
        parts = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
        for part, axis, rows in zip(parts, axes, lines, strict=False):
            _draw_axis(part, axis, rows, _baseline(main, axis, description), columns, description)
        parts[-1].legend(handles=handles, loc="center", ncols=legend_columns(handles, width))
    return figure


def _along(models: pd.DataFrame, axis: StudyAxis) -> pd.DataFrame:
    """Rows of the axis' evaluation that differ from a reference row along this axis only."""
    rows = models[models["evaluation"] == axis.evaluation]
    others = [name for name in ("generator", "detector", "unit", "signals", *AXES) if name != axis.axis]
    return rows.merge(reference_rows(rows)[others].drop_duplicates(), on=others)


def _baseline(main: pd.DataFrame, axis: StudyAxis, description: StudyDescription) -> pd.DataFrame:
    """The first row of the evaluation's baseline; empty if the evaluation has no baseline."""
    own = main[main["evaluation"] == axis.evaluation]
    return own[own["detector"] == description.rule(BASELINE, own["detector"])].head(1)


def _draw_axis(
    part: SubFigure,
    axis: StudyAxis,
    rows: pd.DataFrame,
    baseline: pd.DataFrame,
    columns: int,
    description: StudyDescription,
) -> None:
    colours = generator_colours(description)
    columns_of = _detector_panels(part, rows["detector"].nunique(), columns)
    ticks = levels(rows[axis.axis].astype(float))
    for column, (detector, members) in zip(columns_of, rows.groupby("detector", sort=False), strict=True):
        for panel, metric in zip(column, _METRICS, strict=True):
            for generator, line in members.groupby("generator", sort=False):
                _draw_line(panel, in_order(line, [axis.axis]), ticks, axis, metric, colours[str(generator)])
            open_axes(panel, grid="y")
        for value in baseline["accuracy"]:
            column[0].axhline(value, **BASELINE_LINE)
        inches = (part.figure.get_figwidth() - _LABEL_INCHES) / columns
        column[0].set_title(wrapped(description.detector_title(str(detector)), inches))
        if axis.axis != "noise":
            column[-1].set_xticks(range(len(ticks)), list(map(labels.level, ticks)), fontsize=LEAST_PT)
    for column in columns_of[::columns]:
        for panel, metric in zip(column, _METRICS, strict=True):
            panel.set_ylabel(title_of(metric, HEADLINES))
    title = f"{labels.evaluation(axis.evaluation)}: {title_of(axis.axis, CELL).lower()}"
    part.suptitle(title, x=0.02, ha="left")


def _detector_panels(part: SubFigure, detectors: int, columns: int) -> list[NDArray[Any]]:
    """Panels of each detector, one per metric: `columns` detectors side by side, the others below.

    All panels share x, and all panels of a metric share y.
    """
    blocks = -(-detectors // columns)
    panels = part.subplots(blocks * len(_METRICS), columns, squeeze=False, sharex=True)
    found = [
        panels[block * len(_METRICS) : (block + 1) * len(_METRICS), column]
        for block in range(blocks)
        for column in range(columns)
    ]
    for i, column in enumerate(found[1:], start=1):
        for panel, first in zip(column, found[0], strict=True):
            panel.sharey(first)
            panel.tick_params(labelleft=i % columns == 0)
    for panel in np.ravel(found[detectors:]):
        panel.set_visible(False)
    return found[:detectors]


def _draw_line(
    panel: Axes, line: pd.DataFrame, ticks: pd.Index, axis: StudyAxis, metric: str, colour: str
) -> None:
    values = line[axis.axis].to_numpy(float)
    # Noise is to scale. Epsilons (infinity among them) and numbers of subjects take one step per level.
    x = values if axis.axis == "noise" else ticks.get_indexer(pd.Index(values)).astype(float)
    mean, low, high = line[[metric, f"{metric}_low", f"{metric}_high"]].to_numpy(float).T
    panel.fill_between(x, low, high, color=colour, alpha=0.16, linewidth=0)
    panel.plot(x, mean, marker="o", markersize=3.2, linewidth=1.4, color=colour)
    # The published F1 averages over both outputs: it does not belong beside stress F1.
    if metric == "accuracy" and "published_accuracy" in line:
        panel.scatter(
            x, line["published_accuracy"], marker="D", s=15, facecolors="white", edgecolors=colour, zorder=4
        )


def _legend(rows: pd.DataFrame, description: StudyDescription) -> list[Line2D]:
    colours = generator_colours(description)
    generators = rows["generator"].unique().tolist()
    handles = [
        Line2D([], [], color=colours[name], marker="o", ms=4, label=title)
        for name in generators
        for title in [description.generator_title(name) or "real data only"]
    ]
    if "published_accuracy" in rows and rows["published_accuracy"].notna().any():
        handles.append(Line2D([], [], color=INK, marker="D", mfc="white", ms=4, ls="", label="published"))
    return [*handles, Line2D([], [], label=labels.evaluation(BASELINE), **BASELINE_LINE)]


_EPSILONS = ["epsilon_generator", "epsilon_detector"]
_PRIVACY_PANEL_INCHES = 1.55
_UNITS = {"subject": "protects a person", "window": "protects one window"}
# Between two models at one epsilon, and of all models there: the step between two epsilons is 1.
_SPREAD, _STEP = 0.11, 0.8


def private_evaluations(main: pd.DataFrame) -> list[str]:
    """Evaluations with private cells, in table order."""
    # A finite budget of one part is not enough: epsilon_pld is set only if every part is private.
    private = main[main["epsilon_pld"].notna()]
    return list(private["evaluation"].unique())


def privacy_figure(main: pd.DataFrame, description: StudyDescription, width: float = PAGE) -> Figure:
    """Accuracy and stress F1 by epsilon: dots with 95 % intervals over subjects, rules as lines.

    One column per unit, one colour per detector. The epsilon of a private cell is the smaller one of its
    generator and detector. Cells without privacy have epsilon infinity, at the left of each column.
    """
    names = private_evaluations(main)
    # A part that learns from real windows without a budget leaves the whole cell unprotected.
    epsilon = main[_EPSILONS].min(axis=1).where(main["epsilon_pld"].notna(), np.inf)
    rows = main[main["evaluation"].isin(names)].assign(epsilon=epsilon)
    models = rows[rows["role"] == MODEL]
    units = list(models.loc[np.isfinite(models["epsilon"]), "unit"].unique())
    with mpl.rc_context(style(width)):
        handles = _privacy_legend(models, rows, description)
        heights = [0.6 + _PRIVACY_PANEL_INCHES * len(_METRICS)] * len(names)
        heights.append(legend_inches(handles, width))
        figure = Figure(figsize=(width, sum(heights)), layout="constrained")
        parts = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
        for part, name in zip(parts, names, strict=False):
            _draw(part, name, rows[rows["evaluation"] == name], units, description)
        parts[-1].legend(handles=handles, loc="center", ncols=legend_columns(handles, width))
    return figure


def _draw(
    part: SubFigure, name: str, rows: pd.DataFrame, units: list[str], description: StudyDescription
) -> None:
    panels = part.subplots(len(_METRICS), len(units), squeeze=False, sharex="col", sharey="row")
    models = rows[rows["role"] == MODEL]
    for column, unit in zip(panels.T, units, strict=True):
        shown = models[(models["unit"] == unit) | np.isinf(models["epsilon"])]
        ticks = levels(shown["epsilon"])
        for panel, metric in zip(column, _METRICS, strict=True):
            _rules(panel, rows, metric, description)
            _models(panel, shown, ticks, metric, description)
            open_axes(panel, grid="y")
        column[0].set_title(_UNITS[unit])
        column[-1].set_xticks(range(len(ticks)), list(map(labels.level, ticks)))
        column[-1].set_xlabel("ε of one trained model")
    for panel, metric in zip(panels[:, 0], _METRICS, strict=True):
        panel.set_ylabel(title_of(metric, HEADLINES))
    part.suptitle(labels.evaluation(name), x=0.02, ha="left")


def _rules(panel: Axes, rows: pd.DataFrame, metric: str, description: StudyDescription) -> None:
    for name, dashes in line_styles(description).items():
        for value in rows.loc[rows["detector"] == name, metric].dropna().head(1):
            panel.axhline(value, color=GREY, linestyle=dashes, linewidth=1.2, zorder=1)


def _models(
    panel: Axes,
    rows: pd.DataFrame,
    ticks: pd.Index,
    metric: str,
    description: StudyDescription,
) -> None:
    colours = detector_colours(description)
    groups = list(rows.groupby(["generator", "detector"], sort=False))
    # Side by side: intervals of models at one epsilon would cover each other.
    spread = min(_SPREAD, _STEP / max(1, len(groups)))
    offsets = spread * (np.arange(len(groups)) - (len(groups) - 1) / 2)
    for ((generator, detector), members), offset in zip(groups, offsets.tolist(), strict=True):
        line = in_order(members, ["epsilon"]).drop_duplicates("epsilon")
        x = ticks.get_indexer(pd.Index(line["epsilon"])) + offset
        mean, low, high = line[[metric, f"{metric}_low", f"{metric}_high"]].to_numpy(float).T
        colour = colours[str(detector)]
        panel.vlines(x, low, high, colors=colour, linewidth=1.4)
        marker = "o" if generator == NO_GENERATOR else "s"
        panel.plot(x, mean, marker=marker, markersize=4.5, linewidth=0.7, color=colour)


def _privacy_legend(models: pd.DataFrame, rows: pd.DataFrame, description: StudyDescription) -> list[Line2D]:
    colours = detector_colours(description)
    handles = []
    for generator, detector in models[["generator", "detector"]].drop_duplicates().to_numpy().tolist():
        of = "" if generator == NO_GENERATOR else f" · {description.generator_title(generator)}"
        marker = "s" if of else "o"
        label = description.detector_title(detector) + of
        handles.append(Line2D([], [], color=colours[detector], marker=marker, ms=4.5, label=label))
    return [
        *handles,
        Line2D([], [], color=INK, lw=1.4, label="95 % interval"),
        *line_handles(rows, description),
    ]
