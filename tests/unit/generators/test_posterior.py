import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2, norm

from pulseveil.core.contracts import PHYSIOLOGICAL_CHANNELS
from pulseveil.core.errors import InputError
from pulseveil.core.randomness import root_stream
from pulseveil.generators import Training
from pulseveil.generators.posterior import (
    OF_PEOPLE,
    OF_WINDOWS,
    Posterior,
    PosteriorSettings,
    contributions,
)
from pulseveil.generators.public_prior import NAMES, decode, literature_prior, statistics_of, walks
from pulseveil.generators.subjects import synthetic_subjects
from pulseveil.privacy.budget import NOT_PRIVATE, Budget, Population
from pulseveil.privacy.gaussian import clip_rows
from pulseveil.privacy.noise import reproducible
from pulseveil.study.checks import make_plan
from pulseveil.study.reading import check_study
from tests.workflow.conftest import LIGHT

PEOPLE, WINDOWS, SHARE = 6, 10, 0.3
POPULATION = Population(PEOPLE, WINDOWS, SHARE)
TIME, CHANNELS, S = 60, 6, len(NAMES)
PRIOR = literature_prior()


def windows_of_people(people=PEOPLE, seed=0):
    """Windows (n, 60, 6), codes and names; three of ten windows are stress, where all signals are higher."""
    rng = np.random.default_rng(seed)
    code = np.tile(np.arange(WINDOWS) >= 7, people).astype(np.int8)
    level = rng.normal(0, 0.3, size=(len(code), 1, CHANNELS)) + 1.2 * code[:, None, None]
    ripple = rng.normal(0, 0.2, size=(len(code), TIME, CHANNELS))
    return (level + ripple).astype(np.float32), code, np.repeat([f"S{i}" for i in range(people)], WINDOWS)


def budget(epsilon=1.0, unit="subject", *, key=0, population=POPULATION):
    return Budget(epsilon, 1e-5, unit, population, reproducible(root_stream(key)))


def training(data, allowance, classes=2, **form):
    known = {"channels": PHYSIOLOGICAL_CHANNELS, "scaling": "calibration"} | form
    return Training(*data, classes, allowance, root_stream(0), **known)


def fit(data, allowance, classes=2, **given):
    return Posterior.fit(PosteriorSettings(**given), training(data, allowance, classes))


def index(name):
    return NAMES.index(name)


def test_a_persons_contribution_is_what_a_plain_loop_says():
    windows, code, subject = windows_of_people()
    statistics = statistics_of(windows, 1.0)
    found = contributions(statistics, code == 1, subject, PRIOR, "subject")
    for person, name in enumerate(np.unique(subject)):
        for s in range(S):
            farthest = 8 * PRIOR.unit[s]
            stress, rest = (
                [
                    min(max(statistics[i, s], -farthest), farthest)
                    for i in range(len(code))
                    if subject[i] == name and code[i] == c
                ]
                for c in (1, 0)
            )
            high, low = sum(stress) / len(stress), sum(rest) / len(rest)
            difference = high - low - (PRIOR.stress[s] - PRIOR.rest[s])
            midpoint = (high + low) / 2 - (PRIOR.stress[s] + PRIOR.rest[s]) / 2
            assert found[person, s] == pytest.approx(difference / PRIOR.unit[s], abs=1e-9)
            assert found[person, S + s] == pytest.approx(midpoint / PRIOR.unit[s], abs=1e-9)
    of_windows = contributions(statistics, code == 1, subject, PRIOR, "window")
    assert not of_windows[0, :S].any()
    assert not of_windows[9, S:].any()
    expected = np.clip((statistics[9] - PRIOR.stress) / PRIOR.unit, -4, 4)
    np.testing.assert_allclose(of_windows[9, :S], expected)


def test_people_differ_in_the_mean_of_phasic_eda_about_as_much_as_their_windows_do():
    made = synthetic_subjects(
        fit(windows_of_people(), budget()), subjects=400, classes=2, stream=root_stream(0)
    )
    means = statistics_of(made.windows, 1.0)[made.condition == 0, index("eda_phasic_mean")]
    subject = made.subject[made.condition == 0]
    of_people = [means[subject == name] for name in np.unique(subject)]
    between = np.std([own.mean() for own in of_people])
    within = np.mean([own.std(ddof=1) for own in of_people])
    # At rest a person lies at midpoint less half a difference, of 1.2 units of .05 each. The standard error
    # of an SD over 400 people is 3.5 %, and the people's own windows add a little.
    assert between == pytest.approx(0.06 * np.sqrt(1.25), rel=0.2)
    assert within == pytest.approx(0.05, rel=0.2)


def test_a_person_without_one_class_adds_nothing():
    windows, code, subject = windows_of_people()
    calm = np.where(subject == "S1", 0, code)
    found = clip_rows(contributions(statistics_of(windows, 1.0), calm == 1, subject, PRIOR, "subject"), 3.0)
    assert (found[1] == 0).all()
    assert (found[[0, 2, 3, 4, 5]] != 0).any(axis=1).all()


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
        with np.errstate(all="ignore"):
            statistics = statistics_of(changed, 1.0)
        return clip_rows(contributions(statistics, labels == 1, subject, PRIOR, unit), clip)

    present, absent = clipped(value, code), clipped(np.nan, codes[own])
    others = np.arange(len(present)) != (person if unit == "subject" else own)
    assert np.linalg.norm(present.sum(axis=0) - absent.sum(axis=0)) <= clip
    assert (absent[~others] == 0).all()
    np.testing.assert_array_equal(present[others], absent[others])


def gaussian_delta(sigma, epsilon):
    """Delta of a Gaussian of sensitivity 1 (Balle and Wang 2018, theorem 8)."""
    a, b = 1 / (2 * sigma), epsilon * sigma
    return norm.cdf(a - b) - math.exp(epsilon) * norm.cdf(-a - b)


@pytest.mark.parametrize("unit", ["subject", "window"])
@pytest.mark.parametrize("epsilon", [0.1, 1.0, 10.0])
def test_the_ledger_has_the_one_query_of_the_plan(unit, epsilon):
    allowance = budget(epsilon, unit)
    model = fit(windows_of_people(), allowance)
    (entry,) = model.ledger
    (planned,) = Posterior.mechanisms(PosteriorSettings(), allowance)
    assert entry.as_mechanism() == planned
    assert entry.steps_noised == planned.steps == 1
    assert entry.n == (PEOPLE if unit == "subject" else PEOPLE * WINDOWS)
    assert gaussian_delta(planned.noise_multiplier, epsilon) == pytest.approx(1e-5, rel=1e-2)


def test_the_question_follows_from_the_public_noise_alone():
    def asked(people, epsilon):
        allowance = Budget(epsilon, 1e-5, "subject", Population(people, 70, SHARE))
        (mechanism,) = Posterior.mechanisms(PosteriorSettings(), allowance)
        return mechanism.noise_multiplier / people, mechanism.clip_norm

    for people in (5, 14, 100):
        for epsilon in (0.1, 1.0, 10.0):
            noise, clip_norm = asked(people, epsilon)
            expected = next(question for question in OF_PEOPLE if noise <= question.noise)
            assert clip_norm == expected.clip_norm
    assert asked(14, 10.0)[1] != asked(14, 1.0)[1]


def test_an_audit_asks_the_claimed_question_beside_its_canaries():
    # 11 people get few statistics at epsilon 10; 15 would get many.
    claimed, audited = (Budget(10.0, 1e-5, "subject", Population(n, 70, SHARE)) for n in (11, 15))
    plain = PosteriorSettings()
    asked = [Posterior.mechanisms(plain, each)[0].clip_norm for each in (claimed, audited)]
    assert asked == [1.5, 3.0]
    kept = Posterior.audited_settings(plain, claimed, audited)
    assert Posterior.mechanisms(kept, audited)[0].clip_norm == 1.5
    assert Posterior.mechanisms(kept, claimed) == Posterior.mechanisms(plain, claimed)


def test_noise_of_a_statistic_that_is_asked_has_the_size_of_its_formula():
    silent = np.full((PEOPLE * WINDOWS, TIME, CHANNELS), np.nan, np.float32), *windows_of_people()[1:]
    (mechanism,) = Posterior.mechanisms(PosteriorSettings(), budget())
    heart_rate = index("heart_rate_mean")
    at = [
        fit(silent, budget(key=key)).arrays()["midpoint"][heart_rate]
        - (PRIOR.stress + PRIOR.rest)[heart_rate] / 2
        for key in range(200)
    ]
    variance = (mechanism.noise_multiplier * mechanism.clip_norm / PEOPLE) ** 2
    expected = variance * (0.64 / (0.64 + variance)) ** 2
    # Wrong by chance once in 10,000 calls.
    low, high = chi2.ppf([5e-5, 1 - 5e-5], 200)
    assert low < np.square(at).sum() / expected < high


def test_a_statistic_that_is_not_asked_keeps_the_prior():
    arrays = fit(windows_of_people(), budget(1.0)).arrays()
    (few,) = {question.statistics for question in OF_PEOPLE[1:]}
    left = [index(name) for name in NAMES if name not in few]
    np.testing.assert_allclose(arrays["difference"][left], (PRIOR.stress - PRIOR.rest)[left])
    np.testing.assert_allclose(arrays["difference_sd"][left], 1.5 * 0.8 * PRIOR.unit[left])
    told = [index(name) for name in few]
    assert (arrays["difference_sd"][told] < 1.5 * 0.8 * PRIOR.unit[told]).all()


@pytest.mark.parametrize("unit", ["subject", "window"])
def test_with_little_noise_people_have_the_class_means_of_the_real_ones(unit):
    data = windows_of_people(people=40)
    population = Population(40, WINDOWS, SHARE)
    listed = OF_PEOPLE if unit == "subject" else OF_WINDOWS
    wide = [listed[0].model_copy(update={"clip_norm": 100.0, "noise": 1e9})]
    given = {"of_people" if unit == "subject" else "of_windows": wide}
    arrays = fit(data, budget(1e8, unit, population=population), **given).arrays()
    statistics, code = statistics_of(data[0], 1.0), data[1]
    stress, rest = statistics[code == 1].mean(axis=0), statistics[code == 0].mean(axis=0)
    for name in listed[0].statistics:
        s = index(name)
        # Windows far from the prior are cut at four units.
        if unit == "window" and abs(rest[s] - PRIOR.rest[s]) > 2 * PRIOR.unit[s]:
            continue
        assert arrays["difference"][s] == pytest.approx(stress[s] - rest[s], abs=0.02)
        assert arrays["midpoint"][s] == pytest.approx((stress[s] + rest[s]) / 2, abs=0.02)


def test_windows_have_the_statistics_that_they_are_decoded_from():
    rng = np.random.default_rng(1)
    statistics = PRIOR.rest + PRIOR.within * rng.normal(size=(500, S))
    walk = rng.normal(size=(500, TIME, CHANNELS))
    found = statistics_of(decode(statistics, walks(walk, 1.0), 1.0), 1.0)
    means, log_sds = slice(0, CHANNELS), slice(CHANNELS, 2 * CHANNELS)
    np.testing.assert_allclose(found[:, means], statistics[:, means], atol=1e-4)
    np.testing.assert_allclose(found[:, log_sds], statistics[:, log_sds], atol=2e-3)
    slopes, wanted = found[:, 2 * CHANNELS :], statistics[:, 2 * CHANNELS :]
    minutes = (np.arange(TIME) - (TIME - 1) / 2) / 60
    largest = np.sqrt(0.95) * np.exp(statistics[:, log_sds]) / minutes.std()
    np.testing.assert_allclose(slopes, np.clip(wanted, -largest, largest), atol=1e-3)


def test_all_windows_of_a_synthetic_person_share_what_makes_the_person():
    model = fit(windows_of_people(), budget(0.1))
    people = synthetic_subjects(model, subjects=60, classes=2, stream=root_stream(3))
    statistics, s = statistics_of(people.windows, 1.0), index("heart_rate_mean")
    names = np.unique(people.subject)
    means = {
        code: np.array(
            [statistics[(people.subject == n) & (people.condition == code), s].mean() for n in names]
        )
        for code in (0, 1)
    }
    arrays = model.arrays()
    # The mean of a person's 25 and 10 windows has an SD of .1 and .16 around the person's own: far less than
    # the SD between people, within which 60 people estimate it to a factor of 1.5 (chi-squared, 1e-5).
    spread = ((means[0] + means[1]) / 2).std(ddof=1)
    assert 1 / 1.5 < spread / arrays["midpoint_sd"][s] < 1.5
    assert 1 / 1.5 < (means[1] - means[0]).std(ddof=1) / arrays["difference_sd"][s] < 1.5
    first = synthetic_subjects(model, subjects=3, classes=2, stream=root_stream(3))
    np.testing.assert_array_equal(first.windows, people.windows[: len(first.windows)])


def test_the_key_is_the_only_source_of_chance_and_models_survive_storing():
    first, again, other = (fit(windows_of_people(), budget(key=key)) for key in (0, 0, 1))
    np.testing.assert_array_equal(first.arrays()["midpoint"], again.arrays()["midpoint"])
    assert (first.arrays()["midpoint"] != other.arrays()["midpoint"]).any()
    stored = Posterior.from_arrays(PosteriorSettings(), first.arrays())
    noise = np.random.default_rng(0).standard_normal((5, first.noise_size), dtype=np.float32)
    codes = np.array([0, 1, 0, 1, 2], np.int8)
    np.testing.assert_array_equal(stored.sample(codes, noise), first.sample(codes, noise))
    assert stored.ledger == fit(windows_of_people(), NOT_PRIVATE).ledger == ()


@pytest.mark.parametrize("unit", ["subject", "window"])
def test_only_the_public_number_of_windows_of_a_person_counts(unit):
    windows, code, subject = windows_of_people()
    later = np.full_like(windows, 3.0), 1 - code, subject
    longer = tuple(np.concatenate(pair) for pair in zip((windows, code, subject), later, strict=True))
    found, expected = (
        fit(data, budget(1.0, unit)).arrays()["midpoint"] for data in (longer, (windows, code, subject))
    )
    np.testing.assert_array_equal(found, expected)


def test_what_cannot_work_is_refused():
    with pytest.raises(InputError, match="at most 6 people, found 7"):
        fit(windows_of_people(people=7), budget())
    windows, code, subject = windows_of_people()
    with pytest.raises(InputError, match="no person has windows with and without stress"):
        fit((windows, 0 * code, subject), NOT_PRIVATE)
    for form in ({"scaling": "min-max"}, {"channels": ("BVP",) * 6}):
        with pytest.raises(InputError, match="expected channels physiological and scaling calibration"):
            Posterior.fit(PosteriorSettings(), training(windows_of_people(), NOT_PRIVATE, **form))


def test_a_study_with_an_unknown_statistic_is_refused():
    unknown = {"of_people": [{"noise": 1.0, "statistics": ["heart_mean"], "clip_norm": 1.0}]}
    study = LIGHT | {"generators": [{"name": "posterior", "settings": unknown}]}
    with pytest.raises(InputError, match="heart_mean is unknown; use some of heart_rate_mean"):
        check_study(study, "study.yaml")


def test_a_plan_refuses_windows_without_a_public_prior():
    study = LIGHT | {"generators": ["posterior"], "detectors": ["logistic"]}
    make_plan(check_study(study, "study.yaml"))
    with pytest.raises(InputError, match="generators: posterior: expected channels physiological"):
        make_plan(check_study(study | {"scaling": "min-max"}, "study.yaml"))
