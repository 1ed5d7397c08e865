"""Equal cells of several evaluations: the first evaluation that asks for a cell trains it.

Two cells are equal if they learn from the same windows, by the same model with the same budgets, and are
tested in the same way. Their names differ only in the evaluation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import count, product
from typing import Any

from pulseveil.study.cells import Budgets, DetectorPack

Privacies = Callable[[DetectorPack, str], tuple[Budgets, ...]]
"""From a pack and one of its detectors to the budgets of the detector's cells."""
_Cell = tuple[Any, ...]


@dataclass(frozen=True)
class SharedCells:
    """Cells of a detector in a pack that an earlier evaluation asks for too, with the same answer.

    trained_in: name of that evaluation, by the budgets of the cells.
    """

    pack: DetectorPack
    detector: str
    trained_in: Mapping[Budgets, str]


@dataclass(frozen=True)
class Shares:
    """Packs with the detectors that have a cell of their own, and the cells that are trained elsewhere."""

    packs: tuple[DetectorPack, ...]
    shared: tuple[SharedCells, ...]


def share(evaluations: Sequence[Sequence[DetectorPack]], privacies: Privacies) -> Shares:
    """Number the packs of all evaluations, and tell cells of their own from those of earlier evaluations.

    evaluations: the packs of each evaluation, in the order of the study. A pack is divided where only some of
    its cells are trained elsewhere.
    """
    first: dict[_Cell, str] = {}
    packs, shared = list[DetectorPack](), list[SharedCells]()
    for asked in evaluations:
        parts = _numbered([part for pack in asked for part in _apart(pack, first, privacies)])
        for pack in parts:
            found = [(detector, _trained_in(pack, detector, first, privacies)) for detector in pack.detectors]
            shared += [SharedCells(pack, detector, elsewhere) for detector, elsewhere in found if elsewhere]
            own = [name for name, elsewhere in found if len(elsewhere) < len(privacies(pack, name))]
            if own:
                packs.append(replace(pack, detectors=tuple(own)))
        # After all packs of the evaluation: its blocks of seeds are no repetitions of each other.
        for pack in parts:
            for cell in _cells_of(pack, privacies):
                first.setdefault(cell, pack.evaluation.name)
    return Shares(tuple(packs), tuple(shared))


def _numbered(packs: Sequence[DetectorPack]) -> list[DetectorPack]:
    """Packs with their number in the name, counted apart for models and for rules."""
    numbers = {timeline: count() for timeline in (False, True)}
    return [replace(pack, name=f"{pack.name}_{next(numbers[pack.timeline])}") for pack in packs]


def _trained_in(
    pack: DetectorPack, detector: str, first: Mapping[_Cell, str], privacies: Privacies
) -> dict[Budgets, str]:
    """Evaluation that trains the cells of a detector, by their budgets; others are left out."""
    # `_apart` has divided the packs: the first cell of a detector and its budgets stands for all.
    heads = {budgets: next(_cells(pack, detector, budgets)) for budgets in privacies(pack, detector)}
    return {budgets: first[cell] for budgets, cell in heads.items() if cell in first}


def _apart(pack: DetectorPack, first: Mapping[_Cell, str], privacies: Privacies) -> Iterator[DetectorPack]:
    """Parts of a pack whose cells are all in `first`, or all not, for each detector and its budgets."""

    def known(part: DetectorPack, axis: str, value: Any) -> list[str]:
        return [first.get(cell, "") for cell in _cells_of(_with_axis(part, axis, (value,)), privacies)]

    parts = [pack]
    for axis in ("generators", "subjects", "noise"):
        parts = [
            _with_axis(part, axis, values)
            for part in parts
            for values in _alike(getattr(part, axis), partial(known, part, axis))
        ]
    yield from parts


def _cells_of(pack: DetectorPack, privacies: Privacies) -> Iterator[_Cell]:
    """What all cells of a pack depend on besides their seeds."""
    for detector in pack.detectors:
        for budgets in privacies(pack, detector):
            yield from _cells(pack, detector, budgets)


def _cells(pack: DetectorPack, detector: str, budgets: Budgets) -> Iterator[_Cell]:
    """What the cells of a detector with some budgets depend on besides their seeds, in axis order."""
    evaluation = pack.evaluation
    question = (evaluation.cohort, evaluation.tested_cohort, evaluation.test, pack.train, detector, budgets)
    for generator, subjects, noise, signals in product(
        pack.generators, pack.subjects, pack.noise, pack.signals
    ):
        # Without noise it does not matter to what and from which distribution noise would be added.
        noised = (noise, evaluation.noise_distribution, pack.noise_on) if noise else ()
        yield (*question, generator, subjects, noised, signals)


def _with_axis(pack: DetectorPack, axis: str, values: tuple[Any, ...]) -> DetectorPack:
    changed: dict[str, Any] = {axis: values}
    return replace(pack, **changed)


def _alike(values: tuple[Any, ...], of: Callable[[Any], list[str]]) -> Iterator[tuple[Any, ...]]:
    """Groups of the `values` for which `of` is equal, in the order of their first members."""
    groups: dict[tuple[str, ...], list[Any]] = {}
    for value in values:
        groups.setdefault(tuple(of(value)), []).append(value)
    yield from map(tuple, groups.values())
