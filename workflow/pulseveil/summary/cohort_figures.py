"""Figures of a cohort: signals of each person over time, examples and mean spectra of each class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from pulseveil.core.arrays import Floats
from pulseveil.core.contracts import CONDITIONS, WindowSet
from pulseveil.summary.palette import GREY, INK, STYLE, class_colours, open_axes
from pulseveil.windows.cutting import Trace
from pulseveil.windows.features import ordered_spectra

# Windows of a class that are drawn.
EXAMPLES = 10
# Columns of a line over time: each is drawn from its least to its largest value, so that a file does not grow
# with the length of the recording.
COLUMNS = 300
# Channels by their short titles and units.
CHANNELS: Mapping[str, tuple[str, str]] = {
    "BVP": ("BVP", ""),
    "EDA": ("EDA", "uS"),
    "ACC_x": ("ACC x", "g/64"),
    "ACC_y": ("ACC y", "g/64"),
    "ACC_z": ("ACC z", "g/64"),
    "TEMP": ("TEMP", "C"),
    "heart_rate": ("heart rate", "1/min"),
    "pulse_amplitude": ("pulse ampl.", ""),
    "eda_level": ("EDA level", "uS"),
    "eda_phasic": ("EDA phasic", "uS"),
    "activity": ("activity", "g"),
    "temperature": ("temperature", "C"),
}
_WIDTH = 7.2
_RED = "#CB181D"
_LOST = LinearSegmentedColormap.from_list("lost", ["#FFFFFF", _RED])
_SHADE = 0.25


def person_figure(trace: Trace, channels: Sequence[str], *, scaled: bool) -> Figure:
    """Channels of a person over recorded minutes: labels as shades, gaps, measured share and windows.

    scaled: the values have no units. Time in which nothing was recorded takes no place; a dashed line stands
    for it.
    """
    timeline = trace.timeline
    heights = [*(0.5 for _ in channels), *([0.55] if trace.shares else []), 0.25]
    with mpl.rc_context(dict(STYLE)):
        figure = Figure(figsize=(_WIDTH, sum(heights) + 0.85))
        panels = figure.subplots(
            len(heights),
            1,
            sharex=True,
            squeeze=False,
            gridspec_kw={
                "height_ratios": heights,
                "left": 0.145,
                "right": 0.985,
                "bottom": 0.45 / (sum(heights) + 0.85),
                "top": 1 - 0.35 / (sum(heights) + 0.85),
                "hspace": 0.12,
            },
        )[:, 0]
        for i, (panel, name) in enumerate(zip(panels, channels, strict=False)):
            _labels(panel, timeline.condition)
            minutes, low, high = envelope(timeline.values[:, i])
            panel.fill_between(minutes, low, high, color=INK, linewidth=0.6)
            _name(panel, *CHANNELS.get(name, (name, "")), scaled=scaled)
            panel.locator_params(axis="y", nbins=3)
        if trace.shares:
            _shares(panels[len(channels)], trace.shares)
        _windows(panels[-1], trace)
        for panel in panels:
            open_axes(panel, grid="x")
            panel.tick_params(labelsize=6.5)
            _gaps(panel, timeline.second)
        _gap_lengths(panels[0], timeline.second)
        panels[-1].set_xlim(0, len(timeline.values) / 60)
        panels[-1].set_xlabel("recorded minutes", fontsize=8)
        figure.legend(handles=_legend(trace), loc="upper right", ncols=5, fontsize=7)
    return figure


def windows_figure(windows: WindowSet) -> Figure:
    """Ten windows of each class and channel, evenly spread over its windows, as models see them."""
    present = [code for code in range(len(CONDITIONS)) if (windows.condition == code).any()]
    with mpl.rc_context(dict(STYLE)):
        height = 0.95 * len(present) + 0.75
        figure = Figure(figsize=(_WIDTH, height))
        panels = figure.subplots(
            len(present),
            len(windows.channels),
            sharex=True,
            sharey="col",
            squeeze=False,
            gridspec_kw={
                "left": 0.075,
                "right": 0.99,
                "bottom": 0.45 / height,
                "top": 1 - 0.25 / height,
                "wspace": 0.35,
                "hspace": 0.15,
            },
        )
        seconds = np.arange(windows.windows.shape[1])
        for code, row in zip(present, panels, strict=True):
            shown = windows.windows[examples(windows.condition, code)]
            for i, panel in enumerate(row):
                panel.plot(seconds, shown[:, :, i].T, linewidth=0.6, color=_colour(code), alpha=0.8)
                open_axes(panel, grid="y")
                panel.tick_params(labelsize=6)
                panel.locator_params(axis="y", nbins=3)
            row[0].set_ylabel(CONDITIONS[code], fontsize=7.5)
        for panel, name in zip(panels[0], windows.channels, strict=True):
            panel.set_title(CHANNELS.get(name, (name, ""))[0], fontsize=7.5)
        figure.supxlabel(f"seconds; values scaled: {windows.scaling}", fontsize=8, y=0.02)
    return figure


def spectra_figure(windows: WindowSet) -> Figure:
    """Mean spectrum of each channel by class: what tells the classes apart, by frequency.

    Lines are geometric means over windows of the amplitudes of `ordered_spectra`, without 0 Hz.
    """
    spectra = ordered_spectra(windows.windows, windows.rate_hz)[:, :, 1:]
    frequency_hz = np.arange(1, spectra.shape[2] + 1) / (windows.windows.shape[1] // 2) * windows.rate_hz
    present = [code for code in range(len(CONDITIONS)) if (windows.condition == code).any()]
    with mpl.rc_context(dict(STYLE)):
        figure = Figure(figsize=(_WIDTH, 3.4), layout="constrained")
        panels = figure.subplots(2, -(-len(windows.channels) // 2), sharex=True, squeeze=False).ravel()
        for i, (panel, name) in enumerate(zip(panels, windows.channels, strict=False)):
            for code in present:
                # A signal that does not move has no logarithm; its amplitude is below any drawn one.
                own = np.log(np.maximum(spectra[windows.condition == code, i], np.finfo(np.float32).tiny))
                mean = np.exp(own.mean(axis=0))
                panel.plot(frequency_hz, mean, color=_colour(code), linewidth=1.2, label=CONDITIONS[code])
            panel.set_yscale("log")
            panel.set_title(CHANNELS.get(name, (name, ""))[0], fontsize=7.5)
            open_axes(panel, grid="y")
            panel.tick_params(labelsize=6)
        for panel in panels[len(windows.channels) :]:
            panel.remove()
        figure.supxlabel("frequency, Hz", fontsize=8)
        figure.supylabel("amplitude, scaled", fontsize=8)
        handles, names = panels[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside upper right", ncols=len(present), fontsize=7)
    return figure


def examples(condition: NDArray[np.int8], code: int) -> NDArray[np.intp]:
    """Rows of up to `EXAMPLES` windows of a class, evenly spread over all windows of the class.

    Examples:
        >>> examples(np.array([0, 1] * 20, np.int8), 1)
        array([ 1,  5,  9, 13, 17, 23, 27, 31, 35, 39])
    """
    rows = np.flatnonzero(condition == code)
    return np.asarray(rows[np.linspace(0, len(rows) - 1, min(EXAMPLES, len(rows))).round().astype(int)])


def envelope(values: Floats) -> tuple[Floats, Floats, Floats]:
    """Minutes of up to `COLUMNS` stretches of seconds (T,), with the least and the largest value of each."""
    starts = np.unique(np.linspace(0, len(values), min(COLUMNS, len(values)), endpoint=False).astype(int))
    return starts / 60, np.minimum.reduceat(values, starts), np.maximum.reduceat(values, starts)


def _colour(code: int) -> str:
    return class_colours(CONDITIONS)[CONDITIONS[code]]


def _labels(panel: Axes, condition: NDArray[np.int8]) -> None:
    """Shade the labelled stretches (T,) by condition."""
    borders = np.flatnonzero(np.diff(condition, prepend=-2))
    for start, end in zip(borders, [*borders[1:], len(condition)], strict=True):
        if condition[start] >= 0:
            panel.axvspan(
                start / 60, end / 60, color=_colour(int(condition[start])), alpha=_SHADE, linewidth=0
            )


def _name(panel: Axes, title: str, unit: str, *, scaled: bool) -> None:
    text = f"{title}\n{unit}" if unit and not scaled else title
    panel.set_ylabel(text, fontsize=7, rotation=0, ha="right", va="center", labelpad=4)


def _shares(panel: Axes, shares: Mapping[str, Floats]) -> None:
    """Measured share of each sensor: white where everything was measured, dark where nothing was."""
    names = list(shares)
    seconds = len(shares[names[0]])
    starts = np.unique(np.linspace(0, seconds, min(COLUMNS, seconds), endpoint=False).astype(int))
    lengths = np.diff([*starts, seconds])
    lost = 1 - np.stack([np.add.reduceat(shares[name], starts) / lengths for name in names])
    edges = np.append(starts, seconds) / 60
    panel.pcolormesh(
        edges, np.arange(len(names) + 1), lost, cmap=_LOST, vmin=0, vmax=1, rasterized=True, zorder=0.5
    )
    panel.set_yticks(np.arange(len(names)) + 0.5, names)
    panel.invert_yaxis()


def _windows(panel: Axes, trace: Trace) -> None:
    """Start of each window: a grey line if it is kept, a red one if it is left out."""
    for kept, colour in ((True, GREY), (False, _RED)):
        starts = trace.starts[trace.kept == kept]
        panel.vlines(starts / 60, 0, 1, color=colour, linewidth=0.5)
    panel.set_yticks([0.5], ["windows"])


def _gaps(panel: Axes, second: Floats) -> None:
    for row in np.flatnonzero(np.diff(second) > 1) + 1:
        panel.axvline(row / 60, color=INK, linestyle=(0, (2, 2)), linewidth=0.8)


def _gap_lengths(panel: Axes, second: Floats) -> None:
    for row in np.flatnonzero(np.diff(second) > 1) + 1:
        hours = (second[row] - second[row - 1] - 1) / 3600
        text = f"gap {hours:.1f} h" if hours >= 1 else f"gap {60 * hours:.1f} min"
        panel.annotate(
            text, (row / 60, 1), xycoords=("data", "axes fraction"), fontsize=6.5, va="bottom", ha="center"
        )


def _legend(trace: Trace) -> list[Patch]:
    codes = [code for code in range(len(CONDITIONS)) if (trace.timeline.condition == code).any()]
    handles = [Patch(color=_colour(code), alpha=_SHADE, label=CONDITIONS[code]) for code in codes]
    if trace.shares:
        handles.append(Patch(color=_RED, label="not measured"))
    if not trace.kept.all():
        handles.append(Patch(color=_RED, label="window left out"))
    return handles
