import json
import subprocess
import sys
from multiprocessing import get_context

import numpy as np
import pytest

from pulseveil.runs.run_store import Journal, RunStore, content_hash
from tests.unit.evaluation.test_protocols import features


def _append(journal, worker):
    for i in range(50):
        journal.append("detector", 0.1, {"worker": worker, "seed": i})


def test_jobs_side_by_side_never_mix_lines(tmp_path):
    journal = Journal(tmp_path / "deep" / "journal.jsonl")
    with get_context("fork").Pool(4) as pool:
        pool.starmap(_append, [(journal, worker) for worker in range(4)])
    assert len({(entry["worker"], entry["seed"]) for entry in journal.entries()}) == 200


@pytest.mark.parametrize("job", ["detectors", "generators", "audits", "quality", "cohort", "training"])
def test_jobs_of_small_models_load_no_tensorflow(job):
    code = f"import sys, pulseveil.runs.{job}; print('tensorflow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_line_cut_by_a_crash_is_left_out(tmp_path):
    journal = Journal(tmp_path / "journal.jsonl")
    journal.append("detector", 1.0, {"seed": 1})
    with open(journal.path, "a") as file:
        file.write(json.dumps({"seed": 2})[:5])
    assert [entry["seed"] for entry in journal.entries()] == [1]
    journal.append("detector", 1.0, {"seed": 3})
    journal.append("detector", 1.0, {"seed": 4})
    assert [entry["seed"] for entry in journal.entries()] == [1, 4]


def test_a_run_is_found_under_its_own_hash_only(tmp_path):
    runs = RunStore(tmp_path)
    runs.path("ab12").parent.mkdir()
    runs.path("ab12").touch()
    assert runs.has("ab12")
    assert not runs.has("ab13")


def test_content_decides_the_hash():
    rows = features(["S1", "S2", "S3"])
    assert content_hash(rows) == content_hash(features(["S1", "S2", "S3"]))
    assert content_hash(rows) != content_hash(features(["S1", "S2", "S4"]))
    assert content_hash(rows) != content_hash(rows.take(np.array([1, 0, 2])))
    changed = features(["S1", "S2", "S3"])
    changed.features[2, 5, 1] += 1e-6 * changed.features[2, 5, 1]
    assert content_hash(rows) != content_hash(changed)
