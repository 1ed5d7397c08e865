"""Privacy claim of trained models: the ledger in their file, checked against plan and weights.

A ledger is written by the training and names the hash of the trained weights, so weights that are damaged or
of another training are detected. A ledger is not a signature: whoever writes ledger and weights can make them
agree. Believe a model file only as far as its source.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

from pulseveil.core import registry, store
from pulseveil.core.errors import InputError
from pulseveil.core.identity import number_label
from pulseveil.evaluation.protocols import Fold
from pulseveil.generators import GeneratorKind
from pulseveil.privacy import accounting, ledger, releases
from pulseveil.privacy.budget import Mechanism, Unit
from pulseveil.privacy.ledger import Entry
from pulseveil.privacy.models import Setting
from pulseveil.privacy.statement import UNIT_NAMES, statement
from pulseveil.study.jobs import DetectorJob, GeneratorJob
from pulseveil.windows import reach

# Relative. Another version of the accountant calibrates noise multipliers with other last digits.
_AGREEMENT = 1e-3


@dataclass(frozen=True)
class ReleaseClaim:
    """Budget of a model, its ledger entries, and the reason why nothing may be claimed (empty if private).

    `statement`: the ledger in plain English; starts with a warning if the model is not private.
    """

    unit: Unit
    epsilon: float
    delta: float
    entries: tuple[Entry, ...]
    reason: str
    statement: str

    @property
    def is_private(self) -> bool:
        """Whether ledger, plan and weights of the file agree that the budget was kept."""
        return not self.reason

    @property
    def headline(self) -> str:
        """The claim in one line."""
        if self.reason:
            return f"NOT PRIVATE: {self.reason}"
        budget = f"epsilon {number_label(self.epsilon)}, delta {number_label(self.delta)}"
        return f"private: {budget}, for {UNIT_NAMES[self.unit]}"

    def refused(self, reason: str) -> ReleaseClaim:
        """The same budget, refused for `reason`."""
        return replace(self, reason=reason, statement=_warned(reason, self.statement))


@dataclass(frozen=True)
class _Trained:
    """Training of the models in a file: their kind in the registry `group`, epsilon, and keys of the run."""

    group: store.Group
    job: GeneratorJob | DetectorJob
    epsilon: float
    keys: Mapping[str, Any]

    @classmethod
    def of(cls, models: store.Models) -> Self:
        """Training that the description of `models` names."""
        values, described = models.description["job"], models.description
        # Files of detectors hold the keys of their cell, those of generators a seed.
        if "keys" in described:
            detectors = DetectorJob.model_validate(values)
            return cls("detectors", detectors, detectors.epsilon_detector, described["keys"])
        generators = GeneratorJob.model_validate(values)
        return cls(
            "generators", generators, generators.epsilon_generator, generators.keys(int(described["seed"]))
        )

    @property
    def no_budget(self) -> str:
        """Reason why nothing may be claimed without a look at the ledger; empty if there is none."""
        if isinstance(self.job, DetectorJob) and self.job.train != "real":
            return "it learnt from synthetic windows: the ledger of their generator says what is protected"
        if not math.isinf(self.epsilon):
            return ""
        if self.group == "generators" and self.job.kind in registry.names("generators"):
            kind: type[GeneratorKind] = registry.load("generators", self.job.kind)
            return kind.no_budget
        return "it was trained without a privacy budget"


def judge(models: store.Models, folds: Sequence[str]) -> ReleaseClaim:
    """Check the models of `folds` against their ledgers, and return the claim for all of them.

    The ledger of each fold must be complete, name this training and these weights, have secret noise and hold
    the mechanisms of the plan. If one fold fails, the claim is refused for all folds.

    Guarantee: the claimed epsilon holds for one model if the file comes from a trusted source.
    """
    trained = _Trained.of(models)
    job, entries, reason = trained.job, tuple[Entry, ...](), trained.no_budget
    for fold in () if reason else folds:
        try:
            found = _entries(models, fold)
            entries += found
            reason = next(_of_other_weights(models, fold, found), "")
            reason = reason or next(_doubts(trained, fold, found), "")
        except ValueError as error:
            # A ledger that is not one, or settings that no training accepts: refuse, do not crash.
            reason = f"its ledger cannot be used ({error})"
        if reason:
            break
    text = ""
    try:
        text = statement(entries, trained_setting(models)) if entries else ""
    except ValueError as error:
        # The accountant cannot compose every ledger. Without a statement nothing is claimed.
        reason = reason or f"its ledger cannot be composed ({error})"
    claim = ReleaseClaim(job.unit, trained.epsilon, job.delta, entries, "", text)
    return claim.refused(reason) if reason else claim


def _entries(models: store.Models, fold: str) -> tuple[Entry, ...]:
    source = f"ledger of fold {fold}"
    return tuple(ledger.from_json(text, source) for text in models.ledgers.get(fold, ()))


def _of_other_weights(models: store.Models, fold: str, entries: Sequence[Entry]) -> Iterator[str]:
    """Reason why the entries are not about the weights of `fold`; none if they are."""
    named = {entry.inputs.get("weights") for entry in entries}
    if None in named:
        yield f"the ledger of fold {fold} names no weights (written by an older version): train it again"
    elif named - {releases.weights_hash(models.arrays.get(fold, {}))}:
        yield f"the weights of fold {fold} are not those of its ledger"


def _doubts(trained: _Trained, fold: str, entries: Sequence[Entry]) -> Iterator[str]:
    """Reasons why the entries do not prove the planned training of `fold`; none if they do."""
    job = trained.job
    if not entries:
        yield f"the ledger of fold {fold} is missing"
        return
    if not all(entry.is_private for entry in entries):
        yield "its noise is reproducible: whoever has the seeds can remove it"
    expected = {**trained.keys, "fold": fold, "settings": releases.settings_hash(job.settings)}
    for key, value in expected.items():
        if any(entry.inputs.get(key) != value for entry in entries):
            yield f"its ledger is of another training: {key} is not {value}"
    if len({entry.inputs.get("release") for entry in entries}) != 1:
        yield "its ledger mixes several trainings"
    of_fold = next((f for f in job.folds if f.name == fold), None)
    # Entries of older versions name no people.
    people = None if of_fold is None else list(of_fold.train_subjects)
    if any(entry.inputs.get("people", people) != people for entry in entries):
        yield "its ledger is of another training: its people are not the people of the fold"
    planned = _planned(trained, of_fold)
    if not _agree(planned, [entry.as_mechanism() for entry in entries]):
        yield "its ledger does not hold the mechanisms of its plan"
    if any(entry.delta != job.delta for entry in entries):
        yield f"its ledger is not at delta {number_label(job.delta)}"
    for entry in entries:
        # Raises ValueError if the stored epsilons are not those of the entry's mechanism.
        ledger.check_epsilons(entry)
    spent = accounting.epsilon_pld([entry.as_mechanism() for entry in entries], job.delta)
    if spent > trained.epsilon * (1 + _AGREEMENT):
        yield f"its ledger spends epsilon {spent:.4g}, more than {number_label(trained.epsilon)}"


def _planned(trained: _Trained, fold: Fold | None) -> Sequence[Mechanism]:
    """Mechanisms that the job plans for a fold; raises InputError for an unknown kind or fold."""
    job, group = trained.job, trained.group
    if fold is None:
        raise InputError("the job in the file does not name this fold")
    if job.kind not in registry.names(group):
        raise InputError(f"{group} of kind {job.kind!r} are not installed here")
    kind = registry.load(group, job.kind)
    settings = kind.Settings.model_validate(job.settings)
    mechanisms: Sequence[Mechanism] = kind.mechanisms(settings, job.budget(trained.epsilon, fold))
    return mechanisms


def _agree(planned: Sequence[Mechanism], run: Sequence[Mechanism]) -> bool:
    """Whether the mechanisms that ran are the planned ones, with at least the planned noise."""

    def known(mechanism: Mechanism) -> tuple[Any, ...]:
        m = mechanism
        return m.name, m.unit, m.n, round(m.q, 9), m.capacity, m.steps, round(m.clip_norm, 9)

    if sorted(map(known, planned)) != sorted(map(known, run)):
        return False
    pairs = zip(sorted(planned, key=known), sorted(run, key=known), strict=True)
    return all(r.noise_multiplier >= p.noise_multiplier * (1 - _AGREEMENT) for p, r in pairs)


def _warned(reason: str, text: str) -> str:
    warning = f"NOT PRIVATE: {reason}. No budget, here or elsewhere, protects the training people.\n"
    return "\n".join(filter(None, [warning, text]))


def trained_setting(models: store.Models) -> Setting:
    """Setting of a statement: how a person's recording became the training windows of these models."""
    job, form, default = _Trained.of(models).job, models.description["form"], Setting()
    if isinstance(job, DetectorJob):
        how = job.preparation
        return Setting(
            window_s=how.window_s,
            strides_s=(how.stride_s, how.stride_s),
            labelled_s=job.windows_per_subject * how.stride_s,
            reach_s=reach.reach_s(how.protocol, how.channels, how.scaling),
            scaling=how.scaling,
        )
    stride_s = round(models.description.get("trained_stride_s", default.strides_s[0]))
    # Files of older releases hold no reach: their filters had no end.
    reach_s = models.description.get("trained_reach_s")
    return Setting(
        window_s=round(form["window_s"]),
        strides_s=(stride_s, stride_s),
        labelled_s=job.windows_per_subject * stride_s,
        reach_s=math.inf if reach_s is None else reach_s,
        scaling=form["scaling"],
    )
