"""The command that synthesizes: the same windows, names and refusals as the front end."""

import io
import subprocess
import sys
import zipfile
from pathlib import Path

import pandas as pd
import pytest

from pulseveil.app import catalogue
from pulseveil.app.export import export
from pulseveil.app.synthesis import Request, make
from pulseveil.core import paths

ROOT = Path(__file__).resolve().parents[3]
WORDS = {"study": "small", "cohort": "people", "generator": "moments", "unit": "subject", "seed": "0"}


def generate(folder, epsilon, *words):
    """The finished command on a model of the small study."""
    model = folder / paths.fill(paths.MODELS, **WORDS, epsilon_generator=epsilon)
    command = [sys.executable, ROOT / "scripts" / "generate.py", model, *words]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr, done.stderr
    return done


def test_the_command_writes_what_the_front_end_downloads(models_folder, tmp_path):
    words = ["--fold", "S1", "--subjects", 3, "--windows", 10, "--shares", 0.4, 0.6, "--seed", 2]
    done = generate(models_folder, "8", *words, "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    (written,) = tmp_path.iterdir()
    (file,) = (f for f in catalogue.find_models(models_folder) if (f.study, f.epsilon) == ("small", 8))
    downloaded = export(make(catalogue.open_model(file, "S1"), Request(3, 10, (0.4, 0.6), 2)), "csv")
    assert (written.name, written.read_bytes()) == (downloaded.name, downloaded.content)
    assert "private: epsilon 8, delta 1e-05, for one whole person" in done.stdout
    with zipfile.ZipFile(io.BytesIO(downloaded.content)) as archive:
        table = pd.read_csv(archive.open(written.name.replace(".zip", ".csv")))
    assert table.groupby("subject")["condition"].mean().tolist() == pytest.approx([0.6] * 3)


def test_a_model_without_a_budget_leaves_only_on_demand_and_says_so_in_its_name(models_folder, tmp_path):
    refused = generate(models_folder, "inf", "--fold", "S1", "--out", tmp_path)
    assert refused.returncode == 2
    assert "this model is not private" in refused.stderr
    assert "--not-private" in refused.stderr
    assert not list(tmp_path.iterdir())
    done = generate(models_folder, "inf", "--fold", "S1", "--not-private", "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    (written,) = tmp_path.iterdir()
    assert written.name.startswith("NOT-PRIVATE_")
    with zipfile.ZipFile(written) as archive:
        assert "NOT PRIVATE" in archive.read("data_card.md").decode().splitlines()[0]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "found 2 folds; give one by --fold: S1, S2"),
        (["--fold", "S9"], "no fold S9; expected one of S1, S2"),
        (["--fold", "S1", "--shares", "0.5"], "class shares: expected one per class (not stress, stress)"),
        (["--fold", "S1", "--subjects", "0"], "number of subjects: expected a whole number from 1"),
    ],
)
def test_a_wrong_request_is_one_sentence(models_folder, tmp_path, words, message):
    done = generate(models_folder, "8", *words, "--out", tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_model_outside_of_a_study_is_read_too(models_folder, tmp_path):
    model = models_folder / paths.fill(paths.MODELS, **WORDS, epsilon_generator="8")
    moved = tmp_path / "model.h5"
    moved.write_bytes(model.read_bytes())
    assert catalogue.open_path(moved, "S1").facts.claim.is_private
