"""Audit jobs: attacks on a model whose trainings are those of the study, with capacity for canaries."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from math import isclose
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from pulseveil.audit.attacks import Synthesize, attack_detector, attack_generator, attack_noised
from pulseveil.audit.canaries import confidence
from pulseveil.audit.membership import Train
from pulseveil.audit.trade_off import TradeOff, claimed_curve
from pulseveil.audit.verdict import Claim, Defence
from pulseveil.core import registry, tensorflow
from pulseveil.core.arrays import Floats
from pulseveil.core.contracts import FeatureSet, WindowSet
from pulseveil.core.errors import InputError
from pulseveil.core.randomness import Stream, child
from pulseveil.detectors import Training
from pulseveil.evaluation import protocols
from pulseveil.generators import Discriminates
from pulseveil.generators.subjects import Subjects, synthetic_subjects
from pulseveil.privacy import releases
from pulseveil.privacy.budget import Budget, Mechanism
from pulseveil.runs.generators import as_training, condition_codes, public_people
from pulseveil.study.audit_jobs import DetectorAuditJob, GeneratorAuditJob, NoisedAuditJob

# Two calibrations to the same epsilon agree only within the tolerance of the root finder.
_TOLERANCE = 1e-3


class Setting(NamedTuple):
    """Settings and budget with which a model is trained."""

    settings: Any
    budget: Budget


def curve(kind: Any, claimed: Setting) -> TradeOff | None:
    """Trade-off curve of a claimed training; None where the training is not private."""
    if not claimed.budget.is_private:
        return None
    return claimed_curve(kind.mechanisms(claimed.settings, claimed.budget))


def with_canaries(name: str, kind: Any, claimed: Setting, audited: Budget) -> Setting:
    """Setting of a training on more public records, with q, noise and steps of the claimed training.

    name: of the model, for messages. audited: the budget with capacity for canaries.

    Raises:
        InputError: the mechanisms of the kind differ nevertheless.
    """
    if not claimed.budget.is_private:
        return Setting(claimed.settings, audited)
    # With unchanged settings more public records lower q, and the noise is calibrated to q: the audit would
    # test another claim. Only the kind knows which of its settings keep q.
    mechanisms = kind.mechanisms(claimed.settings, claimed.budget)
    settings = kind.audited_settings(claimed.settings, claimed.budget, audited)
    _require_same(name, mechanisms, kind.mechanisms(settings, audited))
    return Setting(settings, audited)


def _require_same(name: str, claimed: Sequence[Mechanism], audited: Sequence[Mechanism]) -> None:
    if len(claimed) == len(audited) and all(map(_same, claimed, audited)):
        return
    raise InputError(
        f"audit of {name}: a training with canaries would run {_words(audited)}, but the claim is "
        f"{_words(claimed)}; take {name} out of the audited evaluations"
    )


def _same(claimed: Mechanism, audited: Mechanism) -> bool:
    exact = ("unit", "steps", "sampler")
    close = ("q", "noise_multiplier", "clip_norm")
    return all(getattr(claimed, name) == getattr(audited, name) for name in exact) and all(
        isclose(getattr(claimed, name), getattr(audited, name), rel_tol=_TOLERANCE) for name in close
    )


def _words(mechanisms: Sequence[Mechanism]) -> str:
    return " and ".join(f"{m.steps} steps at q {m.q:.4g}, noise {m.noise_multiplier:.4g}" for m in mechanisms)


def audit_generator(
    job: GeneratorAuditJob, windows: WindowSet, public: Sequence[WindowSet] = ()
) -> pd.DataFrame:
    """Table of attacks on the generator of a job, with the columns of the job's keys.

    windows: those of the cohort from which generators learn. public: those of the job's `public_cohorts`.

    Raises:
        InputError: the kind's training with canaries would have other mechanisms than the claim.
    """
    kind = registry.load("generators", job.kind)
    if kind.uses_tensorflow:
        tensorflow.start(job.threads)
    budget, wider = job.budgets()
    claimed = Setting(kind.Settings.model_validate(job.settings), budget)
    audited = with_canaries(job.model, kind, claimed, wider)
    # Each private training draws its own key, which goes with its model: the audit concerns the training, and
    # no audited model leaves.
    with tempfile.TemporaryDirectory() as folder:
        key_path = Path(folder) / "key"
        plain, extended = (
            _generator_trainer(job, setting, key_path, public) for setting in (claimed, audited)
        )
        found = attack_generator(
            _synthesizer(job, plain),
            _synthesizer(job, extended),
            windows.take(np.isin(windows.subject, job.subjects)),
            job.audit,
            Defence(Claim(job.model, job.epsilon, job.delta, job.unit), curve(kind, claimed), job.audits),
            job.stream(),
            _discriminator(job, extended) if issubclass(kind, Discriminates) else None,
        )
    return pd.concat([pd.DataFrame([job.keys()] * len(found)), found], axis=1)


def _generator_trainer(
    job: GeneratorAuditJob, setting: Setting, key_path: Path, public: Sequence[WindowSet]
) -> Callable[[WindowSet, Stream], Any]:
    """Function that trains the generator on windows as the study does."""
    beside = public_people(job.public_cohorts, public)
    model = registry.model("generators", job.kind)

    def train(rows: WindowSet, stream: Stream) -> Any:
        with releases.with_noise(setting.budget, job.noise_mode, key_path, stream) as noised:
            return model.fit(setting.settings, as_training(rows, job.classes, noised, stream, public=beside))

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
    def trained(rows: WindowSet, stream: Stream) -> Callable[[WindowSet], Floats]:
        model = train(rows, stream)
        return lambda windows: np.asarray(
            model.realness(windows.windows, condition_codes(windows, job.classes)), np.float64
        )

    return trained


def audit_detector(
    job: DetectorAuditJob, features: FeatureSet, synthetic: FeatureSet | None = None
) -> pd.DataFrame:
    """Table of attacks on the detector of a job, with the columns of the job's keys.

    features: those of the job's cohort. synthetic: features of the job's generator, for a detector that
    learns from real and synthetic windows.

    Raises:
        InputError: the kind's training with canaries would have other mechanisms than the claim.
    """
    kind = registry.load("detectors", job.kind)
    if kind.uses_tensorflow:
        tensorflow.start(job.threads)
    budget, wider = job.budgets()
    claimed = Setting(kind.Settings.model_validate(job.settings), budget)
    audited = with_canaries(job.model, kind, claimed, wider)
    rows = features.take(np.isin(features.subject, job.subjects))
    # One release for all trainings, because the detector's claim holds beside any release.
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


def audit_noised(job: NoisedAuditJob, windows: WindowSet) -> pd.DataFrame:
    """Table of re-identifications for each scale of the noise; scale 0 is the windows without noise.

    windows: those of the job's cohort that its evaluation noises.
    """
    windows = windows.take(np.isin(windows.subject, job.subjects))
    parts = []
    for scale in job.noise:
        noised = protocols.with_noised_samples(windows, scale, job.noise_distribution, job.stream(scale))
        parts.append(attack_noised(windows, noised).assign(**job.keys(), input_noise=scale))
    return pd.concat(parts, ignore_index=True)


def _beside(job: DetectorAuditJob, rows: FeatureSet, synthetic: FeatureSet | None) -> FeatureSet | None:
    """Synthetic rows in every training; None where the detector learns from real windows alone."""
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
