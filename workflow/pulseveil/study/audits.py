"""Audits in a plan: the audited generators and detectors, their sizes, and the job of each."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from pulseveil.core import identity, paths, registry
from pulseveil.core.identity import number_label
from pulseveil.evaluation.protocols import Train
from pulseveil.generators import Discriminates, GeneratorKind
from pulseveil.study.audit_jobs import AuditJob, DetectorAuditJob, GeneratorAuditJob, NoisedAuditJob
from pulseveil.study.cells import NONE, AuditedCell, DetectorPack, NoisedCell
from pulseveil.study.plan import Plan, programs
from pulseveil.study.study import Audit

# What would be released of noised windows are these windows, and not the models.
_NOISED = "its windows have noise, and are attacked themselves"
# An audit trains its own models. Of the study it needs synthetic windows of a single seed.
SEED = 0


def audited_cells(plan: Plan) -> tuple[AuditedCell, ...]:
    """Audited parts that learn from real windows, generators first, each part once.

    Each part of a cell is audited under its own claim. What an audit could not test is not audited
    (`left_out`).
    """
    if plan.study.audit is None:
        return ()
    found = [cell for pack in _packs(plan) for cell in _cells(plan, pack)]
    # Several evaluations can need the same model, which is one claim and one audit.
    return tuple(dict.fromkeys(sorted(found, key=lambda cell: cell.part != "generator")))


def left_out(plan: Plan) -> dict[tuple[str, str], tuple[str, ...]]:
    """Models of audited evaluations on which no audit can test anything, by evaluation and reason."""
    if plan.study.audit is None:
        return {}
    found: dict[tuple[str, str], dict[str, None]] = {}
    for pack in plan.detector_packs:
        evaluation = pack.evaluation
        if evaluation.name not in _audit(plan).evaluations:
            continue
        named = [(name, _why_no_detector(plan, pack)) for name in pack.detectors]
        if pack.train != "real":
            named += [(name, _why_no_generator(plan, pack, name)) for name in pack.generators]
        for name, why in named:
            if why:
                found.setdefault((evaluation.name, why), {})[name] = None
    return {key: tuple(names) for key, names in found.items()}


def out_of_reach(plan: Plan) -> dict[float, tuple[str, ...]]:
    """Models that are not attacked by membership inference, which could not test their claim, by epsilon."""
    if plan.study.audit is None or not plan.study.audit.trainings:
        return {}
    found: dict[float, dict[str, None]] = {}
    for cell in audited_cells(plan):
        if not _attacks_members(plan, cell):
            name = cell.detector if cell.part == "detector" else cell.generator
            found.setdefault(cell.epsilon, {})[name] = None
    return {epsilon: tuple(names) for epsilon, names in found.items()}


def describe(plan: Plan) -> str:
    """Audits that are left out, and attacks that cannot test their claim, as text; empty without any."""
    lines = []
    if found := left_out(plan):
        lines.append("audits left out, because they could not test anything:")
        lines += [f"  {evaluation}: {', '.join(names)}: {why}" for (evaluation, why), names in found.items()]
    if out := out_of_reach(plan):
        trainings, reach = _audit(plan).trainings, _audit(plan).membership_reach(plan.study.delta)
        lines.append(
            f"membership attacks with {trainings} trainings per side can show epsilon {reach:.2f} at most, "
            "and are left out for:"
        )
        lines += [f"  {', '.join(names)}, epsilon {number_label(epsilon)}" for epsilon, names in out.items()]
        lines.append("  (canaries test these claims; audit.membership: always attacks people too)")
    return "\n".join(lines)


def verdicts(plan: Plan) -> int:
    """Number of verdicts of all audits of a study, which share one family-wise error rate."""
    # Models without a budget are attacked without a verdict: they claim nothing that could be refuted.
    private = [cell for cell in audited_cells(plan) if math.isfinite(cell.epsilon)]
    counts = [
        _audit(plan).verdicts(
            cell.unit,
            len(plan.outlines[cell.cohort]),
            has_curve=True,
            has_discriminator=_has_discriminator(plan, cell),
            has_membership=_attacks_members(plan, cell),
        )
        for cell in private
    ]
    # At least 1, because the error rate is divided by this number.
    return max(1, sum(counts))


def trained_models(plan: Plan, cell: AuditedCell) -> int:
    """Number of models that the audit of one part trains."""
    people = len(plan.outlines[cell.cohort])
    return _audit(plan).trained_models(
        cell.part,
        cell.unit,
        people,
        has_discriminator=_has_discriminator(plan, cell),
        has_membership=_attacks_members(plan, cell),
    )


def synthetic_subjects(plan: Plan, cell: AuditedCell) -> int:
    """Number of synthetic subjects of one audit.

    For a detector: the most that it learns from in the audited evaluations. For a generator: the same, but at
    most `released_subjects` of the audit.
    """
    if cell.generator == NONE:
        return 0
    trains: tuple[Train, ...] = ("real+synthetic",)
    if cell.part == "generator":
        trains = ("synthetic", "real+synthetic")
    most = max(
        max(pack.subjects)
        for pack in _packs(plan)
        if pack.evaluation.cohort == cell.cohort
        and pack.train in trains
        and cell.generator in pack.generators
    )
    # The attack warps each released window against all real ones, so that its time grows with this number.
    return min(most, _audit(plan).released_subjects) if cell.part == "generator" else most


def synthetic_paths(plan: Plan, cell: AuditedCell) -> list[str]:
    """Files of synthetic features from which an audited detector learns besides real windows, if any."""
    if cell.generator == NONE:
        return []
    return [paths.SYNTHETIC_FEATURES.format(study=plan.study.name, seed=SEED, **cell.words)]


def _why_no_generator(plan: Plan, pack: DetectorPack, generator: str) -> str:
    """Why the generator of a pack is not audited; empty if it is."""
    kind: type[GeneratorKind] = registry.load("generators", plan.study.generator(generator).kind)
    if pack.noise_on == "windows":
        return _NOISED
    if not plan.learns(generator):
        return "a generator that reads no recording is the same with and without a person"
    if not kind.audited:
        return "its windows are given: there is no training to repeat without a person"
    return _why_no_cohort(plan, pack)


def _why_no_detector(plan: Plan, pack: DetectorPack) -> str:
    """Why the detectors of a pack are not audited; empty if they are."""
    if pack.timeline:
        return "a rule reads no window"
    if pack.noise_on == "windows":
        return _NOISED
    if pack.train == "synthetic":
        return "a detector of synthetic windows alone gives away nothing that its generator does not"
    return _why_no_cohort(plan, pack)


def _why_no_cohort(plan: Plan, pack: DetectorPack) -> str:
    cohort = pack.evaluation.cohort
    alone = len(plan.outlines[cohort]) == 1 and _audit(plan).trainings > 0
    return (
        f"cohort {cohort} has one person, so that nobody trains a model without that person" if alone else ""
    )


def audit_job(plan: Plan, cell: AuditedCell) -> AuditJob:
    """Job that audits one part of a cell.

    Raises:
        ValueError: the study has no audit.
    """
    study = plan.study
    stride_s = study.stride_s.generator if cell.part == "generator" else study.stride_s.detector
    public = study.public.population(1, stride_s)
    common: dict[str, Any] = {
        "study": study.name,
        "root_seed": study.seed,
        "threads": study.threads,
        "unit": cell.unit,
        "delta": study.delta,
        "windows_per_subject": public.windows_per_subject,
        "stress_share": public.stress_share,
        "noise_mode": study.privacy_noise,
        "dp_backend": study.dp_backend,
        "epsilon_generator": cell.epsilon_generator,
        "epsilon_detector": cell.epsilon_detector,
        "seeds": (SEED,),
        "cohort": cell.cohort,
        "generator": cell.generator,
        "detector": cell.detector,
        "subjects": tuple(plan.outlines[cell.cohort]),
        "synthetic_subjects": synthetic_subjects(plan, cell),
        "audit": _audit(plan),
        "audits": verdicts(plan),
    }
    if cell.part == "generator":
        model = study.generator(cell.generator)
        kind = registry.load("generators", model.kind)
        settings = model.settings.model_dump(mode="json")
        return GeneratorAuditJob(
            **common,
            versions=(identity.AUDIT, kind.version),
            programs=programs(kind, cell.epsilon_generator),
            kind=model.kind,
            settings=settings,
            classes=study.classes,
            public_cohorts=plan.public_cohorts(cell.generator),
        )
    model = study.detector(cell.detector)
    kind = registry.load("detectors", model.kind)
    # Any fold's windows serve: the audit measures what the detector's training adds to a fixed release.
    fold = "" if cell.generator == NONE else plan.generator_folds(cell.cohort)[0].name
    return DetectorAuditJob(
        **common,
        versions=(identity.AUDIT, kind.version),
        programs=programs(kind, cell.epsilon_detector),
        kind=model.kind,
        settings=model.settings.model_dump(mode="json"),
        generator_fold=fold,
    )


def noised_cells(plan: Plan) -> tuple[NoisedCell, ...]:
    """Audited evaluations with noise on windows: what is attacked is the windows, and not the detectors."""
    audited = () if plan.study.audit is None else plan.study.audit.evaluations
    return tuple(
        NoisedCell(evaluation.name)
        for evaluation in plan.study.evaluations
        if evaluation.name in audited and evaluation.noise_on == "windows"
    )


def noised_job(plan: Plan, cell: NoisedCell) -> NoisedAuditJob:
    """Job that attacks the noised windows of an evaluation."""
    evaluation = next(e for e in plan.study.evaluations if e.name == cell.evaluation)
    return NoisedAuditJob(
        study=plan.study.name,
        root_seed=plan.study.seed,
        cohort=evaluation.cohort,
        evaluation=evaluation.name,
        subjects=tuple(plan.outlines[evaluation.cohort]),
        noise=evaluation.input_noise,
        noise_distribution=evaluation.noise_distribution,
    )


def _audit(plan: Plan) -> Audit:
    if plan.study.audit is None:
        raise ValueError("the study has no audit")
    return plan.study.audit


def _attacks_members(plan: Plan, cell: AuditedCell) -> bool:
    return _audit(plan).attacks_members(cell.unit, cell.epsilon, plan.study.delta)


def _has_discriminator(plan: Plan, cell: AuditedCell) -> bool:
    """Whether the audit attacks a discriminator beside what its generator releases."""
    if cell.part != "generator":
        return False
    kind = registry.load("generators", plan.study.generator(cell.generator).kind)
    return issubclass(kind, Discriminates)


def _packs(plan: Plan) -> Iterator[DetectorPack]:
    """Packs of the audited evaluations, without packs of rules and of noised windows."""
    for pack in plan.detector_packs:
        audited = pack.evaluation.name in _audit(plan).evaluations
        if audited and not pack.timeline and pack.noise_on == "features":
            yield pack


def _cells(plan: Plan, pack: DetectorPack) -> Iterator[AuditedCell]:
    cohort = pack.evaluation.cohort
    has_detectors = not _why_no_detector(plan, pack)
    for detector in pack.detectors:
        for unit, of_generator, of_detector in plan.privacies(pack, detector):
            for generator in pack.generators:
                if pack.train != "real" and not _why_no_generator(plan, pack, generator):
                    yield AuditedCell("generator", cohort, generator, NONE, unit, of_generator, math.inf)
                if has_detectors:
                    yield AuditedCell(
                        "detector", cohort, generator, detector, unit, of_generator, of_detector
                    )
