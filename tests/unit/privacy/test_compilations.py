"""A private program is compiled once, whatever the folds, budgets and draws of a study are."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
TRAININGS = """
import sys
from pathlib import Path
import numpy as np
from pulseveil.core import registry, tensorflow
from pulseveil.core.randomness import child, root_stream
from pulseveil.networks.training import Examples
from pulseveil.privacy import dpsgd
from pulseveil.privacy.budget import Mechanism
from pulseveil.privacy.noise import reproducible

name, dump = sys.argv[1], Path(sys.argv[2])
tensorflow.start(1)
small = {"filters": 4, "dense_units": (4,)} if name == "cnn" else {"blocks": 1, "heads": 2, "head_size": 4}
model, kind = registry.model("detectors", name), registry.load("detectors", name)
network = model.private_network(kind.Settings.model_validate(small), 6, 16)

def train(records, rows, batch, multiplier, released=0, steps=3):
    random = np.random.default_rng(records)
    n = records + released
    x = random.normal(size=(n, rows, 6, 16)).astype(np.float32)
    target = np.eye(2, dtype=np.float32)[random.integers(0, 2, (n, rows))]
    examples = Examples(x, target, np.ones((n, rows), np.float32))
    mechanism = Mechanism("m", "window", records, batch / records, records, steps, 1.0, multiplier)
    recipe = dpsgd.Recipe(network, mechanism, 1e-3, released_records=released)
    stream = child(root_stream(0), "test")
    dpsgd.fit(recipe, examples, reproducible(stream), stream)
    return len({path.name.split(".")[0] for path in dump.glob("module_*")})

first = train(90, 1, 40, 1.0)
print(first, train(97, 1, 12, 2.5), train(90, 1, 40, 1.0, released=30, steps=5))
"""


@pytest.mark.parametrize("name", ["cnn", "transformer"])
def test_no_fold_budget_or_draw_compiles_again(name, tmp_path):
    """XLA writes one module per compilation: the numbers of modules after three trainings are equal."""
    dump = tmp_path / "modules"
    environment = {**os.environ, "XLA_FLAGS": f"--xla_dump_to={dump}"}
    done = subprocess.run(
        [sys.executable, "-c", TRAININGS, name, str(dump)],
        capture_output=True,
        text=True,
        env=environment,
        cwd=ROOT,
        check=True,
    )
    first, second, third = map(int, done.stdout.split())
    assert 0 < first == second == third
