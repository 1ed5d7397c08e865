"""A generator that lives in another package, found by its entry point."""

import os
import subprocess
import sys

OUTSIDE = """
import numpy as np
from pulseveil.generators import GeneratorSettings

class Settings(GeneratorSettings):
    level: float = 1.0

class Constant:
    Settings, version, uses_tensorflow, private_units = Settings, 1, False, frozenset()
    def __init__(self, level, shape): self.level, self.shape = level, shape
    @classmethod
    def fit(cls, settings, windows, condition, *, classes, budget, stream, checkpoint=None, subject=None):
        return cls(settings.level, windows.shape[1:])
    @staticmethod
    def expected_seconds(settings, rows): return 0.0
    noise_size = 0
    def sample(self, condition, noise):
        return np.full((len(condition), *self.shape), self.level, np.float32)
    def arrays(self): return {"level": np.array(self.level), "shape": np.array(self.shape)}
    @classmethod
    def from_arrays(cls, settings, arrays): return cls(float(arrays["level"]), tuple(arrays["shape"]))
"""
STUDY = """
name: outside
seed: 1
protocol: sound
cohorts: {simulated: {kind: simulated, subjects: 3}}
generators: [{name: flat, kind: constant, settings: {level: 2.5}}]
detectors: [logistic]
seeds: 1
evaluations: [{name: tstr, cohort: simulated, train: synthetic}]
"""
CODE = """
import sys
from pathlib import Path
import numpy as np
from pulseveil.contracts import WindowSet
from pulseveil.generator_runs import synthesize, train_generators
from pulseveil.plan import make_plan
from pulseveil.runs import Journal, RunStore
from pulseveil.study import read_study

folder = Path(sys.argv[1])
plan = make_plan(read_study(folder / "study.yaml"))
job = plan.generator_job(plan.generator_cells()[0], (0,))
n = 6
windows = WindowSet(np.zeros((n, 60, 6), np.float32), np.zeros(n, np.int8), np.zeros(n, bool),
    np.zeros(n, bool),
    np.repeat(["S1", "S2", "S3"], 2), np.arange(n) * 60.0, tuple("abcdef"), 1.0, 60.0, 60.0, "none", "sound")
[(_, models, _)] = train_generators(job, windows, RunStore(folder / "runs"), Journal(folder / "journal"))
made = synthesize(models, 2)
assert set(made.fold) == {"S1", "S2", "S3"} and (made.windows == 2.5).all()
print(len(made))
"""


def test_a_generator_of_another_package_needs_one_file_and_one_row(tmp_path):
    (tmp_path / "outside.py").write_text(OUTSIDE)
    (tmp_path / "study.yaml").write_text(STUDY)
    info = tmp_path / "outside-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: outside\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[pulseveil.generators]\nconstant = outside:Constant\n")
    result = subprocess.run(
        [sys.executable, "-c", CODE, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )
    assert result.returncode == 0, result.stderr
    assert int(result.stdout) == 3 * 2 * 35
