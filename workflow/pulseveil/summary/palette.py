"""The look of all figures: one palette, one font size, the same bytes for the same data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox, BboxBase

from pulseveil.core.atomic import atomic_path
from pulseveil.detectors import MODEL

if TYPE_CHECKING:
    from pulseveil.summary.description import StudyDescription

# Okabe and Ito 2008: told apart with any form of colour blindness. Yellow is left out: too light on white.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
# Of Tol 2021, muted: for models whose kind has no colour of its own, or one that another model has.
_FREE = ("#332288", "#882255", "#117733", "#999933", "#44AA99", "#AA4499")
_SHADE = 0.7
_CLASSES = ("baseline", "stress", "amusement")
INK = "#333333"
GREY = "#777777"
LIGHT_GREY = "#C8C8C8"
# Synthetic windows beside grey real ones: of the least private generator, of the most private one.
SYNTHETIC = (_COLOURS[0], _COLOURS[1])
# From orange over white to purple: told apart with any form of colour blindness.
DIVERGING = "PuOr_r"
BASELINE_LINE: Mapping[str, Any] = {"color": GREY, "linestyle": (0, (4, 2)), "linewidth": 1.2, "zorder": 1}

STYLE: Mapping[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8.5,
    "legend.fontsize": 8,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": "#888888",
    "axes.linewidth": 0.8,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#EAEAEA",
    "grid.linewidth": 0.7,
    "legend.frameon": False,
    "svg.hashsalt": "pulseveil",
    "pdf.fonttype": 42,
}
# Of a figure's width: a hundredth of a point.
_PLACES = 5
_METADATA: Mapping[str, Mapping[str, None]] = {
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None},
}


def detector_colours(description: StudyDescription) -> dict[str, str]:
    """A colour a model of the study; rules are lines and have none."""
    detectors = description.detectors.items()
    return model_colours({name: found.colour for name, found in detectors if found.role == MODEL})


def generator_colours(description: StudyDescription) -> dict[str, str]:
    """A colour a generator of the study; black where no generator is used."""
    own = {name: found.colour for name, found in description.generators.items()}
    return {**model_colours(own), "none": "#000000"}


def model_colours(own: Mapping[str, str | None]) -> dict[str, str]:
    """A colour a model: that of its kind, `own`, for the first one of it; one of their own for all others."""
    colours: dict[str, str] = {}
    for name, colour in own.items():
        if colour is not None and colour not in colours.values():
            colours[name] = colour
    others = [name for name in own if name not in colours]
    return colours | dict(zip(others, _free(set(colours.values())), strict=False))


def class_colours(classes: Iterable[str]) -> dict[str, str]:
    """A colour a class; whatever is not stress looks like rest."""
    known = dict(zip(_CLASSES, _COLOURS, strict=False))
    return {name: known.get(name, _COLOURS[0]) for name in classes}


def _free(taken: Set[str]) -> Iterator[str]:
    """Colours that are not `taken`, each one once: ever darker ones."""
    for darker in count():
        for colour in _FREE:
            shade = to_hex([part * _SHADE**darker for part in to_rgb(colour)]).upper()
            if shade not in taken:
                yield shade


def open_axes(axes: Axes, *, grid: str) -> None:
    """Remove the frame but for the axis that carries numbers; grid lines along `grid` only."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(visible=False, axis="y" if grid == "x" else "x")
    axes.tick_params(length=0)


def save(
    figure: Figure, folder: Path, name: str, formats: Sequence[str] = ("pdf", "png", "svg")
) -> list[Path]:
    """Write a figure in all formats, without dates or versions in the files."""
    paths = [folder / f"{name}.{suffix}" for suffix in formats]
    with mpl.rc_context(dict(STYLE)):
        _settle(figure)
        for path, suffix in zip(paths, formats, strict=True):
            with atomic_path(path) as temporary:
                figure.savefig(
                    temporary, format=suffix, dpi=200, metadata=dict(_METADATA[suffix]), facecolor="white"
                )
    return paths


def _settle(figure: Figure) -> None:
    """Lay the figure out for good, in round numbers: the solver's last digits differ from run to run."""
    if figure.get_layout_engine() is None:
        return
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for part in figure.subfigs:
        # Matplotlib has no public way to move a part; its own layout engines use this one.
        position = Bbox.from_bounds(*_rounded(part.bbox_relative))
        part._redo_transform_rel_fig(bbox=position)  # type: ignore[attr-defined]
    for axes in figure.axes:
        axes.set_position(_rounded(axes.get_position()))


def _rounded(box: BboxBase) -> tuple[float, float, float, float]:
    """Left, bottom, width and height."""
    left, bottom, width, height = (round(value, _PLACES) for value in box.bounds)
    return left, bottom, width, height
