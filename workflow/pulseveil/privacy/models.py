"""Models that a ledger names, and the epsilon of models that are published together."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pulseveil.core.settings import ScalingName
from pulseveil.privacy import accounting
from pulseveil.privacy.accounting import Group
from pulseveil.privacy.budget import Mechanism
from pulseveil.privacy.ledger import Entry
from pulseveil.windows import reach

# Inputs that differ between models of one group; all other inputs name the group.
_OF_ONE_MODEL = ("seed", "fold", "people", "settings", "release", "weights")


@dataclass(frozen=True)
class Setting:
    """Pre-processing that made records of a person's recording, which a ledger does not hold.

    strides_s: seconds between windows of generators, and of detectors. labelled_s: labelled seconds of one
    person. reach_s: distance in seconds over which a raw sample can change a value; infinite for the whole
    recording. scaling: name of the scaling constants.
    """

    window_s: int = 60
    strides_s: tuple[int, int] = (30, 60)
    labelled_s: int = 2192
    reach_s: float = reach.reach_s("sound", "physiological", "calibration")
    scaling: ScalingName = "calibration"

    def piece_windows(self, stride_s: int) -> float:
        """Largest number of windows that any `PIECE_S` s of a person can change; infinite without a bound."""
        return reach.piece_windows(self.window_s, stride_s, self.reach_s)

    def person_windows(self, stride_s: int) -> int:
        """Number of windows of one person.

        Examples:
            >>> setting = Setting(window_s=60, labelled_s=2192)
            >>> setting.person_windows(stride_s=30), setting.person_windows(stride_s=60)
            (74, 37)
        """
        return math.ceil(self.labelled_s / stride_s)


@dataclass(frozen=True)
class ModelGroup:
    """Models trained in the same way: the inputs that they share, and the entries of one of them."""

    inputs: Mapping[str, Any]
    entries: tuple[Entry, ...]

    @property
    def mechanisms(self) -> tuple[Mechanism, ...]:
        """Mechanisms of one model."""
        return tuple(entry.as_mechanism() for entry in self.entries)

    @property
    def name(self) -> str:
        """Mechanisms and inputs of the group, as one line."""
        mechanisms = " + ".join(entry.mechanism for entry in self.entries)
        return ", ".join([mechanisms, *(f"{key} {value}" for key, value in self.inputs.items())])

    def stride_s(self, setting: Setting) -> int:
        """Seconds between the windows of the group's models.

        They are those of detectors, unless inputs name a generator and no detector.
        """
        return setting.strides_s[0 if "generator" in self.inputs and "detector" not in self.inputs else 1]

    def groups(self, setting: Setting, whole_person: bool) -> list[Group]:
        """Mechanisms, each with the number of records that one person, or any minute of one, changes."""
        stride_s = self.stride_s(setting)
        k = setting.person_windows(stride_s) if whole_person else setting.piece_windows(stride_s)
        # At unit subject a person is one record: nothing of one person changes more.
        return [(m, k if m.unit == "window" else 1) for m in self.mechanisms]

    @property
    def people(self) -> frozenset[str] | None:
        """People that one model learns from; None in older ledgers, where everybody counts."""
        named = self.inputs.get("people")
        return None if named is None else frozenset(named)

    def learns_from(self, generator: ModelGroup) -> bool:
        """Whether these are detectors trained on the synthetic data of that generator."""
        # The same generator at another budget or unit is another release.
        keys = ("generator", "epsilon_generator", "unit")
        is_pair = "detector" in self.inputs and "detector" not in generator.inputs
        return is_pair and all(self.inputs.get(key) == generator.inputs.get(key) for key in keys)


def models(entries: Iterable[Entry]) -> list[ModelGroup]:
    """Models of a ledger: entries that share all inputs belong to one training."""
    found: dict[str, list[Entry]] = {}
    for entry in entries:
        # As text, since inputs of a stored ledger hold lists, which are no keys.
        found.setdefault(json.dumps(entry.inputs, sort_keys=True), []).append(entry)
    return [ModelGroup(members[0].inputs, tuple(members)) for members in found.values()]


def model_kinds(entries: Sequence[Entry]) -> list[ModelGroup]:
    """Groups of models in a ledger, each with the entries of the model that spent most."""
    most: dict[str, ModelGroup] = {}
    for model in models(entries):
        shared = {key: value for key, value in model.inputs.items() if key not in _OF_ONE_MODEL}
        kind = ModelGroup(shared, model.entries)
        # Folds and seeds of a group can differ in epsilon: the statement shows the largest.
        name = json.dumps(shared, sort_keys=True)
        most[name] = max(most.get(name, kind), kind, key=lambda each: _spent(each.entries))
    return list(most.values())


@dataclass(frozen=True)
class Together:
    """Models that are published together, by the people that they learn from.

    shares: the models of each person; people with equal mechanisms share one item.
    """

    shares: tuple[tuple[ModelGroup, ...], ...]

    @property
    def copies(self) -> int:
        """Largest number of the models that learn from one person."""
        return max(map(len, self.shares), default=0)

    def epsilon(self, setting: Setting, delta: float, *, whole_person: bool) -> float:
        """Epsilon of all models together for the person, or any minute of one, on whom they spend most."""
        # Composed by groups: the models can differ in unit and stride, and so in the records of a person.
        spent = (
            [group for model in share for group in model.groups(setting, whole_person)]
            for share in self.shares
        )
        return max(accounting.epsilon_of_groups(groups, delta) for groups in spent)


def together(entries: Iterable[Entry]) -> Together:
    """Models of some entries, grouped by the people that they learn from.

    Guarantee:
        A model counts for each person whom its entries name, and for everybody if an older ledger names
        nobody. People are known by name, so that one name in two cohorts counts as one person: epsilon is
        then too large, never too small. One person with two names counts as two.
    """
    trained = [(model, model.people, _mechanisms_of(model)) for model in models(entries)]
    # Without any name there is still somebody, for whom all models count.
    everybody = frozenset().union(*(people or () for _, people, _ in trained)) or frozenset({""})
    alike: dict[frozenset[Any], tuple[ModelGroup, ...]] = {}
    for person in sorted(everybody):
        own = [(model, spent) for model, people, spent in trained if people is None or person in people]
        # People with equally many models of each mechanism have one epsilon, which is computed once.
        counted = Counter(spent for _, spent in own)
        alike.setdefault(frozenset(counted.items()), tuple(model for model, _ in own))
    return Together(tuple(alike.values()))


def table_entries(entries: Sequence[Entry], evaluation: str) -> list[Entry]:
    """Entries of an evaluation's detectors, and of the generators that the detectors learn from."""
    of_detectors = [entry for entry in entries if entry.inputs.get("evaluation") == evaluation]
    detectors = model_kinds(of_detectors)
    # Entries of generators name no evaluation: one release serves several tables.
    of_generators = [
        entry
        for model in models(entries)
        if any(detector.learns_from(model) for detector in detectors)
        for entry in model.entries
    ]
    return of_generators + of_detectors


def _mechanisms_of(model: ModelGroup) -> tuple[bool, tuple[Mechanism, ...]]:
    """Key of models that spend the same on a person: their mechanisms, and whether they are detectors."""
    # Generators and detectors have windows of different strides, so that equal mechanisms differ in k.
    return "detector" in model.inputs, model.mechanisms


def _spent(members: Sequence[Entry]) -> float:
    return sum(entry.epsilon_pld for entry in members)
