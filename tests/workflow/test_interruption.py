"""Training jobs that a signal asks to stop, as a cluster does before a time limit, and run again."""

import os
import signal
import subprocess
import sys
import time

import h5py
import numpy as np
import pytest
import yaml

from pulseveil.cohorts.simulated import Simulated
from pulseveil.core import paths
from pulseveil.core.store import write_record
from pulseveil.study.cells import GeneratorCell
from pulseveil.study.checks import make_plan
from pulseveil.study.reading import check_study
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


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR2])
def test_every_signal_that_asks_for_the_end_stores_the_state(command, tmp_path, number):
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if "cgan: step" in line:
            process.send_signal(number)
            break
    said = process.stderr.read()
    assert process.wait(timeout=120) == 75, said
    assert "interrupted: stop requested: state stored after step" in said
    assert not (tmp_path / "model.h5").exists()
    assert list((tmp_path / paths.run_store("told")).rglob("*.checkpoint.npz"))


def test_a_run_that_ctrl_c_ends_goes_on_to_the_model_of_an_unbroken_training(command, tmp_path):
    unbroken = tmp_path / "unbroken"
    unbroken.mkdir()
    (unbroken / "windows.h5").symlink_to(tmp_path / "windows.h5")
    subprocess.run(command, cwd=unbroken, check=True, capture_output=True)
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(STUDY))
    model = paths.MODELS.format(
        study="told", cohort="simulated", generator="cgan", unit="subject", epsilon_generator="inf", seed=0
    )
    run = [sys.executable, "-m", "snakemake", "-s", str(ROOT / "Snakefile"), "--cores", "1"]
    run += [model, "--directory", str(tmp_path), "--configfile", str(tmp_path / "study.yaml")]

    def start():
        return subprocess.Popen(
            run,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def logged():
        return "".join(log.read_text() for log in (tmp_path / "logs").rglob("train_generator/*.log"))

    process = start()
    while process.poll() is None and "cgan: step" not in logged():
        time.sleep(0.1)
    # A terminal sends the signal to Snakemake, its shell and the training.
    os.killpg(process.pid, signal.SIGINT)
    said, _ = process.communicate(timeout=120)
    assert process.returncode != 0
    assert "Traceback" not in said, said
    assert "interrupted: stop requested: state stored after step" in logged(), said
    (stored,) = (tmp_path / paths.run_store("told")).rglob("*.checkpoint.npz")
    said, _ = start().communicate(timeout=300)
    assert "cgan: continue after step" in logged(), said
    assert not stored.exists()
    first, second = models(unbroken / "model.h5"), models(tmp_path / model)
    assert first.keys() == second.keys()
    for name, value in first.items():
        np.testing.assert_array_equal(second[name], value)
