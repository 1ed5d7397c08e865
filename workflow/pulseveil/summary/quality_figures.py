"""Quality page of a generator: distributions, spectra, correlations and maps beside real windows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import NDArray

from pulseveil.core import paths, store
from pulseveil.core.contracts import Portrait
from pulseveil.core.identity import falling, parse_number
from pulseveil.summary import labels
from pulseveil.summary.palette import (
    DIVERGING,
    GREY,
    INK,
    LEAST_PT,
    LIGHT_GREY,
    PAGE,
    SYNTHETIC,
    legend_columns,
    legend_inches,
    open_axes,
    style,
)

CONDITIONS = ("not stress", "stress")
_LABEL = "stress (label)"
_HEAD_INCHES, _TITLE_INCHES, _FOOT_INCHES = 0.27, 0.19, 0.26
# Height of a row of panels with titles and ticks, in a wide figure.
_DISTRIBUTIONS_INCHES, _SPECTRA_INCHES, _CORRELATIONS_INCHES, _MAPS_INCHES = 1.83, 0.98, 2.34, 1.73
# In a narrow figure: signals side by side, and height of a row against that of a wide figure.
_MOST_NARROW, _NARROW_SHARE = 3, 0.78
_MAP_PT = 7.5
_MARKERS = ("o", "^")


@dataclass(frozen=True)
class _Room:
    """Height of a row of panels, inches, with a heading above it and a label below; both may be empty."""

    inches: float
    head: str
    foot: str

    def margins(self, part: SubFigure, *, left: float, right: float, bottom: float) -> dict[str, float]:
        """Margins of panels as shares of their part, from inches beside and below the panels."""
        width = part.figure.get_figwidth()
        top = _TITLE_INCHES + _HEAD_INCHES * bool(self.head)
        below = bottom + _FOOT_INCHES * bool(self.foot)
        return {
            "left": left / width,
            "right": 1 - right / width,
            "bottom": below / self.inches,
            "top": 1 - top / self.inches,
        }


@dataclass(frozen=True, eq=False)
class _Section:
    """Rows of panels under one heading and above one label; inches: height of a row without the two."""

    head: str
    foot: str
    inches: float
    rows: Sequence[Callable[[SubFigure, _Room], None]]

    def rooms(self) -> Iterator[_Room]:
        """Room of each row: the first has the heading, the last the label."""
        for i in range(len(self.rows)):
            head = self.head if i == 0 else ""
            foot = self.foot if i == len(self.rows) - 1 else ""
            yield _Room(self.inches + _HEAD_INCHES * bool(head) + _FOOT_INCHES * bool(foot), head, foot)


class _Matrix(NamedTuple):
    """Correlations of signals and label with a title."""

    title: str
    values: NDArray[np.float64]


class _Coloured(NamedTuple):
    """A portrait and the colour of its synthetic windows."""

    portrait: Portrait
    colour: str


class QualityPage(NamedTuple):
    """Portraits of a generator on one page: of its least and, if another, of its most private cell."""

    cohort: str
    generator: str
    portraits: tuple[Portrait, ...]

    @property
    def name(self) -> str:
        """Name of the figure's files, without suffix."""
        return paths.QUALITY_FIGURE.format(cohort=self.cohort, generator=self.generator)

    def caption(self, title: str) -> str:
        """Caption of the page; `title`: title of the generator for readers."""
        first = self.portraits[0]
        return (
            f"{title}, cohort {self.cohort}: windows of the first fold "
            f"({first.keys['fold']}) and seed beside the real windows that the generator learned from. "
            "Distributions by condition, mean power spectra, correlations of signals and label, and maps of "
            "whole windows. Principal components are of the real windows. t-SNE maps are fitted to real "
            "and synthetic windows together; distances between far groups of a map mean nothing. The page is "
            "computed from real windows: no budget of a private generator protects it."
        )


def quality_pages(files: Iterable[Path]) -> list[QualityPage]:
    """One page per cohort and generator of the portrait files.

    Raises:
        InputError: a file is not a portrait.
    """
    found: dict[tuple[str, str], list[Portrait]] = {}
    for file in files:
        portrait = store.read_record(file, Portrait)
        key = (str(portrait.keys["cohort"]), str(portrait.keys["generator"]))
        found.setdefault(key, []).append(portrait)
    return [QualityPage(*key, _ends(portraits)) for key, portraits in found.items()]


def quality_figure(page: QualityPage, width: float = PAGE) -> Figure:
    """Figure of a page; in a figure narrower than `PAGE`, panels that do not fit side by side stand below."""
    with mpl.rc_context(style(width)):
        handles = _legend(page.portraits)
        sections = list(_sections(page.portraits, width))
        rooms = [room for section in sections for room in section.rooms()]
        heights = [*(room.inches for room in rooms), legend_inches(handles, width)]
        # No layout engine: its solver rounds differently from run to run, and the bytes would differ.
        figure = Figure(figsize=(width, sum(heights)))
        parts = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
        draws = [draw for section in sections for draw in section.rows]
        for part, room, draw in zip(parts, rooms, draws, strict=False):
            part.suptitle(room.head, fontsize=mpl.rcParams["axes.titlesize"], x=0.01, ha="left")
            part.supxlabel(room.foot, fontsize=_small(), y=0.03)
            draw(part, room)
        parts[-1].legend(handles=handles, loc="center", ncols=legend_columns(handles, width))
    return figure


def _sections(portraits: Sequence[Portrait], width: float) -> Iterator[_Section]:
    """The parts of a page from top to bottom, each with the panels that fit side by side as a row."""
    first = portraits[0]
    channels, narrow = range(len(first.channels)), width < PAGE
    most = _MOST_NARROW if narrow else len(channels)
    share = _NARROW_SHARE if narrow else 1.0
    signals = [channels[start : start + most] for start in range(0, len(channels), most)]
    rows = [partial(_distributions, portraits=portraits, channels=shown) for shown in signals]
    yield _Section(
        "Distributions (density)", f"signal, scaled: {first.scaling}", _DISTRIBUTIONS_INCHES * share, rows
    )
    rows = [partial(_spectra, portraits=portraits, channels=shown) for shown in signals]
    yield _Section("Mean power spectra", "frequency, Hz", _SPECTRA_INCHES * share, rows)
    rows = [partial(_correlations, channels=first.channels, matrices=m) for m in _matrices(portraits, width)]
    yield _Section("Correlations over all samples", "", _CORRELATIONS_INCHES, rows)
    coloured = [_Coloured(*pair) for pair in zip(portraits, SYNTHETIC, strict=False)]
    rows = [
        partial(_maps, coloured=shown) for shown in ([[one] for one in coloured] if narrow else [coloured])
    ]
    yield _Section("Maps of windows", "", _MAPS_INCHES * share, rows)


def _ends(portraits: Sequence[Portrait]) -> tuple[Portrait, ...]:
    ordered = sorted(portraits, key=lambda portrait: falling(epsilon_of(portrait)))
    return (ordered[0], ordered[-1]) if epsilon_of(ordered[0]) > epsilon_of(ordered[-1]) else (ordered[0],)


def epsilon_of(portrait: Portrait) -> float:
    """Epsilon of the generator of a portrait."""
    return parse_number(portrait.keys["epsilon_generator"])


def _named(portrait: Portrait) -> str:
    epsilon = epsilon_of(portrait)
    return f"ε = {labels.level(epsilon)}" + (f", {portrait.keys['unit']}" if np.isfinite(epsilon) else "")


def _signal(name: str) -> str:
    return name.replace("_", " ").replace("eda", "EDA")


def _distributions(
    part: SubFigure, room: _Room, *, portraits: Sequence[Portrait], channels: Sequence[int]
) -> None:
    margins = room.margins(part, left=0.24, right=0.035, bottom=0.2) | {"wspace": 0.08, "hspace": 0.12}
    panels = part.subplots(len(CONDITIONS), len(channels), squeeze=False, sharex="col", gridspec_kw=margins)
    for row, condition in enumerate(CONDITIONS):
        for panel, i in zip(panels[row], channels, strict=True):
            real = portraits[0]
            panel.stairs(real.real_density[row, i], real.edges[i], fill=True, color=LIGHT_GREY)
            for portrait, colour in zip(portraits, SYNTHETIC, strict=False):
                panel.stairs(
                    portrait.synthetic_density[row, i], portrait.edges[i], color=colour, linewidth=1.1
                )
            _bare(panel)
        panels[row, 0].set_ylabel(condition, fontsize=_small())
    for panel, i in zip(panels[0], channels, strict=True):
        panel.set_title(_signal(portraits[0].channels[i]), fontsize=_small())


def _spectra(part: SubFigure, room: _Room, *, portraits: Sequence[Portrait], channels: Sequence[int]) -> None:
    margins = room.margins(part, left=0.41, right=0.1, bottom=0.17) | {"wspace": 0.4}
    panels = part.subplots(1, len(channels), squeeze=False, gridspec_kw=margins)[0]
    for panel, i in zip(panels, channels, strict=True):
        real = portraits[0]
        panel.plot(real.frequency_hz, _decibel(real.real_power[i]), color=GREY, linewidth=1.8)
        for portrait, colour in zip(portraits, SYNTHETIC, strict=False):
            power = _decibel(portrait.synthetic_power[i])
            panel.plot(portrait.frequency_hz, power, color=colour, linewidth=1.1)
        open_axes(panel, grid="y")
        panel.set_title(_signal(real.channels[i]), fontsize=_small())
        panel.tick_params(labelsize=LEAST_PT, pad=1.5)
        panel.locator_params(axis="y", nbins=4)
        panel.set_xticks([0, real.frequency_hz[-1]])
        panel.xaxis.set_major_formatter("{x:.2g}")
    panels[0].set_ylabel("dB", fontsize=_small())


def _matrices(portraits: Sequence[Portrait], width: float) -> list[list[_Matrix]]:
    """Correlations side by side: of the real windows, and each portrait's with its difference to them."""
    real = _Matrix("real", portraits[0].real_correlation)
    pairs = []
    for portrait in portraits:
        title = f"ε = {labels.level(epsilon_of(portrait))} {labels.MINUS} real"
        difference = portrait.synthetic_correlation - portrait.real_correlation
        pairs.append([_Matrix(_named(portrait), portrait.synthetic_correlation), _Matrix(title, difference)])
    if width < PAGE:
        return [[real, *pair] for pair in pairs]
    return [[real, *chain.from_iterable(pairs)]]


def _correlations(
    part: SubFigure, room: _Room, *, channels: Sequence[str], matrices: Sequence[_Matrix]
) -> None:
    names = [*map(_signal, channels), _LABEL]
    margins = room.margins(part, left=0.95, right=0.38, bottom=0.9) | {"wspace": 0.05}
    panels = part.subplots(1, len(matrices), squeeze=False, gridspec_kw=margins)[0]
    for panel, matrix in zip(panels, matrices, strict=True):
        image = panel.imshow(matrix.values, cmap=DIVERGING, vmin=-1, vmax=1, aspect="auto")
        panel.set_title(matrix.title, fontsize=_small())
        panel.set_xticks(range(len(names)), names, rotation=90, fontsize=LEAST_PT)
        panel.set_yticks(range(len(names)), names if panel is panels[0] else [], fontsize=LEAST_PT)
        panel.grid(visible=False)
        panel.tick_params(length=0, pad=1.5)
        panel.spines[:].set_visible(False)
    width, height = part.figure.get_figwidth(), margins["top"] - margins["bottom"]
    beside = (1 - 0.31 / width, margins["bottom"], 0.07 / width, height)
    bar = part.colorbar(image, cax=part.add_axes(beside), ticks=[-1, 0, 1])
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=LEAST_PT, length=0)


def _maps(part: SubFigure, room: _Room, *, coloured: Sequence[_Coloured]) -> None:
    margins = room.margins(part, left=0.24, right=0.035, bottom=0.22) | {"wspace": 0.12}
    panels = part.subplots(1, 2 * len(coloured), squeeze=False, gridspec_kw=margins)[0]
    for i, (portrait, colour) in enumerate(coloured):
        components, neighbours = panels[2 * i : 2 * i + 2]
        _points(components, portrait, portrait.real_components, portrait.synthetic_components, colour)
        _points(neighbours, portrait, portrait.real_neighbours, portrait.synthetic_neighbours, colour)
        shares = [f"PC{j} ({share:.0%})" for j, share in enumerate(portrait.explained.tolist(), 1)]
        components.set_xlabel(shares[0], fontsize=_MAP_PT, labelpad=2)
        components.set_ylabel(shares[1], fontsize=_MAP_PT, labelpad=2)
        components.set_title(f"PCA, {_named(portrait)}", fontsize=_small())
        neighbours.set_title(f"t-SNE, {_named(portrait)}", fontsize=_small())


def _points(
    panel: Axes, portrait: Portrait, real: NDArray[np.float32], synthetic: NDArray[np.float32], colour: str
) -> None:
    for points, stress, paint in (
        (real, portrait.real_stress, GREY),
        (synthetic, portrait.synthetic_stress, colour),
    ):
        for is_stress, marker in zip((False, True), _MARKERS, strict=True):
            shown = points[stress == is_stress]
            panel.scatter(
                shown[:, 0],
                shown[:, 1],
                s=5,
                marker=marker,
                color=paint,
                alpha=0.5,
                linewidths=0,
                # Points as vectors would make the PDF and SVG files large.
                rasterized=True,
            )
    panel.set_xticks([])
    panel.set_yticks([])
    panel.grid(visible=False)


def _bare(panel: Axes) -> None:
    open_axes(panel, grid="x")
    panel.spines["left"].set_visible(False)
    panel.set_yticks([])
    panel.tick_params(labelsize=LEAST_PT, pad=1.5)
    panel.locator_params(axis="x", nbins=3)


def _small() -> float:
    """Size of text beside panels in the present style, points."""
    return float(mpl.rcParams["legend.fontsize"])


def _legend(portraits: Sequence[Portrait]) -> list[Line2D | Patch]:
    handles: list[Line2D | Patch] = [Patch(color=GREY, label="real")]
    handles += [
        Patch(color=colour, label=f"synthetic, {_named(portrait)}")
        for portrait, colour in zip(portraits, SYNTHETIC, strict=False)
    ]
    return handles + [
        Line2D([], [], color=INK, marker=marker, ms=4, ls="", label=condition)
        for marker, condition in zip(_MARKERS, CONDITIONS, strict=True)
    ]


def _decibel(power: NDArray[np.float64]) -> NDArray[np.float64]:
    # A frequency without power would be minus infinity, which the axis cannot show.
    return 10 * np.log10(np.maximum(power, np.finfo(np.float64).tiny))
