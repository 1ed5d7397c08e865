"""Audits of a study's models: its trainings as the study does them, under its claim.

An audited training has the claim's mechanism, with capacity for canaries beside real records.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from math import isclose
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from pulseveil.audit.attacks import Synthesize, attack_detector, attack_generator
from pulseveil.audit.bounds import Floats
from pulseveil.audit.canaries import confidence
from pulseveil.audit.membership import Train
from pulseveil.audit.trade_off import TradeOff, claimed_curve
from pulseveil.audit.verdict import Claim, Defence
from pulseveil.core import registry, tensorflow
from pulseveil.core.contracts import FeatureSet, WindowSet
from pulseveil.core.errors import InputError
from pulseveil.core.randomness import Stream, child
from pulseveil.detectors import Training
from pulseveil.evaluation import protocols
from pulseveil.generators import Discriminates
from pulseveil.generators.subjects import Subjects, synthetic_subjects
from pulseveil.privacy import releases
from pulseveil.privacy.budget import Budget, Mechanism
from pulseveil.runs.generators import as_training, condition_codes
from pulseveil.study.jobs import DetectorAuditJob, GeneratorAuditJob

# Calibrations of equal settings agree to the root finder's tolerance.
_TOLERANCE = 1e-3


class Setting(NamedTuple):
    """Settings and budget that a model is trained with."""

    settings: Any
    budget: Budget


def curve(kind: Any, claimed: Setting) -> TradeOff | None:
    """The trade-off curve of a claimed training; None where it is not private."""
    if not claimed.budget.is_private:
        return None
    return claimed_curve(kind.mechanisms(claimed.settings, claimed.budget))


def with_canaries(name: str, kind: Any, claimed: Setting, audited: Budget) -> Setting:
    """The training on more public records that runs the mechanisms of `claimed`: same q, noise and steps.

    The kind itself says which settings keep them (`audited_settings`). Raises InputError for a kind whose
    mechanisms differ nevertheless: its audit would test another claim.
    """
    if not claimed.budget.is_private:
        return Setting(claimed.settings, audited)
    mechanisms = kind.mechanisms(claimed.settings, claimed.budget)
    settings = kind.audited_settings(claimed.settings, claimed.budget, audited)
    _require_same(name, mechanisms, kind.mechanisms(settings, audited))
    return Setting(settings, audited)


def _require_same(name: str, claimed: Sequence[Mechanism], audited: Sequence[Mechanism]) -> None:
    if len(claimed) == len(audited) and all(map(_same, claimed, audited)):
        return
    raise InputError(
        f"audit of {name}: beside canaries its training would run {_words(audited)}, but {_words(claimed)} "
        "is claimed; take it out of the audited evaluations"
    )


def _same(claimed: Mechanism, audited: Mechanism) -> bool:
    exact = ("unit", "steps", "sampler")
    close = ("q", "noise_multiplier", "clip_norm")
    return all(getattr(claimed, name) == getattr(audited, name) for name in exact) and all(
        isclose(getattr(claimed, name), getattr(audited, name), rel_tol=_TOLERANCE) for name in close
    )


def _words(mechanisms: Sequence[Mechanism]) -> str:
    return " and ".join(f"{m.steps} steps at q {m.q:.4g}, noise {m.noise_multiplier:.4g}" for m in mechanisms)


def audit_generator(job: GeneratorAuditJob, windows: WindowSet) -> pd.DataFrame:
    """The table of `audit_generator` for a job, with the columns of its keys.

    `windows` of the job's cohort, those that generators learn from. Every private training draws a key of
    its own, which is destroyed with the model: what is audited is the training, and nothing is released.
    """
    kind = registry.load("generators", job.kind)
    if kind.uses_tensorflow:
        tensorflow.start(job.threads)
    budget, wider = job.budgets()
    claimed = Setting(kind.Settings.model_validate(job.settings), budget)
    audited = with_canaries(job.model, kind, claimed, wider)
    with tempfile.TemporaryDirectory() as folder:
        key_path = Path(folder) / "key"
        plain, with_room = (_generator_trainer(job, setting, key_path) for setting in (claimed, audited))
        found = attack_generator(
            _synthesizer(job, plain),
            _synthesizer(job, with_room),
            windows.take(np.isin(windows.subject, job.subjects)),
            job.audit,
            Defence(Claim(job.model, job.epsilon, job.delta, job.unit), curve(kind, claimed), job.audits),
            job.stream(),
            _discriminator(job, with_room) if issubclass(kind, Discriminates) else None,
        )
    return pd.concat([pd.DataFrame([job.keys()] * len(found)), found], axis=1)


def _generator_trainer(
    job: GeneratorAuditJob, setting: Setting, key_path: Path
) -> Callable[[WindowSet, Stream], Any]:
    """Trains the generator on windows, as the study does."""
    model = registry.model("generators", job.kind)

    def train(rows: WindowSet, stream: Stream) -> Any:
        with releases.with_noise(setting.budget, job.noise_mode, key_path, stream) as noised:
            return model.fit(setting.settings, as_training(rows, job.classes, noised, stream))

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


def audit_detector(
    job: DetectorAuditJob, features: FeatureSet, synthetic: FeatureSet | None = None
) -> pd.DataFrame:
    """The table of `audit_detector` for a job, with the columns of its keys.

    `features` of the job's cohort; `synthetic` features of its generator, for a detector that learns from
    both: the same ones in every training, since the detector's claim holds beside any release. Every private
    training draws a key of its own, which is destroyed with the model: what is audited is the training, and
    no audited model is released.
    """
    kind = registry.load("detectors", job.kind)
    if kind.uses_tensorflow:
        tensorflow.start(job.threads)
    budget, wider = job.budgets()
    claimed = Setting(kind.Settings.model_validate(job.settings), budget)
    audited = with_canaries(job.model, kind, claimed, wider)
    rows = features.take(np.isin(features.subject, job.subjects))
    beside = _beside(job, rows, synthetic)
    with tempfile.TemporaryDirectory() as folder:
        key_path = Path(folder) / "key"
        found = attack_detector(
            _detector_trainer(job, claimed, beside, key_path),
            _detector_trainer(job, audited, beside, key_path),
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


def _detector_trainer(
    job: DetectorAuditJob, setting: Setting, beside: FeatureSet | None, key_path: Path
) -> Train[FeatureSet]:
    model = registry.model("detectors", job.kind)

    def train(rows: FeatureSet, stream: Stream) -> Callable[[FeatureSet], Floats]:
        seen = rows if beside is None else FeatureSet.concatenate([rows, beside])
        with releases.with_noise(setting.budget, job.noise_mode, key_path, stream) as noised:
            return confidence(model.fit(setting.settings, Training(seen, noised, stream)))

    return train
