"""Any number at any numeric key of a study gives a plan or one clear sentence soon, and no traceback."""

from __future__ import annotations

import copy
import math
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args, get_origin

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from pulseveil.core import registry
from pulseveil.core.errors import InputError
from pulseveil.study import dag
from pulseveil.study.checks import make_plan
from pulseveil.study.reading import check_study
from pulseveil.study.study import Audit, Evaluation, Study

SECONDS = 60
EXTREME = (1e300, -1e300, -1, 0, 1e-300, math.nan, math.inf, 10**18, 2**62, 10**400, 1e9, 1e-9, 0.5)
DESCENT = {"steps": 10, "learning_rate": 1.0, "clip_norm": 1.0, "penalty": 0.1, "public_weight": 1.0}

Key = tuple[str | int, ...]


def written(model: type[BaseModel], values: Mapping[str, Any]) -> dict[str, Any]:
    """`values` with the inner mappings that `model` would fill in, so that their keys can be changed too."""
    filled = dict(values)
    for name, field in model.model_fields.items():
        default = field.default
        if isinstance(default, BaseModel):
            filled.setdefault(name, default.model_dump(mode="json"))
        elif any("Descent" in str(part) for part in get_args(field.annotation)):
            filled.setdefault(name, DESCENT)
    return filled


def study(unit: str, generator: str | None = None, detector: str = "logistic") -> dict[str, Any]:
    """A study with one private model of each kind asked for; at unit window its batches are sampled."""
    groups: dict[str, list[dict[str, Any]]] = {"generators": [], "detectors": []}
    for group, kind in (("generators", generator), ("detectors", detector)):
        if kind is not None:
            inner = written(registry.load(group, kind).Settings, {})
            groups[group] = [{"name": "model", "kind": kind, "settings": inner}]
    evaluation = {"name": "e", "cohort": "p", "train": "synthetic" if generator else "real"}
    return written(
        Study,
        {
            "name": "x",
            "seed": 7,
            "protocol": "sound",
            "cohorts": {"p": {"kind": "simulated", "subjects": 30 if unit == "window" else 4}},
            "epsilons": [8],
            "delta": 1e-6,
            "units": [unit],
            "seeds": 1,
            "evaluations": [evaluation],
            **groups,
        },
    )


def numeric_keys(model: type[BaseModel], values: Mapping[str, Any], place: Key = ()) -> Iterator[Key]:
    """The keys of `model` that take a number or a list of numbers, those of inner mappings included."""
    for name, field in model.model_fields.items():
        inner = [part for part in _parts(field.annotation) if isinstance(part, type)]
        if any(part in (int, float) for part in inner):
            listed = any(get_origin(p) is tuple for p in (field.annotation, *get_args(field.annotation)))
            yield (*place, name, "list") if listed else (*place, name)
        for part in inner:
            if issubclass(part, BaseModel) and isinstance(values.get(name), Mapping):
                yield from numeric_keys(part, values[name], (*place, name))


def _parts(annotation: Any) -> Iterator[Any]:
    yield annotation
    for part in get_args(annotation):
        yield from _parts(part)


def changed(values: dict[str, Any], key: Key, number: float) -> dict[str, Any]:
    """The study with a number, or a list of it, at a key."""
    values = copy.deepcopy(values)
    place: Any = values
    *way, last = key[:-1] if key[-1] == "list" else key
    for part in way:
        place = place[part]
    place[last] = [number] if key[-1] == "list" else number
    return values


def cases_of_the_study() -> Iterator[tuple[str, dict[str, Any], Key]]:
    base = study("subject", "moments")
    audited = base | {"audit": {"evaluation": "e"}}
    yield from (("study", base, key) for key in numeric_keys(Study, base))
    place: Key = ("evaluations", 0)
    yield from (("evaluation", base, (*place, *key)) for key in numeric_keys(Evaluation, {}))
    yield from (("audit", audited, ("audit", *key)) for key in numeric_keys(Audit, {}))
    cohort = registry.load("cohorts", "simulated").Settings
    yield from (("cohort", base, ("cohorts", "p", *key)) for key in numeric_keys(cohort, {}))


def cases_of_kinds() -> Iterator[tuple[str, dict[str, Any], Key]]:
    for group in ("generators", "detectors"):
        for kind in registry.names(group):
            loaded = registry.load(group, kind)
            for unit in loaded.private_units:
                base = study(unit, kind) if group == "generators" else study(unit, detector=kind)
                inner = base[group][0]["settings"]
                for key in numeric_keys(loaded.Settings, inner):
                    yield f"{kind}, unit {unit}", base, (group, 0, "settings", *key)


STUDY_CASES, KIND_CASES = list(cases_of_the_study()), list(cases_of_kinds())


# No results lie there.
NOWHERE = Path("nowhere")


class Late(BaseException):
    """Nothing may take it for a fault of the study."""


def _late(*_: Any) -> None:
    raise Late(f"no plan within {SECONDS} s")


def require_plan_or_sentence(values: dict[str, Any]) -> None:
    """Plan and price a study; what is refused is refused in one line."""
    signal.signal(signal.SIGALRM, _late)
    signal.alarm(SECONDS)
    try:
        dag.describe(make_plan(check_study(values, "study.yaml")), NOWHERE)
    except InputError:
        pass
    finally:
        signal.alarm(0)


def test_the_studies_that_are_changed_are_planned():
    for base in {id(base): base for _, base, _ in (*STUDY_CASES, *KIND_CASES)}.values():
        dag.describe(make_plan(check_study(base, "study.yaml")), NOWHERE)
    assert len(STUDY_CASES) > 30
    assert len(KIND_CASES) > 100


@pytest.mark.parametrize("number", [1e300, 1e-300, -1, math.nan, 10**18], ids=str)
def test_an_extreme_number_at_a_key_of_the_study_is_planned_or_refused(number):
    for _, base, key in STUDY_CASES:
        require_plan_or_sentence(changed(base, key, number))


@settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(KIND_CASES), st.sampled_from(EXTREME))
def test_an_extreme_number_at_a_key_of_a_kind_is_planned_or_refused(case, number):
    _, base, key = case
    require_plan_or_sentence(changed(base, key, number))


@pytest.mark.slow
@pytest.mark.parametrize("number", EXTREME, ids=str)
def test_every_extreme_number_at_every_key_is_planned_or_refused(number):
    for _, base, key in (*STUDY_CASES, *KIND_CASES):
        require_plan_or_sentence(changed(base, key, number))


@pytest.mark.slow
@settings(deadline=None, max_examples=1500, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(STUDY_CASES + KIND_CASES), st.floats() | st.integers())
def test_any_number_at_any_key_is_planned_or_refused(case, number):
    _, base, key = case
    require_plan_or_sentence(changed(base, key, number))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epsilons": [1e300]}, "epsilons[0]: expected 0.001 to 10000 or inf, found"),
        ({"delta": 0.5, "protocol": "paper"}, "delta: expected a number from 1e-12 to 0.01, found 0.5"),
        (
            {"delta": 5e-3, "protocol": "paper"},
            "delta: expected at most 0.001, as published, in protocol paper",
        ),
    ],
)
def test_a_budget_that_means_nothing_is_refused_with_its_range(change, message):
    with pytest.raises(InputError) as raised:
        check_study(study("subject") | change, "study.yaml")
    assert str(raised.value).startswith(f"study.yaml: {message}")


def test_the_published_delta_stays_in_protocol_paper():
    assert check_study(study("subject") | {"delta": 1e-3, "protocol": "paper"}, "study.yaml").delta == 1e-3
