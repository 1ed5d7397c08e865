"""Figure of privacy and utility: all ways to a private detector of one question side by side.

A way is a detector with what trains it: real windows with noised training, or the windows of one generator.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from pulseveil.core.tables import in_order, levels
from pulseveil.detectors import MODEL
from pulseveil.summary import labels
from pulseveil.summary.column import title_of
from pulseveil.summary.description import StudyDescription
from pulseveil.summary.figures import line_handles, line_styles
from pulseveil.summary.main_columns import HEADLINES
from pulseveil.summary.palette import (
    GREY,
    INK,
    PAGE,
    generator_colours,
    legend_columns,
    legend_inches,
    open_axes,
    style,
    wrapped,
)
from pulseveil.summary.results import NO_GENERATOR
from pulseveil.windows.signals import ALL_SIGNALS

_METRICS = ("accuracy", "f1")
_MARKERS = ("o", "s", "D", "^", "v", "P", "X")
_UNITS = {"subject": "protects a person", "window": "protects one window"}
_EPSILONS = ["epsilon_generator", "epsilon_detector"]
_WAY = ["evaluation", "generator", "detector"]
_PANEL_INCHES = 1.9
_SPREAD = 0.5


class Question(NamedTuple):
    """Evaluations that test the same people in the same way: cohorts, protocol, and rows of their cells."""

    title: str
    rows: pd.DataFrame


def questions(main: pd.DataFrame, description: StudyDescription) -> list[Question]:
    """Questions with private cells of at least two ways, in table order."""
    of = description.evaluations
    keys = {name: (e.cohort, e.tested_cohort, e.test) for name, e in of.items()}
    found = []
    for key, rows in main.groupby(main["evaluation"].map(keys), sort=False):
        private = rows[rows["epsilon_pld"].notna()]
        if len(private[_WAY].drop_duplicates()) > 1:
            cohort, tested, _ = key
            where = cohort if cohort == tested else f"{cohort} to {tested}"
            protocol = of[str(rows["evaluation"].iloc[0])].tested_on
            found.append(Question(f"{where}: {protocol}", _shown(rows)))
    return found


def _shown(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows with their `epsilon`, at the reference of other axes: least noise, most subjects, all signals."""
    epsilon = rows[_EPSILONS].min(axis=1).where(rows["epsilon_pld"].notna(), np.inf)
    ordered = rows.assign(epsilon=epsilon)[rows["signals"] == ALL_SIGNALS]
    ordered = ordered.sort_values(["noise", "subjects"], ascending=[True, False], kind="stable")
    return ordered.drop_duplicates([*_WAY, "unit", "epsilon"]).sort_index()


def ways_figure(asked: list[Question], description: StudyDescription, width: float = PAGE) -> Figure:
    """Accuracy and stress F1 by epsilon: dots with 95 % intervals over subjects, one colour per generator.

    One row of panels per question and metric, one column per unit. A private cell stands at the smaller
    epsilon of its generator and detector, and a cell without a budget at infinity. Rules and generators of
    public knowledge alone use no private data: they are lines over all epsilons.
    """
    rows = pd.concat([question.rows for question in asked])
    private = rows[np.isfinite(rows["epsilon"]) & (rows["role"] == MODEL)]
    units, markers = list(private["unit"].unique()), _markers(rows)
    with mpl.rc_context(style(width)):
        handles = _legend(rows, description)
        part_inches = 0.75 + _PANEL_INCHES * len(_METRICS)
        heights = [part_inches] * len(asked) + [legend_inches(handles, width)]
        figure = Figure(figsize=(width, sum(heights)), layout="constrained")
        parts = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
        for part, question in zip(parts, asked, strict=False):
            _draw(part, question, units, markers, description)
        parts[-1].legend(handles=handles, loc="center", ncols=legend_columns(handles, width))
    return figure


def _draw(
    part: SubFigure,
    question: Question,
    units: list[str],
    markers: Mapping[str, str],
    description: StudyDescription,
) -> None:
    panels = part.subplots(len(_METRICS), len(units), squeeze=False, sharex="col", sharey="row")
    rows = question.rows
    for column, unit in zip(panels.T, units, strict=True):
        models = rows[(rows["role"] == MODEL) & ((rows["unit"] == unit) | np.isinf(rows["epsilon"]))]
        learnt = models[_learns(models, description)]
        ticks = levels(learnt["epsilon"])
        for panel, metric in zip(column, _METRICS, strict=True):
            _lines(panel, rows, metric, markers, description)
            _points(panel, learnt, ticks, metric, markers, description)
            open_axes(panel, grid="y")
        column[0].set_title(_UNITS[unit])
        column[-1].set_xticks(range(len(ticks)), list(map(labels.level, ticks)))
        column[-1].set_xlim(-0.5, len(ticks) - 0.5)
        column[-1].set_xlabel("ε of one trained model")
    for panel, metric in zip(panels[:, 0], _METRICS, strict=True):
        panel.set_ylabel(title_of(metric, HEADLINES))
    part.suptitle(wrapped(question.title, part.figure.get_figwidth()), x=0.02, ha="left")


def _learns(rows: pd.DataFrame, description: StudyDescription) -> pd.Series:
    """Whether real windows take part in a row, instead of public knowledge alone."""
    known = description.generators
    public = [name for name, generator in known.items() if not generator.learns]
    return ~rows["generator"].isin(public)


def _lines(
    panel: Axes,
    rows: pd.DataFrame,
    metric: str,
    markers: Mapping[str, str],
    description: StudyDescription,
) -> None:
    for name, dashes in line_styles(description).items():
        for value in rows.loc[rows["detector"] == name, metric].dropna().head(1):
            panel.axhline(value, color=GREY, linestyle=dashes, linewidth=1.2, zorder=1)
    colours = generator_colours(description)
    public = rows[(rows["role"] == MODEL) & ~_learns(rows, description)].drop_duplicates(_WAY)
    values = public[["generator", "detector", metric]].itertuples(index=False, name=None)
    for generator, detector, value in values:
        panel.axhline(value, color=colours[generator], linewidth=1.0, zorder=1)
        marker, across = markers[detector], panel.get_yaxis_transform()
        panel.plot(0.99, value, marker, color=colours[generator], ms=4, transform=across, clip_on=False)


def _points(
    panel: Axes,
    rows: pd.DataFrame,
    ticks: pd.Index,
    metric: str,
    markers: Mapping[str, str],
    description: StudyDescription,
) -> None:
    colours = generator_colours(description)
    ways = list(rows.groupby(_WAY, sort=False))
    # Side by side: intervals of ways at one epsilon would cover each other.
    offsets = np.linspace(-_SPREAD / 2, _SPREAD / 2, len(ways)) if len(ways) > 1 else np.zeros(1)
    for ((_, generator, detector), members), offset in zip(ways, offsets.tolist(), strict=True):
        line = in_order(members, ["epsilon"]).drop_duplicates("epsilon")
        x = ticks.get_indexer(pd.Index(line["epsilon"])) + offset
        mean, low, high = line[[metric, f"{metric}_low", f"{metric}_high"]].to_numpy(float).T
        colour = colours[str(generator)]
        panel.vlines(x, low, high, colors=colour, linewidth=1.1, alpha=0.7)
        panel.plot(x, mean, marker=markers[str(detector)], markersize=4, linewidth=0.6, color=colour)


def _markers(rows: pd.DataFrame) -> Mapping[str, str]:
    """Marker of each model among the detectors."""
    detectors = sorted(rows.loc[rows["role"] == MODEL, "detector"].unique())
    return {name: _MARKERS[i % len(_MARKERS)] for i, name in enumerate(detectors)}


def _legend(rows: pd.DataFrame, description: StudyDescription) -> list[Line2D | Patch]:
    colours, models = generator_colours(description), rows[rows["role"] == MODEL]
    handles: list[Line2D | Patch] = []
    for name in models["generator"].unique():
        if name == NO_GENERATOR:
            title = "trained on real windows"
        else:
            known = description.generators[name]
            title = known.title if known.learns else f"{known.title} (line, no private data)"
        handles.append(Patch(color=colours[name], label=title))
    handles += [
        Line2D([], [], color=INK, marker=marker, ms=4, ls="", label=description.detector_title(name))
        for name, marker in _markers(rows).items()
    ]
    handles.append(Line2D([], [], color=INK, lw=1.1, label="95 % interval"))
    return handles + line_handles(rows, description)
