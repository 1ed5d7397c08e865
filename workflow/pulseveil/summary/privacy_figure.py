"""What privacy costs: accuracy and stress F1 over epsilon, for each unit of protection."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from pulseveil.detectors import MODEL
from pulseveil.summary import labels
from pulseveil.summary.cells import NO_GENERATOR
from pulseveil.summary.description import StudyDescription
from pulseveil.summary.figures import line_handles, line_styles
from pulseveil.summary.palette import GREY, INK, STYLE, detector_colours, open_axes

_METRICS = ("accuracy", "f1")
_EPSILONS = ["epsilon_generator", "epsilon_detector"]
_LEGEND_INCHES = 2.1
_PANEL_INCHES = (2.9, 1.55)
_UNITS = {"subject": "protects a person", "window": "protects one window"}
_SPREAD = 0.11


def private_evaluations(main: pd.DataFrame) -> list[str]:
    """The evaluations with private cells, in table order."""
    private = main[main["epsilon_pld"].notna()]
    return list(private["evaluation"].unique())


def privacy_figure(main: pd.DataFrame, description: StudyDescription) -> Figure:
    """Dots and 95 % intervals over subjects by epsilon: a column a unit, a colour a model, rules as lines.

    A model's epsilon is the smaller of its parts'. Others stand at the left of both units, at infinity.
    """
    names = private_evaluations(main)
    epsilon = main[_EPSILONS].min(axis=1).where(main["epsilon_pld"].notna(), np.inf)
    rows = main[main["evaluation"].isin(names)].assign(epsilon=epsilon)
    models = rows[rows["role"] == MODEL]
    units = list(models.loc[np.isfinite(models["epsilon"]), "unit"].unique())
    with mpl.rc_context(dict(STYLE)):
        width = max(0.9 + _PANEL_INCHES[0] * len(units), 4.4)
        height = 0.5 + len(names) * (0.6 + _PANEL_INCHES[1] * len(_METRICS))
        figure = Figure(figsize=(width, height), layout="constrained")
        parts = figure.subfigures(len(names) + 1, 1, height_ratios=[*[1.0] * len(names), 0.14], squeeze=False)
        for (part,), name in zip(parts, names, strict=False):
            _draw(part, name, rows[rows["evaluation"] == name], units, description)
        columns = max(1, int(width / _LEGEND_INCHES))
        parts[-1, 0].legend(handles=_legend(models, rows, description), loc="center", ncols=columns)
    return figure


def _draw(
    part: SubFigure, name: str, rows: pd.DataFrame, units: list[str], description: StudyDescription
) -> None:
    panels = part.subplots(len(_METRICS), len(units), squeeze=False, sharex="col", sharey="row")
    models = rows[rows["role"] == MODEL]
    for column, unit in zip(panels.T, units, strict=True):
        shown = models[(models["unit"] == unit) | np.isinf(models["epsilon"])]
        levels = np.sort(shown["epsilon"].unique())[::-1]
        for panel, metric in zip(column, _METRICS, strict=True):
            _rules(panel, rows, metric, description)
            _models(panel, shown, levels, metric, description)
            open_axes(panel, grid="y")
        column[0].set_title(_UNITS[unit])
        column[-1].set_xticks(range(len(levels)), [labels.level(v) for v in levels.tolist()])
        column[-1].set_xlabel("ε of one trained model")
    for panel, metric in zip(panels[:, 0], _METRICS, strict=True):
        panel.set_ylabel(labels.METRICS[metric])
    part.suptitle(labels.evaluation(name), fontweight="bold", fontsize=9.5, x=0.02, ha="left")


def _rules(panel: Axes, rows: pd.DataFrame, metric: str, description: StudyDescription) -> None:
    for name, dashes in line_styles(description).items():
        for value in rows.loc[rows["detector"] == name, metric].dropna().head(1):
            panel.axhline(value, color=GREY, linestyle=dashes, linewidth=1.2, zorder=1)


def _models(
    panel: Axes,
    rows: pd.DataFrame,
    levels: NDArray[np.float64],
    metric: str,
    description: StudyDescription,
) -> None:
    colours = detector_colours(description)
    groups = list(rows.groupby(["generator", "detector"], sort=False))
    places = _SPREAD * (np.arange(len(groups)) - (len(groups) - 1) / 2)
    for ((generator, detector), members), place in zip(groups, places.tolist(), strict=True):
        line = members.sort_values("epsilon", ascending=False).drop_duplicates("epsilon")
        x = np.searchsorted(-levels, -line["epsilon"].to_numpy(float)) + place
        mean, low, high = line[[metric, f"{metric}_low", f"{metric}_high"]].to_numpy(float).T
        colour = colours[str(detector)]
        panel.vlines(x, low, high, colors=colour, linewidth=1.4)
        marker = "o" if generator == NO_GENERATOR else "s"
        panel.plot(x, mean, marker=marker, markersize=4.5, linewidth=0.7, color=colour)


def _legend(models: pd.DataFrame, rows: pd.DataFrame, description: StudyDescription) -> list[Line2D]:
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
