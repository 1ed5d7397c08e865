"""Mistakes in a study: all of them at once, each in words of the study file."""

import copy
import csv

import pytest

from pulseveil.core.errors import InputError
from pulseveil.study.checks import make_plan
from pulseveil.study.lengths import require_room
from pulseveil.study.reading import check_study
from pulseveil.study.study import PUBLISHED_SCENARIOS
from pulseveil.study.yaml_files import load_yaml
from tests.unit.study.test_study import ROOT

STUDY = {
    "name": "small",
    "seed": 1,
    "seeds": 2,
    "protocol": "sound",
    "cohorts": {"people": {"kind": "simulated", "subjects": 6}},
    "generators": ["moments"],
    "detectors": ["logistic"],
    "evaluations": [{"name": "real", "cohort": "people", "train": "real"}],
}


def changed(**keys):
    return copy.deepcopy(STUDY) | keys


def faults(values):
    with pytest.raises(InputError) as caught:
        check_study(values, "study.yaml")
    assert all(message.startswith("study.yaml: ") for message in caught.value.messages)
    return [message.removeprefix("study.yaml: ") for message in caught.value.messages]


def test_a_misspelt_key_is_one_fault_and_not_also_a_missing_key():
    values = changed(detecors=["logistic"])
    del values["detectors"]
    assert faults(values) == ["detecors: unknown key (did you mean 'detectors'?)"]


def test_all_faults_are_told_at_once_and_unknown_keys_first():
    found = faults(
        changed(
            seeds=0,
            sed=1,
            generators=[{"name": "moments", "settings": {"componens": 3}}],
            detectors=["logistik"],
            cohorts={"people": {"kind": "wessad"}},
        )
    )
    assert [fault.split(":")[0] for fault in found] == [
        *("sed", "seeds"),
        *("cohorts.people.kind", "generators[0].settings.componens", "detectors[0].kind"),
    ]


def test_references_are_checked_beside_wrong_settings():
    found = faults(
        changed(
            generators=[{"name": "moments", "settings": {"rank": -1}}],
            evaluations=[
                {"name": "real", "cohort": "peple", "train": "real", "test": "losso"},
                {"name": "real", "cohort": "people", "train": "real", "detectors": ["forest"]},
            ],
        )
    )
    assert [fault.split(":")[0] for fault in found] == [
        *("generators[0].settings.rank", "evaluations[0].cohort", "evaluations[0].test"),
        *("evaluations[1].name", "evaluations[1].detectors"),
    ]


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"seeds": "many"}, "seeds: expected a whole number, such as 5; found 'many'"),
        ({"seeds": 2.5}, "seeds: expected a whole number, such as 5; found 2.5"),
        ({"detectors": "logistic"}, "detectors: expected a list, such as [logistic]; found 'logistic'"),
        ({"cohorts": ["people"]}, "cohorts: expected keys with values, such as {key: value}; found"),
        ({"evaluations": STUDY["evaluations"][0]}, "expected a list of entries, each with '- ' before"),
        ({"name": "my study"}, "name: expected letters, digits and _ - only, such as 'my_study'; found"),
        ({"license": "CC BY 4.0"}, "such as 'CC-BY-4.0'"),
        ({"folds": -1}, "folds: expected 'all' or a number above 0 or a list"),
        ({"generator_shared": "maybe"}, "generator_shared: expected true or false; found 'maybe'"),
        ({"public": {"stress_share": 30}}, "public.stress_share: expected a number below 1.0; found 30"),
        ({"detectors": []}, "detectors: expected at least one entry; found an empty list"),
        ({"cohorts": {"people": {"subjects": 3}}}, "found nothing"),
    ],
)
def test_each_fault_says_what_to_write(keys, words):
    (found,) = faults(changed(**keys))
    assert words in found
    assert not any(jargon in found for jargon in ("Input should", "input should", "tuple", "dictionary"))


def test_a_published_scenario_must_exist():
    (found,) = faults(changed(evaluations=[STUDY["evaluations"][0] | {"published": "1-LOSO_15rea"}]))
    assert "found '1-LOSO_15rea' (did you mean '1-LOSO_15real'?)" in found
    with (ROOT / "config" / "published.csv").open() as file:
        rows = list(csv.DictReader(line for line in file if not line.startswith("#")))
    assert {row["scenario"] for row in rows} == set(PUBLISHED_SCENARIOS)


@pytest.mark.parametrize(
    ("text", "place", "cure"),
    [
        ("a: 1\n  b: 2\n", "line 2, column 4", "indent keys of one level alike"),
        ("a: [1, 2\nb: 3\n", "line 2, column 2", "begins at line 1, column 4); close the bracket"),
        ("a:\n\tb: 1\n", "line 2, column 1", "indent with blanks instead of tabs"),
        ("a: 1\nb:2\nc: 3\n", "line 3, column 1", "a colon and a blank after each key"),
        ("a: 'open\n", "line 2, column 1", "begins at line 1, column 4); close the quote"),
    ],
)
def test_invalid_yaml_is_told_with_line_column_and_cure(tmp_path, text, place, cure):
    path = tmp_path / "study.yaml"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        load_yaml(path)
    assert str(caught.value).startswith(f"{path} {place}: not valid YAML (")
    assert cure in str(caught.value)


def room(**keys):
    require_room(check_study(changed(**keys), "study.yaml"))


def test_windows_longer_than_the_longest_interval_are_refused(tmp_path):
    room(window_s=360)
    room(window_s=361, protocol="paper")
    with pytest.raises(
        InputError, match=r"interval with stress of cohort people lasts 360 s; .* at most 360"
    ):
        room(window_s=361)
    labels = tmp_path / "labels.csv"
    rows = [
        "A,exam,1600000000,1600000100,1",
        "A,rest,1600000200,1600000250,0",
        "B,exam,1600000000,1600000120,1",
    ]
    labels.write_text("\n".join(["subject,condition,start_unix,end_unix,stress", *rows]))
    cohorts = {"own": {"kind": "empatica", "data": str(tmp_path), "labels": str(labels)}}
    evaluations = [STUDY["evaluations"][0] | {"cohort": "own"}]
    with pytest.raises(InputError) as caught:
        room(cohorts=cohorts, evaluations=evaluations, window_s=121)
    with_stress, without = sorted(caught.value.messages)
    assert "with stress of cohort own lasts 120 s" in with_stress
    assert "without stress of cohort own lasts 50 s" in without


def faults_of_plan(**keys):
    with pytest.raises(InputError) as caught:
        make_plan(check_study(changed(**keys), "study.yaml"))
    return list(caught.value.messages)


def test_all_faults_of_a_plan_are_told_at_once_and_each_once():
    found = faults_of_plan(
        window_s=700,
        folds=9,
        epsilons=[1, 10],
        units=["window", "subject"],
        detectors=["forest", {"name": "ready", "kind": "cnn", "settings": {"pretrain": "public"}}],
        evaluations=[
            STUDY["evaluations"][0] | {"epsilon_detector": ["inf", 1, 10]},
            {"name": "tstr", "cohort": "people", "train": "synthetic", "epsilon_detector": [10]},
        ],
    )
    starts = [
        "window_s: 700 s, but the longest interval with stress of cohort people lasts",
        "window_s: 700 s, but the longest interval without stress of cohort people lasts",
        "evaluation real, cohort people: test loso: folds: 9 asked for",
        "evaluation tstr, cohort people: test loso: folds: 9 asked for",
        "detectors: forest: no private training at unit window is known for kind forest; use "
        "epsilon inf, not 1 or 10",
        "detectors: forest: no private training at unit subject is known for kind forest",
        "evaluation tstr: epsilon_detector 10 has no use",
        "detectors: ready: pretrain public needs public people",
    ]
    assert len(set(found)) == len(found)
    for start in starts:
        assert sum(fault.startswith(start) for fault in found) == 1, (start, found)


def test_each_person_of_same_person_that_nobody_knows_is_a_fault():
    cohorts = {
        name: {"kind": "simulated", "subjects": 3, "seed": i} for i, name in enumerate(("people", "b"))
    }
    same = [{"people": "S1", "b": "S9"}, {"people": "S8", "b": "S2"}]
    found = faults_of_plan(cohorts=cohorts, same_person=same)
    assert [fault.split(";")[0] for fault in found] == [
        "same_person[0]: b: expected one of S1, S2, S3",
        "same_person[1]: people: expected one of S1, S2, S3",
    ]


def test_too_many_runs_end_the_checks_but_keep_what_was_found():
    noise = [i / 1000 for i in range(1000)]
    real = STUDY["evaluations"][0] | {"input_noise": noise}
    found = faults_of_plan(window_s=700, seeds=1000, evaluations=[real])
    assert found[0].startswith("window_s: 700 s")
    assert found[-1].startswith("study small: 6000000 runs, more than 2000000")
