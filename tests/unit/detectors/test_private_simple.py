import math
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.stats import chi2

from pulseveil.core import registry
from pulseveil.core.contracts import PHYSIOLOGICAL_CHANNELS, PUBLISHED_CHANNELS, FeatureSet
from pulseveil.core.errors import InputError
from pulseveil.core.randomness import root_stream
from pulseveil.detectors import Training, class_means, logistic
from pulseveil.detectors.logistic import CHOSEN, Descent, balanced_weights, log_loss_gradients
from pulseveil.detectors.public_knowledge import public_inputs
from pulseveil.privacy.budget import NOT_PRIVATE, Budget, Population
from pulseveil.privacy.gaussian import clip_rows
from pulseveil.privacy.noise import Noise, reproducible
from pulseveil.privacy.records import admitted_rows, person_means
from pulseveil.windows.features import statistic_names

PEOPLE, WINDOWS, SHARE = 5, 12, 0.25
POPULATION = Population(PEOPLE, WINDOWS, SHARE)
PLAIN = Descent(steps=4, learning_rate=0.5, clip_norm=0.3, penalty=0.0, public_weight=0.0)
# Five means, none of which has a centre other than 0, so that zeros are read as zeros.
MEANS = ("mean",)


def features(
    *,
    people=PEOPLE,
    windows=WINDOWS,
    seed=0,
    effect=2.0,
    channels=PHYSIOLOGICAL_CHANNELS,
    scaling="calibration",
):
    """The last quarter of each person's windows is stress, which moves skin conductance and warmth."""
    rng = np.random.default_rng(seed)
    names = statistic_names(channels)
    place = np.tile(np.arange(windows), people)
    stress = place >= windows * 3 // 4
    statistics = rng.normal(size=(len(place), len(names))).astype(np.float32)
    level, warmth = (
        ("eda_level_mean", "temperature_mean") if "eda_level" in channels else ("EDA_mean", "TEMP_mean")
    )
    statistics[:, names.index(level)] += effect * stress
    statistics[:, names.index(warmth)] -= effect * stress
    return FeatureSet(
        features=rng.normal(size=(len(place), 6, 3)).astype(np.float32),
        statistics=statistics,
        condition=stress.astype(np.int8),
        stress=stress,
        calibration=np.zeros(len(place), bool),
        subject=np.repeat([f"S{i}" for i in range(people)], windows),
        fold=np.full(len(place), ""),
        start_s=60.0 * place,
        frequency_hz=np.zeros((6, 3), np.float32),
        statistic_names=names,
        scaling=scaling,
        protocol="sound",
    )


def budget(epsilon=1.0, unit="subject", *, key=0, population=POPULATION, delta=1e-5):
    return Budget(epsilon, delta, unit, population, reproducible(root_stream(key)))


def fit(name, given_rows, allowance, **values):
    kind = registry.load("detectors", name)
    return kind.fit(kind.Settings(**values), Training(given_rows, allowance, root_stream(7)))


def parameters(fitted):
    return np.append(fitted.weights, fitted.intercept)


def with_values(rows, index, value):
    """`rows` with all statistics of the windows `index` replaced."""
    statistics = rows.statistics.copy()
    statistics[index] = value
    return replace(rows, statistics=statistics)


def assert_standard_deviation(values, expected):
    """Values of mean 0 have this SD; wrong by chance once in 10,000 calls."""
    squares = np.square(values).sum() / expected**2
    low, high = chi2.ppf([5e-5, 1 - 5e-5], np.size(values))
    assert low < squares < high, math.sqrt(squares / np.size(values))


# One Gaussian query at delta 1e-5, PRIVACY: multiplier 3.731 at epsilon 1 and 30.75 at 0.1.
MULTIPLIERS = [(1.0, 3.731), (0.1, 30.75)]


@pytest.mark.parametrize(("epsilon", "multiplier"), MULTIPLIERS)
def test_noise_of_class_means_has_the_size_of_its_formula_at_unit_subject(epsilon, multiplier):
    silent = with_values(features(), slice(None), 0.0)
    drawn = [
        fit("class_means", silent, budget(epsilon, key=key), statistics=MEANS, shrink=False, clip_norm=2.0)
        for key in range(150)
    ]
    differences = np.array([model.weights for model in drawn]) * class_means.WITHIN_VARIANCE
    assert_standard_deviation(differences, multiplier * 2.0 / PEOPLE)


@pytest.mark.parametrize(("epsilon", "multiplier"), MULTIPLIERS)
def test_noise_of_class_means_has_the_size_of_its_formula_at_unit_window(epsilon, multiplier):
    silent = with_values(features(), slice(None), 0.0)
    drawn = [
        fit("class_means", silent, budget(epsilon, "window", key=key), statistics=MEANS, shrink=False)
        for key in range(150)
    ]
    differences = np.array([model.weights for model in drawn]) * class_means.WITHIN_VARIANCE
    sums = multiplier * 1.5 / (PEOPLE * WINDOWS)
    assert_standard_deviation(differences, sums * math.sqrt(1 / SHARE**2 + 1 / (1 - SHARE) ** 2))


@pytest.mark.parametrize("unit", ["subject", "window"])
def test_noise_of_the_descent_has_the_size_of_its_formula(unit):
    # Without a record the gradient is zero: what remains is noise, of which the mean of iterates 3 and 4
    # holds the first three draws whole and half of the last one. Four full batches double the noise of one.
    nobody = features().take(np.array([], int))
    drawn = [
        parameters(fit("logistic", nobody, budget(1.0, unit, key=key), private=PLAIN)) for key in range(150)
    ]
    records = PEOPLE if unit == "subject" else PEOPLE * WINDOWS
    step = 0.5 * 3.731 * math.sqrt(4) * 0.3 / records
    assert_standard_deviation(np.array(drawn), step * math.sqrt(3 + 0.25))


@pytest.mark.parametrize("name", ["logistic", "class_means"])
@pytest.mark.parametrize("unit", ["subject", "window"])
def test_a_private_training_learns_and_says_what_it_spent(name, unit):
    population = Population(40, WINDOWS, SHARE)
    model = fit(name, features(people=40), budget(10.0, unit, population=population))
    outputs = model.score(features(people=20, seed=1))
    assert (outputs.predicted == features(people=20, seed=1).stress).mean() > 0.8
    (entry,) = model.ledger
    kind = registry.load("detectors", name)
    (mechanism,) = kind.mechanisms(kind.Settings(), budget(10.0, unit, population=population))
    assert entry.as_mechanism() == mechanism
    assert (entry.q, entry.n) == (1.0, 40 if unit == "subject" else 480)
    steps = {"logistic": 30 if unit == "subject" else 40, "class_means": 1}[name]
    assert entry.steps_noised == entry.steps_accounted == steps
    assert 9.95 < entry.epsilon_pld <= 10.0
    assert not entry.is_private, "reproducible noise protects nobody"


@pytest.mark.parametrize("name", ["logistic", "class_means"])
@pytest.mark.parametrize("unit", ["subject", "window"])
def test_the_key_is_the_only_source_of_chance(name, unit):
    first, again, other = (
        fit(name, features(), budget(1.0, unit, key=key)).score(features(seed=1)).score for key in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).all()


class CountingNoise(Noise):
    """Real noise that remembers which paths were asked for."""

    def __init__(self):
        super().__init__(bytes(32), secret=False)
        self.paths = []

    def generator(self, *path):
        self.paths.append(path)
        return super().generator(*path)


def test_each_accounted_step_is_noised_once_with_draws_of_its_own():
    noise = CountingNoise()
    model = fit("logistic", features(), replace(budget(), noise=noise))
    (entry,) = model.ledger
    assert len(noise.paths) == len(set(noise.paths)) == entry.steps_noised == entry.steps_accounted == 20


def test_a_step_without_noise_is_not_settled(monkeypatch):
    honest = logistic.descend

    def forgetful(*arguments):
        found, noised = honest(*arguments)
        return found, noised - 1

    monkeypatch.setattr(logistic, "descend", forgetful)
    with pytest.raises(ValueError, match="20 steps are accounted, but 19 were noised"):
        fit("logistic", features(), budget())


def test_the_gradient_of_a_person_is_the_mean_over_the_own_windows():
    rows = features()
    inputs = public_inputs(rows, MEANS).read(rows)
    weight = balanced_weights(rows.stress, SHARE)
    rng = np.random.default_rng(5)
    at = rng.normal(size=inputs.shape[1] + 1)
    found = log_loss_gradients(inputs, rows.stress, weight, rows.subject, "subject")(at)
    for person, gradient in zip(np.unique(rows.subject), found, strict=True):
        total = np.zeros_like(at)
        for x, stress, subject in zip(inputs, rows.stress, rows.subject, strict=True):
            if subject == person:
                probability = 1 / (1 + math.exp(-(x @ at[:-1] + at[-1])))
                importance = 0.5 / SHARE if stress else 0.5 / (1 - SHARE)
                total += importance * (probability - stress) * np.append(x, 1.0)
        np.testing.assert_allclose(gradient, total / WINDOWS, rtol=1e-12)


@pytest.mark.parametrize("unit", ["subject", "window"])
def test_a_step_is_the_clipped_sum_over_public_numbers_whatever_the_labels(unit):
    # Half of the windows are stress, not the public quarter; a person is missing; gradients are clipped.
    rows = features(people=4)
    rows = replace(rows, stress=np.random.default_rng(1).random(len(rows)) < 0.5)
    clip = 0.2
    training = Descent(steps=1, learning_rate=1, clip_norm=clip, penalty=0, public_weight=0)
    found = parameters(fit("logistic", rows, budget(1e12, unit), private=training, statistics=MEANS))
    inputs = public_inputs(rows, MEANS).read(rows)
    records = {}
    for i, (x, stress, subject) in enumerate(zip(inputs, rows.stress, rows.subject, strict=True)):
        importance = 0.5 / SHARE if stress else 0.5 / (1 - SHARE)
        gradient = importance * (0.5 - stress) * np.append(x, 1.0)
        records.setdefault(subject if unit == "subject" else i, []).append(gradient)
    means = [np.mean(record, axis=0) for record in records.values()]
    norms = [np.linalg.norm(mean) for mean in means]
    assert max(norms) > clip
    total = sum(mean * min(1, clip / norm) for mean, norm in zip(means, norms, strict=True))
    public = PEOPLE if unit == "subject" else PEOPLE * WINDOWS
    np.testing.assert_allclose(found, -total / public, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("public_weight", [0.0, 1.5])
def test_with_little_noise_the_descent_ends_in_the_optimum_of_its_penalised_loss(public_weight):
    rows = features(people=30)
    training = Descent(steps=3000, learning_rate=2, clip_norm=50, penalty=0.05, public_weight=public_weight)
    allowance = budget(1e13, "window", population=Population(30, WINDOWS, SHARE))
    found = parameters(fit("logistic", rows, allowance, private=training, statistics=MEANS))
    inputs = public_inputs(rows, MEANS)
    design = np.column_stack([inputs.read(rows), np.ones(len(rows))])
    # Four of the five means have a sign; halves lie at 0.15 along each.
    public = public_weight * np.append(inputs.sign, -0.15 * 4)
    sides = np.where(rows.stress, 1, -1)
    weight = np.where(rows.stress, 0.5 / SHARE, 0.5 / (1 - SHARE))

    def loss(at):
        losses = weight * np.logaddexp(0, -sides * (design @ at))
        return losses.mean() + 0.025 * np.square(at - public).sum()

    np.testing.assert_allclose(found, minimize(loss, public, tol=1e-10).x, atol=1e-3)


def test_class_weight_none_counts_every_window_once():
    assert balanced_weights(np.array([True, False]), 0.5).tolist() == [1, 1]
    rows = features()
    balanced, plain = (
        fit("logistic", rows, budget(), class_weight=weight).intercept for weight in ("balanced", "none")
    )
    assert balanced != plain


floats = st.floats(-1e3, 1e3) | st.sampled_from([np.nan, np.inf, -np.inf, 1e38, -1e38])


@settings(max_examples=60, deadline=None)
@given(
    record=st.integers(0, PEOPLE - 1),
    window=st.integers(0, WINDOWS - 1),
    value=floats,
    flip=st.booleans(),
    unit=st.sampled_from(["subject", "window"]),
    query=st.sampled_from(["class_means", "gradient"]),
    clip=st.floats(0.01, 3),
)
def test_one_record_moves_the_clipped_sum_by_at_most_the_clip_norm(
    record, window, value, flip, unit, query, clip
):
    rows = features()
    own = record * WINDOWS + (np.arange(WINDOWS) if unit == "subject" else window)
    stress = rows.stress.copy()
    stress[own] ^= flip
    with_record = with_values(replace(rows, stress=stress), own, value)

    def clipped(given_rows):
        inputs = public_inputs(given_rows, ("mean", "log_sd", "slope")).read(given_rows)
        if query == "class_means":
            found = class_means.contributions(inputs, given_rows.stress, given_rows.subject, unit)
        else:
            weight = balanced_weights(given_rows.stress, SHARE)
            gradients = log_loss_gradients(inputs, given_rows.stress, weight, given_rows.subject, unit)
            found = gradients(np.linspace(-3, 3, inputs.shape[1] + 1))
        return clip_rows(found, clip)

    present, absent = clipped(with_record), clipped(with_values(rows, own, np.nan))
    changed = record if unit == "subject" else own
    others = np.arange(len(present)) != changed
    assert np.linalg.norm(present.sum(axis=0) - absent.sum(axis=0)) <= clip
    assert (absent[changed] == 0).all()
    np.testing.assert_array_equal(present[others], absent[others])


@pytest.mark.parametrize("unit", ["subject", "window"])
def test_no_weight_depends_on_how_many_windows_of_others_are_stress(unit):
    rows = features()
    stress = rows.stress.copy()
    stress[WINDOWS:] = True
    found = []
    for labels in (rows.stress, stress):
        given_rows = replace(rows, stress=labels)
        inputs = public_inputs(given_rows, MEANS).read(given_rows)
        weight = balanced_weights(labels, SHARE)
        found.append(log_loss_gradients(inputs, labels, weight, given_rows.subject, unit)(np.ones(6)))
    first = slice(1) if unit == "subject" else slice(WINDOWS)
    np.testing.assert_array_equal(found[0][first], found[1][first])


@pytest.mark.parametrize("missing", [True, False])
def test_a_person_without_one_of_the_classes_adds_nothing(missing):
    rows = features()
    own = rows.subject == "S2"
    given_rows = replace(rows, stress=np.where(own, not missing, rows.stress))
    inputs = public_inputs(given_rows, MEANS).read(given_rows)
    found = class_means.contributions(inputs, given_rows.stress, given_rows.subject, "subject")
    clipped = clip_rows(found, 1.5)
    assert (clipped[2] == 0).all()
    assert (np.abs(clipped[[0, 1, 3, 4]]).max(axis=1) > 0).all()


def test_a_persons_contribution_is_the_difference_and_the_midpoint_of_the_own_class_means():
    rows = features()
    inputs = public_inputs(rows, MEANS).read(rows)
    found = class_means.contributions(inputs, rows.stress, rows.subject, "subject")[3]
    own = inputs[rows.subject == "S3"]
    stress, rest = own[9:].mean(axis=0), own[:9].mean(axis=0)
    np.testing.assert_allclose(found, np.concatenate([stress - rest, (stress + rest) / 2]), rtol=1e-12)


@pytest.mark.parametrize("name", ["logistic", "class_means"])
@pytest.mark.parametrize("unit", ["subject", "window"])
def test_a_broken_window_costs_its_own_record_only(name, unit):
    rows = features()
    broken = with_values(rows, 14, np.nan)
    absent = with_values(rows, slice(12, 24) if unit == "subject" else 14, np.nan)
    found, expected = (
        parameters(fit(name, given_rows, budget(1.0, unit))) for given_rows in (broken, absent)
    )
    assert np.isfinite(found).all()
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("name", ["logistic", "class_means"])
@pytest.mark.parametrize("unit", ["subject", "window"])
def test_only_the_public_number_of_windows_of_a_person_counts_the_first_in_time(name, unit):
    longer = features(windows=2 * WINDOWS)
    shuffled = longer.take(np.random.default_rng(0).permutation(len(longer)))
    first = longer.take(longer.start_s < 60 * WINDOWS)
    found, expected = (parameters(fit(name, rows, budget(1.0, unit))) for rows in (shuffled, first))
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_more_people_than_the_public_constants_say_are_refused():
    with pytest.raises(InputError, match="expected at most 5 people, found 6"):
        fit("logistic", features(people=6), budget())


def test_windows_without_a_time_keep_their_order():
    subject = np.array(["B", "A", "B", "A", "B"])
    rows = admitted_rows(subject, np.full(5, np.nan), Population(2, 2, 0.3))
    assert rows.tolist() == [1, 3, 0, 2]


def test_person_means_do_not_let_infinity_reach_others():
    values = np.array([[1.0, np.inf], [3.0, 2.0], [5.0, 4.0]])
    means = person_means(values, np.array(["A", "B", "B"]))
    assert means.tolist() == [[1.0, np.inf], [4.0, 3.0]]


@pytest.mark.parametrize("unit", ["subject", "window"])
def test_the_divisor_is_the_public_number_of_records(unit):
    # Hardly any noise: half of the people then give half of the difference, not the same one.
    rows = features(people=4, seed=3)
    for_four, for_eight = (
        fit(
            "class_means",
            rows,
            budget(1e10, unit, population=Population(people, WINDOWS, SHARE)),
            statistics=("eda_level_mean",),
            shrink=False,
        )
        for people in (4, 8)
    )
    assert for_eight.weights == pytest.approx(for_four.weights / 2, rel=1e-3)


def test_without_noise_shrinkage_keeps_the_means_and_drops_wrong_signs():
    rows = features(people=30)
    shrunk, plain = (fit("class_means", rows, NOT_PRIVATE, shrink=shrink) for shrink in (True, False))
    right = plain.weights * plain.inputs.sign >= 0
    assert 0 < right.sum() < len(right)
    np.testing.assert_allclose(shrunk.weights, np.where(right, plain.weights, 0), rtol=1e-9)


@pytest.mark.parametrize("unit", ["subject", "window"])
def test_under_heavy_noise_class_means_become_the_rule_of_public_signs(unit):
    rule = fit("public_signs", features(), NOT_PRIVATE)
    model = fit("class_means", features(effect=-5.0), budget(1e-6, unit))
    np.testing.assert_allclose(model.weights, rule.weights, atol=1e-2)
    assert model.intercept == pytest.approx(rule.intercept, abs=1e-2)


@pytest.mark.parametrize(
    ("unit", "of_difference", "of_midpoint"),
    [
        ("subject", (3.731 * 1.5 / 5) ** 2, (3.731 * 1.5 / 5) ** 2),
        # Public counts of 15 and 45 windows; the midpoint is half of the sum of two means.
        (
            "window",
            (3.731 * 1.5) ** 2 * (1 / 15**2 + 1 / 45**2),
            (3.731 * 1.5 / 2) ** 2 * (1 / 15**2 + 1 / 45**2),
        ),
    ],
)
def test_shrinkage_knows_the_variance_of_the_noise(unit, of_difference, of_midpoint):
    kind = registry.load("detectors", "class_means")
    (mechanism,) = kind.mechanisms(kind.Settings(), budget(1.0, unit))
    contrast = class_means.released_contrast(np.zeros(10), mechanism, POPULATION)
    assert contrast.difference_variance == pytest.approx(of_difference, rel=1e-3)
    assert contrast.midpoint_variance == pytest.approx(of_midpoint, rel=1e-3)


def test_shrinkage_is_the_posterior_of_a_normal_prior():
    inputs = public_inputs(features(), ("eda_level_mean", "temperature_mean"))
    contrast = class_means.Contrast(np.array([0.9, 0.1]), np.array([0.0, 0.3]), 0.18, 0.0225)
    found = class_means.shrunk(contrast, inputs, class_means.ClassMeansSettings())
    # Precisions 1/0.18 of the noise and 1/0.09 of the prior: two thirds prior; equal ones for the midpoint.
    np.testing.assert_allclose(found.difference, [0.9 / 3 + 0.3 * 2 / 3, 0.1 / 3 - 0.3 * 2 / 3])
    np.testing.assert_allclose(found.midpoint, [0.075, 0.15 - 0.075])


@pytest.mark.parametrize("name", ["logistic", "class_means"])
def test_both_channel_sets_and_scalings_have_public_scales(name):
    found = [
        fit(name, features(channels=channels, scaling=scaling), budget())
        for channels in (PUBLISHED_CHANNELS, PHYSIOLOGICAL_CHANNELS)
        for scaling in ("calibration", "min-max")
    ]
    assert [len(model.weights) for model in found] == [5, 5, 9, 9]
    assert all(np.isfinite(parameters(model)).all() for model in found)


@pytest.mark.parametrize("name", ["logistic", "class_means"])
def test_spectra_are_refused_before_any_job(name):
    kind = registry.load("detectors", name)
    values = kind.Settings(inputs="spectra")
    with pytest.raises(InputError, match="reads statistics, which have public scales, found inputs spectra"):
        kind.mechanisms(values, budget())
    with pytest.raises(InputError, match="use `inputs: statistics` or epsilon inf"):
        kind.fit(values, Training(features(), budget(), root_stream(0)))


@pytest.mark.parametrize("name", ["logistic", "class_means"])
def test_a_private_training_does_not_look_at_the_labels_to_refuse(name):
    alone = replace(features(), stress=np.ones(PEOPLE * WINDOWS, bool))
    assert np.isfinite(parameters(fit(name, alone, budget()))).all()
    with pytest.raises(InputError, match="with and without stress"):
        fit(name, alone, NOT_PRIVATE)


def test_settings_follow_unit_and_epsilon_unless_given():
    for unit, bounds in CHOSEN.items():
        assert bounds[0][0] == 0, "every epsilon has settings"
        assert [least for least, _ in bounds] == sorted(least for least, _ in bounds)
        for least, descent in bounds:
            assert logistic.chosen(budget(max(least, 1e-3), unit)) == descent
    kind = registry.load("detectors", "logistic")
    (mechanism,) = kind.mechanisms(kind.Settings(private=PLAIN), budget())
    assert (mechanism.steps, mechanism.clip_norm, mechanism.sampler) == (4, 0.3, "full batch")
    again = kind.Settings.model_validate(kind.Settings(private=PLAIN).model_dump(mode="json"))
    assert again.private == PLAIN


def test_a_plan_can_ask_for_mechanisms_without_heavy_imports():
    code = (
        "import sys; import pulseveil.detectors.logistic, pulseveil.detectors.class_means, "
        "pulseveil.detectors.rules, pulseveil.detectors.rules; "
        "heavy = {'sklearn', 'scipy', 'pandas', 'h5py', 'tensorflow', 'dp_accounting'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
