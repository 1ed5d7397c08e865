"""Training jobs that a signal asks to stop, as a cluster does before a time limit, and run again."""

import signal
import subprocess
import sys

import h5py
import numpy as np
import pytest

from pulseveil.cohorts.simulated import Simulated
from pulseveil.core import paths
from pulseveil.core.store import write_record
from pulseveil.study.cells import GeneratorCell
from pulseveil.study.plan import make_plan
from pulseveil.study.study import check_study
from pulseveil.windows.cutting import cut_windows
from tests.workflow.conftest import ROOT

# Many more than are done while a busy machine tells the job to end after its first steps.
STEPS = 3000
STUDY = {
    "name": "told",
    "seed": 7,
    "protocol": "sound",
    "cohorts": {"simulated": {"kind": "simulated", "subjects": 3, "seed": 3}},
    "generators": [
        {"name": "cgan", "settings": {"discriminator": "fcn", "output": "linear", "steps": STEPS}},
    ],
    "detectors": ["logistic"],
    "seeds": 1,
    "folds": 1,
    "evaluations": [
        {"name": "tstr", "cohort": "simulated", "train": "synthetic", "synthetic_subjects": [1]},
    ],
}


@pytest.fixture
def command(tmp_path):
    """The command that trains the study's one generator, in an empty directory."""
    plan = make_plan(check_study(STUDY, "study.yaml"))
    (pack,) = plan.generator_packs()
    job = plan.generator_job(GeneratorCell("simulated", "cgan", "subject", float("inf")), pack.seeds)
    recordings = Simulated(plan.study.cohort_settings["simulated"]).recordings()
    windows = cut_windows(
        recordings,
        protocol="sound",
        channels="physiological",
        scaling="calibration",
        window_s=60,
        stride_s=30,
        audience="generator",
    )
    write_record(tmp_path / "windows.h5", windows, cell_hash="")
    script = str(ROOT / "scripts" / "train_generator.py")
    return [sys.executable, script, "windows.h5", "--job", job.model_dump_json(), "--out", "model.h5"]


def models(path):
    with h5py.File(path) as file:
        found = {}
        file.visititems(
            lambda name, item: found.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None
        )
    return found


def test_a_job_that_is_told_to_end_goes_on_to_the_same_model(command, tmp_path):
    unbroken, broken = tmp_path / "unbroken", tmp_path / "broken"
    for folder in (unbroken, broken):
        folder.mkdir()
        (folder / "windows.h5").symlink_to(tmp_path / "windows.h5")
    subprocess.run(command, cwd=unbroken, check=True, capture_output=True)
    process = subprocess.Popen(command, cwd=broken, stderr=subprocess.PIPE, text=True)
    # The first line of progress comes with the first block of steps.
    assert process.stderr is not None
    for line in process.stderr:
        if "cgan: step" in line:
            process.send_signal(signal.SIGTERM)
            break
    said = process.stderr.read()
    assert process.wait(timeout=120) == 75, said
    assert "interrupted: stop requested: state stored after step" in said
    assert not (broken / "model.h5").exists()
    (stored,) = (broken / paths.run_store("told")).rglob("*.checkpoint.npz")
    again = subprocess.run(command, cwd=broken, check=True, capture_output=True, text=True)
    assert "cgan: continue after step" in again.stderr
    assert not stored.exists()
    first, second = models(unbroken / "model.h5"), models(broken / "model.h5")
    assert first.keys() == second.keys()
    for name, value in first.items():
        np.testing.assert_array_equal(second[name], value)
