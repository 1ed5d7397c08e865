"""Studies: the typed settings of one YAML file."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PlainSerializer, PrivateAttr, model_validator

from pulseveil.cohorts import CohortSettings
from pulseveil.core.identity import number_label, parse_number
from pulseveil.core.settings import (
    Channels,
    LabelRule,
    Pairing,
    Preprocessing,
    ScalingName,
    Settings,
)
from pulseveil.evaluation.protocols import NoiseDistribution, NoiseOn, Train
from pulseveil.privacy.budget import Backend, NoiseMode, Population, Unit
from pulseveil.study.audit_settings import AuditSettings
from pulseveil.study.resources import Energy, Pack, Resources
from pulseveil.windows.signals import ALL_SIGNALS

# Keys of a study that were renamed, with their present names.
OLD_KEYS: Mapping[str, str] = {"noise": "privacy_noise"}
# Of config/published.csv.
PUBLISHED_SCENARIOS = (
    "1-LOSO_15real",
    "2-TSTR_15syn",
    "3-TSTR_cGAN",
    "4-LOSO_cGAN",
    "5-LOSO_15real_noised",
    "6-LOSO_cGAN_priv",
    "7-LOSO_cGAN_priv15",
    "8-LOSO_DGAN",
    "9-TSTR_DGAN100",
)
# A larger epsilon protects nobody and a smaller one leaves only noise; the noise of both cannot be computed.
_EPSILONS = (1e-3, 1e4)
# Protocol `paper` keeps the published delta. Protocol `sound` has a smaller bound, by the number of records
# (`spending`).
_DELTAS, PUBLISHED_DELTA = (1e-12, 1e-2), 1e-3
_WEEK_S = 604_800


def _number(value: Any, expected: str) -> float:
    # YAML gives `1e-3` and `inf` as text.
    try:
        return parse_number(value)
    except (OverflowError, TypeError, ValueError):
        raise ValueError(f"expected {expected}, found {value!r}") from None


def _epsilon(value: Any) -> float:
    least, most = _EPSILONS
    number = _number(value, "a number above 0 or inf")
    if number <= 0:
        raise ValueError(f"expected a number above 0 or inf, found {number_label(number)}")
    if not math.isinf(number) and not least <= number <= most:
        raise ValueError(f"expected {least:g} to {most:g} or inf, found {number_label(number)}")
    return number


def _delta(value: Any) -> float:
    least, most = _DELTAS
    number = _number(value, f"a number from {least:g} to {most:g}")
    if not least <= number <= most:
        raise ValueError(f"expected a number from {least:g} to {most:g}, found {number_label(number)}")
    return number


# Serialised with one spelling, because JSON has no infinity.
Epsilon = Annotated[
    float,
    Field(allow_inf_nan=True),
    BeforeValidator(_epsilon),
    PlainSerializer(number_label, return_type=str),
]
Delta = Annotated[float, BeforeValidator(_delta)]
Seconds = Annotated[int, Field(gt=0, le=_WEEK_S)]
# Names become folders, words of commands and wildcards of Snakemake.
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]


class Strides(Settings):
    """Seconds between the starts of two windows."""

    generator: Seconds = Field(30, description="windows that generators learn from")
    detector: Seconds = Field(60, description="windows that detectors learn from and are tested on")


class Model(Settings):
    """A generator or detector of the study: a name, the registered kind behind it, and its settings."""

    name: Name = Field(description="name in paths and tables")
    kind: str = Field(description="registered name; default: `name`")
    epsilons: tuple[Epsilon, ...] | None = Field(
        None,
        min_length=1,
        description="epsilons of an evaluation for which this model is trained; default: all",
    )
    units: tuple[Unit, ...] | None = Field(
        None, min_length=1, description="units of the study for which this model is trained; default: all"
    )
    settings: Any = Field(description="settings of the kind; omitted keys keep their published value")


class Evaluation(Settings):
    """One question of a study: the windows that train, and the protocol by which subjects are tested."""

    name: Name = Field(description="name in paths and tables")
    cohort: str = Field(description="cohort on which models are trained")
    test_cohort: str | None = Field(
        None, description="tested cohort, for protocols that test another one (`transfer`)"
    )
    train: Train = Field(description="training windows")
    test: str = Field("loso", description="registered protocol: which subjects are left out and tested")
    generators: tuple[str, ...] | None = Field(
        None, min_length=1, description="names of generators; default: all of the study"
    )
    detectors: tuple[str, ...] | None = Field(
        None, min_length=1, description="names of detectors; default: all of the study"
    )
    synthetic_subjects: tuple[Annotated[int, Field(gt=0, le=100_000)], ...] = Field(
        (15,), min_length=1, description="numbers of synthetic subjects that train"
    )
    epsilon_generator: tuple[Epsilon, ...] | None = Field(
        None, min_length=1, description="epsilons of generators; default: those of the study"
    )
    epsilon_detector: tuple[Epsilon, ...] | None = Field(
        None,
        min_length=1,
        description="epsilons of detectors; default: those of the study for train `real`, otherwise inf",
    )
    units: tuple[Unit, ...] | None = Field(
        None, min_length=1, description="units of the study that private cells have; default: all"
    )
    epsilon_pairs: Literal["all", "equal"] = Field(
        "all", description="pairs of generator and detector epsilons: all, or only those with equal values"
    )
    input_noise: tuple[Annotated[float, Field(ge=0)], ...] = Field(
        (0.0,), min_length=1, description="scales of the noise on real training windows; it protects nobody"
    )
    noise_distribution: NoiseDistribution = Field(
        "laplace",
        description="distribution of the input noise; `input_noise` has its scales (`laplace`) or standard "
        "deviations (`gaussian`)",
    )
    noise_on: NoiseOn = Field(
        "features",
        description="what gets the input noise: features, as published, or each sample of the windows from "
        "which features are then computed",
    )
    signals: tuple[Annotated[str, Field(pattern=r"^[A-Za-z0-9_+]+$")], ...] = Field(
        (ALL_SIGNALS,),
        min_length=1,
        description="what detectors read: `all` signals, some joined by `+` (`eda_level+activity`), or all "
        "but some (`without_eda_level`); each is a row of its own",
    )
    published: str | None = Field(None, description="scenario of the published study to print beside ours")

    @property
    def tested_cohort(self) -> str:
        """Cohort whose subjects are tested."""
        return self.test_cohort or self.cohort


class Audit(AuditSettings):
    """Attacks on the models of evaluations that learn from real windows, trained on the whole cohort."""

    evaluation: str | Annotated[tuple[str, ...], Field(min_length=1)] = Field(
        description="name or list of evaluations whose generators and detectors are audited"
    )

    @property
    def evaluations(self) -> tuple[str, ...]:
        """Names of the audited evaluations."""
        return (self.evaluation,) if isinstance(self.evaluation, str) else self.evaluation


class PublicConstants(Settings):
    """Per-person constants that private trainings treat as public.

    They come from the plan and are never computed from data. The defaults are those of the published protocol
    of WESAD (Schmidt et al., ICMI 2018): 20 minutes of baseline, 392 s of amusement and about 10 minutes of
    stress.
    """

    labelled_s: Seconds = Field(2192, description="labelled seconds per person")
    stress_share: float = Field(0.3, gt=0, lt=1, description="share of windows with stress")

    def population(self, subjects: int, stride_s: int) -> Population:
        """Public constants of a training on `subjects` people, with windows every `stride_s` seconds.

        Examples:
            >>> PublicConstants().population(14, 60)
            Population(subjects=14, windows_per_subject=37, stress_share=0.3)
        """
        return Population(subjects, math.ceil(self.labelled_s / stride_s), self.stress_share)


class Study(Settings):
    """All settings of a study."""

    name: Name = Field(description="name of the study, and of its folder under results/")
    seed: int = Field(ge=0, description="root of the seed tree")
    protocol: Preprocessing = Field(description="pre-processing: `paper` as published, `sound` corrected")
    channels: Channels = Field(
        description="channel set; default: published in `paper`, physiological in `sound`"
    )
    pairing: Pairing = Field(
        "published", description="which sub-window length each signal has (protocol paper)"
    )
    classes: Literal[2, 3] = Field(2, description="conditions that a generator distinguishes")
    scaling: ScalingName = Field(
        description="scaling of windows; default: min-max in `paper`, calibration in `sound`"
    )
    calibration_s: Seconds = Field(300, description="labelled seconds that scaling `calibration` uses")
    measured: float | None = Field(
        None,
        ge=0,
        le=1,
        description="least share of a window that each sensor measured, other windows are left out; default: "
        "0.5 in `sound`, 0 (all windows) in `paper`",
    )
    label_rule: LabelRule = Field(
        "majority",
        description="condition of a window: that of most of its seconds, or stress if any second has stress",
    )
    window_s: Seconds = Field(60, description="length of a window in seconds")
    stride_s: Strides = Field(Strides(), description="seconds between the starts of two windows")
    cohorts: Mapping[Name, Any] = Field(
        min_length=1, description="cohorts by name; `kind` selects the reader"
    )
    same_person: tuple[Mapping[Name, str | tuple[str, ...]], ...] = Field(
        (),
        description="people who have several names, each as {cohort: name, another cohort: name}; no fold "
        "trains on one name and tests another",
    )
    generators: tuple[Model, ...] = Field((), description="generators: a name, or {name, kind, settings}")
    detectors: tuple[Model, ...] = Field(
        min_length=1, description="detectors: a name, or {name, kind, settings}"
    )
    generator_shared: bool = Field(
        description="one generator for all folds, which saw the test subject; default: true in `paper`"
    )
    note: str = Field("", description="text above the plan and all tables, such as 'not a result'")
    table_columns: tuple[str, ...] = Field(
        (),
        description="columns of `tables/main.tex`, by their keys in `tables/main.csv`; default: as many as a "
        "page holds",
    )
    license: Annotated[str, Field(pattern=r"^[A-Za-z0-9.+-]+$")] | None = Field(
        None,
        description="SPDX identifier of the licence of the study's results; default: MIT if all people are "
        "simulated, else a release asks for it",
    )
    epsilons: tuple[Epsilon, ...] = Field(
        (math.inf,), min_length=1, description="epsilons of the privacy budgets; inf: not private"
    )
    delta: Delta = Field(1e-5, description="delta of every budget; protocol paper takes at most 1e-3")
    units: tuple[Unit, ...] = Field(
        ("subject",), min_length=1, description="what a budget protects: a whole person, or one window"
    )
    epsilon_total: Epsilon = Field(
        math.inf, description="largest epsilon that generator and detector of a cell may spend together"
    )
    public_cohorts: tuple[Name, ...] = Field(
        (),
        description="cohorts taken for public: with equal weights by generators with `prior: pool`, and by "
        "networks with `pretrain: public`",
    )
    public: PublicConstants = Field(
        PublicConstants(), description="per-person constants that private trainings treat as public"
    )
    quality_seeds: int | None = Field(
        None,
        gt=0,
        description="number of seeds whose synthetic windows are compared with real ones; default: all",
    )
    audit: Audit | None = Field(None, description="attacks on trained models; default: no audit")
    privacy_noise: NoiseMode = Field(
        "secret", description="noise of private trainings: from a secret key, or reproducible and not private"
    )
    dp_backend: Backend = Field(
        "fast", description="optimizer of private networks: PulseVeil's own, or tensorflow-privacy"
    )
    seeds: int = Field(gt=0, le=10_000, description="number of independent repetitions")
    folds: Literal["all"] | Annotated[int, Field(gt=0)] | tuple[str, ...] = Field(
        "all", description="left-out subjects: all, the first k, or a list of names"
    )
    keep: Literal["none", "first_seed", "all"] = Field(
        "first_seed", description="seeds whose trained detectors are kept, for `scripts/score.py`"
    )
    evaluations: tuple[Evaluation, ...] = Field(
        min_length=1, description="questions of the study, each one block of the tables"
    )
    # Part of the hash of every run: another number of threads can round differently.
    threads: int = Field(1, gt=0, description="CPU threads per job; another number trains every model again")
    resources: Resources = Field(Resources(), description="resources of jobs")
    energy: Energy = Field(Energy(), description="watts and carbon, for the energy that the plan prints")
    pack: Pack = Field(Pack(), description="number of trainings that share a process")
    _old_keys: tuple[str, ...] = PrivateAttr(default=())

    @model_validator(mode="before")
    @classmethod
    def _fill(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            raise ValueError("expected a mapping of keys")
        # Before validation, because a field's default cannot depend on another key.
        values = dict(values)
        paper = values.get("protocol") == "paper"
        values.setdefault("channels", "published" if paper else "physiological")
        values.setdefault("scaling", "min-max" if paper else "calibration")
        values.setdefault("generator_shared", paper)
        for group in ("generators", "detectors"):
            if isinstance(values.get(group), (list, tuple)):
                values[group] = [named(item) for item in values[group]]
        return values

    @property
    def spelling_notes(self) -> tuple[str, ...]:
        """One sentence per key that the study file spells by its old name."""
        return tuple(
            f"Note: the study key '{old}' is now '{OLD_KEYS[old]}'; '{old}' still works."
            for old in self._old_keys
        )

    @property
    def cohort_settings(self) -> Mapping[str, CohortSettings]:
        """The typed settings of each cohort."""
        return self.cohorts

    @property
    def same_people(self) -> tuple[frozenset[tuple[str, str]], ...]:
        """Cohorts and names of each person who is stated in `same_person`."""
        return tuple(
            frozenset(
                (cohort, name)
                for cohort, names in person.items()
                for name in ((names,) if isinstance(names, str) else names)
            )
            for person in self.same_person
        )

    def generator(self, name: str) -> Model:
        """Generator with that name."""
        return next(m for m in self.generators if m.name == name)

    def detector(self, name: str) -> Model:
        """Detector with that name."""
        return next(m for m in self.detectors if m.name == name)


def named(item: Any) -> Any:
    """Entry of a model with all its keys: a name alone is a kind with its usual settings."""
    entry = {"name": item} if isinstance(item, str) else item
    if not isinstance(entry, Mapping):
        return entry
    return {"kind": entry.get("name"), "settings": {}, **entry}
