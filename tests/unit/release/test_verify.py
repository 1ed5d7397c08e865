"""The program that checks a release: alone, against closed formulas, and on changed bundles."""

import ast
import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import integrate, optimize, stats

from pulseveil.privacy import ledger
from pulseveil.privacy.budget import Mechanism
from pulseveil.privacy.noise import Noise
from pulseveil.release import bundle, verify

DELTA = 1e-5
FULL = Mechanism("means", "subject", 14, 1.0, 14, 3, clip_norm=1.5, noise_multiplier=4.0)
POISSON = Mechanism("cnn", "window", 495, 64 / 495, 495, 40, clip_norm=1.0, noise_multiplier=1.6)
ONCE = Mechanism("cnn", "window", 495, 64 / 495, 495, 1, clip_norm=1.0, noise_multiplier=0.8)
CUT = Mechanism("cnn", "window", 495, 64 / 495, 90, 40, clip_norm=1.0, noise_multiplier=1.6)


def entry(mechanism, *, secret=True):
    closed = ledger.close(
        mechanism,
        steps_noised=mechanism.steps,
        delta=DELTA,
        noise=Noise(bytes(32), secret=secret),
        public_quantities=("number of people",),
        program=1,
    )
    return ledger.as_json_values(closed)


def released(folder, entries):
    files = {"model.h5": b"weights", "ledger.json": json.dumps(entries).encode()}
    bundle.write(folder, bundle.with_proof(files))
    return folder


def run(folder):
    done = subprocess.run(
        [sys.executable, "-I", "verify.py"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout


def test_it_is_short_and_imports_only_the_standard_library_and_dp_accounting():
    text = Path(verify.__file__).read_text()
    assert text.count("\n") < 150
    imported = {
        name.split(".")[0]
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([node.module] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names])
    }
    assert imported <= sys.stdlib_module_names | {"dp_accounting"}


@pytest.mark.parametrize("mechanism", [FULL, POISSON, ONCE, CUT])
def test_it_finds_the_epsilons_of_the_ledger(mechanism):
    stated = entry(mechanism)
    assert verify.epsilon([stated]) == pytest.approx(stated["epsilon_pld"], rel=1e-3)
    assert verify.epsilon([stated], "REPLACE_ONE") == pytest.approx(stated["epsilon_replace_one"], rel=1e-3)
    assert verify.check(stated) == []


def test_full_batches_have_the_epsilon_of_the_closed_formula():
    """Balle and Wang 2018, theorem 8, for three Gaussian steps that compose to one."""
    mu = math.sqrt(FULL.steps) / FULL.noise_multiplier

    def delta(epsilon):
        near = stats.norm.cdf(mu / 2 - epsilon / mu)
        return near - math.exp(epsilon) * stats.norm.cdf(-mu / 2 - epsilon / mu)

    truth = optimize.brentq(lambda epsilon: delta(epsilon) - DELTA, 1e-6, 50)
    assert verify.epsilon([entry(FULL)]) == pytest.approx(truth, rel=1e-3)


def test_a_sampled_step_has_the_epsilon_of_the_integral():
    """The hockey-stick divergence of N(0, s) and of its mixture with N(1, s), in both directions."""
    s, q = ONCE.noise_multiplier, ONCE.q

    def density(x):
        return stats.norm.pdf(x, 0, s), (1 - q) * stats.norm.pdf(x, 0, s) + q * stats.norm.pdf(x, 1, s)

    def delta(epsilon):
        x = np.linspace(-12, 14, 400_001)
        without, mixed = density(x)
        gains = (np.maximum(a - math.exp(epsilon) * b, 0) for a, b in ((without, mixed), (mixed, without)))
        return max(integrate.trapezoid(gain, x) for gain in gains)

    truth = optimize.brentq(lambda epsilon: delta(epsilon) - DELTA, 1e-3, 30)
    assert verify.epsilon([entry(ONCE)]) == pytest.approx(truth, rel=2e-3)


def test_a_sound_release_holds(tmp_path):
    code, words = run(released(tmp_path / "made", [entry(FULL), entry(FULL)]))
    assert code == 0, words
    both = verify.epsilon([entry(FULL), entry(FULL)])
    assert f"All of this release together: epsilon {both:.4g} for one subject." in words
    assert "- No file was changed since the release." in words
    assert "To be taken on trust:" in words


def forged(values, **changes):
    return values | changes


@pytest.mark.parametrize(
    ("entries", "fault"),
    [
        ([forged(entry(FULL), epsilon_pld=0.5)], "means: epsilon_pld is stated as 0.5, found "),
        ([forged(entry(POISSON), noise_multiplier=0.9)], "cnn: epsilon_pld is stated as"),
        ([forged(entry(FULL), steps_noised=2)], "means: 2 steps noised, 3 accounted"),
        ([entry(FULL, secret=False)], "means: its noise is reproducible, which protects nobody"),
        ([entry(FULL), entry(ONCE)], "entries of several units or deltas do not compose"),
        ([], "nothing protects the people behind this release"),
    ],
)
def test_a_ledger_that_does_not_hold_is_told(tmp_path, entries, fault):
    code, words = run(released(tmp_path / "made", entries))
    assert code == 1
    assert "DOES NOT HOLD:" in words
    assert fault in words


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda made: (made / "model.h5").write_bytes(b"other"), "model.h5: changed since the release"),
        (lambda made: (made / "model.h5").unlink(), "model.h5: missing"),
        (lambda made: (made / "more.csv").write_text("1"), "more.csv: not in the release"),
    ],
)
def test_a_changed_bundle_is_told(tmp_path, change, fault):
    made = released(tmp_path / "made", [entry(FULL)])
    change(made)
    code, words = run(made)
    assert code == 1
    assert f"- {fault}" in words
