"""Study files: read and checked as a whole before anything runs, with all faults at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from pulseveil.cohorts import CohortSettings
from pulseveil.core import limits, registry
from pulseveil.core.contracts import CHANNEL_SETS
from pulseveil.core.errors import InputError, noting, refuse
from pulseveil.core.identity import number_label, require_plain_path
from pulseveil.core.settings import Channels, explain, explain_choice
from pulseveil.study.audit_settings import FEWEST_TRAININGS
from pulseveil.study.study import (
    OLD_KEYS,
    PUBLISHED_DELTA,
    PUBLISHED_SCENARIOS,
    Audit,
    Evaluation,
    Study,
    named,
)
from pulseveil.study.yaml_files import load_yaml
from pulseveil.windows.signals import channels_of

_GROUPS: tuple[Literal["generators", "detectors"], ...] = ("generators", "detectors")
# First letters of keys that a study may have for parts that others refer to by YAML aliases.
HELPERS = (".", "x-")


def read_study(path: Path) -> Study:
    """Read and check a study file.

    Raises:
        InputError: the file is not a valid study; each fault has file, key, expected value and nearest name.
    """
    return check_study(load_yaml(path), str(path))


def check_study(values: Any, source: str) -> Study:
    """Check the values of a study; `source` names their origin in messages.

    Raises:
        InputError: as in `read_study`.

    Examples:
        >>> study = check_study(
        ...     {
        ...         "name": "small", "seed": 1, "seeds": 2, "protocol": "sound",
        ...         "cohorts": {"people": {"kind": "simulated"}},
        ...         "detectors": ["logistic"],
        ...         "evaluations": [{"name": "real", "cohort": "people", "train": "real"}],
        ...     },
        ...     "example",
        ... )
        >>> study.channels, study.scaling, study.delta
        ('physiological', 'calibration', 1e-05)
    """
    # Again for values that `load_yaml` did not read, such as Snakemake's configuration.
    limits.check_values(values, source)
    values = _without_helpers(values)
    values, old_keys = _respelled(values, source)
    faults: list[str] = []
    study: Study | None = None
    try:
        study = Study.model_validate(values)
    except ValidationError as error:
        faults += explain(error, Study, values, source)
    # Of the values and not of the study: keys of cohorts and models are checked beside a fault elsewhere.
    cohorts = _cohorts(_part(values, "cohorts", Mapping, {}), source, faults)
    settings = {
        group: _models(group, [named(item) for item in _part(values, group, list, [])], source, faults)
        for group in _GROUPS
    }
    if study is not None:
        faults += _reference_faults(study, source)
    refuse(faults)
    assert study is not None
    models: dict[str, Any] = {
        group: tuple(
            model.model_copy(update={"settings": of_kind})
            for model, of_kind in zip(getattr(study, group), settings[group], strict=True)
        )
        for group in _GROUPS
    }
    resolved = study.model_copy(update={"cohorts": cohorts, **models})
    resolved._old_keys = old_keys
    return resolved


def _part(values: Any, key: str, kind: type, empty: Any) -> Any:
    """The part of a study under a key; empty if it is of another type, which is a fault of its own."""
    part = values.get(key, empty) if isinstance(values, Mapping) else empty
    part = list(part) if isinstance(part, tuple) else part
    return part if isinstance(part, kind) else empty


def _without_helpers(values: Any) -> Any:
    """Values of a study without keys of the first level that begin with `.` or `x-`, which hold anchors."""
    if not isinstance(values, Mapping):
        return values
    return {k: v for k, v in values.items() if not str(k).startswith(HELPERS)}


def _respelled(values: Any, source: str) -> tuple[Any, tuple[str, ...]]:
    """Values of a study with old keys under their present names, and the old keys that were found."""
    if not isinstance(values, Mapping):
        return values, ()
    old_keys = tuple(key for key in OLD_KEYS if key in values)
    for old in old_keys:
        if OLD_KEYS[old] in values:
            raise InputError(f"{source}: '{old}' is the old name of '{OLD_KEYS[old]}'; remove '{old}'")
    return {OLD_KEYS.get(key, key): value for key, value in values.items()}, old_keys


def _cohorts(cohorts: Mapping[str, Any], source: str, faults: list[str]) -> dict[str, CohortSettings]:
    """Typed settings of the cohorts; what is wrong is added to `faults`."""
    known = registry.names("cohorts")
    found: dict[str, CohortSettings] = {}
    for name, values in cohorts.items():
        kind = values.get("kind") if isinstance(values, Mapping) else None
        if kind not in known:
            faults.append(explain_choice(source, f"cohorts.{name}.kind", kind, known))
            continue
        with noting(faults):
            found[name] = _settings("cohorts", str(kind), values, f"cohorts.{name}", source)
            # Files of cohorts are inputs of rules, in which Snakemake takes braces for wildcards.
            for key, value in found[name]:
                if isinstance(value, Path):
                    require_plain_path(value, f"{source}: cohorts.{name}.{key}")
    return found


def _models(group: registry.Group, models: Sequence[Any], source: str, faults: list[str]) -> list[Any]:
    """Typed settings of the models of a group, in their order; what is wrong is added to `faults`."""
    known = registry.names(group)
    seen: set[str] = set()
    found = []
    for i, model in enumerate(models):
        if not isinstance(model, Mapping) or not isinstance(model.get("name"), str):
            continue
        kind, name = model["kind"], model["name"]
        # `none` stands for a missing part in paths and tables.
        if name in seen or name == "none":
            faults.append(f"{source}: {group}[{i}].name: {name!r} is taken; give each its own name")
        seen.add(name)
        if kind not in known:
            faults.append(explain_choice(source, f"{group}[{i}].kind", kind, known))
            continue
        with noting(faults):
            found.append(_settings(group, kind, model["settings"], f"{group}[{i}].settings", source))
    return found


def _settings(group: registry.Group, kind: str, values: Any, key: str, source: str) -> Any:
    schema = registry.load(group, kind).Settings
    try:
        return schema.model_validate(values)
    except ValidationError as error:
        raise InputError(*explain(error, schema, values, source, prefix=key)) from None


def _training_faults(audit: Audit, evaluations: Sequence[Evaluation], source: str) -> Iterator[str]:
    """Audited evaluations with generators in an audit of 0 trainings."""
    # The canary attack on a generator compares its releases with releases that lack the canary.
    for evaluation in evaluations:
        if evaluation.name in audit.evaluations and evaluation.train != "real" and not audit.trainings:
            yield (
                f"{source}: audit.trainings: 0, but evaluation {evaluation.name} has generators, which need "
                f"at least {FEWEST_TRAININGS}; set it higher, or audit evaluations with train real alone"
            )


def _person_faults(study: Study, source: str) -> Iterator[str]:
    """Persons of `same_person` with a single name, of unknown cohorts, or stated twice."""
    taken: dict[tuple[str, str], int] = {}
    for i, person in enumerate(study.same_people):
        key = f"same_person[{i}]"
        if len(person) < 2:
            yield f"{source}: {key}: expected at least two names of one person, found {len(person)}"
        for cohort, name in sorted(person):
            if cohort not in study.cohorts:
                yield explain_choice(source, key, cohort, tuple(study.cohorts))
            elif (cohort, name) in taken:
                yield (
                    f"{source}: {key}: {name} of {cohort} is in same_person[{taken[cohort, name]}] too; "
                    "write all names of one person into one entry"
                )
            taken[cohort, name] = i


def _check_signals(levels: Sequence[str], channels: Channels) -> None:
    for signals in levels:
        channels_of(signals, CHANNEL_SETS[channels])
        if levels.count(signals) > 1:
            raise InputError(f"signals: {signals!r} is given twice; name each level once")


def _reference_faults(study: Study, source: str) -> Iterator[str]:
    """Names that stand for nothing, and keys that contradict others."""
    if study.protocol == "paper" and study.delta > PUBLISHED_DELTA:
        yield (
            f"{source}: delta: expected at most {PUBLISHED_DELTA:g}, as published, in protocol paper; found "
            f"{number_label(study.delta)}"
        )
    cohorts = tuple(study.cohorts)
    for name in study.public_cohorts:
        if name not in cohorts:
            yield explain_choice(source, "public_cohorts", name, cohorts)
    yield from _person_faults(study, source)
    names = [evaluation.name for evaluation in study.evaluations]
    for i, evaluation in enumerate(study.evaluations):
        key = f"evaluations[{i}]"
        if evaluation.name in names[:i]:
            yield f"{source}: {key}.name: {evaluation.name!r} is taken; give each its own name"
        yield from _evaluation_faults(study, evaluation, source, key)
    if study.audit is not None:
        for name in study.audit.evaluations:
            if name not in names:
                yield explain_choice(source, "audit.evaluation", name, names)
        yield from _training_faults(study.audit, study.evaluations, source)


def _evaluation_faults(study: Study, evaluation: Evaluation, source: str, key: str) -> Iterator[str]:
    cohorts, protocols = tuple(study.cohorts), registry.names("protocols")
    names = {"generators": [m.name for m in study.generators], "detectors": [m.name for m in study.detectors]}
    for field in ("cohort", "test_cohort"):
        value = getattr(evaluation, field)
        if value is not None and value not in cohorts:
            yield explain_choice(source, f"{key}.{field}", value, cohorts)
    for group, allowed in names.items():
        for value in getattr(evaluation, group) or ():
            if value not in allowed:
                yield explain_choice(source, f"{key}.{group}", value, tuple(allowed))
    for unit in evaluation.units or ():
        if unit not in study.units:
            yield explain_choice(source, f"{key}.units", unit, study.units)
    if evaluation.train != "real" and not (evaluation.generators or names["generators"]):
        yield f"{source}: {key}: train {evaluation.train} needs generators; add one to the study"
    if evaluation.noise_on == "windows" and evaluation.train != "real":
        yield (
            f"{source}: {key}.noise_on: windows needs train: real, because synthetic windows get no noise; "
            f"found train: {evaluation.train}"
        )
    if evaluation.published is not None and evaluation.published not in PUBLISHED_SCENARIOS:
        yield explain_choice(source, f"{key}.published", evaluation.published, PUBLISHED_SCENARIOS)
    faults: list[str] = []
    with noting(faults):
        _check_signals(evaluation.signals, study.channels)
    if evaluation.test in protocols:
        with noting(faults):
            registry.load("protocols", evaluation.test).check(evaluation)
    else:
        yield explain_choice(source, f"{key}.test", evaluation.test, protocols)
    yield from (f"{source}: {key}.{fault}" for fault in faults)
