"""Packs of an evaluation: which cells it asks for, and which of its trainings share a process.

Equal cells of several evaluations are still in each of them; `sharing` takes them together.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby, product
from typing import Any

import numpy as np

from pulseveil.core import registry
from pulseveil.detectors import MODEL
from pulseveil.study.cells import NONE, Budgets, DetectorPack
from pulseveil.study.study import Evaluation, Study


def detector_packs(study: Study, evaluation: Evaluation) -> Iterator[DetectorPack]:
    """Packs of all cells of an evaluation, still without numbers in their names."""
    chosen = [study.detector(name) for name in evaluation.detectors or ()] or study.detectors
    # Rules learn from real labels whatever trains the models: they need no generator, no synthetic subjects
    # and no input noise, and one pack per block of seeds.
    timeline = tuple(m.name for m in chosen if registry.load("detectors", m.kind).role != MODEL)
    learning = tuple(m.name for m in chosen if m.name not in timeline)
    sizes = study.pack
    seeds = blocks(range(study.seeds), sizes.detector_seeds)
    if timeline:
        for block in seeds:
            name = f"{evaluation.name}_timeline"
            yield DetectorPack(name, evaluation, timeline, (NONE,), (0,), (0.0,), block, True)
    if learning:
        synthetic = evaluation.train != "real"
        axes = product(
            _generator_groups(study, evaluation) if synthetic else [(NONE,)],
            seeds,
            blocks(evaluation.synthetic_subjects if synthetic else (0,), sizes.subjects),
            blocks(evaluation.input_noise, sizes.noise),
            blocks(evaluation.signals, 1),
        )
        for generators, block, subjects, noise, signals in axes:
            yield DetectorPack(
                evaluation.name, evaluation, learning, generators, subjects, noise, block, False, signals
            )


def all_budgets(study: Study, pack: DetectorPack, detector: str) -> tuple[Budgets, ...]:
    """Budgets of all cells of a detector in a pack; a cell without any has the study's first unit."""
    # Without a budget the unit changes nothing: one unit for all trains such a cell once, not once per unit.
    first = study.units[0]
    if pack.timeline:
        return (Budgets(first, np.inf, np.inf),)
    evaluation, model = pack.evaluation, study.detector(detector)
    units = _chosen(study.units, evaluation.units)
    of_generator: tuple[float, ...] = (np.inf,)
    if pack.train != "real":
        generator = study.generator(pack.generators[0])
        units = _chosen(units, generator.units)
        of_generator = _chosen(evaluation.epsilon_generator or study.epsilons, generator.epsilons)
    default = study.epsilons if evaluation.train == "real" else (np.inf,)
    of_detector = _chosen(evaluation.epsilon_detector or default, model.epsilons)
    axes = product(_chosen(units, model.units), of_generator, of_detector)
    found = [Budgets(*values) for values in axes]
    if evaluation.epsilon_pairs == "equal":
        found = [p for p in found if p.epsilon_generator == p.epsilon_detector]
    return tuple(dict.fromkeys(p if p.is_private else p._replace(unit=first) for p in found))


def blocks(values: Any, size: int) -> list[tuple[Any, ...]]:
    """Values in their order in blocks of `size`; the last block may be shorter.

    Examples:
        >>> blocks(range(5), 2)
        [(0, 1), (2, 3), (4,)]
    """
    items = tuple(values)
    return [items[i : i + size] for i in range(0, len(items), size)]


def _generator_groups(study: Study, evaluation: Evaluation) -> list[tuple[str, ...]]:
    """Generators of an evaluation in groups with the same units and epsilons."""
    # All generators of a pack have the same budgets, because the files of a job name one pair of epsilons.
    names = evaluation.generators or tuple(m.name for m in study.generators)
    filters = {m.name: str((m.units, m.epsilons)) for m in map(study.generator, names)}
    ordered = sorted(filters, key=lambda name: list(filters.values()).index(filters[name]))
    return [tuple(group) for _, group in groupby(ordered, key=filters.__getitem__)]


def _chosen(values: tuple[Any, ...], wanted: tuple[Any, ...] | None) -> tuple[Any, ...]:
    """Values that are wanted, in their own order; all without a wish."""
    return values if wanted is None else tuple(value for value in values if value in wanted)
