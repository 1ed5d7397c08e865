"""Quality page of a generator: distributions, spectra, correlations and maps beside real windows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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
    STYLE,
    SYNTHETIC,
    open_axes,
)

CONDITIONS = ("not stress", "stress")
_LABEL = "stress (label)"
_MARKERS = ("o", "^")


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


def quality_figure(page: QualityPage) -> Figure:
    """Figure of a page, as wide as the text of a paper."""
    channels = len(page.portraits[0].channels)
    with mpl.rc_context(dict(STYLE)):
        heights = [2.4, 1.5, 2.6, 2.0, 0.3]
        # No layout engine: its solver rounds differently from run to run, and the bytes would differ.
        figure = Figure(figsize=(PAGE, sum(heights)))
        rows = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
        _distributions(rows[0], page.portraits, channels)
        _spectra(rows[1], page.portraits, channels)
        _correlations(rows[2], page.portraits)
        _maps(rows[3], page.portraits)
        rows[4].legend(handles=_legend(page.portraits), loc="center", ncols=5)
    return figure


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


def _distributions(part: SubFigure, portraits: Sequence[Portrait], channels: int) -> None:
    margins = {"left": 0.035, "right": 0.995, "bottom": 0.2, "top": 0.8, "wspace": 0.08, "hspace": 0.12}
    panels = part.subplots(len(CONDITIONS), channels, squeeze=False, sharex="col", gridspec_kw=margins)
    for row, condition in enumerate(CONDITIONS):
        for i, panel in enumerate(panels[row]):
            real = portraits[0]
            panel.stairs(real.real_density[row, i], real.edges[i], fill=True, color=LIGHT_GREY)
            for portrait, colour in zip(portraits, SYNTHETIC, strict=False):
                panel.stairs(
                    portrait.synthetic_density[row, i], portrait.edges[i], color=colour, linewidth=1.1
                )
            _bare(panel)
        panels[row, 0].set_ylabel(condition, fontsize=8)
    for panel, name in zip(panels[0], portraits[0].channels, strict=True):
        panel.set_title(_signal(name), fontsize=8)
    part.supxlabel(f"signal, scaled: {portraits[0].scaling}", fontsize=8, y=0.05)
    _head(part, "Distributions (density)")


def _spectra(part: SubFigure, portraits: Sequence[Portrait], channels: int) -> None:
    margins = {"left": 0.06, "right": 0.985, "bottom": 0.28, "top": 0.7, "wspace": 0.4}
    panels = part.subplots(1, channels, squeeze=False, gridspec_kw=margins)[0]
    for i, panel in enumerate(panels):
        real = portraits[0]
        panel.plot(real.frequency_hz, _decibel(real.real_power[i]), color=GREY, linewidth=1.8)
        for portrait, colour in zip(portraits, SYNTHETIC, strict=False):
            power = _decibel(portrait.synthetic_power[i])
            panel.plot(portrait.frequency_hz, power, color=colour, linewidth=1.1)
        open_axes(panel, grid="y")
        panel.set_title(_signal(real.channels[i]), fontsize=8)
        panel.tick_params(labelsize=LEAST_PT, pad=1.5)
        panel.locator_params(axis="y", nbins=4)
        panel.set_xticks([0, real.frequency_hz[-1]])
        panel.xaxis.set_major_formatter("{x:.2g}")
    panels[0].set_ylabel("dB", fontsize=8)
    part.supxlabel("frequency, Hz", fontsize=8, y=0.05)
    _head(part, "Mean power spectra")


def _correlations(part: SubFigure, portraits: Sequence[Portrait]) -> None:
    names = [*map(_signal, portraits[0].channels), _LABEL]
    matrices = [("real", portraits[0].real_correlation)]
    for portrait in portraits:
        matrices.append((_named(portrait), portrait.synthetic_correlation))
        title = f"ε = {labels.level(epsilon_of(portrait))} {labels.MINUS} real"
        matrices.append((title, portrait.synthetic_correlation - portrait.real_correlation))
    margins = {"left": 0.11, "right": 0.945, "bottom": 0.34, "top": 0.82, "wspace": 0.05}
    panels = part.subplots(1, len(matrices), squeeze=False, gridspec_kw=margins)[0]
    for panel, (title, matrix) in zip(panels, matrices, strict=True):
        image = panel.imshow(matrix, cmap=DIVERGING, vmin=-1, vmax=1, aspect="auto")
        panel.set_title(title, fontsize=8)
        panel.set_xticks(range(len(names)), names, rotation=90, fontsize=LEAST_PT)
        panel.set_yticks(range(len(names)), names if panel is panels[0] else [], fontsize=LEAST_PT)
        panel.grid(visible=False)
        panel.tick_params(length=0, pad=1.5)
        panel.spines[:].set_visible(False)
    bar = part.colorbar(image, cax=part.add_axes((0.955, 0.4, 0.01, 0.36)), ticks=[-1, 0, 1])
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=LEAST_PT, length=0)
    _head(part, "Correlations over all samples")


def _maps(part: SubFigure, portraits: Sequence[Portrait]) -> None:
    margins = {"left": 0.035, "right": 0.995, "bottom": 0.12, "top": 0.78, "wspace": 0.12}
    panels = part.subplots(1, 2 * len(portraits), squeeze=False, gridspec_kw=margins)[0]
    for i, (portrait, colour) in enumerate(zip(portraits, SYNTHETIC, strict=False)):
        components, neighbours = panels[2 * i : 2 * i + 2]
        _points(components, portrait, portrait.real_components, portrait.synthetic_components, colour)
        _points(neighbours, portrait, portrait.real_neighbours, portrait.synthetic_neighbours, colour)
        shares = [f"PC{j} ({share:.0%})" for j, share in enumerate(portrait.explained.tolist(), 1)]
        components.set_xlabel(shares[0], fontsize=7.5, labelpad=2)
        components.set_ylabel(shares[1], fontsize=7.5, labelpad=2)
        components.set_title(f"PCA, {_named(portrait)}", fontsize=8)
        neighbours.set_title(f"t-SNE, {_named(portrait)}", fontsize=8)
    _head(part, "Maps of windows")


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


def _head(part: SubFigure, text: str) -> None:
    part.suptitle(text, fontsize=9, x=0.01, ha="left")


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
