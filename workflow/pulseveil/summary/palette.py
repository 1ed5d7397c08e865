"""Style of all figures: widths, colours, fonts, and files with the same bytes for the same data."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox, BboxBase

from pulseveil.core.atomic import atomic_path
from pulseveil.detectors import MODEL

if TYPE_CHECKING:
    from pulseveil.summary.description import StudyDescription

# Okabe and Ito 2008: distinct for any form of colour blindness. Without yellow, which is too light on white.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
# Tol 2021, muted: for models whose kind has no colour, or whose colour another model already has.
_FREE = ("#332288", "#882255", "#117733", "#999933", "#44AA99", "#AA4499")
_SHADE = 0.7
_CLASSES = ("baseline", "stress", "amusement")
INK = "#333333"
GREY = "#777777"
LIGHT_GREY = "#C8C8C8"
# Synthetic windows of the least and of the most private generator; real windows beside them are grey.
SYNTHETIC = (_COLOURS[0], _COLOURS[1])
# From orange over white to purple: distinct for any form of colour blindness.
DIVERGING = "PuOr_r"
BASELINE_LINE: Mapping[str, Any] = {"color": GREY, "linestyle": (0, (4, 2)), "linewidth": 1.2, "zorder": 1}

# Widths in inches by the end of a file's name: two columns of a journal (174 mm), and one (88 mm).
WIDTHS: Mapping[str, float] = {"": 174 / 25.4, "-column": 88 / 25.4}
PAGE = WIDTHS[""]
# Journals refuse smaller text.
LEAST_PT = 7.0
# Of DejaVu Sans: mean width of a character, and height of a line, in font sizes.
_CHARACTER, _LINE = 0.52, 1.55
# What a legend entry needs beside its text, in font sizes.
_HANDLE = 4.3
STYLE: Mapping[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8.5,
    "legend.fontsize": 8,
    "figure.titlesize": 9.5,
    "figure.titleweight": "bold",
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
    # Without a salt, Matplotlib draws random identifiers for each SVG file.
    "svg.hashsalt": "pulseveil",
    # TrueType: many publishers refuse Type 3 fonts, Matplotlib's default.
    "pdf.fonttype": 42,
}
# Decimals of positions as shares of the figure: 1e-5 of its width is a hundredth of a point.
_DECIMALS = 5
# Dates and versions of programs would change the bytes of equal figures.
_METADATA: Mapping[str, Mapping[str, None]] = {
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None},
}


def style(width: float) -> dict[str, Any]:
    """Style of a figure of `width` inches: figures narrower than `PAGE` have all text at `LEAST_PT`."""
    if width >= PAGE:
        return dict(STYLE)
    return dict(STYLE) | {key: LEAST_PT for key in STYLE if key.endswith("size")}


def wrapped(text: str, inches: float) -> str:
    """Text in lines of at most `inches` in the present style."""
    return textwrap.fill(text, max(8, int(inches * 72 / _CHARACTER / mpl.rcParams["font.size"])))


def legend_columns(handles: Sequence[Artist], width: float) -> int:
    """Number of columns of a legend that fit into `width` inches in the present style."""
    longest = max(len(str(handle.get_label())) for handle in handles)
    inches = (_CHARACTER * longest + _HANDLE) * mpl.rcParams["legend.fontsize"] / 72
    return min(len(handles), max(1, int(width / inches)))


def legend_inches(handles: Sequence[Artist], width: float) -> float:
    """Height of a legend with `legend_columns`."""
    lines = -(-len(handles) // legend_columns(handles, width))
    return float(0.2 + lines * _LINE * mpl.rcParams["legend.fontsize"] / 72)


def detector_colours(description: StudyDescription) -> dict[str, str]:
    """One colour per model of the study; rules are drawn as lines and have none."""
    detectors = description.detectors.items()
    return model_colours({name: found.colour for name, found in detectors if found.role == MODEL})


def generator_colours(description: StudyDescription) -> dict[str, str]:
    """One colour per generator of the study, and black for "none"."""
    own = {name: found.colour for name, found in description.generators.items()}
    return {**model_colours(own), "none": "#000000"}


def model_colours(own: Mapping[str, str | None]) -> dict[str, str]:
    """One colour per model: the colour of its kind, `own`, if no earlier model has it, else a free one.

    Examples:
        >>> model_colours({"cgan": "#0072B2", "mine": None})
        {'cgan': '#0072B2', 'mine': '#332288'}
    """
    colours: dict[str, str] = {}
    for name, colour in own.items():
        if colour is not None and colour not in colours.values():
            colours[name] = colour
    others = [name for name in own if name not in colours]
    return colours | dict(zip(others, _free(set(colours.values())), strict=False))


def class_colours(classes: Iterable[str]) -> dict[str, str]:
    """One colour per class; an unknown class, such as "not stress", has the colour of baseline."""
    known = dict(zip(_CLASSES, _COLOURS, strict=False))
    return {name: known.get(name, _COLOURS[0]) for name in classes}


def _free(taken: Set[str]) -> Iterator[str]:
    """Colours that are not in `taken`, without repetition: `_FREE`, then ever darker shades of it."""
    for darker in count():
        for colour in _FREE:
            shade = to_hex([part * _SHADE**darker for part in to_rgb(colour)]).upper()
            if shade not in taken:
                yield shade


def open_axes(axes: Axes, *, grid: str) -> None:
    """Remove the upper and right frame and the ticks; keep only the grid lines of axis `grid`."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(visible=False, axis="y" if grid == "x" else "x")
    axes.tick_params(length=0)


def save(
    figure: Figure, folder: Path, name: str, formats: Sequence[str] = ("pdf", "png", "svg")
) -> list[Path]:
    """Write a figure in each format as `folder`/`name`.FORMAT; returns the paths.

    The files hold no dates or versions: the same figure gives the same bytes.
    """
    paths = [folder / f"{name}.{suffix}" for suffix in formats]
    with mpl.rc_context(dict(STYLE)):
        _fix_layout(figure)
        for path, suffix in zip(paths, formats, strict=True):
            with atomic_path(path) as temporary:
                figure.savefig(
                    temporary, format=suffix, dpi=200, metadata=dict(_METADATA[suffix]), facecolor="white"
                )
    return paths


def save_widths(draw: Callable[[float], Figure], folder: Path, name: str) -> list[Path]:
    """Write a figure in each width of `WIDTHS` and each format; `draw`: the figure of a width in inches."""
    return [path for end, width in WIDTHS.items() for path in save(draw(width), folder, f"{name}{end}")]


def _fix_layout(figure: Figure) -> None:
    """Run the layout engine once and round all positions: its last digits differ from run to run."""
    if figure.get_layout_engine() is None:
        return
    figure.draw_without_rendering()
    # "none" would leave a placeholder, for which each file is drawn twice.
    figure.set_layout_engine(None)
    for part in figure.subfigs:
        # Matplotlib has no public way to move a subfigure; its own layout engines use this method.
        position = Bbox.from_bounds(*_rounded(part.bbox_relative))
        part._redo_transform_rel_fig(bbox=position)  # type: ignore[attr-defined]
    for axes in figure.axes:
        axes.set_position(_rounded(axes.get_position()))


def _rounded(box: BboxBase) -> tuple[float, float, float, float]:
    """Left, bottom, width and height, rounded."""
    left, bottom, width, height = (round(value, _DECIMALS) for value in box.bounds)
    return left, bottom, width, height
