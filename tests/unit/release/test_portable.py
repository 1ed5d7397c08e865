"""Linear detectors outside of PulseVeil: ONNX, JSON and the claim that goes with them."""

import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from pulseveil.core.errors import InputError
from pulseveil.release import portable
from pulseveil.release.claims import judge
from pulseveil.study.jobs import read_detectors
from tests.unit.detectors.test_kept_detectors import data, fitted
from tests.unit.runs.test_scoring import trained

ROOT = Path(__file__).resolve().parents[3]
KINDS = ("class_means", "public_signs", "public_signs_three")


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """The file of a private logistic regression, for each of three folds."""
    cells = trained(tmp_path_factory.mktemp("kept"), detectors=["logistic"], epsilons=[8], seeds=1)
    return cells["logistic", "8", 0][1]


def columns(given, arrays):
    return given.statistics[:, [given.statistic_names.index(name) for name in arrays["names"]]]


@pytest.mark.parametrize("name", KINDS)
def test_onnx_gives_the_probabilities_of_the_study(name):
    _, _, found = fitted(name, {})
    arrays, given = portable.linear(name, found.arrays()), data(5)
    model = portable.as_onnx(arrays, "claim")
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (probability,) = session.run(None, {"statistics": columns(given, arrays)})
    np.testing.assert_allclose(probability, found.score(given).score, atol=1e-6, rtol=0)
    assert session.get_modelmeta().custom_metadata_map["statistics"].split() == list(arrays["names"])


def test_the_json_alone_gives_the_probabilities():
    """By its formula, with plain arithmetic."""
    _, _, found = fitted("class_means", {})
    values, given = portable.as_json(found.arrays(), {}), data(5)
    names = list(given.statistic_names)

    def probability(row):
        odds = values["intercept"]
        for column in values["statistics"]:
            x = float(row[names.index(column["name"])])
            odds += column["weight"] * math.tanh((x - column["centre"]) / (2 * column["scale"]))
        return 1 / (1 + math.exp(-odds))

    plain = [probability(row) for row in given.statistics]
    np.testing.assert_allclose(plain, found.score(given).score, atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", ["logistic", "forest", "majority"])
def test_other_detectors_are_refused(name):
    _, _, found = fitted(name, {"trees": 3} if name == "forest" else {})
    with pytest.raises(InputError, match=rf"{name}: expected a linear detector"):
        portable.linear(name, found.arrays())


def test_the_claim_of_a_private_detector_is_that_of_its_plan(file):
    models = read_detectors(file)
    claim = judge(models, ["S1"])
    assert claim.headline == "private: epsilon 8, delta 1e-05, for one whole person"
    assert "logistic" in claim.statement


def with_job(models, **changes):
    return replace(models, description=models.description | {"job": models.description["job"] | changes})


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda m: replace(m, ledgers={}), "the ledger of fold S1 is missing"),
        (lambda m: with_job(m, epsilon_detector="inf"), "trained without a privacy budget"),
        (lambda m: with_job(m, epsilon_detector="1"), "does not hold the mechanisms of its plan"),
        (lambda m: with_job(m, train="synthetic"), "learnt from synthetic windows"),
        (
            lambda m: replace(m, arrays={"S1": m.arrays["S1"] | {"intercept": np.array(0.5)}}),
            "the weights of fold S1 are not those of its ledger",
        ),
        (
            lambda m: replace(m, description=m.description | {"keys": m.description["keys"] | {"seed": 1}}),
            "its ledger is of another training: seed is not 1",
        ),
    ],
)
def test_a_detector_that_is_not_that_of_its_ledger_has_no_claim(file, change, reason):
    claim = judge(change(read_detectors(file)), ["S1"])
    assert not claim.is_private
    assert reason in claim.reason


@pytest.mark.parametrize("suffix", ["json", "onnx"])
def test_the_script_writes_the_claim_into_the_file(file, tmp_path, suffix):
    out = tmp_path / f"detector.{suffix}"
    command = [sys.executable, ROOT / "scripts" / "export_detector.py", file, "--fold", "S2", "--out", out]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    claim = "private: epsilon 8, delta 1e-05, for one whole person"
    if suffix == "json":
        values = json.loads(out.read_text())
        assert values["claim"] == claim
        assert values["ledger"][0]["inputs"]["fold"] == "S2"
        return
    session = onnxruntime.InferenceSession(out, providers=["CPUExecutionProvider"])
    assert session.get_modelmeta().custom_metadata_map["claim"] == claim
