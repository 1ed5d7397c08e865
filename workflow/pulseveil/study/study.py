"""A study: one YAML file, checked whole before anything runs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BeforeValidator, Field, PlainSerializer, PrivateAttr, ValidationError, model_validator

from pulseveil.cohorts import CohortSettings
from pulseveil.core import limits, registry
from pulseveil.core.errors import InputError
from pulseveil.core.identity import number_label, parse_number, require_plain_path
from pulseveil.core.settings import (
    Channels,
    Pairing,
    Preprocessing,
    ScalingName,
    Settings,
    explain,
    explain_choice,
)
from pulseveil.evaluation.protocols import Train
from pulseveil.privacy.budget import Backend, NoiseMode, Population, Unit
from pulseveil.study.audit_settings import FEWEST_TRAININGS, AuditSettings

# Keys of a study that were renamed, with their present names.
OLD_KEYS: Mapping[str, str] = {"noise": "privacy_noise"}
# Budgets outside protect nobody, or drown every model; their noise cannot be computed.
_EPSILONS = (1e-3, 1e4)
# Protocol `paper` keeps the published delta; `sound` takes less, by the number of records (`spending`).
_DELTAS, _PUBLISHED_DELTA = (1e-12, 1e-2), 1e-3
_WEEK_S = 604_800


def _number(value: Any, expected: str) -> float:
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


Epsilon = Annotated[
    float,
    Field(allow_inf_nan=True),
    BeforeValidator(_epsilon),
    PlainSerializer(number_label, return_type=str),
]
Delta = Annotated[float, BeforeValidator(_delta)]
Seconds = Annotated[int, Field(gt=0, le=_WEEK_S)]
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
        None, min_length=1, description="of an evaluation's epsilons, those that this model is trained for"
    )
    units: tuple[Unit, ...] | None = Field(
        None, min_length=1, description="of the study's units, those that this model is trained for"
    )
    settings: Any = Field(description="settings of that kind; keys left out keep the published value")


class Evaluation(Settings):
    """One question: who trains on what, and who is tested."""

    name: Name = Field(description="name in paths and tables")
    cohort: str = Field(description="cohort that models are trained on")
    test_cohort: str | None = Field(
        None, description="cohort that is tested, for protocols that test another one (`transfer`)"
    )
    train: Train = Field(description="training windows")
    test: str = Field("loso", description="registered protocol: who is left out, and who is tested")
    generators: tuple[str, ...] | None = Field(None, min_length=1, description="default: all of the study")
    detectors: tuple[str, ...] | None = Field(None, min_length=1, description="default: all of the study")
    synthetic_subjects: tuple[Annotated[int, Field(gt=0, le=100_000)], ...] = Field(
        (15,), min_length=1, description="numbers of synthetic subjects"
    )
    epsilon_generator: tuple[Epsilon, ...] | None = Field(
        None, min_length=1, description="default: the study's epsilons"
    )
    epsilon_detector: tuple[Epsilon, ...] | None = Field(
        None, min_length=1, description="default: the study's epsilons for `real`, else inf"
    )
    units: tuple[Unit, ...] | None = Field(
        None, min_length=1, description="of the study's units, those of its private cells; default: all"
    )
    epsilon_pairs: Literal["all", "equal"] = Field(
        "all", description="of the budgets of generator and detector: all pairs, or only those of equal ones"
    )
    input_noise: tuple[Annotated[float, Field(ge=0)], ...] = Field(
        (0.0,), min_length=1, description="scales of Laplace noise added to the training features"
    )
    published: str | None = Field(None, description="scenario of the published study to print beside ours")

    @property
    def tested_cohort(self) -> str:
        """The cohort whose subjects are tested."""
        return self.test_cohort or self.cohort


class Pack(Settings):
    """How many trainings share a process; a part of the study, so that packs never depend on a machine."""

    generator_seeds: int = Field(1, gt=0, description="seeds a generator job trains (all folds each)")
    detector_seeds: int = Field(5, gt=0, description="seeds a detector job trains (all folds each)")
    subjects: int = Field(10, gt=0, description="numbers of synthetic subjects in one detector job")
    noise: int = Field(5, gt=0, description="noise levels in one detector job")


class Audit(AuditSettings):
    """Attacks on the models of an evaluation that see real data, trained on all of its cohort."""

    evaluation: str | Annotated[tuple[str, ...], Field(min_length=1)] = Field(
        description="whose generators and detectors are audited, at their units and epsilons: a name or more"
    )

    @property
    def evaluations(self) -> tuple[str, ...]:
        """The names of the audited evaluations."""
        return (self.evaluation,) if isinstance(self.evaluation, str) else self.evaluation


class PublicConstants(Settings):
    """What private trainings take for public of a person: constants of the plan, never counted in the data.

    The defaults are the published protocol of WESAD (Schmidt et al., ICMI 2018): 20 minutes of baseline,
    392 s of amusement and about 10 minutes of stress.
    """

    labelled_s: Seconds = Field(2192, description="labelled seconds of a person")
    stress_share: float = Field(0.3, gt=0, lt=1, description="share of windows with stress")

    def population(self, subjects: int, stride_s: int) -> Population:
        """The public constants of a training on `subjects` people with windows every `stride_s` seconds."""
        return Population(subjects, math.ceil(self.labelled_s / stride_s), self.stress_share)


class Resources(Settings):
    """What a job may ask for; wall time grows with the expected cost."""

    gpu: Literal[0, 1] = Field(0, description="GPUs for a job that trains a network")
    mem_mb: int = Field(4000, gt=0, description="memory of a job in MB")
    runtime: int = Field(30, gt=0, description="least wall time of a job in minutes")
    gpu_speedup: float = Field(
        1.0,
        gt=0,
        description="times that a GPU trains faster than one core, by your guess: for time limits only",
    )


class Study(Settings):
    """All settings of a study."""

    name: Name = Field(description="folder under results/")
    seed: int = Field(ge=0, description="root of the seed tree")
    protocol: Preprocessing = Field(description="published pre-processing, or the corrected one")
    channels: Channels = Field(description="default: published in `paper`, physiological in `sound`")
    pairing: Pairing = Field(
        "published", description="which sub-window length belongs to which signal (protocol paper)"
    )
    classes: Literal[2, 3] = Field(2, description="conditions that a generator distinguishes")
    scaling: ScalingName = Field(description="default: min-max in `paper`, calibration in `sound`")
    calibration_s: Seconds = Field(300, description="labelled seconds that `calibration` takes for itself")
    window_s: Seconds = Field(60, description="length of a window in seconds")
    stride_s: Strides = Strides()
    cohorts: Mapping[Name, Any] = Field(
        min_length=1, description="cohorts by name; `kind` selects the reader"
    )
    generators: tuple[Model, ...] = Field((), description="generators: a name, or {name, kind, settings}")
    detectors: tuple[Model, ...] = Field(
        min_length=1, description="detectors: a name, or {name, kind, settings}"
    )
    generator_shared: bool = Field(
        description="one generator for all folds (it saw the test subject); default: true in `paper`"
    )
    note: str = Field("", description="printed with the plan and above all tables, such as 'not a result'")
    license: Annotated[str, Field(pattern=r"^[A-Za-z0-9.+-]+$")] = Field(
        "MIT", description="SPDX identifier of the licence of the study's results"
    )
    epsilons: tuple[Epsilon, ...] = Field((math.inf,), min_length=1, description="privacy budgets; inf: none")
    delta: Delta = Field(1e-5, description="delta of every budget; protocol paper takes at most 1e-3")
    units: tuple[Unit, ...] = Field(
        ("subject",), min_length=1, description="what a budget protects: a whole person, or one window"
    )
    epsilon_total: Epsilon = Field(
        math.inf, description="the most that generator and detector of a cell may spend together"
    )
    public: PublicConstants = PublicConstants()
    quality_seeds: int | None = Field(
        None, gt=0, description="seeds whose synthetic windows are compared with real ones; default: all"
    )
    audit: Audit | None = Field(None, description="what an attacker tries; default: no audit")
    privacy_noise: NoiseMode = Field(
        "secret", description="noise of private trainings: from a secret key, or reproducible and not private"
    )
    dp_backend: Backend = Field("fast", description="optimizer of private networks: ours, or the library's")
    seeds: int = Field(gt=0, le=10_000, description="independent repetitions")
    folds: Literal["all"] | Annotated[int, Field(gt=0)] | tuple[str, ...] = Field(
        "all", description="left-out subjects: all, the first k, or names"
    )
    evaluations: tuple[Evaluation, ...] = Field(
        min_length=1, description="the questions, one table block each"
    )
    threads: int = Field(1, gt=0, description="CPU threads of each job; a part of every result's identity")
    resources: Resources = Resources()
    pack: Pack = Pack()
    _old_keys: tuple[str, ...] = PrivateAttr(default=())

    @model_validator(mode="before")
    @classmethod
    def _fill(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            raise ValueError("expected a mapping of keys")
        values = dict(values)
        paper = values.get("protocol") == "paper"
        values.setdefault("channels", "published" if paper else "physiological")
        values.setdefault("scaling", "min-max" if paper else "calibration")
        values.setdefault("generator_shared", paper)
        for group in ("generators", "detectors"):
            if isinstance(values.get(group), (list, tuple)):
                values[group] = [_named(item) for item in values[group]]
        return values

    @property
    def spelling_notes(self) -> tuple[str, ...]:
        """One sentence for each key that the study file has under its old name."""
        return tuple(
            f"Note: the study key '{old}' is now '{OLD_KEYS[old]}'; '{old}' still works."
            for old in self._old_keys
        )

    @property
    def cohort_settings(self) -> Mapping[str, CohortSettings]:
        """The typed settings of each cohort."""
        return self.cohorts

    def generator(self, name: str) -> Model:
        """The generator of that name."""
        return next(m for m in self.generators if m.name == name)

    def detector(self, name: str) -> Model:
        """The detector of that name."""
        return next(m for m in self.detectors if m.name == name)


def load_yaml(path: Path) -> dict[str, Any]:
    """The values of a YAML file; raises InputError with the line where it is not valid."""
    content = limits.read_bytes(path, limits.STUDY_BYTES, "a study file (YAML)")
    try:
        values = _values(content.decode("utf-8-sig"), str(path))
    except yaml.YAMLError as error:
        where = getattr(error, "problem_mark", None)
        line = f" line {where.line + 1}" if where else ""
        raise InputError(f"{path}{line}: not valid YAML; check indentation and quotes") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: not a text file; expected a study file (YAML) in UTF-8") from None
    except RecursionError:
        raise InputError(f"{path}: nested too deep; expected a study file (YAML)") from None
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        # Dates and numbers that do not exist, and keys that are mappings.
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: a value that YAML cannot hold ({error}); put it into quotes") from None
    if not isinstance(values, dict):
        raise InputError(f"{path}: expected a mapping of keys, found {type(values).__name__}")
    return values


def _values(text: str, source: str) -> Any:
    """The values of a YAML text, whose aliases and merged keys are counted before any of them is made."""
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        limits.check_values(node, source, _inner_nodes)
        return None if node is None else loader.construct_document(node)
    finally:
        loader.dispose()


def _inner_nodes(node: yaml.Node | None) -> Sequence[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    return node.value if isinstance(node, yaml.SequenceNode) else ()


def read_study(path: Path) -> Study:
    """Read and check a study file.

    Raises InputError that names file and key, what was expected, and the nearest name.
    """
    return check_study(load_yaml(path), str(path))


def check_study(values: Any, source: str) -> Study:
    """Check the values of a study that came from `source`; raises InputError as `read_study` does."""
    limits.check_values(values, source)
    values, old_keys = _respelled(values, source)
    try:
        study = Study.model_validate(values)
    except ValidationError as error:
        raise InputError(explain(error, Study, values, source)) from None
    resolved = study.model_copy(
        update={
            "cohorts": {n: _cohort(n, v, source) for n, v in study.cohorts.items()},
            "generators": _models("generators", study.generators, source),
            "detectors": _models("detectors", study.detectors, source),
        }
    )
    resolved._old_keys = old_keys
    _check_references(resolved, source)
    return resolved


def _respelled(values: Any, source: str) -> tuple[Any, tuple[str, ...]]:
    """The values of a study with old keys under their present names, and those old keys."""
    if not isinstance(values, Mapping):
        return values, ()
    old_keys = tuple(key for key in OLD_KEYS if key in values)
    for old in old_keys:
        if OLD_KEYS[old] in values:
            raise InputError(f"{source}: '{old}' is the old name of '{OLD_KEYS[old]}'; remove '{old}'")
    return {OLD_KEYS.get(key, key): value for key, value in values.items()}, old_keys


def _named(item: Any) -> Any:
    entry = {"name": item} if isinstance(item, str) else item
    if not isinstance(entry, Mapping):
        return entry
    return {"kind": entry.get("name"), "settings": {}, **entry}


def _cohort(name: str, values: Any, source: str) -> CohortSettings:
    kind = values.get("kind") if isinstance(values, Mapping) else None
    known = registry.names("cohorts")
    if kind not in known:
        raise InputError(explain_choice(source, f"cohorts.{name}.kind", kind, known))
    settings: CohortSettings = _settings("cohorts", str(kind), values, f"cohorts.{name}", source)
    for key, value in settings:
        if isinstance(value, Path):
            require_plain_path(value, f"{source}: cohorts.{name}.{key}")
    return settings


def _models(
    group: Literal["generators", "detectors"], models: tuple[Model, ...], source: str
) -> tuple[Model, ...]:
    known = registry.names(group)
    seen: set[str] = set()
    resolved = []
    for i, model in enumerate(models):
        if model.kind not in known:
            raise InputError(explain_choice(source, f"{group}[{i}].kind", model.kind, known))
        if model.name in seen or model.name == "none":
            raise InputError(f"{source}: {group}[{i}].name: {model.name!r} is taken; give each its own name")
        seen.add(model.name)
        settings = _settings(group, model.kind, model.settings, f"{group}[{i}].settings", source)
        resolved.append(model.model_copy(update={"settings": settings}))
    return tuple(resolved)


def _settings(group: registry.Group, kind: str, values: Any, key: str, source: str) -> Any:
    schema = registry.load(group, kind).Settings
    try:
        return schema.model_validate(values)
    except ValidationError as error:
        raise InputError(explain(error, schema, values, source, prefix=key)) from None


def _check_trainings(audit: Audit, evaluations: Sequence[Evaluation], source: str) -> None:
    """The canaries of a generator are told by comparison with releases that lack them."""
    for evaluation in evaluations:
        if evaluation.name in audit.evaluations and evaluation.train != "real" and not audit.trainings:
            raise InputError(
                f"{source}: audit.trainings: 0, but evaluation {evaluation.name} has generators, which need "
                f"at least {FEWEST_TRAININGS}; give more, or audit evaluations of train real alone"
            )


def _check_references(study: Study, source: str) -> None:
    if study.protocol == "paper" and study.delta > _PUBLISHED_DELTA:
        raise InputError(
            f"{source}: delta: protocol paper takes at most the published {_PUBLISHED_DELTA:g}, found "
            f"{number_label(study.delta)}"
        )
    cohorts, protocols = tuple(study.cohorts), registry.names("protocols")
    names = {"generators": [m.name for m in study.generators], "detectors": [m.name for m in study.detectors]}
    taken: set[str] = set()
    for i, evaluation in enumerate(study.evaluations):
        key = f"evaluations[{i}]"
        if evaluation.name in taken:
            raise InputError(f"{source}: {key}.name: {evaluation.name!r} is taken; give each its own name")
        taken.add(evaluation.name)
        for field in ("cohort", "test_cohort"):
            value = getattr(evaluation, field)
            if value is not None and value not in cohorts:
                raise InputError(explain_choice(source, f"{key}.{field}", value, cohorts))
        for group, allowed in names.items():
            for value in getattr(evaluation, group) or ():
                if value not in allowed:
                    raise InputError(explain_choice(source, f"{key}.{group}", value, tuple(allowed)))
        for unit in evaluation.units or ():
            if unit not in study.units:
                raise InputError(explain_choice(source, f"{key}.units", unit, study.units))
        if evaluation.train != "real" and not (evaluation.generators or names["generators"]):
            raise InputError(
                f"{source}: {key}: train {evaluation.train} needs generators; add one to the study"
            )
        if evaluation.test not in protocols:
            raise InputError(explain_choice(source, f"{key}.test", evaluation.test, protocols))
        try:
            registry.load("protocols", evaluation.test).check(evaluation)
        except InputError as error:
            raise InputError(f"{source}: {key}.{error}") from None
    if study.audit is not None:
        for name in study.audit.evaluations:
            if name not in taken:
                known = tuple(e.name for e in study.evaluations)
                raise InputError(explain_choice(source, "audit.evaluation", name, known))
        _check_trainings(study.audit, study.evaluations, source)
