"""Main figure (accuracy and stress F1 with intervals) and figure of the accuracy of each subject."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import cycle

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D

from pulseveil.detectors import BASELINE, CLOCK, LITERATURE, LITERATURE_THREE, MODEL, Role
from pulseveil.summary import labels
from pulseveil.summary.description import StudyDescription
from pulseveil.summary.palette import (
    GREY,
    INK,
    LEAST_PT,
    PAGE,
    detector_colours,
    legend_columns,
    legend_inches,
    open_axes,
    style,
)
from pulseveil.summary.results import NO_GENERATOR, Cells

# Names of rows have two lines in a narrow figure.
_ROW_INCHES, _NARROW_ROW_INCHES = 0.23, 0.29
_TITLE_INCHES = 0.3
_Dashes = tuple[int, tuple[float, ...]]
_LINES: Mapping[Role, _Dashes] = {
    BASELINE: (0, (4, 2)),
    CLOCK: (0, (1, 1.5)),
    LITERATURE: (0, (5, 1.5, 1, 1.5)),
    LITERATURE_THREE: (0, (8, 1.5, 1, 1.5, 1, 1.5)),
}
# For rules with another role, and for all but the first rule of a role.
_OTHER_LINES: tuple[_Dashes, ...] = ((0, (8, 2)), (0, (3, 1, 1, 1, 1, 1)), (0, (1, 4)))


@dataclass(frozen=True, eq=False)
class Block:
    """Rows of the main table for one evaluation: `models` become rows of dots, `rules` become lines."""

    evaluation: str
    models: pd.DataFrame
    rules: pd.DataFrame


def blocks(main: pd.DataFrame) -> list[Block]:
    """One block per evaluation, with the `reference_rows` of its models."""
    kept = reference_rows(main)
    parts = []
    for name, rows in main.groupby("evaluation", sort=False):
        models = kept[kept["evaluation"] == name]
        # A rule depends on no axis: one of its rows stands for all.
        rules = rows[rows["role"] != MODEL].drop_duplicates("detector")
        parts.append(Block(str(name), models, rules))
    return parts


def reference_rows(main: pd.DataFrame) -> pd.DataFrame:
    """One row per evaluation, generator and detector, in table order.

    The row has the largest epsilons; ties go to the least noise, then to the most synthetic subjects, then to
    all signals.
    """
    models = main[main["role"] == MODEL]
    order = ["epsilon_generator", "epsilon_detector", "noise", "subjects"]
    # Stable: in table order a row that reads all signals is the first.
    best = models.sort_values(order, ascending=[False, False, True, False], kind="stable")
    return best.drop_duplicates(["evaluation", "generator", "detector"]).sort_index()


def main_figure(main: pd.DataFrame, description: StudyDescription, width: float = PAGE) -> Figure:
    """Accuracy and stress F1 of each model, with 95 % intervals over subjects: one panel per evaluation."""
    parts = blocks(main)
    colours = detector_colours(description)
    with mpl.rc_context(style(width)):
        handles = _legend(main, description)
        figure, grid = _panels(parts, columns=2, width=width, legend=legend_inches(handles, width))
        for axes, part in zip(grid, parts, strict=True):
            for panel, metric in zip(axes, ("accuracy", "f1"), strict=True):
                rule_lines(panel, part.rules, metric, description)
                _dots(panel, part.models, metric, colours)
                # The published F1 averages over both outputs: it does not belong beside stress F1.
                _published(panel, part.models, "published_accuracy" if metric == "accuracy" else "")
            _name_rows(axes[0], part, description, "\n" if width < PAGE else " ")
            axes[1].tick_params(labelleft=False)
        _finish(grid, ("Accuracy", "Stress F1"), _lowest(main))
        columns = legend_columns(handles, width)
        figure.legend(handles=handles, loc="outside lower center", ncols=columns)
    return figure


def subject_figure(
    main: pd.DataFrame, cells: Cells, description: StudyDescription, width: float = PAGE
) -> Figure:
    """Accuracy of each subject under each model, mean over seeds; the lowest subject of a row is named."""
    parts = blocks(main)
    colours = detector_colours(description)
    with mpl.rc_context(style(width)):
        handles = [
            Line2D([], [], color=INK, marker="o", ms=4, ls="", alpha=0.6, label="subject (mean over seeds)"),
            Line2D([], [], color=INK, marker="|", ms=11, mew=2, ls="", label="mean"),
            *line_handles(main, description),
        ]
        figure, grid = _panels(parts, columns=1, width=width, legend=legend_inches(handles, width))
        for (panel,), part in zip(grid, parts, strict=True):
            rule_lines(panel, part.rules, "accuracy", description)
            for y, row in enumerate(part.models.index):
                colour = colours[part.models.loc[row, "detector"]]
                _strip(panel, y, cells.values["accuracy"][row], cells.subjects, colour)
            _name_rows(panel, part, description, "\n" if width < PAGE else " ")
        _finish(grid, ("Accuracy of each subject",), float(np.nanmin(cells.values["accuracy"])))
        columns = legend_columns(handles, width)
        figure.legend(handles=handles, loc="outside lower center", ncols=columns)
    return figure


def _panels(
    parts: list[Block], *, columns: int, width: float, legend: float
) -> tuple[Figure, list[list[Axes]]]:
    heights = [_rows(part) for part in parts]
    row = _ROW_INCHES if width >= PAGE else _NARROW_ROW_INCHES
    inches = 0.5 + sum(heights) * row + _TITLE_INCHES * len(parts) + legend
    figure = Figure(figsize=(width, inches), layout=ConstrainedLayoutEngine(wspace=0.06))
    grid = figure.subplots(
        len(parts), columns, squeeze=False, sharex="col", gridspec_kw={"height_ratios": heights}
    )
    for row, height in zip(grid, heights, strict=True):
        for panel in row:
            # Downwards: the first row of the table is the top row of the panel.
            panel.set_ylim(height - 0.6, -0.6)
    return figure, [list(row) for row in grid]


def _rows(part: Block) -> float:
    """Height of a panel in rows: its models and a margin."""
    return max(1, len(part.models)) + 0.2


def _dots(panel: Axes, rows: pd.DataFrame, metric: str, colours: dict[str, str]) -> None:
    y = np.arange(len(rows))
    mean, low, high = rows[[metric, f"{metric}_low", f"{metric}_high"]].to_numpy(float).T
    paint = [colours[name] for name in rows["detector"]]
    panel.hlines(y, low, high, colors=paint, linewidth=1.8)
    panel.scatter(mean, y, c=paint, s=30, zorder=3, linewidths=0)


def _published(panel: Axes, rows: pd.DataFrame, column: str) -> None:
    if column in rows:
        panel.scatter(
            rows[column], np.arange(len(rows)), marker="D", s=26, facecolors="white", edgecolors=INK, zorder=4
        )


def _strip(panel: Axes, y: int, values: np.ndarray, subjects: tuple[str, ...], colour: str) -> None:
    tested = np.flatnonzero(~np.isnan(values))
    # Not random jitter: the same scores must give the same bytes. 2.4 rad spreads neighbours apart.
    spread = 0.22 * np.sin(np.arange(len(tested)) * 2.4)
    panel.scatter(values[tested], y + spread, s=14, color=colour, alpha=0.6, linewidths=0, zorder=3)
    panel.scatter(values[tested].mean(), y, marker="|", s=190, color=colour, linewidths=2.2, zorder=4)
    worst = tested[np.argmin(values[tested])]
    at = (values[worst], y + spread[np.argmin(values[tested])])
    panel.annotate(
        subjects[worst], at, (-5, 0), textcoords="offset points", ha="right", va="center", fontsize=LEAST_PT
    )


def rule_lines(panel: Axes, rules: pd.DataFrame, metric: str, description: StudyDescription) -> None:
    """Draw the value of each of an evaluation's rules as a vertical line."""
    for name, dashes in line_styles(description).items():
        for value in rules.loc[rules["detector"] == name, metric].dropna():
            panel.axvline(value, color=GREY, linestyle=dashes, linewidth=1.2, zorder=1)


def _name_rows(panel: Axes, part: Block, description: StudyDescription, space: str) -> None:
    """Names of rows and title of a panel; `space`: what parts the two names of a row, and the remark."""
    names = [
        description.detector_title(detector)
        + ("" if generator == NO_GENERATOR else f"{space}· {description.generator_title(generator)}")
        for generator, detector in zip(part.models["generator"], part.models["detector"], strict=True)
    ]
    panel.set_yticks(range(len(names)), names)
    saw = (part.models["generator_saw_test_subject"] == "yes").any()
    remark = f"{space}(generator saw the test subject)" if saw else ""
    panel.set_title(labels.evaluation(part.evaluation) + remark, loc="left", fontweight="bold")


def _finish(grid: list[list[Axes]], names: tuple[str, ...], lowest: float) -> None:
    for row in grid:
        for panel in row:
            open_axes(panel, grid="x")
            panel.spines["left"].set_visible(False)
    for panel, name in zip(grid[-1], names, strict=True):
        panel.set_xlabel(name)
        panel.set_xlim(left=_floor(lowest), right=1.01)


def _lowest(main: pd.DataFrame) -> float:
    columns = ["accuracy_low", "f1_low", "accuracy", "f1"]
    # `initial`: a table without any defined value still gets an axis.
    return float(np.nanmin(reference_rows(main)[columns].to_numpy(float), initial=0.95))


def _floor(lowest: float) -> float:
    return max(0.0, float(np.floor(lowest * 10 - 0.3)) / 10)


def _legend(main: pd.DataFrame, description: StudyDescription) -> list[Line2D]:
    handles = [Line2D([], [], color=INK, marker="o", ms=5, lw=1.8, label="mean, 95 % interval")]
    if "published_accuracy" in main and main["published_accuracy"].notna().any():
        handles.append(Line2D([], [], color=INK, marker="D", ms=5, mfc="white", ls="", label="published"))
    return handles + line_handles(main, description)


def line_styles(description: StudyDescription) -> dict[str, _Dashes]:
    """Dashes of each rule of the study, in the order of `description.rules`."""
    others = cycle(_OTHER_LINES)
    styles: dict[str, _Dashes] = {}
    for name in description.rules:
        # Two rules of one role must differ: the first one has the dashes of the role.
        dashes = _LINES.get(description.detectors[name].role)
        styles[name] = next(others) if dashes is None or dashes in styles.values() else dashes
    return styles


def line_handles(main: pd.DataFrame, description: StudyDescription) -> list[Line2D]:
    """Legend entries of the rules in a main table."""
    present = set(main["detector"])
    return [
        Line2D([], [], color=GREY, ls=dashes, lw=1.2, label=description.detector_title(name).lower())
        for name, dashes in line_styles(description).items()
        if name in present
    ]
