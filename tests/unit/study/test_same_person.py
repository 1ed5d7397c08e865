"""One person under several names: folds, public people, private trainings and copies."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pulseveil.cohorts.copies import Seen, without_copies
from pulseveil.cohorts.simulated import Simulated, SimulatedSettings
from pulseveil.core.errors import InputError
from pulseveil.study import tasks
from pulseveil.study.checks import make_plan
from pulseveil.study.plan import Plan
from pulseveil.study.reading import check_study
from pulseveil.study.spending import unbudgeted

ROOT = Path(__file__).resolve().parents[3]


def plan(*same_person: Any, **keys: Any) -> Plan:
    """A study of two simulated cohorts of four people each."""
    cohorts = {"lab": {"kind": "simulated", "subjects": 4, "seed": 3}}
    cohorts["home"] = {"kind": "simulated", "subjects": 4, "seed": 4}
    values = {
        "name": "small", "seed": 1, "seeds": 1, "protocol": "sound", "detectors": ["logistic"],
        "cohorts": cohorts, "same_person": list(same_person),
        "evaluations": [
            {"name": "left_out", "cohort": "lab", "train": "real"},
            {"name": "moved", "cohort": "lab", "test_cohort": "home", "train": "real", "test": "transfer"},
        ],
    }  # fmt: skip
    return make_plan(check_study({**values, **keys}, "test"))


def folds(made: Plan, number: int) -> dict[str, tuple[list[str], list[str]]]:
    return {
        fold.name: (list(fold.train_subjects), list(fold.test_subjects))
        for fold in made.folds(made.study.evaluations[number])
    }


def test_leaving_one_name_out_leaves_the_other_out() -> None:
    found = folds(plan({"lab": ["S1", "S3"]}), 0)
    assert found == {
        "S1": (["S2", "S4"], ["S1"]),
        "S2": (["S1", "S3", "S4"], ["S2"]),
        "S3": (["S2", "S4"], ["S3"]),
        "S4": (["S1", "S2", "S3"], ["S4"]),
    }


def test_nobody_trains_who_is_tested_in_another_cohort() -> None:
    found = folds(plan({"lab": "S2", "home": "S4"}, {"lab": ["S1"], "home": ["S1"]}), 1)
    assert found == {"all": (["S3", "S4"], ["S1", "S2", "S3", "S4"])}


def test_generators_leave_the_person_out_too() -> None:
    evaluations = [{"name": "tstr", "cohort": "lab", "train": "synthetic"}]
    made = plan({"lab": ["S1", "S3"]}, generators=["moments"], evaluations=evaluations)
    trained = {fold.name: set(fold.train_subjects) for fold in made.generator_folds("lab")}
    assert trained["S1"] == trained["S3"] == {"S2", "S4"}


def test_a_study_without_the_key_has_the_folds_and_jobs_of_before() -> None:
    made = plan()
    assert folds(made, 1)["all"][0] == ["S1", "S2", "S3", "S4"]
    assert "same_person" not in tasks.job(made, next(iter(tasks.tasks(made)))).model_dump_json()
    told = tasks.job(plan({"lab": "S2", "home": "S4"}), next(iter(tasks.tasks(made))))
    assert json.loads(told.model_dump_json())["same_person"] == {"S2": ["home/S4"]}


PRIVATE = {"epsilons": [1], "delta": 1e-6}


@pytest.mark.parametrize(
    ("same_person", "keys", "told"),
    [
        (
            [{"lab": "S2", "hme": "S4"}],
            {},
            r"same_person\[0\]: .*lab, home; found 'hme' .*'home'",
        ),
        ([{"lab": "S2", "home": "S9"}], {}, r"same_person\[0\]: home: expected one of S1, .*; found 'S9'"),
        ([{"lab": "S2"}], {}, r"same_person\[0\]: expected at least two names of one person, found 1"),
        (
            [{"lab": "S2", "home": "S4"}, {"lab": ["S2", "S3"]}],
            {},
            r"same_person\[1\]: S2 of lab is in same_person\[0\] too; write all names of one person",
        ),
        (
            [{"lab": f"S{i}", "home": f"S{i}"} for i in (1, 2, 3, 4)],
            {},
            "evaluation moved, .*fold all: by same_person it tests everybody on whom it would train",
        ),
        ([{"lab": ["S1", "S3"]}], PRIVATE, "S1 and S3 are one person in private trainings"),
    ],
)
def test_a_wrong_statement_is_refused(same_person: list[Any], keys: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        plan(*same_person, **keys)


def test_a_shared_generator_of_a_tested_person_is_refused() -> None:
    evaluation = {"name": "moved", "cohort": "lab", "test_cohort": "home", "test": "transfer"}
    keys = {"generators": ["moments"], "evaluations": [evaluation | {"train": "real+synthetic"}]}
    with pytest.raises(InputError, match=r"cohort home is in cohort lab, .*generator_shared: false"):
        plan({"lab": "S1", "home": "S2"}, generator_shared=True, **keys)
    plan({"lab": "S1", "home": "S2"}, generator_shared=False, **keys)


def test_stated_people_are_not_public() -> None:
    evaluations = [{"name": "tstr", "cohort": "lab", "train": "synthetic"}]
    keys = {"evaluations": evaluations, "public_cohorts": ["home"]}
    keys["generators"] = [{"name": "prior_only", "settings": {"prior": "pool"}}]
    plan(**keys)
    with pytest.raises(InputError, match="public_cohorts: home shares people with cohort lab"):
        plan({"lab": "S1", "home": "S2"}, **keys)


def test_models_without_a_budget_on_another_name_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    cohorts = {"lab": {"kind": "simulated", "subjects": 4, "seed": 3}}
    cohorts["home"] = {"kind": "empatica", "data": "nowhere", "labels": "labels.csv"}
    from pulseveil.cohorts.empatica import Empatica

    outline = dict.fromkeys(("A1", "A2", "A3", "A4"), ("baseline", "stress"))
    monkeypatch.setattr(Empatica, "outline", lambda self: outline)
    monkeypatch.setattr(Empatica, "longest_s", lambda self: {True: 600.0, False: 600.0})
    evaluations = [
        {"name": "guarded", "cohort": "lab", "train": "real", "epsilon_detector": [1]},
        {"name": "open", "cohort": "home", "train": "real", "epsilon_detector": ["inf"]},
    ]
    keys = {"cohorts": cohorts, "evaluations": evaluations, "delta": 1e-6}
    assert not unbudgeted(plan(**keys))
    assert [found.name for found in unbudgeted(plan({"lab": "S1", "home": "A2"}, **keys))] == ["logistic"]


def test_a_copy_in_another_cohort_is_refused_unless_it_is_stated() -> None:
    people = list(Simulated(SimulatedSettings(subjects=2, seed=3)).recordings())
    first = Seen()
    list(without_copies(people, first))
    copied = [replace(people[1], subject="A7")]
    with pytest.raises(InputError, match=r"lab/S2 and A7: BVP of one is in the other too .*same_person"):
        list(without_copies(copied, Seen({"lab": first.pieces})))
    assert list(without_copies(copied, Seen({"lab": first.pieces}, {"A7": ["lab/S2"]}))) == copied
    with pytest.raises(InputError, match="lab/S2 and A7"):
        list(without_copies(copied, Seen({"lab": first.pieces}, {"A7": ["lab/S1"]})))
    others = Simulated(SimulatedSettings(subjects=2, seed=4)).recordings()
    assert len(list(without_copies(others, Seen({"lab": first.pieces})))) == 2


def test_the_script_finds_a_copy_in_the_pieces_of_another_cohort(tmp_path: Path) -> None:
    pieces = tmp_path / "results/small/windows/lab/detector/pieces.json"
    command = [sys.executable, str(ROOT / "scripts/prepare_cohort.py"), "--kind", "simulated"]
    command += ["--subjects", "2", "--protocol", "sound", "--windows", "detector"]
    command += ["--out", str(tmp_path / "w.h5")]
    subprocess.run([*command, "--pieces", str(pieces)], check=True, timeout=120)
    again = subprocess.run(
        [*command, "--beside", str(pieces)], check=False, timeout=120, capture_output=True, text=True
    )
    assert again.returncode == 2
    assert "lab/S1 and S1: BVP of one is in the other too" in again.stderr
    assert "Traceback" not in again.stderr
