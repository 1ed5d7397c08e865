"""Trainings of a job in one program: what is stored, and what an interruption changes."""

import itertools

import numpy as np
import pytest

from pulseveil.core import tensorflow
from pulseveil.core.errors import Interrupted, never_requested
from pulseveil.generators.cgan import CGAN, training
from pulseveil.generators.moments import Moments
from pulseveil.runs import generators
from pulseveil.runs.generators import train_generators
from pulseveil.runs.run_store import Journal, RunStore
from pulseveil.study.checks import make_plan
from pulseveil.study.reading import read_study
from tests.unit.test_golden import windows

STUDY = """
name: together
seed: 1
protocol: sound
cohorts: {simulated: {kind: simulated, subjects: 3, seed: 5}}
generators: [{name: cgan, settings: {discriminator: fcn, output: linear, steps: 12}}]
detectors: [logistic]
seeds: 2
epsilons: [inf]
evaluations: [{name: tstr, cohort: simulated, train: synthetic}]
"""
FOLDS, SEEDS = ("S1", "S2", "S3"), (0, 1)


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    path = tmp_path_factory.mktemp("study") / "study.yaml"
    path.write_text(STUDY)
    plan = make_plan(read_study(path))
    return plan.generator_job(plan.generator_cells()[0], SEEDS)


@pytest.fixture(scope="module", autouse=True)
def gpu():
    """Models train side by side, as on a GPU; on the threads with which TensorFlow runs here already."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tensorflow, "has_gpu", lambda: True)
        patch.setattr(tensorflow, "start", lambda threads: None)
        # Short blocks: a job can be interrupted between them only.
        patch.setattr(training, "_BLOCK_STEPS", 10)
        yield


def train(job, folder, stop_requested=never_requested):
    trained = train_generators(
        job, windows("sound"), RunStore(folder), Journal(folder / "journal"), stop_requested
    )
    return {seed: models.arrays for seed, models, _ in trained}


def stored(folder):
    return {path: path.read_bytes() for path in sorted(folder.rglob("*.h5"))}


def same(a, b):
    return all(np.array_equal(value, b[name]) for name, value in a.items())


@pytest.fixture(scope="module")
def unbroken(job, tmp_path_factory):
    folder = tmp_path_factory.mktemp("unbroken")
    return folder, train(job, folder)


def test_all_models_of_a_job_train_in_one_program_and_are_stored_one_by_one(unbroken):
    folder, models = unbroken
    assert [tuple(of_seed) for of_seed in models.values()] == [FOLDS, FOLDS]
    keys = [(entry["seed"], entry["fold"]) for entry in Journal(folder / "journal").entries()]
    assert keys == list(itertools.product(SEEDS, FOLDS))
    assert len(stored(folder)) == 6
    assert not list(folder.rglob("*.npz*"))
    pairs = itertools.combinations([models[seed][fold] for seed in SEEDS for fold in FOLDS], 2)
    assert not any(same(*pair) for pair in pairs)


def test_a_run_that_is_lost_is_trained_again_in_the_same_company(job, unbroken):
    folder, models = unbroken
    before = stored(folder)
    lost = list(before)[3]
    lost.unlink()
    again = train(job, folder)
    assert all(same(again[seed][fold], models[seed][fold]) for seed in SEEDS for fold in FOLDS)
    assert stored(folder) == before
    assert len(Journal(folder / "journal").entries()) == 7


def test_an_interrupted_job_goes_on_to_the_same_bits(job, unbroken, tmp_path):
    asked = itertools.count(1)
    with pytest.raises(Interrupted, match="state stored after step 10"):
        train(job, tmp_path, lambda: next(asked) == 2)
    assert not stored(tmp_path)
    again = train(job, tmp_path)
    assert all(same(again[seed][fold], unbroken[1][seed][fold]) for seed in SEEDS for fold in FOLDS)
    assert not list(tmp_path.rglob("*.npz*"))


def test_a_job_that_was_told_to_end_starts_nothing(job, tmp_path):
    with pytest.raises(Interrupted, match="before 6 models"):
        train(job, tmp_path, lambda: True)


def test_cpus_and_private_trainings_train_one_by_one(job, monkeypatch):
    assert generators._trains_together(CGAN, job)
    assert not generators._trains_together(Moments, job)
    assert not generators._trains_together(CGAN, job.model_copy(update={"epsilon_generator": 1.0}))
    alone = {"seeds": (0,), "folds": job.folds[:1]}
    assert not generators._trains_together(CGAN, job.model_copy(update=alone))
    monkeypatch.setattr(tensorflow, "has_gpu", lambda: False)
    assert not generators._trains_together(CGAN, job)
