"""The script that attacks a release alone, on files of the library."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pulseveil.core import store
from pulseveil.core.contracts import PHYSIOLOGICAL_CHANNELS, SyntheticSet, WindowSet

ROOT = Path(__file__).resolve().parents[3]
PEOPLE = [f"S{i}" for i in range(1, 9)]


def files(folder, *, scaling="calibration"):
    """Windows of eight people, and a release that copies the first four."""
    random = np.random.default_rng(1)
    windows = (random.normal(size=(8, 1, 1, 6)) + 0.3 * random.normal(size=(8, 3, 10, 6))).reshape(24, 10, 6)
    form = {"channels": PHYSIOLOGICAL_CHANNELS, "rate_hz": 1.0, "window_s": 10.0, "stride_s": 10.0}
    rest = np.zeros(24, bool)
    subject = np.repeat(PEOPLE, 3)
    real = WindowSet(
        windows=windows.astype(np.float32),
        condition=np.zeros(24, np.int8),
        stress=rest,
        calibration=rest,
        subject=subject,
        start_s=np.arange(24.0),
        scaling="calibration",
        protocol="sound",
        **form,
    )
    copied = np.isin(subject, PEOPLE[:4])
    released = SyntheticSet(
        windows=real.windows[copied],
        condition=real.condition[copied],
        stress=rest[copied],
        subject=subject[copied],
        fold=np.full(12, "all"),
        scaling=scaling,
        protocol="sound",
        generator="copies",
        unit="subject",
        epsilon_generator=float("inf"),
        seed=0,
        **form,
    )
    store.write_record(folder / "real.h5", real, cell_hash="")
    store.write_record(folder / "released.h5", released, cell_hash="")


def attack(folder, *words):
    command = [sys.executable, ROOT / "scripts" / "audit_release.py", "released.h5", "--windows", "real.h5"]
    done = subprocess.run(
        list(map(str, [*command, *words, "--out", "attack.csv"])),
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done


def test_copied_people_are_found_with_the_least_p_value(tmp_path):
    files(tmp_path)
    done = attack(tmp_path, "--members", *PEOPLE[:4])
    assert done.returncode == 0, done.stderr
    nearest = pd.read_csv(tmp_path / "attack.csv").iloc[0]
    assert nearest.attack == "membership by nearest window"
    assert (nearest.members, nearest.held_out, nearest.auc) == (4, 4, 1)
    # 70 splits of eight people into two groups of four.
    assert nearest.p == pytest.approx(1 / 70) == nearest.ceiling


@pytest.mark.parametrize(
    ("members", "scaling", "message"),
    [
        (["S1", "S99"], "calibration", "--members: S99 has no windows in real.h5; expected S1, S2"),
        (PEOPLE[:4], "public", "expected heart_rate"),
        (PEOPLE, "calibration", "found 8 members and 0 held out"),
    ],
)
def test_what_cannot_be_compared_is_refused(tmp_path, members, scaling, message):
    files(tmp_path, scaling=scaling)
    done = attack(tmp_path, "--members", *members)
    assert done.returncode == 2
    assert message in done.stderr
