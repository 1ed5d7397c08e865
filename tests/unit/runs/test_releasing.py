"""Releases: one training on all people, its bundle, and what is refused."""

import json
import math
import subprocess
import sys
from pathlib import Path

import mlcroissant as mlc
import numpy as np
import pandas as pd
import pytest
import yaml

from pulseveil.core import store
from pulseveil.core.contracts import SyntheticSet
from pulseveil.core.errors import InputError
from pulseveil.runs.releasing import Wanted, release_job
from pulseveil.runs.scoring import read_detector
from pulseveil.study.checks import make_plan
from pulseveil.study.reading import check_study

ROOT = Path(__file__).resolve().parents[3]
STUDY = {
    "name": "given",
    "seed": 3,
    "protocol": "sound",
    "cohorts": {"people": {"kind": "simulated", "subjects": 4, "seed": 2}},
    "generators": ["posterior", {"name": "moments", "epsilons": ["inf"]}],
    "detectors": ["logistic", {"name": "forest", "settings": {"trees": 3}, "epsilons": ["inf"]}],
    "epsilons": [10, "inf"],
    "delta": 1e-5,
    "seeds": 1,
    "evaluations": [
        {"name": "real", "cohort": "people", "train": "real"},
        {"name": "tstr", "cohort": "people", "train": "synthetic", "synthetic_subjects": [3]},
    ],
}
PEOPLE = ("S1", "S2", "S3", "S4")


def plan(**changes):
    return make_plan(check_study(STUDY | changes, "test"))


def release(folder, *words):
    (folder / "study.yaml").write_text(yaml.safe_dump(STUDY))
    command = [sys.executable, ROOT / "scripts" / "release.py", "study.yaml", *words, "--out", "made"]
    done = subprocess.run(list(map(str, command)), cwd=folder, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr, done.stderr
    return done


def left(folder):
    return {path.name for path in folder.iterdir()} - {"study.yaml", "results"}


def write_audit(folder, path, failed=False):
    table = folder / "results" / "given" / "audit" / path
    table.parent.mkdir(parents=True)
    table.write_text(
        "cohort,unit,attack,record,epsilon_low,epsilon_ceiling,epsilon_claimed,failed,verdict\n"
        f"people,subject,membership,S3,0.42,3.51,10,{failed},membership of S3\n"
    )


AUDITED = "| membership | 0.42 | 3.51 | 10 | False |"
OF_LOGISTIC = "detectors/people/none/logistic/unit=subject/epsilon_generator=inf/epsilon_detector=10.csv"


def test_a_released_detector_has_learnt_from_all_people_and_nothing_else_is_left(tmp_path):
    write_audit(tmp_path, OF_LOGISTIC)
    done = release(tmp_path, "--model", "logistic", "--epsilon", "10")
    assert done.returncode == 0, done.stderr
    assert "made and made.zip: private: epsilon 10, delta 1e-05, for one whole person" in done.stdout
    assert left(tmp_path) == {"made", "made.zip"}
    made = tmp_path / "made"
    names = {"model.h5", "model_card.md", "detector.json", "detector.onnx", "ledger.json", "statement.txt"}
    assert {path.name for path in made.iterdir()} == names | {"README.md", "verify.py", "manifest.json"}
    (entry,) = json.loads((made / "ledger.json").read_text())
    assert (entry["n"], tuple(entry["inputs"]["people"])) == (4, PEOPLE)
    assert read_detector(made / "model.h5").fold == "all"
    card = (made / "model_card.md").read_text()
    assert "\n### Audit\n\nAttacks of the study on this detector, trained anew for each attack." in card
    assert f"\n{AUDITED}\n" in card
    assert "membership of S3" not in card
    checked = subprocess.run(
        [sys.executable, made / "verify.py"], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout


def test_a_released_generator_comes_with_its_data(tmp_path):
    write_audit(tmp_path, "generators/people/posterior/unit=subject/epsilon_generator=10.csv")
    done = release(tmp_path, "--model", "posterior", "--epsilon", "10", "--subjects", "2", "3")
    assert done.returncode == 0, done.stderr
    fewer, more = (store.read_record(tmp_path / "made" / f"subjects-{n}.h5", SyntheticSet) for n in (2, 3))
    assert (len(set(fewer.subject)), len(set(more.subject))) == (2, 3)
    assert (more.windows[: len(fewer)] == fewer.windows).all()
    exact = pd.read_parquet(tmp_path / "made" / "subjects-3.parquet")
    rounded = pd.read_csv(tmp_path / "made" / "subjects-3.csv")
    assert list(exact) == ["subject", "window", "second", *more.channels, "condition"] == list(rounded)
    values = exact[list(more.channels)].to_numpy()
    assert values.dtype == np.float32
    assert (values == more.windows.reshape(-1, 6)).all()
    assert (more.condition == exact["condition"].to_numpy().reshape(len(more), -1).T).all()
    assert (more.subject == exact["subject"].to_numpy().reshape(len(more), -1).T).all()
    pd.testing.assert_frame_equal(exact, rounded, check_dtype=False, rtol=1e-6)
    card = (tmp_path / "made" / "subjects-2.data_card.md").read_text()
    assert f"\n{AUDITED}\n" in card
    assert "**private: epsilon 10, delta 1e-05, for one whole person**" in card
    described = mlc.Dataset(tmp_path / "made" / "croissant.json").metadata
    assert (described.ctx.issues.errors, described.ctx.issues.warnings) == (set(), set())
    assert {file.name for file in described.distribution} == {
        f"subjects-{count}.{form}" for count in (2, 3) for form in ("csv", "parquet", "h5")
    }
    checked = [sys.executable, tmp_path / "made" / "verify.py"]
    assert subprocess.run(checked, capture_output=True, check=False).returncode == 0


def test_what_is_not_private_says_so_in_every_name_and_only_on_demand(tmp_path):
    done = release(tmp_path, "--model", "moments", "--subjects", "2")
    assert done.returncode == 2
    assert "nothing is written: release a model with a budget, or add --not-private" in done.stderr
    assert left(tmp_path) == set()
    done = release(tmp_path, "--model", "moments", "--subjects", "2", "--not-private")
    assert done.returncode == 0, done.stderr
    names = {path.name for path in (tmp_path / "made").iterdir()}
    assert all(name.startswith("NOT-PRIVATE_") for name in names - {"verify.py", "manifest.json"})
    assert "NOT PRIVATE" in (tmp_path / "made" / "NOT-PRIVATE_subjects-2.data_card.md").read_text()
    listed = (tmp_path / "made" / "NOT-PRIVATE_README.md").read_text()
    assert all(f"`{name}`: " in listed for name in names - {"NOT-PRIVATE_README.md", "manifest.json"})
    data = mlc.Dataset(tmp_path / "made" / "NOT-PRIVATE_croissant.json")
    assert data.metadata.name == "NOT-PRIVATE_given_moments"
    assert len(list(data.records("subjects-2"))) == 2 * 35 * 60


def test_a_detector_that_an_audit_refuted_is_not_released(tmp_path):
    write_audit(tmp_path, OF_LOGISTIC, failed=True)
    done = release(tmp_path, "--model", "logistic", "--epsilon", "10")
    assert done.returncode == 2
    assert (
        "error: this model is not private: an audit refuted its claim; confirm that you know it"
        in done.stderr
    )
    assert "made" not in left(tmp_path)


def test_a_release_is_never_overwritten(tmp_path):
    (tmp_path / "made").mkdir()
    done = release(tmp_path, "--model", "logistic", "--epsilon", "10")
    assert done.returncode == 2
    assert "made: exists; a release is never changed" in done.stderr


def test_one_training_on_all_people_with_one_seed():
    job = release_job(plan(), Wanted("posterior", epsilon=10, seed=7))
    assert (job.seeds, [fold.train_subjects for fold in job.folds]) == ((7,), [PEOPLE])
    assert job.folds[0].test_subjects == ()


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (Wanted("logistic"), r"--unit subject --epsilon 10; --cohort people --unit subject --epsilon inf"),
        (Wanted("logistic", epsilon=3), "logistic: expected options for one of these models"),
        (Wanted("cgan"), r"--model: expected a generator of study given, .* found cgan"),
        (Wanted("moments", cohort="wesad"), "moments: expected options for one of these models"),
    ],
)
def test_a_model_that_is_not_one_of_the_study_is_refused_with_the_choices(wanted, message):
    with pytest.raises(InputError, match=message):
        release_job(plan(), wanted)


def test_delta_is_checked_for_all_people_and_not_only_for_those_of_a_fold():
    """111 windows of three people allow 1 / 11,100; 148 windows of all four allow only 1 / 14,800."""
    wide = plan(units=["window"], delta=8e-5)
    with pytest.raises(InputError, match=r"delta: 8e-05 is above 1 / \(100 x 148\)"):
        release_job(wide, Wanted("logistic", epsilon=10))
    assert math.isinf(release_job(wide, Wanted("logistic", epsilon=math.inf)).epsilon_detector)
