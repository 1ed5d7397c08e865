"""The scripts of docs/examples: each runs as it stands, and its results hold by another calculation."""

import math
import re
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

EXAMPLES = Path(__file__).resolve().parents[2] / "docs" / "examples"
PAGE = (EXAMPLES.parent / "examples.md").read_text()


def run(name):
    """The names that a script leaves behind."""
    return runpy.run_path(str(EXAMPLES / f"{name}.py"))


def test_the_page_shows_every_script():
    assert set(re.findall(r'"docs/examples/(\w+)\.py"', PAGE)) == {
        path.stem for path in EXAMPLES.iterdir() if path.suffix == ".py"
    }


def test_synthetic_windows_alone_teach_what_scikit_learn_learns_from_them():
    found = run("synthesize_and_score")
    learnt, asked = found["training_features"], found["test_features"]
    assert set(asked.subject) == {"S5", "S6"}
    assert set(found["training"].subject) == {"S1", "S2", "S3", "S4"}
    assert all(name.startswith("SYN") for name in learnt.subject)
    # The detector's default statistics; C and class weights are those of its settings.
    columns = [i for i, n in enumerate(learnt.statistic_names) if n.endswith(("_mean", "_log_sd", "_slope"))]
    other = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, class_weight="balanced", max_iter=1000))
    other.fit(learnt.statistics[:, columns].astype(float), learnt.stress)
    expected = other.predict_proba(asked.statistics[:, columns].astype(float))[:, 1]
    np.testing.assert_allclose(found["outputs"].score, expected, atol=1e-3)
    right = sum(bool(p) == bool(s) for p, s in zip(expected > 0.5, asked.stress, strict=True))
    assert found["accuracy"] == right / len(asked) > found["majority"]


def test_a_private_detector_spends_what_its_generator_does_and_a_second_model_adds_up(capsys):
    found = run("in_python")
    assert set(found["training"].subject).isdisjoint(found["scores"]["subject"])
    assert found["right"].mean() > max(found["scores"]["stress"].mean(), 1 - found["scores"]["stress"].mean())
    spent = dict(zip(found["spend"]["model"], found["spend"]["epsilon"], strict=True))
    assert spent["posterior"] == spent["logistic"] == pytest.approx(10, rel=5e-3)
    # Two Gaussian queries are one with the root of the summed squares of their signals: Balle and Wang 2018.
    entries = [entry for name in ("generator", "second") for entry in found[name].claim.entries]
    mu, epsilon = math.sqrt(sum(entry.noise_multiplier**-2 for entry in entries)), spent["together"]
    lost = stats.norm.cdf(mu / 2 - epsilon / mu) - math.exp(epsilon) * stats.norm.cdf(-mu / 2 - epsilon / mu)
    assert lost == pytest.approx(1e-5, rel=0.02)
    assert "NOT PRIVATE: it was trained without a privacy budget" in capsys.readouterr().out


def test_windows_of_the_own_generator_have_the_moments_of_its_formula():
    found = run("own_generator")
    windows, condition, made = found["windows"], found["condition"], found["generated"]
    for code in (0, 1):
        real = windows[condition == code].astype(float)
        drawn = made.windows[made.condition == code].astype(float)
        assert len(drawn) == 40 * (25, 10)[code]
        variance = 0.25 * real.var(axis=0)
        # Of 120 means and 120 variances, each within 5 standard errors of the normal distribution.
        assert (np.abs(drawn.mean(axis=0) - real.mean(axis=0)) < 5 * np.sqrt(variance / len(drawn))).all()
        ratio = drawn.var(axis=0) / variance
        assert (np.abs(ratio - 1) < 5 * np.sqrt(2 / len(drawn))).all()


def test_noise_of_a_budget_is_that_of_the_closed_formula_and_of_renyi_privacy(capsys):
    found = run("account_a_budget")
    # One full batch is a Gaussian mechanism: Balle and Wang 2018, theorem 8.
    sigma, delta = found["query"].noise_multiplier, found["delta"]
    spent = stats.norm.cdf(0.5 / sigma - sigma) - math.e * stats.norm.cdf(-0.5 / sigma - sigma)
    assert spent == pytest.approx(delta, rel=1e-6)
    # Sampled steps: Mironov, Talwar and Zhang 2019, converted by Canonne et al. 2020. The script also takes
    # fractional orders, which are up to a tenth tighter here.
    steps = found["steps"]
    bound = min(renyi_bound(steps.q, steps.noise_multiplier, 200, order, delta) for order in range(2, 20))
    said = [float(number) for number in re.findall(r"^epsilon ([\d.]+)", capsys.readouterr().out, re.M)]
    pld, rdp, unamplified, both = said
    assert 0.995 * 10 <= pld <= 10
    assert pld < rdp <= bound + 1e-3 < 1.1 * rdp
    assert pld < both < 2 * pld < unamplified


def renyi_bound(q, sigma, times, order, delta):
    """Epsilon of `times` Poisson-sampled Gaussian steps at one whole order."""
    moment = sum(
        math.comb(order, k) * (1 - q) ** (order - k) * q**k * math.exp((k * k - k) / (2 * sigma**2))
        for k in range(order + 1)
    )
    divergence = times * math.log(moment) / (order - 1)
    return divergence + math.log1p(-1 / order) - (math.log(delta) + math.log(order)) / (order - 1)


def test_the_script_on_the_page_prints_what_the_page_says():
    done = subprocess.run(
        [sys.executable, EXAMPLES / "account_a_budget.py"], capture_output=True, text=True, check=True
    )
    assert done.stdout == re.search(r"```text\n(.*?)```", PAGE, re.S)[1]
