import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2

from pulseveil import detectors
from pulseveil.cohorts.simulated import Simulated
from pulseveil.core.errors import InputError
from pulseveil.core.randomness import root_stream
from pulseveil.detectors.logistic import Logistic, LogisticSettings
from pulseveil.evaluation.metrics import auroc
from pulseveil.generators import Training
from pulseveil.generators.moments import Moments, MomentsSettings
from pulseveil.generators.private_moments import (
    ClassMoments,
    PrivateMoments,
    as_gaussian,
    contributions,
    cosines,
    window_summaries,
)
from pulseveil.generators.subjects import class_shares, synthetic_subjects
from pulseveil.privacy.budget import NOT_PRIVATE, Budget, Population
from pulseveil.privacy.gaussian import clip_rows
from pulseveil.privacy.noise import reproducible
from pulseveil.windows.cutting import cut_windows
from pulseveil.windows.features import extract_features
from tests.synthetic_sets import as_set

PEOPLE, WINDOWS, SHARE = 6, 10, 0.3
POPULATION = Population(PEOPLE, WINDOWS, SHARE)
TIME, CHANNELS = 60, 6


def windows_of_people(people=PEOPLE, seed=0):
    """Windows (n, 60, 6), codes and names; three of ten windows are stress, one and a half units higher."""
    rng = np.random.default_rng(seed)
    code = np.tile(np.arange(WINDOWS) >= 7, people).astype(np.int8)
    level = rng.normal(0, 0.5, size=(len(code), 1, CHANNELS)) + 1.5 * code[:, None, None]
    ripple = rng.normal(0, 0.2 + 0.4 * code[:, None, None], size=(len(code), TIME, CHANNELS))
    return (level + ripple).astype(np.float32), code, np.repeat([f"S{i}" for i in range(people)], WINDOWS)


def budget(epsilon=1.0, unit="subject", *, key=0, population=POPULATION):
    return Budget(epsilon, 1e-5, unit, population, reproducible(root_stream(key)))


def fit(data, allowance, classes=2, **private):
    windows, code, subject = data
    return Moments.fit(
        MomentsSettings(private=PrivateMoments(**private)),
        Training(windows, code, subject, classes, allowance, root_stream(0)),
    )


def drawn(model, code, n=4000):
    noise = np.random.default_rng(1).standard_normal((n, model.noise_size), dtype=np.float32)
    return model.sample(np.full(n, code, np.int8), noise)


def test_cosines_are_orthogonal_with_mean_square_one():
    basis = cosines(TIME, 12)
    np.testing.assert_allclose(basis @ basis.T / TIME, np.eye(12), atol=1e-12)
    assert (basis[0] == 1).all()


def test_summaries_are_means_squares_and_log_deviations():
    windows, _, _ = windows_of_people()
    private = PrivateMoments(centre=0.25, unit=2.0)
    found = window_summaries(windows[:1], private)[0]
    for channel in range(CHANNELS):
        values = [(float(x) - 0.25) / 2 for x in windows[0, :, channel]]
        mean = sum(values) / TIME
        deviation = math.sqrt(sum((x - mean) ** 2 for x in values) / TIME)
        expected = mean, 0.3 * mean**2, 0.5 * (math.log(deviation) + 1.2)
        assert found[channel::CHANNELS] == pytest.approx(expected, rel=1e-5)


def test_artefacts_are_clipped_to_the_public_range():
    windows = np.full((1, TIME, CHANNELS), 1e6, np.float32)
    assert window_summaries(windows, PrivateMoments())[0, 0] == 4.0


def test_a_persons_contribution_is_the_mean_of_the_own_windows_of_each_condition():
    windows, code, subject = windows_of_people()
    summaries = window_summaries(windows, PrivateMoments())
    found = contributions(summaries, code, subject, 2, "subject")
    own = summaries[subject == "S4"]
    np.testing.assert_allclose(found[4], np.concatenate([own[:7].mean(axis=0), own[7:].mean(axis=0)]))
    of_windows = contributions(summaries, code, subject, 2, "window")
    np.testing.assert_array_equal(of_windows[0], np.concatenate([summaries[0], np.zeros(18)]))
    np.testing.assert_array_equal(of_windows[9], np.concatenate([np.zeros(18), summaries[9]]))


def test_a_missing_condition_adds_zeros():
    windows, code, subject = windows_of_people()
    calm = np.where(subject == "S1", 0, code).astype(np.int8)
    found = contributions(window_summaries(windows, PrivateMoments()), calm, subject, 2, "subject")
    assert (found[1, 18:] == 0).all()
    assert (found[1, :18] != 0).all()
    assert (found[[0, 2], 18:] != 0).all()


floats = st.floats(-1e3, 1e3, width=32) | st.sampled_from([np.nan, np.inf, -np.inf, 3e38])


@settings(max_examples=50, deadline=None)
@given(
    person=st.integers(0, PEOPLE - 1),
    window=st.integers(0, WINDOWS - 1),
    value=floats,
    code=st.integers(0, 1),
    unit=st.sampled_from(["subject", "window"]),
    clip=st.floats(0.1, 5),
)
def test_one_record_moves_the_clipped_sum_by_at_most_the_clip_norm(person, window, value, code, unit, clip):
    windows, codes, subject = windows_of_people()
    own = person * WINDOWS + (np.arange(WINDOWS) if unit == "subject" else window)

    def clipped(level, label):
        changed, labels = windows.copy(), codes.copy()
        changed[own], labels[own] = level, label
        summaries = window_summaries(changed, PrivateMoments(coefficients=2))
        return clip_rows(contributions(summaries, labels, subject, 2, unit), clip)

    present, absent = clipped(value, code), clipped(np.nan, codes[own])
    others = np.arange(len(present)) != (person if unit == "subject" else own)
    assert np.linalg.norm(present.sum(axis=0) - absent.sum(axis=0)) <= clip
    assert (absent[~others] == 0).all()
    np.testing.assert_array_equal(present[others], absent[others])


# PRIVACY: one Gaussian query at delta 1e-5 has multiplier 3.731 at epsilon 1. Records a condition: 6 people;
# 60 windows, of which 0.7 and 0.3 are public shares.
@pytest.mark.parametrize(
    ("unit", "code", "divisor"), [("subject", 0, 6), ("subject", 1, 6), ("window", 0, 42), ("window", 1, 18)]
)
def test_noise_of_the_means_has_the_size_of_its_formula(unit, code, divisor):
    silent = np.full((PEOPLE * WINDOWS, TIME, CHANNELS), np.nan, np.float32), *windows_of_people()[1:]
    found = [
        fit(silent, budget(1.0, unit, key=key)).arrays()["mean"][code].reshape(TIME, CHANNELS)[0]
        for key in range(80)
    ]
    variance = (3.731 * 3.0 / divisor) ** 2
    # Shrunk by the posterior of a prior with variance 1 around 0.
    expected = variance / (1 + variance) ** 2
    # Wrong by chance once in 10,000 calls.
    low, high = chi2.ppf([5e-5, 1 - 5e-5], 80 * CHANNELS)
    assert low < np.square(found).sum() / expected < high


@pytest.mark.parametrize("unit", ["subject", "window"])
def test_with_little_noise_windows_have_level_and_deviation_of_their_condition(unit):
    data = windows_of_people(people=40)
    allowance = budget(1e10, unit, population=Population(40, WINDOWS, SHARE))
    model = fit(data, allowance, clip_norm=50.0)
    for code in (0, 1):
        real = data[0][data[1] == code].astype(np.float64)
        made = drawn(model, code).astype(np.float64)
        # Real means come from at least 120 windows: five standard errors, and of an SD.
        assert np.abs(made.mean(axis=(0, 1)) - real.mean(axis=(0, 1))).max() < 5 * 0.5 / math.sqrt(120)
        np.testing.assert_allclose(made.mean(axis=1).std(axis=0), real.mean(axis=1).std(axis=0), rtol=0.1)
        np.testing.assert_allclose(made.std(axis=1).mean(), real.std(axis=1).mean(), rtol=0.15)


def test_factors_and_residual_hold_all_variance():
    rng = np.random.default_rng(2)
    moments = ClassMoments(
        rng.normal(size=(3, CHANNELS, 2)),
        rng.uniform(0.1, 1, (3, CHANNELS, 2)),
        rng.normal(size=(3, CHANNELS)),
    )
    mean, factors, residual = as_gaussian(moments, PrivateMoments(coefficients=2, unit=2.0), TIME)
    variance = np.square(factors).sum(axis=1) + np.square(residual)
    found = variance.reshape(3, TIME, CHANNELS).mean(axis=1)
    expected = 4 * (moments.variance.sum(axis=2) + np.exp(2 * moments.log_rest))
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    # A channel's factors do not reach others, and its mean is level plus trend.
    assert np.count_nonzero(factors.reshape(3, CHANNELS, 12, TIME, CHANNELS)[:, 0, :, :, 1:]) == 0
    np.testing.assert_allclose(mean.reshape(3, TIME, CHANNELS).mean(axis=1), 2 * moments.mean[:, :, 0])


def test_public_shares_of_the_conditions_sum_to_one():
    assert class_shares(2, 0.3).tolist() == pytest.approx([0.7, 0.3])
    shares = class_shares(3, 0.3)
    assert shares.sum() == pytest.approx(1)
    # 392 s of amusement to 1200 s of baseline.
    assert shares[2] / shares[0] == pytest.approx(392 / 1200)
    assert shares[1] == pytest.approx(0.3)


@pytest.mark.parametrize("unit", ["subject", "window"])
@pytest.mark.parametrize("classes", [2, 3])
def test_the_ledger_has_the_one_query_of_the_plan(unit, classes):
    model = fit(windows_of_people(), budget(1.0, unit), classes=classes)
    (entry,) = model.ledger
    (planned,) = Moments.mechanisms(MomentsSettings(), budget(1.0, unit))
    assert entry.as_mechanism() == planned
    assert entry.steps_noised == planned.steps == 1
    assert entry.n == (PEOPLE if unit == "subject" else PEOPLE * WINDOWS)
    assert 0.995 < entry.epsilon_pld <= 1.0
    assert np.isfinite(drawn(model, classes - 1, 50)).all()


def test_models_that_are_not_private_or_read_from_arrays_have_no_ledger():
    private = fit(windows_of_people(), budget())
    again = Moments.from_arrays(MomentsSettings(), private.arrays())
    assert again.ledger == fit(windows_of_people(), NOT_PRIVATE).ledger == ()
    np.testing.assert_array_equal(drawn(again, 1, 5), drawn(private, 1, 5))


def test_the_key_is_the_only_source_of_chance():
    first, again, other = (fit(windows_of_people(), budget(key=key)).arrays()["mean"] for key in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).all()


@pytest.mark.parametrize("unit", ["subject", "window"])
def test_only_the_public_number_of_windows_of_a_person_counts(unit):
    windows, code, subject = windows_of_people()
    later = np.full_like(windows, 3.0), 1 - code, subject
    longer = tuple(np.concatenate(pair) for pair in zip((windows, code, subject), later, strict=True))
    found, expected = (
        fit(data, budget(1.0, unit)).arrays()["mean"] for data in (longer, (windows, code, subject))
    )
    np.testing.assert_array_equal(found, expected)


def test_more_people_than_planned_are_refused():
    with pytest.raises(InputError, match="at most 6 people, found 7"):
        fit(windows_of_people(people=7), budget())


def cohort(seed, stride_s, audience):
    settings = Simulated.Settings(subjects=15, seed=seed)
    return cut_windows(
        Simulated(settings).recordings(),
        protocol="sound",
        channels="physiological",
        scaling="calibration",
        window_s=60,
        stride_s=stride_s,
        audience=audience,
    )


def test_a_detector_of_private_windows_of_whole_persons_knows_stress_in_strangers():
    real = cohort(301, 30, "generator")
    allowance = budget(10.0, population=Population(15, 41, 0.29))
    model = fit((real.windows, real.stress.astype(np.int8), real.subject), allowance)
    made = synthetic_subjects(model, subjects=20, classes=2, stream=root_stream(4))
    synthetic = as_set(made, real, generator="moments", unit="subject", epsilon=10.0)
    train = extract_features(synthetic, protocol="sound", pairing="intended")
    test = extract_features(cohort(302, 60, "detector"), protocol="sound", pairing="intended")
    fitted = Logistic.fit(LogisticSettings(), detectors.Training(train, NOT_PRIVATE, root_stream(0)))
    score = fitted.score(test).score
    assert auroc(test.stress, score) > 0.85
