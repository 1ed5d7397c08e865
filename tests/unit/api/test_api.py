"""The functions of `import pulseveil`: what they compute, what they claim, and what they refuse."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

import pulseveil as pv
from pulseveil.app import catalogue
from pulseveil.core.contracts import SyntheticSet
from pulseveil.core.errors import InputError
from pulseveil.release.claims import judge
from pulseveil.runs.scoring import read_detector
from pulseveil.study.jobs import read_generators
from pulseveil.windows.features import extract_features

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def windows():
    return pv.cut_windows(pv.load_cohort("simulated", subjects=6))


@pytest.fixture(scope="module")
def generator(windows):
    return pv.fit("posterior", windows, epsilon=10, who=["S1", "S2", "S3", "S4"])


@pytest.fixture(scope="module")
def detector(generator):
    return pv.fit("logistic", pv.sample(generator, 10))


def test_the_import_is_quick_and_loads_no_numbers_and_no_network():
    program = (
        "import sys, time; begin = time.process_time(); import pulseveil; took = time.process_time() - begin;"
        "heavy = {'numpy', 'pandas', 'tensorflow', 'sklearn', 'pydantic'} & set(sys.modules);"
        "print(took < 0.1, heavy, hasattr(pulseveil, 'fit'), 'tensorflow' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "True set() True False\n"


def test_the_lines_of_the_readme_print_scores_spend_and_statement():
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert re.search(r"^ *subject +start_s +stress +probability +predicted +trained$", done.stdout, re.M)
    assert re.search(r"together +subject +8 +10\.0", done.stdout)
    assert "What is protected\n\n- One whole person." in done.stdout
    assert len([line for line in code.splitlines() if line and not line.startswith("import")]) == 5


def test_features_are_those_of_the_workflow(windows):
    table, expected = pv.features(windows), extract_features(windows, protocol="sound", pairing="published")
    assert list(table) == ["subject", "start_s", "stress", *expected.statistic_names]
    np.testing.assert_array_equal(table[list(expected.statistic_names)], expected.statistics)


def test_a_private_fit_needs_an_epsilon_alone_and_keeps_it(generator, tmp_path):
    assert repr(generator) == "<posterior, private: epsilon 10, delta 1e-05, for one whole person>"
    (entry,) = generator.claim.entries
    assert (entry.n, entry.inputs["people"], entry.is_private) == (4, ["S1", "S2", "S3", "S4"], True)
    # One full batch is a Gaussian mechanism: Balle and Wang 2018, theorem 8.
    sigma = entry.noise_multiplier
    upper, lower = stats.norm.cdf(0.5 / sigma - 10 * sigma), stats.norm.cdf(-0.5 / sigma - 10 * sigma)
    assert upper - np.exp(10) * lower == pytest.approx(1e-5, rel=1e-3)
    path = generator.save(tmp_path / "model.h5")
    assert judge(read_generators(path), ("all",)).is_private
    assert catalogue.open_path(path).facts.claim.is_private


def test_two_fits_draw_different_noise(windows, generator):
    again = pv.fit("posterior", windows, epsilon=10, who=["S1", "S2", "S3", "S4"])
    first, second = (model.models.arrays["all"] for model in (generator, again))
    assert any((first[name] != second[name]).any() for name in first)
    assert generator.claim.entries[0].inputs["release"] != again.claim.entries[0].inputs["release"]


def test_fewer_people_are_the_first_of_more(generator):
    fewer, more = (pv.sample(generator, count, windows=10, stress_share=0.4, seed=3) for count in (2, 4))
    assert isinstance(more, SyntheticSet)
    assert (fewer.windows == more.windows[: len(fewer)]).all()
    assert (more.stress.reshape(4, 10).sum(axis=1) == 4).all()
    assert (pv.sample(generator, 2, windows=10, seed=4).windows != fewer.windows).any()


def test_what_learns_from_private_people_is_as_private_and_spends_nothing_more(generator, detector, windows):
    assert detector.claim is generator.claim
    table = pv.spent(generator, detector)
    assert table["epsilon"].tolist() == pytest.approx([10, 10, 10], rel=5e-3)
    assert table["people"].tolist() == [4, 4, 4]
    scores = pv.score(detector, windows)
    assert scores[scores["trained"]]["subject"].unique().tolist() == ["S1", "S2", "S3", "S4"]
    assert len(scores) == (~windows.calibration).sum()
    assert ((scores["probability"] > 0.5) == scores["predicted"]).all()
    assert (scores["predicted"] == scores["stress"]).mean() > max(
        scores["stress"].mean(), 1 - scores["stress"].mean()
    )


def test_models_of_the_same_people_add_up_and_models_of_others_do_not(windows):
    def of(*who):
        return pv.fit("class_means", windows, epsilon=1, who=list(who))

    first, second, third = of("S1", "S2", "S3"), of("S1", "S2", "S3"), of("S4", "S5", "S6")
    same, other = (pv.spent(first, model).iloc[-1]["epsilon"] for model in (second, third))
    # Two Gaussian queries are one with sqrt(2) times the signal: theorem 8 of Balle and Wang again.
    mu = np.sqrt(sum(1 / model.claim.entries[0].noise_multiplier ** 2 for model in (first, second)))
    upper, lower = stats.norm.cdf(mu / 2 - same / mu), stats.norm.cdf(-mu / 2 - same / mu)
    assert upper - np.exp(same) * lower == pytest.approx(1e-5, rel=0.02)
    assert other == pytest.approx(1, rel=5e-3)


def test_units_have_no_common_number(windows):
    person = pv.fit("class_means", windows, epsilon=1)
    window = pv.fit("class_means", windows, epsilon=2, unit="window")
    together = pv.spent(person, window).query("model == 'together'")
    assert together["unit"].tolist() == ["subject", "window"]
    assert together["epsilon"].tolist() == pytest.approx([1, 2], rel=5e-3)


def test_a_model_without_a_budget_says_so_everywhere(windows, generator, tmp_path):
    model = pv.fit("moments", windows)
    made = pv.sample(model, 5)
    learnt = pv.fit("logistic", made)
    for each in (model, learnt):
        assert pv.statement(each).startswith("NOT PRIVATE")
        assert pv.spent(each, generator)["epsilon"].tolist()[::2] == [np.inf, np.inf]
        with pytest.raises(InputError, match="this model is not private"):
            each.save(tmp_path / "model.h5")
    assert not list(tmp_path.iterdir())
    assert model.save(tmp_path / "model.h5", not_private=True).name == "NOT-PRIVATE_model.h5"


def test_a_saved_detector_scores_as_in_memory(windows, tmp_path):
    model = pv.fit("logistic", windows, epsilon=10)
    kept = read_detector(model.save(tmp_path / "detector.h5"))
    found = extract_features(windows.take(~windows.calibration), protocol="sound", pairing="published")
    np.testing.assert_array_equal(kept.fitted.score(found).score, pv.score(model, windows)["probability"])


def test_own_arrays_are_windows_too(windows):
    own = pv.as_windows(windows.windows, windows.stress, windows.subject, stride_s=60)
    ours, theirs = (pv.fit("logistic", each, seed=1) for each in (own, windows))
    expected = pv.score(theirs, windows)["probability"].to_numpy()
    found = pv.score(ours, own)["probability"].to_numpy()[~windows.calibration]
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda w: pv.fit("posterio", w), "did you mean 'posterior'"),
        (
            lambda w: pv.fit("forest", w, epsilon=1),
            "forest has no training with a budget for one subject.*logistic",
        ),
        (lambda w: pv.fit("logistic", w, epsilon=0), "epsilon: expected a number above 0, or inf"),
        (lambda w: pv.fit("logistic", w, epsilon=1, delta=0.1), r"delta: 0\.1 is above 1 / \(100 x 6\)"),
        (lambda w: pv.fit("logistic", w, epsilon=1, unit="person"), "unit: expected one of subject, window"),
        (lambda w: pv.fit("logistic", w, who="S1"), "who: expected a list of people.*S1, S2"),
        (lambda w: pv.fit("logistic", w, who=["S9"]), r"who: expected a list of people.*found \['S9'\]"),
        (
            lambda w: pv.fit("moments", w, settings={"rnk": 3}),
            "settings: rnk: unknown key.*did you mean 'rank'",
        ),
        (
            lambda w: pv.sample(pv.fit("logistic", w)),
            "sample: expected a generator, found the detector logistic",
        ),
        (
            lambda w: pv.score(pv.fit("moments", w), w),
            "score: expected a detector, found the generator moments",
        ),
        (lambda w: pv.sample(pv.fit("moments", w), 0), "number of subjects: expected a whole number from 1"),
        (lambda w: pv.as_windows(w.windows[:, :, :5], w.stress, w.subject), "values: expected an array"),
        (
            lambda w: pv.as_windows(w.windows, w.stress[:3], w.subject),
            "stress: expected one value per window",
        ),
        (lambda w: pv.as_windows(np.full((1, 60, 6), np.nan), [1], ["A"]), "window 0 has values.*not finite"),
        (lambda w: pv.load_cohort("empatica", "nowhere", labels="labels.csv"), "labels.csv: no such file"),
    ],
)
def test_a_wrong_call_is_one_sentence_that_says_what_to_give(windows, call, message):
    with pytest.raises(InputError, match=message):
        call(windows)


def test_a_budget_for_synthetic_people_is_refused(generator):
    made = pv.sample(generator, 3)
    with pytest.raises(InputError, match="give epsilon to the fit of the generator"):
        pv.fit("logistic", made, epsilon=1)
    with pytest.raises(InputError, match="expected real windows, found synthetic ones"):
        pv.fit("moments", made)
