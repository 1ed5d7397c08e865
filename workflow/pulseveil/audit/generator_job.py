"""The audit of a study's generator: its trainings and releases as the study does them, under its claim."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pulseveil import registry, releases, tensorflow_runtime
from pulseveil.audit.bounds import Floats
from pulseveil.audit.claimed_training import Training, curve, with_canaries
from pulseveil.audit.designs import Train
from pulseveil.audit.generator_audit import Synthesize, audit_generator
from pulseveil.audit.job import GeneratorAuditJob
from pulseveil.audit.verdict import Claim, Defence
from pulseveil.contracts import WindowSet
from pulseveil.generator_runs import condition_codes
from pulseveil.generators import Discriminates
from pulseveil.generators.subjects import Subjects, synthetic_subjects
from pulseveil.randomness import Stream, child


def audit(job: GeneratorAuditJob, windows: WindowSet) -> pd.DataFrame:
    """The table of `audit_generator` for a job, with the columns of its keys.

    `windows` of the job's cohort, those that generators learn from. Every private training draws a key of
    its own, which is destroyed with the model: what is audited is the training, and nothing is released.
    """
    kind = registry.load("generators", job.kind)
    if kind.uses_tensorflow:
        tensorflow_runtime.start(job.threads)
    budget, wider = job.budgets()
    claimed = Training(kind.Settings.model_validate(job.settings), budget)
    audited = with_canaries(job.model, kind, claimed, wider)
    with tempfile.TemporaryDirectory() as folder:
        key_path = Path(folder) / "key"
        plain, with_room = (_trainer(job, kind, training, key_path) for training in (claimed, audited))
        found = audit_generator(
            _synthesizer(job, plain),
            _synthesizer(job, with_room),
            windows.take(np.isin(windows.subject, job.subjects)),
            job.audit,
            Defence(Claim(job.model, job.epsilon, job.delta, job.unit), curve(kind, claimed), job.audits),
            job.stream(),
            _discriminator(job, with_room) if issubclass(kind, Discriminates) else None,
        )
    return pd.concat([pd.DataFrame([job.keys()] * len(found)), found], axis=1)


def _trainer(
    job: GeneratorAuditJob, kind: Any, training: Training, key_path: Path
) -> Callable[[WindowSet, Stream], Any]:
    """Trains the generator on windows, as the study does."""

    def train(rows: WindowSet, stream: Stream) -> Any:
        with releases.with_noise(training.budget, job.noise_mode, key_path, stream) as noised:
            return kind.fit(
                training.settings,
                rows.windows,
                condition_codes(rows, job.classes),
                classes=job.classes,
                budget=noised,
                stream=stream,
                subject=rows.subject,
            )

    return train


def _synthesizer(job: GeneratorAuditJob, train: Callable[[WindowSet, Stream], Any]) -> Synthesize:
    def synthesize(rows: WindowSet, stream: Stream) -> Subjects:
        return synthetic_subjects(
            train(rows, stream),
            subjects=job.synthetic_subjects,
            classes=job.classes,
            stream=child(stream, "sample"),
        )

    return synthesize


def _discriminator(job: GeneratorAuditJob, train: Callable[[WindowSet, Stream], Any]) -> Train[WindowSet]:
    def asked(rows: WindowSet, stream: Stream) -> Callable[[WindowSet], Floats]:
        model = train(rows, stream)
        return lambda windows: np.asarray(
            model.realness(windows.windows, condition_codes(windows, job.classes)), np.float64
        )

    return asked
