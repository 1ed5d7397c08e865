"""Figures of synthetic windows beside ranges from the literature; no recording is used."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import NDArray

from pulseveil.app.synthesis import Generated, require_confirmation
from pulseveil.release.public_summary import PublicChannel
from pulseveil.summary import labels
from pulseveil.summary.palette import GREY, STYLE, class_colours, open_axes

SHOWN_WINDOWS = 3
_BINS = (10, 40)
_COLUMNS = 3


def signals_figure(generated: Generated, *, confirmed_not_private: bool = False) -> Figure:
    """The first windows of each class in the units of the windows: one row per channel, one column per class.

    Raises:
        InputError: the model is not private, and `confirmed_not_private` is False.
    """
    require_confirmation(generated.trained, confirmed_not_private)
    facts, synthetic = generated.trained.facts, generated.synthetic
    present = [code for code in range(len(facts.classes)) if np.any(synthetic.condition == code)]
    colours = class_colours(facts.classes)
    seconds = np.arange(synthetic.windows.shape[1]) / synthetic.rate_hz
    with mpl.rc_context(dict(STYLE)):
        figure = Figure(figsize=(8.4, 1.25 * len(facts.channels) + 0.8), layout="constrained")
        grid = figure.subplots(len(facts.channels), len(present), sharex=True, sharey="row", squeeze=False)
        for column, code in enumerate(present):
            windows = synthetic.windows[synthetic.condition == code][:SHOWN_WINDOWS]
            for row, channel in enumerate(facts.channels):
                axes = grid[row, column]
                axes.plot(seconds, windows[:, :, row].T, color=colours[facts.classes[code]], linewidth=1.0)
                axes.margins(x=0)
                open_axes(axes, grid="y")
                if column == 0:
                    name = f"{labels.signals(channel.name)}\n{textwrap.fill(channel.unit, 26)}"
                    axes.set_ylabel(name, rotation=0, ha="right", va="center", fontsize=7.5)
            title = f"{facts.classes[code]}: {len(windows)} of {int((synthetic.condition == code).sum())}"
            grid[0, column].set_title(f"{title} windows")
            grid[-1, column].set_xlabel("time, s")
    return figure


def distributions_figure(generated: Generated, *, confirmed_not_private: bool = False) -> Figure:
    """Histograms of window means per class: one panel per channel, with the public neutral range and limits.

    Raises:
        InputError: the model is not private, and `confirmed_not_private` is False.
    """
    require_confirmation(generated.trained, confirmed_not_private)
    facts, synthetic = generated.trained.facts, generated.synthetic
    means = synthetic.windows.mean(axis=1)
    colours = class_colours(facts.classes)
    rows = -(-len(facts.channels) // _COLUMNS)
    with mpl.rc_context(dict(STYLE)):
        figure = Figure(figsize=(8.4, 2.5 * rows + 0.7), layout="constrained")
        grid = figure.subplots(rows, _COLUMNS, squeeze=False).ravel()
        for axes in grid[len(facts.channels) :]:
            axes.set_axis_off()
        for i, channel in enumerate(facts.channels):
            by_class = [means[synthetic.condition == code, i] for code in range(len(facts.classes))]
            _distribution(grid[i], channel, by_class, [colours[name] for name in facts.classes])
        # The legend names the limits only if a panel shows one.
        seen = any(low < limit < high for low, high, limit in _limits(grid, facts.channels))
        figure.legend(handles=_legend(facts.classes, seen), loc="outside upper center", ncols=5)
    return figure


def png(figure: Figure) -> bytes:
    """The figure as PNG."""
    buffer = io.BytesIO()
    with mpl.rc_context(dict(STYLE)):
        figure.savefig(buffer, format="png", dpi=150, facecolor="white", metadata={"Software": None})
    return buffer.getvalue()


def _distribution(
    axes: Axes, channel: PublicChannel, by_class: Sequence[NDArray[np.float32]], colours: Sequence[str]
) -> None:
    low, high = _view(channel, np.concatenate(by_class))
    bins = np.linspace(low, high, _bins(sum(map(len, by_class))) + 1).tolist()
    if channel.centre is not None and channel.scale is not None:
        neutral = (channel.centre - channel.scale, channel.centre + channel.scale)
        axes.axvspan(*neutral, color="#EAEAEA", zorder=0, linewidth=0)
    for limit in (channel.low, channel.high):
        axes.axvline(limit, color=GREY, linestyle=(0, (2, 2)), linewidth=1.2, zorder=1)
    for values, colour in zip(by_class, colours, strict=True):
        if len(values):
            # In percent: classes with different numbers of windows stay comparable.
            weights = np.full(len(values), 100 / len(values))
            axes.hist(values, bins=bins, weights=weights, color=colour, alpha=0.35, histtype="stepfilled")
            axes.hist(values, bins=bins, weights=weights, color=colour, linewidth=1.2, histtype="step")
    axes.set_xlim(low, high)
    axes.set_title(f"{labels.signals(channel.name)}\nliterature: {channel.direction}")
    axes.set_xlabel(textwrap.fill(channel.unit, 38), fontsize=7.5)
    axes.set_ylabel("% of windows", fontsize=7.5)
    open_axes(axes, grid="y")


def _bins(windows: int) -> int:
    """Number of bins of a histogram: about the square root of the number of windows."""
    return int(np.clip(round(windows**0.5), *_BINS))


def _view(channel: PublicChannel, values: NDArray[np.float32]) -> tuple[float, float]:
    """Limits of the axis: the values and the neutral range, with a margin."""
    # Without the public limits, which can be far wider than the values.
    ends = [float(values.min()), float(values.max())]
    if channel.centre is not None and channel.scale is not None:
        ends += [channel.centre - channel.scale, channel.centre + channel.scale]
    low, high = min(ends), max(ends)
    margin = 0.06 * (high - low) or 1.0
    return low - margin, high + margin


def _limits(grid: NDArray[Any], channels: Sequence[PublicChannel]) -> Iterator[tuple[float, float, float]]:
    """Each public limit, after the lower and upper end of its axis."""
    for axes, channel in zip(grid, channels, strict=False):
        for limit in (channel.low, channel.high):
            yield *axes.get_xlim(), limit


def _legend(classes: Sequence[str], limits: bool) -> list[Patch | Line2D]:
    colours = class_colours(classes)
    handles: list[Patch | Line2D] = [
        Patch(facecolor=colours[name], alpha=0.6, label=f"synthetic, {name}") for name in classes
    ]
    handles.append(Patch(facecolor="#EAEAEA", label="literature: no clear change"))
    if limits:
        handles.append(
            Line2D([], [], color=GREY, linestyle=(0, (2, 2)), label="literature: limit of a wrist")
        )
    return handles
