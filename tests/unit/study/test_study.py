import copy
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from pulseveil.core.errors import InputError
from pulseveil.study.checks import make_plan
from pulseveil.study.dag import describe
from pulseveil.study.reading import check_study, read_study

ROOT = Path(__file__).resolve().parents[3]
DEMO = yaml.safe_load((ROOT / "config" / "demo.yaml").read_text())


def changed(**keys):
    return copy.deepcopy(DEMO) | keys


@pytest.mark.parametrize("name", ["demo", "paper", "sound"])
def test_studies_of_the_project_are_valid_and_survive_a_round_trip(name):
    study = read_study(ROOT / "config" / f"{name}.yaml")
    assert check_study(study.model_dump(mode="json", exclude_none=True), "copy") == study


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (changed(sed=1), ["sed", "unknown key", "did you mean 'seed'"]),
        (changed(protocol="papper"), ["protocol", "'paper'", "'papper'", "did you mean"]),
        (changed(seeds="many"), ["seeds", "whole number", "'many'"]),
        (changed(epsilons=[0]), ["epsilons[0]", "above 0", "found 0"]),
        (changed(epsilons=["1e-3", -1]), ["epsilons[1]", "found -1"]),
        (changed(epsilons=[]), ["epsilons", "empty list"]),
        (changed(evaluations=[]), ["evaluations", "empty list"]),
        (
            changed(generators=["cgann"]),
            [
                "generators[0].kind",
                "one of autoencoder, cgan, dgan, files, flow, moments",
                "did you mean 'cgan'",
            ],
        ),
        (changed(detectors=["logistik"]), ["detectors[0].kind", "did you mean 'logistic'"]),
        (
            changed(generators=[{"name": "cgan", "settings": {"stepps": 3}}, "moments"]),
            ["generators[0].settings.stepps", "did you mean 'steps'"],
        ),
        (changed(cohorts={"a": {"kind": "wessad"}}), ["cohorts.a.kind", "did you mean 'wesad'"]),
        (changed(delta=2), ["delta", "from 1e-12 to 0.01"]),
        (
            changed(evaluations=[{"name": "x", "cohort": "simulated", "train": "reel"}]),
            ["evaluations[0].train", "did you mean 'real'"],
        ),
        (
            changed(evaluations=[{"name": "x", "cohort": "simulatd", "train": "real"}]),
            ["evaluations[0].cohort", "did you mean 'simulated'"],
        ),
        (
            changed(evaluations=[{"name": "x", "cohort": "simulated", "train": "real", "test": "transfer"}]),
            ["evaluations[0].test_cohort: ", "test transfer needs another cohort"],
        ),
        (
            changed(
                evaluations=[
                    {"name": "x", "cohort": "simulated", "train": "real", "test_cohort": "simulated"},
                ]
            ),
            ["evaluations[0].test_cohort: ", "test loso tests `cohort` itself"],
        ),
        (
            changed(evaluations=[{"name": "x", "cohort": "simulated", "train": "real", "test": "lsoo"}]),
            [
                "evaluations[0].test: ",
                "one of loso, order_crossed, transfer",
                "'lsoo'",
                "did you mean 'loso'",
            ],
        ),
        (
            changed(
                evaluations=[
                    {"name": "x", "cohort": "simulated", "train": "real+synthetic", "noise_on": "windows"}
                ]
            ),
            ["evaluations[0].noise_on: ", "needs train: real", "found train: real+synthetic"],
        ),
        (changed(stride_s={"generater": 30}), ["stride_s.generater", "did you mean 'generator'"]),
        ({k: v for k, v in DEMO.items() if k != "seeds"}, ["seeds", "missing"]),
    ],
)
def test_a_wrong_key_is_named_with_what_was_expected(values, words):
    with pytest.raises(InputError) as caught:
        check_study(values, "study.yaml")
    message = str(caught.value)
    # A line per fault: evaluations that name what is wrong are faults of their own.
    assert all(line.startswith("study.yaml: ") for line in message.split("\n"))
    for word in words:
        assert word in message


def test_numbers_that_yaml_hands_over_as_text_are_read():
    study = check_study(changed(epsilons=["inf", "1e1", 1], delta="1e-5"), "study.yaml")
    assert study.epsilons == (float("inf"), 10.0, 1.0)
    assert study.delta == 1e-5


def test_protocol_decides_the_defaults_of_channels_and_scaling():
    paper = check_study(changed(protocol="paper"), "study.yaml")
    sound = check_study(changed(protocol="sound"), "study.yaml")
    assert (paper.channels, paper.scaling, paper.generator_shared) == ("published", "min-max", True)
    assert (sound.channels, sound.scaling, sound.generator_shared) == ("physiological", "calibration", False)


def test_broken_yaml_ends_in_one_line_with_the_line_number(tmp_path):
    bad = tmp_path / "bad.yaml"
    bad.write_text("name: x\nseeds: [1\n")
    result = subprocess.run(
        [sys.executable, ROOT / "scripts" / "plan.py", bad], capture_output=True, text=True, check=False
    )
    assert result.returncode == 2
    assert "Traceback" not in result.stderr
    assert result.stderr.startswith(f"error: {bad} line 3")


def test_a_plan_whose_reader_has_left_ends_without_a_traceback():
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, ROOT / "scripts" / "plan.py", ROOT / "config" / "demo.yaml"]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, "")


def test_the_old_name_of_the_privacy_noise_means_the_same_and_the_plan_notes_it_once():
    old, new = (
        make_plan(check_study(changed(**{key: "reproducible"}), "s")) for key in ("noise", "privacy_noise")
    )
    assert old.study.model_dump() == new.study.model_dump()
    assert old.study.privacy_noise == "reproducible"
    assert describe(old, Path("nowhere")).count("'noise' is now 'privacy_noise'") == 1
    assert "is now" not in describe(new, Path("nowhere"))
    assert describe(old, Path("nowhere")).replace(f"{old.study.spelling_notes[0]}\n", "") == describe(
        new, Path("nowhere")
    )


@pytest.mark.parametrize("key", ["noise", "privacy_noise"])
def test_a_wrong_privacy_noise_is_refused_under_either_name(key):
    with pytest.raises(InputError, match=r"privacy_noise.*'loud'"):
        check_study(changed(**{key: "loud"}), "s")


def test_both_names_of_the_privacy_noise_are_refused():
    with pytest.raises(InputError, match="'noise' is the old name of 'privacy_noise'"):
        check_study(changed(noise="secret", privacy_noise="secret"), "s")
