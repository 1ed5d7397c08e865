"""Plan of a study, with all checks that need no recording: what is wrong is told before any job starts."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from pulseveil.cohorts import require_classes, require_units
from pulseveil.core import registry
from pulseveil.core.contracts import CHANNEL_SETS
from pulseveil.core.errors import InputError, noting, refuse
from pulseveil.core.identity import number_label, require_name
from pulseveil.evaluation.protocols import Outline, require_apart, require_folds
from pulseveil.study import lengths, persons
from pulseveil.study.cells import Budgets, DetectorPack
from pulseveil.study.plan import Plan, errors_of
from pulseveil.study.study import Evaluation, Model, Study
from pulseveil.windows.features import select_columns, statistic_names
from pulseveil.windows.literature import require_known
from pulseveil.windows.signals import ALL_SIGNALS, channels_of

# Bounds the memory of the table of all runs, and the size of a workflow that a typing error asks for.
_MOST_RUNS = 2_000_000


def make_plan(study: Study) -> Plan:
    """Plan of a study, checked; all faults are told at once.

    Raises:
        InputError: the plan has too many runs, windows are longer than intervals, a protocol gives invalid
            folds, a name cannot be part of a path, or a model has no private training for one of its budgets.
    """
    faults: list[str] = []
    plan = Plan(study, _outlines(study, faults))
    # Without the people of a cohort there are no folds.
    if plan.outlines.keys() != study.cohort_settings.keys():
        refuse(faults)
    with noting(faults):
        lengths.require_room(study)
    _check_same_people(plan, faults)
    _check_size(plan, faults)
    _check_folds(plan, faults)
    _check_budgets(plan, faults)
    for pack in plan.detector_packs:
        for detector in pack.detectors:
            for privacy in plan.privacies(pack, detector):
                with noting(faults):
                    _check_parts(pack, privacy)
                with noting(faults):
                    _check_public(study, detector, privacy)
            with noting(faults):
                _check_signals(study, pack, detector)
    for cell in plan.generator_cells():
        with noting(faults):
            _check_windows(study, cell.generator)
    _check_public_cohorts(plan, faults)
    # Packs and cells of one model have the same faults.
    refuse(tuple(dict.fromkeys(faults)))
    return plan


def _outlines(study: Study, faults: list[str]) -> dict[str, Outline]:
    """People of each cohort, without cohorts that do not know theirs; what is wrong is added to `faults`."""
    found = {}
    for name, settings in study.cohort_settings.items():
        with noting(faults):
            found[name] = registry.load("cohorts", settings.kind)(settings).outline()
        try:
            require_units(settings.kind, study.protocol, study.channels, study.scaling)
        except InputError as error:
            faults += [f"cohorts.{name}: {message}" for message in error.messages]
        for subject in found.get(name, ()):
            with noting(faults):
                require_name(subject, f"cohort {name}: subject")
    return found


def _check_same_people(plan: Plan, faults: list[str]) -> None:
    """Check that the people of `same_person` exist, and that models keep and protect them as one person."""
    people = plan.study.same_people
    with noting(faults):
        persons.require_known(people, plan.outlines)
    # Ledgers compose what a person spends by name.
    private = {
        pack.evaluation.cohort
        for pack in plan.detector_packs
        for detector in pack.detectors
        if any(privacy.is_private for privacy in plan.privacies(pack, detector))
    }
    with noting(faults):
        persons.require_one_budget(people, private)
    for pack in plan.detector_packs:
        if plan.study.generator_shared and pack.train != "real":
            evaluation = pack.evaluation
            with noting(faults):
                persons.require_not_learnt(people, evaluation.cohort, evaluation.tested_cohort)


def _check_size(plan: Plan, faults: list[str]) -> None:
    """Check that the plan has at most `_MOST_RUNS` detector runs.

    Raises:
        InputError: it has more; other checks would take too long.
    """
    # Counted by products, because the table of runs itself would take the memory that is to be saved.
    runs = 0
    for pack in plan.detector_packs:
        axes = (pack.seeds, pack.generators, pack.subjects, pack.noise, pack.signals)
        budgets = sum(len(plan.privacies(pack, detector)) for detector in pack.detectors)
        with noting(faults):
            runs += math.prod(map(len, (*axes, plan.detector_folds(pack)))) * budgets
    if runs > _MOST_RUNS:
        raise InputError(
            *dict.fromkeys(faults),
            f"study {plan.study.name}: {runs} runs, more than {_MOST_RUNS}; ask for fewer seeds, "
            "synthetic_subjects, epsilons, input_noise or signals",
        )


def _check_folds(plan: Plan, faults: list[str]) -> None:
    """Check all folds: their names and subjects, and that none tests a subject on which it trains."""
    # Protocols can come from other packages, and a fold that tests its training subjects looks like a
    # success.
    packs = {(pack.evaluation.name, pack.train): pack for pack in plan.detector_packs}
    for pack in packs.values():
        evaluation = pack.evaluation
        with noting(faults):
            folds = plan.detector_folds(pack)
            with errors_of(evaluation):
                require_folds(folds, plan.people(evaluation))
                # Of the plan's labels: a job would fail only after the recordings are read.
                outline = plan.outlines[evaluation.cohort]
                require_classes(outline, f"cohort {evaluation.cohort}")
                for fold in folds:
                    known = [subject for subject in fold.train_subjects if subject in outline]
                    train = {subject: outline[subject] for subject in known}
                    require_classes(train, f"fold {fold.name}")
                if evaluation.tested_cohort == evaluation.cohort and not plan.learns_of_all(pack):
                    require_apart(folds)
    for cohort in dict.fromkeys(cell.cohort for cell in plan.generator_cells()):
        with noting(faults):
            for fold in plan.generator_folds(cohort):
                require_name(fold.name, f"cohort {cohort}: fold")


def _check_budgets(plan: Plan, faults: list[str]) -> None:
    """Check that each model has a private training for each of its units with a budget."""
    study = plan.study
    refused: dict[tuple[str, str, str, str], dict[str, None]] = {}

    def check(group: registry.Group, model: Model, epsilon: float, unit: str) -> None:
        if np.isfinite(epsilon) and unit not in _kind(group, model).private_units:
            refused.setdefault((group, model.name, model.kind, unit), {})[number_label(epsilon)] = None

    for pack in plan.detector_packs:
        for detector in pack.detectors:
            for privacy in plan.privacies(pack, detector):
                check("detectors", study.detector(detector), privacy.epsilon_detector, privacy.unit)
    for cell in plan.generator_cells():
        check("generators", study.generator(cell.generator), cell.epsilon, cell.unit)
    for (group, name, kind, unit), epsilons in refused.items():
        faults.append(
            f"{group}: {name}: no private training at unit {unit} is known for kind {kind}; use epsilon inf, "
            f"not {' or '.join(epsilons)}, or add `epsilons: [inf]` to its entry"
        )


def _check_public(study: Study, detector: str, privacy: Budgets) -> None:
    """Check that a detector of public scales finds its columns, and scales in the units of the study."""
    model = study.detector(detector)
    reads = _kind("detectors", model).public_knowledge
    if reads == "never" or (reads == "private" and np.isinf(privacy.epsilon_detector)):
        return
    try:
        require_known(study.scaling)
        # Kinds of other packages can read public scales without a key for their columns.
        if hasattr(model.settings, "statistics"):
            select_columns(statistic_names(CHANNEL_SETS[study.channels]), model.settings.statistics)
    except InputError as error:
        raise InputError(f"detectors: {detector}: {error}") from None


def _check_signals(study: Study, pack: DetectorPack, detector: str) -> None:
    """Check that a detector of statistics finds its columns among the signals of a pack."""
    settings = study.detector(detector).settings
    if getattr(settings, "inputs", "") != "statistics":
        return
    for signals in filter(lambda signals: signals != ALL_SIGNALS, pack.signals):
        try:
            names = statistic_names(channels_of(signals, CHANNEL_SETS[study.channels]))
            select_columns(names, settings.statistics)
        except InputError as error:
            raise InputError(
                f"evaluation {pack.evaluation.name}: signals {signals}: detectors: {detector}: {error}"
            ) from None


def _check_windows(study: Study, generator: str) -> None:
    """Check that a generator can learn windows of the study's channels and scaling."""
    model = study.generator(generator)
    try:
        _kind("generators", model).require_windows(
            model.settings, CHANNEL_SETS[study.channels], study.scaling
        )
    except InputError as error:
        raise InputError(f"generators: {error}") from None


def _check_public_cohorts(plan: Plan, faults: list[str]) -> None:
    """Check that models have the public people whom they read, who neither train nor are tested."""
    study = plan.study
    for pack in plan.detector_packs:
        for generator in pack.generators if pack.train != "real" and not pack.timeline else ():
            model = study.generator(generator)
            if _kind("generators", model).uses_public_people(model.settings) and not study.public_cohorts:
                faults.append(
                    f"generators: {generator}: prior pool needs public people; name cohorts of the study in "
                    "the key public_cohorts, or set prior: literature"
                )
            _check_other_people(plan, plan.public_cohorts(generator), pack.evaluation, faults)
        for detector in pack.detectors:
            model = study.detector(detector)
            if not _kind("detectors", model).uses_public_people(model.settings):
                continue
            if not study.public_cohorts:
                faults.append(
                    f"detectors: {detector}: pretrain public needs public people; name cohorts of the study "
                    "in the key public_cohorts, or leave pretrain out"
                )
            if study.audit is not None and pack.evaluation.name in study.audit.evaluations:
                faults.append(
                    f"detectors: {detector}: no audit of a pretrained network is known; audit an evaluation "
                    "without this detector"
                )
            _check_other_people(plan, study.public_cohorts, pack.evaluation, faults)


def _check_other_people(
    plan: Plan, public_cohorts: tuple[str, ...], evaluation: Evaluation, faults: list[str]
) -> None:
    """Check that nobody of the public cohorts trains or is tested in an evaluation."""
    for public in public_cohorts:
        for cohort in dict.fromkeys((evaluation.cohort, evaluation.tested_cohort)):
            with noting(faults):
                if public == cohort or _share_people(plan, public, cohort):
                    raise InputError(
                        f"public_cohorts: {public} shares people with cohort {cohort} of evaluation "
                        f"{evaluation.name}: what is taken for public would hold the people who are "
                        "protected or tested; name a cohort of other people"
                    )


def _share_people(plan: Plan, first: str, second: str) -> bool:
    """Whether two cohorts can hold the same people: by statement, by their files, or by kind and names."""
    if persons.shared(plan.study.same_people, first, second):
        return True
    settings = [plan.study.cohort_settings[name] for name in (first, second)]
    files = [
        {path.resolve() for path in registry.load("cohorts", each.kind)(each).sources()} for each in settings
    ]
    if files[0] & files[1]:
        return True
    if settings[0].kind != settings[1].kind or not set(plan.outlines[first]) & set(plan.outlines[second]):
        return False
    # Simulated people have no files: another seed makes other people of the same names.
    seeds = [getattr(each, "seed", None) for each in settings]
    return bool(files[0] or files[1]) or seeds[0] == seeds[1]


def _check_parts(pack: DetectorPack, privacy: Budgets) -> None:
    """Check that a detector's budget protects the people of its training windows.

    Raises:
        InputError: no real window trains, or synthetic windows of the same people have no budget.
    """
    if np.isinf(privacy.epsilon_detector) or pack.train == "real":
        return
    name = pack.evaluation.name
    if pack.train == "synthetic":
        raise InputError(
            f"evaluation {name}: epsilon_detector {number_label(privacy.epsilon_detector)} has no use: a "
            "detector that learns from synthetic windows alone spends nothing of its own; set "
            "epsilon_generator instead"
        )
    if np.isinf(privacy.epsilon_generator):
        raise InputError(
            f"evaluation {name}: epsilon_detector {number_label(privacy.epsilon_detector)} protects nobody, "
            "because synthetic windows of the same people train without a budget; set epsilon_generator too"
        )


def _kind(group: registry.Group, model: Model) -> Any:
    return registry.load(group, model.kind)
