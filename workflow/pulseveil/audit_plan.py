"""Which detectors of a study are audited, and the job of each."""

from __future__ import annotations

import math

from pulseveil import paths, registry, stages
from pulseveil.audit.job import AuditJob
from pulseveil.naming import number_label
from pulseveil.packs import AuditedCell
from pulseveil.plan import Plan


def audited_cells(plan: Plan) -> tuple[AuditedCell, ...]:
    """The audited detectors: those of the audited evaluation that learn from windows, once each."""
    audit = plan.study.audit
    if audit is None:
        return ()
    cells = {
        AuditedCell(pack.evaluation.cohort, detector, privacy.unit, privacy.epsilon_detector): None
        for pack in plan.detector_packs
        if pack.evaluation.name == audit.evaluation and not pack.timeline
        for detector in pack.detectors
        for privacy in plan.privacies(pack, detector)
    }
    return tuple(cells)


def verdicts(plan: Plan) -> int:
    """How many verdicts of all audits can fail the study: they share one error rate."""
    audit = plan.study.audit
    if audit is None:
        return 0
    private = [cell for cell in audited_cells(plan) if math.isfinite(cell.epsilon)]
    counts = [audit.verdicts(cell.unit, len(plan.outlines[cell.cohort]), has_curve=True) for cell in private]
    return max(1, sum(counts))


def audit_job(plan: Plan, cell: AuditedCell) -> AuditJob:
    """The job that audits one detector; raises ValueError for a study without audit."""
    study = plan.study
    if study.audit is None:
        raise ValueError("the study has no audit")
    model = study.detector(cell.detector)
    public = study.public.population(1, study.stride_s.detector)
    return AuditJob(
        study=study.name,
        versions=(stages.AUDIT, registry.load("detectors", model.kind).version),
        root_seed=study.seed,
        threads=study.threads,
        unit=cell.unit,
        delta=study.delta,
        windows_per_subject=public.windows_per_subject,
        stress_share=public.stress_share,
        noise_mode=study.noise,
        dp_backend=study.dp_backend,
        epsilon_generator=math.inf,
        seeds=(0,),
        cohort=cell.cohort,
        detector=cell.detector,
        kind=model.kind,
        settings=model.settings.model_dump(mode="json"),
        epsilon_detector=cell.epsilon,
        subjects=tuple(plan.outlines[cell.cohort]),
        audit=study.audit,
        audits=verdicts(plan),
    )


def audit_paths(plan: Plan) -> list[str]:
    """The table of every audit of the study."""
    return [
        paths.AUDIT.format(
            study=plan.study.name,
            cohort=cell.cohort,
            detector=cell.detector,
            unit=cell.unit,
            epsilon_detector=number_label(cell.epsilon),
        )
        for cell in audited_cells(plan)
    ]
