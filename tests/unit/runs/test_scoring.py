"""Kept detectors score recordings as the study did, and whole recordings without labels."""

import subprocess
import sys
from dataclasses import replace
from itertools import groupby
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pulseveil.core import registry, store
from pulseveil.core.contracts import CONTACT_US
from pulseveil.core.errors import InputError
from pulseveil.privacy import ledger
from pulseveil.privacy.releases import weights_hash
from pulseveil.runs.cohort import check_settings, prepare_cohort
from pulseveil.runs.detectors import Data, train_detectors
from pulseveil.runs.run_store import Journal, RunStore
from pulseveil.runs.scoring import read_detector, score_people
from pulseveil.study.checks import make_plan
from pulseveil.study.reading import check_study
from pulseveil.windows.cutting import cut_whole
from pulseveil.windows.features import extract_features
from pulseveil.windows.recipe import Recipe

ROOT = Path(__file__).resolve().parents[3]
PEOPLE = {"kind": "simulated", "subjects": 3, "seed": 2}
STUDY = {
    "name": "kept",
    "seed": 3,
    "protocol": "sound",
    "cohorts": {"people": PEOPLE},
    "detectors": [
        "logistic",
        {"name": "forest", "settings": {"trees": 5}, "epsilons": ["inf"]},
        {"name": "cnn", "settings": {"epochs": 1, "filters": 4, "dense_units": [8]}, "epsilons": ["inf"]},
    ],
    "epsilons": ["inf", 8],
    "delta": 1e-5,
    "seeds": 2,
    "evaluations": [{"name": "real", "cohort": "people", "train": "real"}],
}


def trained(folder, **changes):
    """Cells of a study as (detector, epsilon, seed): (scores, file of kept detectors or None)."""
    plan = make_plan(check_study(STUDY | changes, "test"))
    recipe = Recipe.with_defaults("sound", "detector", scaling=plan.study.scaling)
    windows = prepare_cohort(plan.study.cohort_settings["people"], recipe).windows
    features = extract_features(windows, protocol="sound", pairing="published")
    data, found = Data(features, features, lambda generator, seed: features), {}
    runs, journal = RunStore(folder / ".runs"), Journal(folder / "journal.jsonl")
    for pack in plan.detector_packs:
        for detector in pack.detectors:
            for privacy in plan.privacies(pack, detector):
                job = plan.detector_job(pack, detector, privacy)
                for cell in train_detectors(job, data, runs, journal):
                    key = (detector, cell.keys["epsilon_detector"], cell.keys["seed"])
                    path = None
                    if cell.models is not None:
                        path = folder / f"{'-'.join(map(str, key))}.h5"
                        store.write_models(path, cell.models, cell_hash=cell.hash, group="detectors")
                    found[key] = (cell.scores, path)
    return found


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("kept"))


def scored(path, fold, stride_s=None, **people):
    settings = check_settings(PEOPLE | people, "test")
    return pd.concat(score_people(read_detector(path, fold), settings, stride_s))


@pytest.mark.parametrize(
    ("name", "epsilon"), [("logistic", "inf"), ("logistic", "8"), ("forest", "inf"), ("cnn", "inf")]
)
def test_a_kept_detector_scores_as_in_its_study(cells, name, epsilon):
    scores, path = cells[name, epsilon, 0]
    tested = scores.take(scores.fold == "S2")
    # All starts: the windows of the study begin with the intervals of the labels.
    table = scored(path, "S2", stride_s=1)
    same = table[table.subject == "S2"].set_index("start_s").loc[tested.start_s]
    np.testing.assert_array_equal(same.score.to_numpy().astype(np.float32), tested.score)
    np.testing.assert_array_equal(same.predicted.to_numpy().astype(bool), tested.predicted)
    assert ((same.condition == "stress") == tested.stress).all()


def test_the_detectors_of_the_first_seed_are_kept(cells):
    assert {key[2] for key, (_, path) in cells.items() if path is not None} == {0}
    assert {key[2] for key in cells} == {0, 1}


def test_a_study_keeps_all_detectors_or_none(tmp_path):
    changes = {"detectors": ["logistic"], "epsilons": ["inf"]}
    none = trained(tmp_path, **changes, keep="none")
    assert [path for _, path in none.values()] == [None, None]
    # The same run store: what was not kept is trained again, to the same scores.
    kept = trained(tmp_path, **changes, keep="all")
    assert all(path is not None for _, path in kept.values())
    for key, (scores, _) in none.items():
        np.testing.assert_array_equal(kept[key][0].score, scores.score)


def test_the_ledger_of_a_kept_private_detector_names_its_weights(cells):
    scores, path = cells["logistic", "8", 0]
    models = store.read_models(path, "detectors")
    for fold, entries in models.ledgers.items():
        (entry,) = (ledger.from_json(text) for text in entries)
        assert entry.inputs["fold"] == fold
        assert entry.inputs["weights"] == weights_hash(models.arrays[fold])
    assert sorted(scores.ledger) == sorted(text for entries in models.ledgers.values() for text in entries)
    not_kept = cells["logistic", "8", 1][0]
    assert all("weights" not in ledger.from_json(text).inputs for text in not_kept.ledger)


def test_windows_cover_a_recording_and_those_without_contact_have_no_score(cells):
    kept = read_detector(cells["logistic", "inf", 0][1], "S2")
    settings = check_settings(PEOPLE, "test")
    cohort = registry.load("cohorts", "simulated")(settings)
    (recording, *_) = next(iter(groupby(cohort.recordings(), lambda r: r.subject)))[1]
    skin = recording.signals["EDA"]
    lost = skin.values.copy()
    lost[: round(100 * skin.rate_hz)] = CONTACT_US / 2
    signals = {**recording.signals, "EDA": replace(skin, values=lost)}
    cut = cut_whole([replace(recording, signals=signals)], kept.recipe())
    assert cut.windows.start_s.tolist() == list(range(0, recording.whole_seconds - 59, 60))
    assert cut.usable.tolist() == [False, False, *[True] * (len(cut.usable) - 2)]
    np.testing.assert_allclose(cut.shares["EDA"][:3], [0, 20 / 60, 1])


def test_no_window_spans_two_recordings():
    settings = check_settings({"kind": "simulated", "subjects": 1, "seed": 2}, "test")
    (recording,) = registry.load("cohorts", "simulated")(settings).recordings()
    later = {
        name: replace(signal, start_unix_s=signal.start_unix_s + recording.whole_seconds + 30)
        for name, signal in recording.signals.items()
    }
    recipe = Recipe.with_defaults("sound", "detector")
    start_s = cut_whole([recording, replace(recording, signals=later)], recipe).windows.start_s
    first = range(0, recording.whole_seconds - 59, 60)
    assert start_s.tolist() == [*first, *(recording.whole_seconds + 30 + s for s in first)]


@pytest.mark.parametrize(
    ("fold", "message"),
    [(None, r"found 3 folds; give one by --fold: S1, S2, S3"), ("S9", r"no fold S9; expected one of S1")],
)
def test_a_file_of_several_detectors_needs_the_fold(cells, fold, message):
    with pytest.raises(InputError, match=message):
        read_detector(cells["logistic", "inf", 0][1], fold)


def test_arrays_of_another_kind_are_refused(cells, tmp_path):
    path = tmp_path / "mixed.h5"
    forest, logistic = (store.read_models(cells[n, "inf", 0][1], "detectors") for n in ("forest", "logistic"))
    mixed = store.Models(logistic.arrays, forest.description)
    store.write_models(path, mixed, cell_hash="", group="detectors")
    with pytest.raises(InputError, match=r"fold S1: the arrays are not those of a detector of kind forest"):
        read_detector(path, "S1")


def test_the_script_scores_without_tensorflow(cells, tmp_path):
    path = cells["logistic", "8", 0][1]
    out = tmp_path / "scores.csv"
    words = [path, "--kind", "simulated", "--settings", '{"subjects": 3, "seed": 2}', "--fold", "S2"]
    code = (
        "import runpy, sys; sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__'); "
        "assert 'tensorflow' not in sys.modules"
    )
    command = [sys.executable, "-c", code, ROOT / "scripts" / "score.py", *words, "--out", out]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    pd.testing.assert_frame_equal(
        pd.read_csv(out, keep_default_na=False).drop(columns=["score", "predicted"]),
        scored(path, "S2").drop(columns=["score", "predicted"]).reset_index(drop=True),
        check_dtype=False,
    )
