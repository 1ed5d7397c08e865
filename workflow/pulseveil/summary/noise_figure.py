"""Figure of noised real data: what detectors learn from it, and how many people are recognised in it.

Generators stand beside the noise where their releases were attacked too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D

from pulseveil.core.tables import in_order
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
    detector_colours,
    legend_columns,
    legend_inches,
    open_axes,
    style,
    wrapped,
)
from pulseveil.windows.signals import ALL_SIGNALS

CAPTION = (
    "Noise on real windows, and generators where they were attacked: accuracy and stress F1 of detectors "
    "that learnt from such windows and are tested on real ones, and the share of people whom an attacker "
    "recognises by dynamic time warping; bars are 95 % intervals over subjects. The noise gives no "
    "guarantee: the share holds for this attack alone, and another attack can recognise more people. The "
    "attacker knows the first half of each person's windows of each condition without noise and searches the "
    "noised others, as they are or smoothed; of a generator the attacker tells which release was trained "
    "without a person. Chance is the same for all."
)
_METRICS = ("accuracy", "f1")
_HEIGHTS = (1.6, 1.6, 1.6)
# Of y labels, titles and x labels of one row of columns.
_LABEL_INCHES, _HEAD_INCHES = 0.8, 1.1
_SPREAD = 0.3
# Dotted: rules are dashed.
_CHANCE: Mapping[str, Any] = {"color": GREY, "linestyle": (0, (1, 1.5)), "linewidth": 1.2}
_ATTACKS = {"linked recording": INK, "linked smoothed recording": "#882255", "missing person": GREY}


class Column(NamedTuple):
    """One column of panels: positions with their labels, and the rows that stand there.

    main: rows of models, attacks: rows of re-identifications, both with their `position`. rules: rows of
    rules. joined: whether the positions are levels of one axis.
    """

    title: str
    axis: str
    ticks: Sequence[str]
    main: pd.DataFrame
    attacks: pd.DataFrame
    rules: pd.DataFrame
    joined: bool


def noise_columns(main: pd.DataFrame, audits: pd.DataFrame, description: StudyDescription) -> list[Column]:
    """Columns of the figure: each evaluation with attacked noised windows, then the attacked generators.

    Without attacked noised windows there is none.
    """
    if "input_noise" not in audits:
        return []
    rows = main[main["signals"] == ALL_SIGNALS]
    linked = audits[audits["part"] == "noised"]
    found = [_of_noise(str(name), rows, linked, description) for name in linked["evaluation"].unique()]
    cohorts = set(linked["cohort"])
    missing = audits[
        (audits["part"] == "generator") & audits["rate"].notna() & audits["cohort"].isin(cohorts)
    ]
    return found if missing.empty else [*found, _of_generators(rows, missing, description)]


def _of_noise(name: str, main: pd.DataFrame, linked: pd.DataFrame, description: StudyDescription) -> Column:
    own, attacks = main[main["evaluation"] == name], linked[linked["evaluation"] == name]
    models, rules = own[own["role"] == MODEL], own[own["role"] != MODEL]
    levels = np.sort(attacks["input_noise"].unique())
    distribution = description.evaluations[name].noise_distribution
    scale = "scale" if distribution == "laplace" else "standard deviation"
    return Column(
        f"{distribution.capitalize()} noise on real windows",
        f"{scale} of the noise",
        ["none" if level == 0 else labels.level(level) for level in levels.tolist()],
        models.assign(position=np.searchsorted(levels, models["noise"])),
        attacks.assign(position=np.searchsorted(levels, attacks["input_noise"])),
        rules,
        joined=True,
    )


def _of_generators(main: pd.DataFrame, attacks: pd.DataFrame, description: StudyDescription) -> Column:
    keys = ["cohort", "generator", "unit", "epsilon_generator"]
    cohorts = {name: found.cohort for name, found in description.evaluations.items()}
    synthetic = [name for name, found in description.evaluations.items() if found.train == "synthetic"]
    own = main[main["evaluation"].isin(synthetic)].assign(cohort=main["evaluation"].map(cohorts))
    models, rules = own[own["role"] == MODEL], own[own["role"] != MODEL]
    # The most synthetic subjects: the reference of that axis.
    models = models.sort_values("subjects", ascending=False).drop_duplicates([*keys, "detector"])
    releases = in_order(attacks[keys].drop_duplicates(), keys[1:]).reset_index(drop=True)
    at = releases.assign(position=releases.index)
    ticks = [
        f"{description.generator_title(name)}\n{_budget(unit, epsilon)}"
        for name, unit, epsilon in releases[keys[1:]].itertuples(index=False, name=None)
    ]
    return Column(
        "Windows of generators",
        "budget of the generator",
        ticks,
        models.merge(at, on=keys),
        attacks.merge(at, on=keys),
        rules,
        joined=False,
    )


def _budget(unit: str, epsilon: float) -> str:
    return "none" if np.isinf(epsilon) else f"ε {labels.level(epsilon)}, {unit}"


def noise_figure(columns: Sequence[Column], description: StudyDescription, width: float = PAGE) -> Figure:
    """Accuracy, stress F1 and re-identified people by the noise, one column of panels per `Column`."""
    main = pd.concat([part for column in columns for part in (column.main, column.rules)])
    colours = detector_colours(description)
    shown = [name for name in colours if name in set(main["detector"])]
    attacked = {name for column in columns for name in column.attacks["attack"]}
    with mpl.rc_context(style(width)):
        handles = _legend(main, attacked, shown, colours, description)
        rows = _side_by_side(columns, width - _LABEL_INCHES)
        heights = [sum(_HEIGHTS) + max(map(_head_inches, row)) for row in rows]
        heights.append(legend_inches(handles, width))
        figure = Figure(figsize=(width, sum(heights)), layout="constrained")
        parts = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
        for part, row in zip(parts, rows, strict=False):
            _draw(part, row, {name: colours[name] for name in shown}, description)
        parts[-1].legend(handles=handles, loc="center", ncols=legend_columns(handles, width))
    return figure


def _inches(column: Column) -> float:
    return 0.6 + 0.3 * max(4, len(column.ticks))


def _head_inches(column: Column) -> float:
    """Height of title and x labels: names of generators stand upright."""
    return _HEAD_INCHES if column.joined else 2 * _HEAD_INCHES


def _side_by_side(columns: Sequence[Column], inches: float) -> list[list[Column]]:
    """Columns in rows of at most `inches`, at least one per row."""
    rows: list[list[Column]] = []
    for column in columns:
        if rows and sum(map(_inches, [*rows[-1], column])) <= inches:
            rows[-1].append(column)
        else:
            rows.append([column])
    return rows


def _draw(
    part: SubFigure, columns: Sequence[Column], colours: Mapping[str, str], description: StudyDescription
) -> None:
    widths = list(map(_inches, columns))
    grid = part.subplots(
        len(_HEIGHTS),
        len(columns),
        squeeze=False,
        sharex="col",
        sharey="row",
        gridspec_kw={"width_ratios": widths, "height_ratios": _HEIGHTS},
    )
    for panels, column in zip(grid.T, columns, strict=True):
        for panel, metric in zip(panels, _METRICS, strict=False):
            _rules(panel, column.rules, metric, description)
            _utility(panel, column, metric, list(colours), colours)
        _attacks(panels[-1], column)
        for panel in panels:
            open_axes(panel, grid="y")
        panels[0].set_title(wrapped(column.title, _inches(column)))
        panels[-1].set_xticks(range(len(column.ticks)), column.ticks, rotation=0 if column.joined else 90)
        panels[-1].set_xlim(-0.5, len(column.ticks) - 0.5)
        panels[-1].set_xlabel(column.axis)
    names = [title_of(metric, HEADLINES) for metric in _METRICS]
    for panel, name in zip(grid[:, 0], [*names, "People recognised"], strict=True):
        panel.set_ylabel(name)
    grid[-1, 0].set_ylim(-0.03, 1.03)


def _rules(panel: Axes, rules: pd.DataFrame, metric: str, description: StudyDescription) -> None:
    for name, dashes in line_styles(description).items():
        for value in rules.loc[rules["detector"] == name, metric].dropna().head(1):
            panel.axhline(value, color=GREY, linestyle=dashes, linewidth=1.2, zorder=1)


def _utility(
    panel: Axes, column: Column, metric: str, shown: Sequence[str], colours: Mapping[str, str]
) -> None:
    # Side by side: intervals of detectors at one level would cover each other.
    offsets = np.linspace(-_SPREAD / 2, _SPREAD / 2, len(shown)) if len(shown) > 1 else np.zeros(1)
    for name, offset in zip(shown, offsets.tolist(), strict=True):
        rows = column.main[column.main["detector"] == name]
        _bars(panel, rows, (metric, f"{metric}_low", f"{metric}_high"), offset, colours[name], column.joined)


def _attacks(panel: Axes, column: Column) -> None:
    panel.axhline(column.attacks["chance"].iloc[0], zorder=1, **_CHANCE)
    shown = list(column.attacks.groupby("attack", sort=False))
    for i, (name, rows) in enumerate(shown):
        offset = _SPREAD * (i - (len(shown) - 1) / 2)
        _bars(panel, rows, ("rate", "rate_low", "rate_high"), offset, _ATTACKS[str(name)], column.joined)


def _bars(
    panel: Axes, rows: pd.DataFrame, values: tuple[str, str, str], offset: float, colour: str, joined: bool
) -> None:
    rows = rows.sort_values("position")
    x = rows["position"].to_numpy(float) + offset
    mean, low, high = rows[list(values)].to_numpy(float).T
    panel.vlines(x, low, high, colors=colour, linewidth=1.1, alpha=0.7)
    panel.plot(x, mean, marker="o", markersize=4, color=colour, linewidth=0.8 if joined else 0)


def _legend(
    main: pd.DataFrame,
    attacked: Set[str],
    shown: Sequence[str],
    colours: Mapping[str, str],
    description: StudyDescription,
) -> list[Line2D]:
    handles = [
        Line2D([], [], color=colours[name], marker="o", ms=4, lw=0.8, label=description.detector_title(name))
        for name in shown
    ]
    attacks = [
        Line2D([], [], color=colour, marker="o", ms=4, lw=0.8, label=f"attack: {name}")
        for name, colour in _ATTACKS.items()
        if name in attacked
    ]
    chance = Line2D([], [], label="chance of the attack", **_CHANCE)
    bar = Line2D([], [], color=INK, lw=1.1, label="95 % interval")
    return [*handles, *attacks, chance, bar, *line_handles(main, description)]
