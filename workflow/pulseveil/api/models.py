"""Models in memory: fitted with or without a budget by the programs of a study, sampled and scored."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd
from pydantic import ValidationError

from pulseveil.api.data import PROTOCOL, Synthetic, extracted
from pulseveil.app.synthesis import Request
from pulseveil.core import identity, registry, store
from pulseveil.core.contracts import (
    PHYSIOLOGICAL_CHANNELS,
    FeatureSet,
    SyntheticSet,
    WindowSet,
    subject_order,
)
from pulseveil.core.errors import InputError
from pulseveil.core.randomness import child
from pulseveil.core.settings import explain, explain_choice
from pulseveil.evaluation.protocols import ALL, Fold
from pulseveil.privacy.budget import Unit
from pulseveil.release.claims import ReleaseClaim, judge
from pulseveil.release.exits import leaving_name
from pulseveil.runs.detectors import Data, train_detectors
from pulseveil.runs.generators import synthesize_fold, train_generators
from pulseveil.runs.run_store import Journal, RunStore
from pulseveil.runs.training import restored
from pulseveil.study.cells import NONE
from pulseveil.study.jobs import DetectorJob, GeneratorJob, Preparation
from pulseveil.study.plan import programs
from pulseveil.study.spending import require_small_delta
from pulseveil.study.study import PublicConstants

_STUDY, _COHORT = "python", "people"


@dataclass(frozen=True, eq=False)
class Model:
    """A trained generator or detector with its claim.

    people: names of those it learnt from, directly or through a generator.
    """

    group: store.Group
    kind: str
    people: tuple[str, ...]
    models: store.Models
    claim: ReleaseClaim

    def __repr__(self) -> str:
        return f"<{self.kind}, {self.claim.headline}>"

    def save(self, path: str | Path, *, not_private: bool = False) -> Path:
        """Write the model to a file that `pulseveil generate` and `pulseveil score` read; returns its path.

        The name of a model that is not private begins with NOT-PRIVATE.

        Raises:
            InputError: the model is not private, and `not_private` is False.
        """
        wanted = Path(path)
        named = wanted.with_name(leaving_name(wanted.name, self.claim, not_private=not_private))
        store.write_models(named, self.models, cell_hash="", group=self.group)
        return named


def fit(
    kind: str,
    windows: WindowSet | Synthetic,
    *,
    epsilon: float = math.inf,
    delta: float = 1e-5,
    unit: Unit = "subject",
    who: Sequence[str] | None = None,
    settings: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> Model:
    """Train a generator or a detector, by default without a budget.

    With a finite `epsilon` the training adds secret noise, and its key is destroyed when `fit` returns: the
    same call gives another model and spends the budget of the same people again (`spent` adds up). Public are
    only the number of people and the constants of the published protocol (2,192 labelled seconds per person,
    30 % stress); your data never change them.

    Args:
        kind: a registered generator or detector, such as `posterior` or `logistic`.
        windows: real windows, or windows of a generator for a detector; these cost no further budget.
        epsilon: of the budget; inf is none.
        delta: the probability with which epsilon may fail.
        unit: what the budget protects: one whole person (`subject`) or one `window`.
        who: names of the people that train; default: all people of the windows.
        settings: those of the kind, as in a study.
        seed: of all randomness but secret noise.

    Raises:
        InputError: an argument is wrong, or the kind has no training within this budget; the message says
            what to give.

    Examples:
        >>> from pulseveil.api import cut_windows, load_cohort
        >>> windows = cut_windows(load_cohort("simulated", subjects=4))
        >>> fit("logistic", windows, epsilon=10, who=["S1", "S2", "S3"])
        <logistic, private: epsilon 10, delta 1e-05, for one whole person>
    """
    group = _group(kind)
    _require_form(windows)
    people = _people(windows, who)
    chosen = windows.take(np.isin(windows.subject, people))
    found = _settings(group, kind, settings or {})
    if unit not in get_args(Unit):
        raise InputError(explain_choice("fit", "unit", unit, list(get_args(Unit))))
    if isinstance(chosen, SyntheticSet):
        _require_no_budget(kind, group, epsilon)
    common = _common(windows, epsilon, delta, unit, seed) | {"kind": kind, "settings": found}
    if math.isfinite(epsilon):
        _require_private(group, kind, unit)
    with tempfile.TemporaryDirectory() as folder:
        runs, journal = RunStore(Path(folder)), Journal(Path(folder) / "journal.jsonl")
        if isinstance(chosen, SyntheticSet):
            of_synthetic = _detector_job(common, kind, windows, people, epsilon, synthetic=True)
            models = _detector(of_synthetic, extracted(chosen), runs, journal)
            # Whatever is computed from windows of a private generator is as private as the generator.
            return Model(group, kind, chosen.people, models, chosen.claim)
        if group == "generators":
            of_generator = _generator_job(common, kind, people, epsilon)
            _require_delta(group, kind, found, of_generator, epsilon)
            ((_, models, _),) = train_generators(of_generator, chosen, runs, journal)
        else:
            of_detector = _detector_job(common, kind, windows, people, epsilon)
            _require_delta(group, kind, found, of_detector, epsilon)
            models = _detector(of_detector, extracted(chosen), runs, journal)
    return Model(group, kind, people, models, judge(models, (ALL,)))


def sample(
    model: Model, subjects: int = 1, *, windows: int = 36, stress_share: float = 0.3, seed: int = 0
) -> Synthetic:
    """Synthetic people of a generator, each with `windows` windows; the same call gives the same windows.

    They cost no budget beyond that of the generator.

    Raises:
        InputError: the model is no generator, or a number is out of range.

    Examples:
        >>> from pulseveil.api import cut_windows, load_cohort
        >>> generator = fit("moments", cut_windows(load_cohort("simulated", subjects=3)))
        >>> sample(generator, 2, windows=10).windows.shape
        (20, 60, 6)
    """
    if model.group != "generators":
        raise InputError(f"sample: expected a generator, found the detector {model.kind}")
    request = Request(subjects, windows, (1 - stress_share, stress_share), seed)
    job = GeneratorJob.model_validate(model.models.description["job"])
    request.check(job.classes)
    made = synthesize_fold(
        model.models,
        ALL,
        subjects=subjects,
        stream=child(job.stream("python", ALL, job.seeds[0]), seed),
        windows_per_condition=request.windows_per_condition(),
    )
    columns = {field.name: getattr(made, field.name) for field in fields(made)}
    return Synthetic(**columns, claim=model.claim, people=model.people)


def score(model: Model, windows: WindowSet) -> pd.DataFrame:
    """Stress in each window: subject, start_s, stress (the label), probability, predicted, trained.

    `trained`: whether the model learnt from this person, directly or through a generator; test on others.
    Windows that gave the scaling its rest are left out, as in a study.

    Raises:
        InputError: the model is no detector, or the windows have another form.
    """
    if model.group != "detectors":
        raise InputError(
            f"score: expected a detector, found the generator {model.kind}; give sample(...) of it to "
            'fit("logistic", ...) first'
        )
    _require_form(windows)
    read = extracted(windows.take(~windows.calibration))
    job = DetectorJob.model_validate(model.models.description["job"])
    outputs = restored("detectors", job, model.models.arrays[ALL], "model").score(read)
    return pd.DataFrame(
        {
            "subject": read.subject,
            "start_s": read.start_s,
            "stress": read.stress,
            "probability": outputs.score,
            "predicted": outputs.predicted.astype(bool),
            "trained": np.isin(read.subject, model.people),
        }
    )


def _group(kind: str) -> store.Group:
    groups: tuple[store.Group, ...] = ("generators", "detectors")
    for group in groups:
        if kind in registry.names(group):
            return group
    known = [name for group in groups for name in registry.names(group)]
    raise InputError(explain_choice("fit", "kind", kind, known))


def _require_form(windows: WindowSet | SyntheticSet) -> None:
    if windows.channels != PHYSIOLOGICAL_CHANNELS or windows.protocol != PROTOCOL:
        raise InputError(
            f"windows: expected those of cut_windows, as_windows or sample, found {windows.protocol} windows "
            f"of {', '.join(windows.channels)}"
        )


def _people(windows: WindowSet | SyntheticSet, who: Sequence[str] | None) -> tuple[str, ...]:
    known = sorted(map(str, np.unique(windows.subject)), key=subject_order)
    if who is None:
        return tuple(known)
    if isinstance(who, str) or not who or set(who) - set(known):
        raise InputError(f"who: expected a list of people of the windows ({', '.join(known)}), found {who!r}")
    return tuple(name for name in known if name in who)


def _settings(group: store.Group, kind: str, given: Mapping[str, Any]) -> dict[str, Any]:
    schema = registry.load(group, kind).Settings
    try:
        values: dict[str, Any] = schema.model_validate(dict(given)).model_dump(mode="json")
    except ValidationError as error:
        raise InputError(*explain(error, schema, given, "settings")) from None
    return values


def _require_no_budget(kind: str, group: store.Group, epsilon: float) -> None:
    if group == "generators":
        raise InputError(f"{kind}: expected real windows, found synthetic ones; fit a detector to these")
    if math.isfinite(epsilon):
        raise InputError(
            "epsilon: synthetic windows are as private as their generator, and a budget here would protect "
            "nobody; give epsilon to the fit of the generator"
        )


def _require_private(group: store.Group, kind: str, unit: str) -> None:
    if unit in registry.load(group, kind).private_units:
        return
    others = [name for name in registry.names(group) if unit in registry.load(group, name).private_units]
    raise InputError(
        f"epsilon: {kind} has no training with a budget for one {unit}; leave epsilon out, or take one of "
        f"{', '.join(others)}"
    )


def _require_delta(
    group: store.Group, kind: str, found: Mapping[str, Any], job: GeneratorJob | DetectorJob, epsilon: float
) -> None:
    if math.isfinite(epsilon):
        registered = registry.load(group, kind)
        settings = registered.Settings.model_validate(found)
        budget = job.budget(epsilon, job.folds[0])
        require_small_delta(PROTOCOL, job.delta, registered.mechanisms(settings, budget))


def _common(
    windows: WindowSet | SyntheticSet, epsilon: float, delta: float, unit: str, seed: int
) -> dict[str, Any]:
    """Keys that jobs of generators and of detectors share."""
    if not epsilon > 0:
        raise InputError(f"epsilon: expected a number above 0, or inf for no budget, found {epsilon}")
    if not 0 < delta < 1:
        raise InputError(f"delta: expected a number between 0 and 1, such as 1e-5, found {delta}")
    public = PublicConstants().population(1, math.ceil(windows.stride_s))
    return {
        "study": _STUDY,
        "root_seed": seed,
        "threads": 1,
        "unit": unit,
        "delta": delta,
        "windows_per_subject": public.windows_per_subject,
        "stress_share": public.stress_share,
        "noise_mode": "secret",
        "dp_backend": "fast",
        "seeds": (0,),
    }


def _generator_job(
    common: Mapping[str, Any], kind: str, people: tuple[str, ...], epsilon: float
) -> GeneratorJob:
    registered = registry.load("generators", kind)
    return GeneratorJob(
        **common,
        versions=(identity.GENERATORS, registered.version),
        programs=programs(registered, epsilon),
        epsilon_generator=epsilon,
        cohort=_COHORT,
        ledgers=identity.LEDGERS if math.isfinite(epsilon) else 0,
        generator=kind,
        classes=2,
        folds=(Fold(name=ALL, train_subjects=people, test_subjects=()),),
    )


def _detector_job(
    common: Mapping[str, Any],
    kind: str,
    windows: WindowSet | SyntheticSet,
    people: tuple[str, ...],
    epsilon: float,
    *,
    synthetic: bool = False,
) -> DetectorJob:
    registered = registry.load("detectors", kind)
    return DetectorJob(
        **common,
        versions=(identity.DETECTORS, registered.version),
        programs=programs(registered, epsilon),
        epsilon_generator=windows.epsilon_generator if isinstance(windows, SyntheticSet) else math.inf,
        evaluation=_STUDY,
        detector=kind,
        train="synthetic" if synthetic else "real",
        epsilon_detector=epsilon,
        generators=(windows.generator if isinstance(windows, SyntheticSet) else NONE,),
        subjects=(len(people) if synthetic else 0,),
        noise=(0.0,),
        # The scores of these people are thrown away with the run store.
        folds=(Fold(name=ALL, train_subjects=people, test_subjects=people),),
        generator_shared=True,
        channels=PHYSIOLOGICAL_CHANNELS,
        kept_seeds=(0,),
        preparation=Preparation(
            protocol=PROTOCOL,
            channels="physiological",
            scaling=windows.scaling,
            window_s=math.ceil(windows.window_s),
            stride_s=math.ceil(windows.stride_s),
            calibration_s=300,
            measured=None,
            pairing="published",
        ),
    )


def _detector(job: DetectorJob, rows: FeatureSet, runs: RunStore, journal: Journal) -> store.Models:
    (cell,) = train_detectors(job, Data(rows, rows, lambda generator, seed: rows), runs, journal)
    assert cell.models is not None
    return cell.models
