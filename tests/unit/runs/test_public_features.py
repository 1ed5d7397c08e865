from dataclasses import replace

import pytest

from pulseveil.privacy import ledger
from pulseveil.runs.detectors import Data, train_detectors
from pulseveil.runs.run_store import Journal, RunStore
from pulseveil.study.checks import make_plan
from pulseveil.study.reading import check_study
from tests.unit.detectors.test_neural_detectors import features

COHORT = {"kind": "simulated", "subjects": 3}
NETWORK = {"filters": 4, "dense_units": [8], "epochs": 1, "pretrain": "public"}
STUDY = {
    "name": "pretrained",
    "seed": 1,
    "seeds": 1,
    "folds": 1,
    "protocol": "sound",
    "cohorts": {"own": {**COHORT, "seed": 1}, "others": {**COHORT, "seed": 2}},
    "public_cohorts": ["others"],
    "detectors": [{"name": "cnn", "settings": {**NETWORK, "private": {"steps": 1}}}],
    "epsilons": [8],
    # One file per run.
    "keep": "none",
    "evaluations": [{"name": "real", "cohort": "own", "train": "real"}],
}


@pytest.fixture
def train(tmp_path):
    """Trains the study's one run beside public features; gives its scores and the number of stored runs."""
    plan = make_plan(check_study(STUDY, "test"))
    (pack,) = plan.detector_packs
    job = plan.detector_job(pack, "cnn", plan.privacies(pack, "cnn")[0])
    own = replace(features(120), subject=features(120).subject.astype("U4"))
    own.subject[:] = ["S1", "S2", "S3"] * 40
    runs, journal = RunStore(tmp_path / "runs"), Journal(tmp_path / "journal.jsonl")

    def trained(public):
        data = Data(own, own, lambda *_: own, (public,))
        ((_, scores, *_),) = train_detectors(job, data, runs, journal)
        return scores, len(list((tmp_path / "runs").rglob("*.h5")))

    return trained


def test_another_public_recording_is_another_run_whose_ledger_names_its_cohort(train):
    scores, stored = train(features(40, seed=5))
    (entry,) = map(ledger.from_json, scores.ledger.tolist())
    assert "recordings of others" in entry.public_quantities
    assert stored == 1
    assert train(features(40, seed=5))[1] == 1
    assert train(features(40, seed=6))[1] == 2
