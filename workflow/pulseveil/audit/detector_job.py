"""The audit of a study's detector: its trainings as the study does them, under its claim."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pulseveil import registry, releases, tensorflow_runtime
from pulseveil.audit.bounds import Floats
from pulseveil.audit.canaries import confidence
from pulseveil.audit.designs import Train
from pulseveil.audit.detector_audit import audit_detector
from pulseveil.audit.job import AuditJob
from pulseveil.audit.trade_off import TradeOff, claimed_curve
from pulseveil.audit.verdict import Claim, Defence
from pulseveil.contracts import FeatureSet
from pulseveil.errors import InputError
from pulseveil.protocols import Fold
from pulseveil.randomness import Stream


def audit(job: AuditJob, features: FeatureSet) -> pd.DataFrame:
    """The table of `audit_detector` for a job, with the columns of its keys.

    `features` of the job's cohort. Every private training draws a key of its own, which is destroyed with
    the model: what is audited is the training, and no audited model is released.
    """
    kind = registry.load("detectors", job.kind)
    if kind.uses_tensorflow:
        tensorflow_runtime.start(job.threads)
    settings = kind.Settings.model_validate(job.settings)
    detector = kind(settings)
    rows = features.take(np.isin(features.subject, job.subjects))
    with tempfile.TemporaryDirectory() as folder:
        key_path = Path(folder) / "key"
        found = audit_detector(
            _trainer(job, detector, job.fold(with_canaries=False), key_path),
            _trainer(job, detector, job.fold(with_canaries=True), key_path),
            rows,
            job.audit,
            Defence(_claim(job), _curve(job, kind, settings), job.audits),
            job.stream(),
        )
    return pd.concat([pd.DataFrame([job.keys()] * len(found)), found], axis=1)


def require_no_refutation(table: pd.DataFrame) -> None:
    """Raise InputError with the sentences of all verdicts of a table that refute their claim."""
    refuted = table.verdict[table.failed.eq(True)].tolist()
    if refuted:
        raise InputError(
            f"audit: {'; '.join(refuted)}. The training gives away more than it claims: do not release its "
            "models before the cause is found"
        )


def _trainer(job: AuditJob, detector: Any, fold: Fold, key_path: Path) -> Train[FeatureSet]:
    budget = job.budget(job.epsilon_detector, fold)

    def train(rows: FeatureSet, stream: Stream) -> Callable[[FeatureSet], Floats]:
        with releases.with_noise(budget, job.noise_mode, key_path, stream) as noised:
            return confidence(detector.fit(rows, budget=noised, stream=stream))

    return train


def _claim(job: AuditJob) -> Claim:
    return Claim(job.detector, job.epsilon_detector, job.delta, job.unit)


def _curve(job: AuditJob, kind: Any, settings: Any) -> TradeOff | None:
    budget = job.budget(job.epsilon_detector, job.fold(with_canaries=True))
    return claimed_curve(kind.mechanisms(settings, budget)) if budget.is_private else None
