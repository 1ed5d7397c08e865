"""Figure of what linear detectors read: the weight of each statistic of each signal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pulseveil.core import registry
from pulseveil.core.arrays import Floats
from pulseveil.core.contracts import CHANNEL_SETS
from pulseveil.study.jobs import DetectorJob, read_detectors
from pulseveil.summary import labels
from pulseveil.summary.description import StudyDescription
from pulseveil.summary.palette import INK, LEAST_PT, PAGE, style
from pulseveil.summary.results import NO_GENERATOR
from pulseveil.windows.features import STATISTICS

_PANEL_INCHES, _LABEL_INCHES, _ROW_INCHES, _HEAD_INCHES = 2.1, 0.9, 0.29, 0.75


class Weights(NamedTuple):
    """Weights of a detector's statistics: mean and SD over folds by (channel, statistic), with a title."""

    title: str
    channels: tuple[str, ...]
    statistics: tuple[str, ...]
    mean: Floats
    spread: Floats


def read_weights(files: Iterable[Path], description: StudyDescription) -> list[Weights]:
    """Weights of all detectors in files of kept detectors that add statistics up.

    Raises:
        InputError: a file holds no kept detectors.
    """
    found = []
    for path in files:
        models = read_detectors(path)
        job = DetectorJob.model_validate(models.description["job"])
        kind = registry.load("detectors", job.kind)
        settings = kind.Settings.model_validate(job.settings)
        columns = models.description["form"]["statistic_names"]
        of_folds = [kind.weights(settings, arrays, columns) for arrays in models.arrays.values()]
        if all(of_folds):
            title = _title(models.description["keys"], description)
            found.append(as_table(title, CHANNEL_SETS[job.preparation.channels], of_folds))
    return found


def as_table(title: str, channels: Sequence[str], of_folds: Sequence[Mapping[str, float]]) -> Weights:
    """The weights of all folds by channel and statistic; NaN where the detector reads no such statistic.

    Examples:
        >>> folds = [{"activity_mean": 1.0}, {"activity_mean": 3.0}]
        >>> table = as_table("mine", ("activity", "temperature"), folds)
        >>> table.statistics, table.mean.tolist(), table.spread.tolist()
        (('mean',), [[2.0], [nan]], [[1.0], [nan]])
    """
    read = [name for name in STATISTICS if any(f"{channel}_{name}" in of_folds[0] for channel in channels)]
    values = np.array(
        [[[fold.get(f"{c}_{name}", np.nan) for name in read] for c in channels] for fold in of_folds]
    )
    return Weights(title, tuple(channels), tuple(read), values.mean(axis=0), values.std(axis=0))


def weights_figure(tables: Sequence[Weights], width: float = PAGE) -> Figure:
    """One panel per detector: rows are signals, columns are statistics, colours are weights.

    The strongest weight of each panel has the same colour, because detectors scale statistics by other units.
    The numbers are means over folds, with the SD over folds.
    """
    columns = min(int((width - _LABEL_INCHES) / _PANEL_INCHES), len(tables))
    rows = -(-len(tables) // columns)
    height = rows * (_HEAD_INCHES + _ROW_INCHES * len(tables[0].channels))
    with mpl.rc_context(style(width)):
        figure = Figure(figsize=(width, height + 0.1), layout="constrained")
        panels = figure.subplots(rows, columns, squeeze=False)
        for panel, table in zip(panels.ravel(), tables, strict=False):
            _draw(panel, table)
        for panel in panels.ravel()[len(tables) :]:
            panel.remove()
        for panel in panels[:, 1:].ravel():
            panel.tick_params(labelleft=False)
    return figure


def _draw(panel: Axes, table: Weights) -> None:
    most = float(np.nanmax(np.abs(table.mean))) or 1.0
    # Twice the range: numbers are not readable on the darkest colours.
    panel.imshow(table.mean, cmap="RdBu_r", vmin=-2 * most, vmax=2 * most, aspect="auto")
    panel.grid(visible=False)
    for (row, column), mean in np.ndenumerate(table.mean):
        if np.isfinite(mean):
            words = f"{mean:+.2f}\n± {table.spread[row, column]:.2f}"
            panel.text(column, row, words, ha="center", va="center", fontsize=LEAST_PT, color=INK)
    panel.set_xticks(range(len(table.statistics)), [n.replace("log_sd", "log SD") for n in table.statistics])
    panel.set_yticks(range(len(table.channels)), list(map(labels.signals, table.channels)))
    panel.tick_params(labelsize=LEAST_PT, length=0)
    panel.spines[:].set_visible(False)
    panel.set_title(table.title, fontsize=LEAST_PT)


def _title(keys: Mapping[str, str], description: StudyDescription) -> str:
    """Detector, source of its windows and epsilons, on three lines."""
    generator = keys["generator"]
    source = "real windows" if generator == NO_GENERATOR else description.generator_title(generator)
    epsilons = [float(keys[name]) for name in ("epsilon_generator", "epsilon_detector")]
    finite = [labels.level(epsilon) for epsilon in epsilons if np.isfinite(epsilon)]
    budget = f"ε = {' and '.join(finite)}, {keys['unit']}" if finite else "no budget"
    return f"{description.detector_title(keys['detector'])}\n{source}\n{budget}"
