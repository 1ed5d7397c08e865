"""Planned privacy spend of a study, computed and checked before any job starts."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from pulseveil.core import registry
from pulseveil.core.errors import InputError
from pulseveil.core.identity import number_label
from pulseveil.core.settings import Preprocessing
from pulseveil.detectors import MODEL
from pulseveil.evaluation.protocols import Fold
from pulseveil.privacy import accounting
from pulseveil.privacy.budget import Budget, Mechanism, Unit, seeds_asked
from pulseveil.privacy.models import Setting
from pulseveil.privacy.statement import Unbudgeted, without_budget
from pulseveil.study.cells import NONE, Budgets, DetectorPack
from pulseveil.study.plan import Plan
from pulseveil.study.study import Model, Study
from pulseveil.windows import reach


@dataclass(frozen=True)
class Spend:
    """Private parts of one trained cell, for any of its folds.

    delta: that of the study. shared_windows: windows of the generator and of the detector that `shared`, any
    60 s of one person or the whole person, can touch.
    """

    evaluation: str
    generator: str
    detector: str
    privacy: Budgets
    delta: float
    generator_mechanisms: tuple[Mechanism, ...]
    detector_mechanisms: tuple[Mechanism, ...]
    shared_windows: tuple[float, float]
    shared: Literal["60 s", "person"]

    @property
    def seeds_asked(self) -> int:
        """Seeds over which a row of this cell must average before it may claim a use of private data."""
        return seeds_asked((*self.generator_mechanisms, *self.detector_mechanisms))

    @cached_property
    def epsilon(self) -> float:
        """Epsilon of both parts together, for one person or, at unit window, for `shared`.

        Two parts at unit window compose only through a piece of time that both can touch: any 60 s of one
        person or, where a raw second changes the whole recording, the person.
        """
        # Windows of generators and detectors have different strides: there is no window that both protect.
        parts = (*self.generator_mechanisms, *self.detector_mechanisms)
        if not (self.generator_mechanisms and self.detector_mechanisms) or self.privacy.unit == "subject":
            return accounting.epsilon_pld(parts, self.delta)
        of_generator, of_detector = self.shared_windows
        groups = [(mechanism, of_generator) for mechanism in self.generator_mechanisms]
        groups += [(mechanism, of_detector) for mechanism in self.detector_mechanisms]
        return accounting.epsilon_of_groups(groups, self.delta)


def planned(plan: Plan) -> tuple[Spend, ...]:
    """Spend of each private cell of a plan, for one seed and one fold."""
    # Every fold is calibrated to the same epsilon: the first one stands for all.
    return tuple(
        _spend(plan, pack, detector, generator, privacy)
        for pack in plan.detector_packs
        for detector in pack.detectors
        for privacy in plan.privacies(pack, detector)
        if privacy.protects(pack.train)
        for generator in pack.generators
    )


def check(plan: Plan) -> tuple[Spend, ...]:
    """Planned spend of a plan, checked.

    Raises:
        InputError: delta is too large for the number of records, or a cell spends more than `epsilon_total`.
    """
    _check_delta(plan)
    spends = planned(plan)
    for spend in spends:
        if spend.epsilon > plan.study.epsilon_total:
            raise InputError(
                f"evaluation {spend.evaluation}, {_who(spend)}: the parts spend epsilon {spend.epsilon:.3g} "
                f"together, epsilon_total is {number_label(plan.study.epsilon_total)}; "
                "lower epsilon_generator or epsilon_detector"
            )
    return spends


def describe(plan: Plan) -> str:
    """Planned spend as a plain table, one line per private cell; empty for a plan that is not private.

    The last lines name the cells with too few seeds for a claim, and the models without a budget.

    Raises:
        InputError: as in `check`.
    """
    spends = check(plan)
    if not spends:
        return ""
    lines = [
        f"planned spend of one trained model, delta {plan.study.delta:g} ({plan.study.privacy_noise} noise):",
        f"{'evaluation':<17} {'generator':<14} {'detector':<19} {'unit':<9}{'generator':>10}{'detector':>10}"
        f"{'together':>19}",
    ]
    lines += [_line(spend) for spend in dict.fromkeys(spends)]
    lines += _few_seeds(spends, plan.study.seeds)
    beside = unbudgeted(plan)
    lines += [without_budget(beside)] if beside else []
    return "\n".join(lines)


def unbudgeted(plan: Plan) -> tuple[Unbudgeted, ...]:
    """Models that learn without a budget from people who are in private trainings too."""
    # People are compared by name across cohorts: one person can be in several.
    cells = [
        (pack, detector, privacy)
        for pack in plan.detector_packs
        for detector in pack.detectors
        for privacy in plan.privacies(pack, detector)
    ]
    guarded = {
        person
        for pack, _, privacy in cells
        if privacy.is_private
        for person in plan.persons(pack.evaluation.cohort)
    }
    found: dict[tuple[str, str, str], Unbudgeted] = {}

    def add(key: tuple[str, str, str], evaluation: str, models: int) -> None:
        known = found.get(key, Unbudgeted(key[1], (), 0))
        evaluations = tuple(dict.fromkeys((*known.evaluations, evaluation)))
        found[key] = Unbudgeted(key[1], evaluations, known.models + models)

    for pack, detector, privacy in cells:
        evaluation, cohort = pack.evaluation.name, pack.evaluation.cohort
        if guarded.isdisjoint(plan.persons(cohort)):
            continue
        if pack.train != "real" and math.isinf(privacy.epsilon_generator):
            for generator in filter(plan.learns, pack.generators):
                key = ("generator", generator, cohort)
                # Evaluations of one cohort share its generators: they are counted once.
                trained = 0 if key in found else plan.study.seeds * len(plan.generator_folds(cohort))
                add(key, evaluation, trained)
        learns = pack.train != "synthetic" and math.isinf(privacy.epsilon_detector)
        if learns and not _looks_at_nobody(plan.study, plan.study.detector(detector)):
            of_pack = (pack.generators, pack.subjects, pack.noise, pack.signals, pack.seeds)
            axes = (*of_pack, plan.detector_folds(pack))
            add(("detector", detector, evaluation), evaluation, math.prod(map(len, axes)))
    return tuple(found.values())


def _looks_at_nobody(study: Study, detector: Model) -> bool:
    """Whether a detector learns from nobody: a rule that would spend nothing at any budget."""
    kind: Any = registry.load("detectors", detector.kind)
    if kind.role == MODEL or "subject" not in kind.private_units:
        return False
    budget = Budget(1.0, study.delta, "subject", study.public.population(1, study.window_s))
    try:
        return not kind.mechanisms(detector.settings, budget)
    except InputError:
        return False


def setting(study: Study) -> Setting:
    """Setting of the statement: how a person's time becomes the windows of a study."""
    return Setting(
        window_s=study.window_s,
        strides_s=(study.stride_s.generator, study.stride_s.detector),
        labelled_s=study.public.labelled_s,
        reach_s=reach.reach_s(study.protocol, study.channels, study.scaling),
        scaling=study.scaling,
    )


def _few_seeds(spends: Sequence[Spend], seeds: int) -> Iterator[str]:
    lacking = dict.fromkeys((spend.seeds_asked, _who(spend)) for spend in spends if seeds < spend.seeds_asked)
    if lacking:
        needed = ", ".join(f"{number} for {who}" for number, who in lacking)
        yield f"seeds: {seeds} is too few to show use of private data; it takes {needed}"


def _line(spend: Spend) -> str:
    unit, of_generator, of_detector = spend.privacy
    # At unit window the epsilon of two parts is that of 60 s or of the person, not that of a window.
    both = bool(spend.generator_mechanisms and spend.detector_mechanisms)
    together = f"{spend.epsilon:.3g}" + (f" ({spend.shared})" if both and unit == "window" else "")
    return (
        f"{spend.evaluation:<17} {spend.generator:<14} {spend.detector:<19} {unit:<9}"
        f"{number_label(of_generator):>10}{number_label(of_detector):>10}{together:>19}"
    )


def _spend(plan: Plan, pack: DetectorPack, detector: str, generator: str, privacy: Budgets) -> Spend:
    study = plan.study
    fold = plan.detector_folds(pack)[0]
    of_detector = _mechanisms(
        study, "detectors", study.detector(detector), privacy.epsilon_detector, privacy.unit, fold
    )
    of_generator: tuple[Mechanism, ...] = ()
    if generator != NONE:
        trained_on = plan.generator_folds(pack.evaluation.cohort)[0]
        model = study.generator(generator)
        of_generator = _mechanisms(
            study, "generators", model, privacy.epsilon_generator, privacy.unit, trained_on
        )
    of_study = setting(study)
    shared: Literal["60 s", "person"] = "person" if math.isinf(of_study.reach_s) else "60 s"
    windows = of_study.person_windows if shared == "person" else of_study.piece_windows
    return Spend(
        evaluation=pack.evaluation.name,
        generator=generator,
        detector=detector,
        privacy=privacy,
        delta=study.delta,
        generator_mechanisms=of_generator,
        detector_mechanisms=of_detector,
        shared_windows=(windows(study.stride_s.generator), windows(study.stride_s.detector)),
        shared=shared,
    )


def _mechanisms(
    study: Study, group: registry.Group, model: Model, epsilon: float, unit: Unit, fold: Fold
) -> tuple[Mechanism, ...]:
    """Mechanisms that a private model runs for one fold; empty where epsilon is infinite."""
    if math.isinf(epsilon):
        return ()
    # From the plan's public constants alone, so that spending is known without recordings and reveals
    # nothing.
    stride_s = study.stride_s.generator if group == "generators" else study.stride_s.detector
    population = study.public.population(len(fold.train_subjects), stride_s)
    kind: Any = registry.load(group, model.kind)
    budget = Budget(epsilon, study.delta, unit, population, backend=study.dp_backend)
    found: tuple[Mechanism, ...] = kind.mechanisms(model.settings, budget)
    return found


def _check_delta(plan: Plan) -> None:
    """Check that delta is at most 1 / (100 records) of the largest private training.

    Raises:
        InputError: it is larger, in protocol `sound`.
    """
    require_small_delta(plan.study.protocol, plan.study.delta, _private_mechanisms(plan))


def require_small_delta(protocol: Preprocessing, delta: float, mechanisms: Iterable[Mechanism]) -> None:
    """Check that a delta is at most 1 / (100 records) of all mechanisms.

    Raises:
        InputError: it is larger, in protocol `sound`.
    """
    # Protocol `paper` keeps the published delta of 1e-3.
    if protocol == "paper":
        return
    # Records as the accountant counts them: overlapping windows count each.
    most = max(mechanisms, key=lambda mechanism: mechanism.n, default=None)
    if most is not None and delta > 1 / (100 * most.n):
        raise InputError(
            f"delta: {delta:g} is above 1 / (100 x {most.n}), the {most.unit}s of a training; "
            f"protocol sound takes at most {1 / (100 * most.n):.1e}"
        )


def _private_mechanisms(plan: Plan) -> Iterator[Mechanism]:
    """Mechanisms of each part with a budget, for the largest of its folds."""
    study = plan.study
    for pack in plan.detector_packs:
        fold = _largest(plan.detector_folds(pack))
        for detector in pack.detectors:
            for unit, _, epsilon in plan.privacies(pack, detector):
                yield from _mechanisms(study, "detectors", study.detector(detector), epsilon, unit, fold)
    for cell in plan.generator_cells():
        fold, model = _largest(plan.generator_folds(cell.cohort)), study.generator(cell.generator)
        yield from _mechanisms(study, "generators", model, cell.epsilon, cell.unit, fold)


def _largest(folds: Sequence[Fold]) -> Fold:
    return max(folds, key=lambda fold: len(fold.train_subjects))


def _who(spend: Spend) -> str:
    named: Sequence[str] = (spend.generator, spend.detector)
    return " and ".join(name for name in named if name != NONE)
