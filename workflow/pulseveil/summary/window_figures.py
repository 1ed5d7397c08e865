"""Page of example windows: real ones beside those of each generator of a study, by signal and class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pulseveil.core import paths
from pulseveil.core.contracts import Portrait
from pulseveil.summary.description import StudyDescription
from pulseveil.summary.labels import level, signals
from pulseveil.summary.palette import GREY, LEAST_PT, PAGE, generator_colours, open_axes, style
from pulseveil.summary.quality_figures import CONDITIONS, QualityPage, epsilon_of

_LABEL_INCHES, _COLUMN_INCHES, _HEAD_INCHES, _FOOT_INCHES = 0.95, 0.8, 0.52, 0.3
_ROW_INCHES, _NARROW_ROW_INCHES = 0.42, 0.26


class _Column(NamedTuple):
    """Windows (2, k, time, channels) of one source, with its title and colour."""

    title: str
    colour: str
    windows: NDArray[np.float32]


class WindowPage(NamedTuple):
    """Portraits of all generators of a cohort, in the order of the study."""

    cohort: str
    portraits: tuple[Portrait, ...]

    @property
    def name(self) -> str:
        """Name of the figure's files, without suffix."""
        return paths.WINDOW_FIGURE.format(cohort=self.cohort)

    @property
    def caption(self) -> str:
        """Caption of the page."""
        first = self.portraits[0]
        return (
            f"Example windows, cohort {self.cohort}: {first.real_windows.shape[1]} windows of each class, "
            f"real ones of the first fold ({first.keys['fold']}) beside those of each generator at its "
            "largest and its smallest epsilon. Windows are taken evenly from the compared ones and not "
            "chosen by their look; all panels of a signal have the same scale. The real windows are "
            "recordings of people: no budget of a private generator protects them."
        )


def window_pages(pages: Sequence[QualityPage]) -> list[WindowPage]:
    """One page per cohort with the portraits of its quality pages."""
    found: dict[str, list[Portrait]] = {}
    for page in pages:
        found.setdefault(page.cohort, []).extend(page.portraits)
    return [WindowPage(cohort, tuple(portraits)) for cohort, portraits in found.items()]


def window_figure(page: WindowPage, description: StudyDescription, width: float = PAGE) -> Figure:
    """Figure of a page: one row per class and signal, one column per source, windows as lines over time.

    Sources that do not fit side by side stand below.
    """
    columns = _columns(page.portraits, description)
    channels = page.portraits[0].channels
    seconds = np.arange(columns[0].windows.shape[2]) / page.portraits[0].rate_hz
    bounds = [_bounds([column.windows[..., i] for column in columns]) for i in range(len(channels))]
    most = int((width - _LABEL_INCHES) / _COLUMN_INCHES)
    blocks = [
        (i, columns[first : first + most])
        for i in range(len(CONDITIONS))
        for first in range(0, len(columns), most)
    ]
    with mpl.rc_context(style(width)):
        row_inches = _ROW_INCHES if width >= PAGE else _NARROW_ROW_INCHES
        height = _HEAD_INCHES + row_inches * len(channels) + _FOOT_INCHES
        figure = Figure(figsize=(width, height * len(blocks)))
        parts = figure.subfigures(len(blocks), 1, squeeze=False)[:, 0]
        for part, (i, shown) in zip(parts, blocks, strict=True):
            margins = {"left": _LABEL_INCHES / width, "right": 0.99}
            margins |= {"bottom": _FOOT_INCHES / height, "top": 1 - _HEAD_INCHES / height}
            panels = part.subplots(
                len(channels),
                min(most, len(columns)),
                squeeze=False,
                sharex=True,
                gridspec_kw={**margins, "wspace": 0.08, "hspace": 0.18},
            )
            for panel in panels[:, len(shown) :].flat:
                panel.set_visible(False)
            for channel, row in enumerate(panels):
                for panel, column in zip(row, shown, strict=False):
                    _draw(panel, seconds, column.windows[i, :, :, channel], column.colour)
                    panel.set_ylim(*bounds[channel])
                row[0].set_ylabel(
                    signals(channels[channel]), fontsize=LEAST_PT, rotation=0, ha="right", va="center"
                )
            for panel, column in zip(panels[0], shown, strict=False):
                panel.set_title(column.title, fontsize=LEAST_PT, color=column.colour)
            for panel in panels[-1]:
                panel.set_xticks([seconds[0], seconds[-1]], [f"{seconds[0]:.0f}", f"{seconds[-1]:.0f}"])
                panel.tick_params(axis="x", labelsize=LEAST_PT, pad=1.5)
            part.supxlabel("time, s", fontsize=LEAST_PT, y=0.01)
            part.suptitle(CONDITIONS[i], fontsize=mpl.rcParams["axes.titlesize"], x=0.01, ha="left")
    return figure


def _columns(portraits: Sequence[Portrait], description: StudyDescription) -> list[_Column]:
    colours = generator_colours(description)
    columns = [_Column("real", GREY, portraits[0].real_windows)]
    for portrait in portraits:
        generator, epsilon = str(portrait.keys["generator"]), epsilon_of(portrait)
        unit = f" {portrait.keys['unit']}" if np.isfinite(epsilon) else ""
        title = f"{description.generator_title(generator)}\nε = {level(epsilon)}{unit}"
        columns.append(_Column(title, colours[generator], portrait.synthetic_windows))
    return columns


def _bounds(windows: Sequence[NDArray[np.float32]]) -> tuple[float, float]:
    """Limits of all panels of a signal, a little beyond the extremes of its windows."""
    low, high = min(map(np.nanmin, windows)), max(map(np.nanmax, windows))
    margin = 0.05 * float(high - low) or 1.0
    return float(low) - margin, float(high) + margin


def _draw(panel: Axes, time_s: NDArray[np.float64], windows: NDArray[np.float32], colour: str) -> None:
    for window, shade in zip(windows, np.linspace(1.0, 0.5, len(windows)).tolist(), strict=True):
        panel.plot(time_s, window, color=colour, alpha=shade, linewidth=0.8)
    open_axes(panel, grid="y")
    panel.spines["left"].set_visible(False)
    panel.set_yticks([])
    panel.tick_params(axis="x", length=2)
