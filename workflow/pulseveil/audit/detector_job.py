"""The audit of a study's detector: its trainings as the study does them, under its claim."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pulseveil import protocols, registry, releases, tensorflow_runtime
from pulseveil.audit.bounds import Floats
from pulseveil.audit.canaries import confidence
from pulseveil.audit.claimed_training import Training, curve, with_canaries
from pulseveil.audit.designs import Train
from pulseveil.audit.detector_audit import audit_detector
from pulseveil.audit.job import DetectorAuditJob
from pulseveil.audit.verdict import Claim, Defence
from pulseveil.contracts import FeatureSet
from pulseveil.randomness import Stream


def audit(job: DetectorAuditJob, features: FeatureSet, synthetic: FeatureSet | None = None) -> pd.DataFrame:
    """The table of `audit_detector` for a job, with the columns of its keys.

    `features` of the job's cohort; `synthetic` features of its generator, for a detector that learns from
    both: the same ones in every training, since the detector's claim holds beside any release. Every private
    training draws a key of its own, which is destroyed with the model: what is audited is the training, and
    no audited model is released.
    """
    kind = registry.load("detectors", job.kind)
    if kind.uses_tensorflow:
        tensorflow_runtime.start(job.threads)
    budget, wider = job.budgets()
    claimed = Training(kind.Settings.model_validate(job.settings), budget)
    audited = with_canaries(job.model, kind, claimed, wider)
    rows = features.take(np.isin(features.subject, job.subjects))
    beside = _beside(job, rows, synthetic)
    with tempfile.TemporaryDirectory() as folder:
        key_path = Path(folder) / "key"
        found = audit_detector(
            _trainer(job, kind, claimed, beside, key_path),
            _trainer(job, kind, audited, beside, key_path),
            rows,
            job.audit,
            Defence(Claim(job.model, job.epsilon, job.delta, job.unit), curve(kind, claimed), job.audits),
            job.stream(),
        )
    return pd.concat([pd.DataFrame([job.keys()] * len(found)), found], axis=1)


def _beside(job: DetectorAuditJob, rows: FeatureSet, synthetic: FeatureSet | None) -> FeatureSet | None:
    """The synthetic rows that every training sees, None where detectors learn from real windows alone."""
    if synthetic is None:
        return None
    return protocols.training_rows(
        rows,
        synthetic,
        job.fold(with_canaries=False),
        train="synthetic",
        generator_fold=job.generator_fold,
        subjects=job.synthetic_subjects,
    )


def _trainer(
    job: DetectorAuditJob, kind: Any, training: Training, beside: FeatureSet | None, key_path: Path
) -> Train[FeatureSet]:
    detector = kind(training.settings)

    def train(rows: FeatureSet, stream: Stream) -> Callable[[FeatureSet], Floats]:
        seen = rows if beside is None else FeatureSet.concatenate([rows, beside])
        with releases.with_noise(training.budget, job.noise_mode, key_path, stream) as noised:
            return confidence(detector.fit(seen, budget=noised, stream=stream))

    return train
