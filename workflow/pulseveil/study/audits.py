"""Which generators and detectors of a study are audited, and the job of each."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from pulseveil.core import identity, paths, registry
from pulseveil.evaluation.protocols import Train
from pulseveil.generators import Discriminates
from pulseveil.study.cells import NONE, AuditedCell, DetectorPack
from pulseveil.study.jobs import AuditJob, DetectorAuditJob, GeneratorAuditJob
from pulseveil.study.plan import Plan, programs
from pulseveil.study.study import Audit

_SEED = 0


def audited_cells(plan: Plan) -> tuple[AuditedCell, ...]:
    """The audited models that see real windows, once each: generators first.

    Every part of a cell is audited under its own claim. Detectors of synthetic windows alone see no real
    window, and rules that read no window have nothing to give away.
    """
    if plan.study.audit is None:
        return ()
    found = [cell for pack in _packs(plan) for cell in _cells(plan, pack)]
    return tuple(dict.fromkeys(sorted(found, key=lambda cell: cell.part != "generator")))


def verdicts(plan: Plan) -> int:
    """How many verdicts of all audits can fail the study: they share one error rate."""
    private = [cell for cell in audited_cells(plan) if math.isfinite(cell.epsilon)]
    counts = [
        _audit(plan).verdicts(
            cell.unit,
            len(plan.outlines[cell.cohort]),
            has_curve=True,
            has_discriminator=_has_discriminator(plan, cell),
        )
        for cell in private
    ]
    return max(1, sum(counts))


def trained_models(plan: Plan, cell: AuditedCell) -> int:
    """How many models an audit trains."""
    people = len(plan.outlines[cell.cohort])
    attacked = _has_discriminator(plan, cell)
    return _audit(plan).trained_models(cell.part, cell.unit, people, has_discriminator=attacked)


def synthetic_subjects(plan: Plan, cell: AuditedCell) -> int:
    """Synthetic subjects of an audit, by the audited evaluations: the most that a detector learns from.

    A generator's release is kept to `released_subjects`: each of its windows is compared with all real ones.
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
    return min(most, _audit(plan).released_subjects) if cell.part == "generator" else most


def synthetic_paths(plan: Plan, cell: AuditedCell) -> list[str]:
    """The synthetic features that an audited detector learns from beside real ones, if any."""
    if cell.generator == NONE:
        return []
    return [paths.SYNTHETIC_FEATURES.format(study=plan.study.name, seed=_SEED, **cell.words)]


def audit_job(plan: Plan, cell: AuditedCell) -> AuditJob:
    """The job that audits one model; raises ValueError for a study without audit."""
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
        "seeds": (_SEED,),
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
        )
    model = study.detector(cell.detector)
    kind = registry.load("detectors", model.kind)
    # The windows of any one fold will do: what a detector's training adds is measured beside a fixed release.
    fold = "" if cell.generator == NONE else plan.generator_folds(cell.cohort)[0].name
    return DetectorAuditJob(
        **common,
        versions=(identity.AUDIT, kind.version),
        programs=programs(kind, cell.epsilon_detector),
        kind=model.kind,
        settings=model.settings.model_dump(mode="json"),
        generator_fold=fold,
    )


def _audit(plan: Plan) -> Audit:
    if plan.study.audit is None:
        raise ValueError("the study has no audit")
    return plan.study.audit


def _has_discriminator(plan: Plan, cell: AuditedCell) -> bool:
    """Whether the audit attacks a discriminator beside what its generator releases."""
    if cell.part != "generator":
        return False
    kind = registry.load("generators", plan.study.generator(cell.generator).kind)
    return issubclass(kind, Discriminates)


def _packs(plan: Plan) -> Iterator[DetectorPack]:
    """The packs of the audited evaluations, without those of rules that read no window."""
    for pack in plan.detector_packs:
        if pack.evaluation.name in _audit(plan).evaluations and not pack.timeline:
            yield pack


def _cells(plan: Plan, pack: DetectorPack) -> Iterator[AuditedCell]:
    cohort = pack.evaluation.cohort
    for detector in pack.detectors:
        for unit, of_generator, of_detector in plan.privacies(pack, detector):
            for generator in pack.generators:
                if pack.train != "real":
                    yield AuditedCell("generator", cohort, generator, NONE, unit, of_generator, math.inf)
                if pack.train != "synthetic":
                    yield AuditedCell(
                        "detector", cohort, generator, detector, unit, of_generator, of_detector
                    )
