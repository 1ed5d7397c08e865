import numpy as np
import pytest
from scipy import stats

from pulseveil.core.randomness import root_stream
from pulseveil.quality import intervals
from pulseveil.quality.distributions import (
    correlation_distance,
    correlation_matrix,
    kolmogorov_smirnov,
    power_spectra,
    spectral_distance,
    wasserstein,
)
from pulseveil.quality.measures import Key, kernel_bandwidth, measure, measure_people
from pulseveil.quality.neighbours import median_distance, mmd2, nearest_distances, support
from pulseveil.quality.portrait import neighbour_map, principal_components
from pulseveil.quality.samples import HALVINGS, MOST_ROWS, Pair, Sample, class_counts, compare

STREAM = root_stream(0)
CHANNELS = ("a", "b", "c")


def people(seed, n=120, subjects=6, shift=0.0, spread=1.0, name="S", time=30):
    """Smooth windows of people with levels of their own; a third is stress, one unit higher in channel a."""
    rng = np.random.default_rng(seed)
    stress = np.arange(n) % 3 == 0
    subject = np.arange(n) // 3 % subjects
    walk = rng.normal(size=(n, time, 3)).cumsum(axis=1) / 5
    windows = spread * (walk + rng.normal(size=(subjects, 1, 3))[subject] * 0.3) + shift
    windows[stress, :, 0] += 1
    return Sample(windows.astype(np.float32), stress, np.char.add(name, subject.astype(str)))


def rows(seed, n=60, k=3, shift=0.0):
    return np.random.default_rng(seed).normal(size=(n, k)) + shift


# Distributions of single signals


def test_a_shift_is_its_own_wasserstein_distance():
    real = rows(0, 40, 20)
    subject = np.repeat(["S1", "S2", "S3", "S4"], 10)
    assert wasserstein(real, real + 0.7, subject, STREAM).value == pytest.approx(0.7)
    assert wasserstein(real, 2.5 + 0 * real, subject, STREAM).value == pytest.approx(
        np.abs(real - 2.5).mean()
    )


def test_disjoint_and_equal_values_are_the_ends_of_kolmogorov_smirnov():
    real, subject = rows(0, 40, 20), np.repeat(["S1", "S2"], 20)
    assert kolmogorov_smirnov(real, real + 100, subject, STREAM) == pytest.approx((1, 1, 1), abs=0.01)
    assert kolmogorov_smirnov(real, real[::-1], subject, STREAM).value == 0
    found = kolmogorov_smirnov(real, rows(1, 40, 20, 0.5), subject, STREAM)
    # Both distribution functions are known: the largest gap of N(0, 1) and N(.5, 1) lies half way.
    assert found.value == pytest.approx(stats.norm.cdf(0.25) - stats.norm.cdf(-0.25), abs=0.05)


@pytest.mark.parametrize(("function", "expected"), [(wasserstein, 3.0), (kolmogorov_smirnov, 0.866)])
def test_the_interval_of_a_large_distance_is_that_of_people(function, expected):
    """Levels of 40 people N(0, 1) against N(3, 1): the distance of means has a standard error of .16."""
    levels = np.repeat(rows(3, 40, 1), 5, axis=0) + rows(4, 200, 20) * 0.01
    found = function(levels, rows(5, 200, 20, 3), np.repeat(np.arange(40).astype(str), 5), STREAM)
    assert found.low < found.value < found.high
    assert found.value == pytest.approx(expected, abs=0.4)
    if function is wasserstein:
        assert (found.high - found.low) / 2 == pytest.approx(
            1.96 * np.std(levels[::5, 0]) / 40**0.5, rel=0.25
        )


# Intervals


def test_the_interval_of_a_mean_covers_it_as_often_as_it_says():
    rng = np.random.default_rng(1)
    hits = 0
    for i in range(200):
        level = rng.normal(size=30)
        values = np.repeat(level, 4) + rng.normal(size=120) * 0.1
        found = intervals.mean(values, np.repeat(np.arange(30).astype(str), 4), root_stream(i))
        hits += found.low <= 0 <= found.high
    # Percentile intervals of 30 people cover about 93 %; below 86 % by chance once in 10,000 times.
    assert 172 <= hits <= 200


def test_one_person_has_a_value_and_no_interval():
    found = intervals.mean(np.array([1.0, 0.0]), np.array(["S1", "S1"]), STREAM)
    assert found.value == 0.5
    assert np.isnan(found.low)


# Correlations


def test_correlations_are_those_of_numpy_with_the_label_last():
    sample = people(0)
    flat = sample.windows.reshape(-1, 3).astype(float)
    expected = np.corrcoef(np.column_stack([flat, np.repeat(sample.stress, 30)]).T)
    assert correlation_matrix(sample) == pytest.approx(expected)


def test_a_constant_signal_has_no_correlation():
    sample = people(0)
    sample.windows[:, :, 1] = 0.3
    found = correlation_matrix(sample)
    assert found[1].tolist() == [0, 1, 0, 0]


def test_the_distance_is_the_mean_over_all_pairs():
    real, other = people(0), people(1, spread=2)
    difference = np.abs(correlation_matrix(real) - correlation_matrix(other))
    expected = np.mean([difference[i, j] for i in range(4) for j in range(i)])
    assert correlation_distance(Pair(real, other), STREAM).value == pytest.approx(expected)
    assert correlation_distance(Pair(real, real), STREAM).value == pytest.approx(0, abs=1e-12)


# Spectra


def test_the_power_of_a_sine_lies_at_its_frequency():
    time = np.arange(60)
    wave = np.sin(2 * np.pi * 0.2 * time)[np.newaxis, :, np.newaxis].astype(np.float32)
    frequency, power = power_spectra(wave, 1.0)
    assert frequency[power[0, :, 0].argmax()] == pytest.approx(0.2)
    assert frequency[0] > 0


def test_ten_times_the_power_is_ten_decibels():
    _, power = power_spectra(people(0).windows, 1.0)
    subject = people(0).subject
    assert spectral_distance(power[:, :, 0], 10 * power[:, :, 0], subject, STREAM) == pytest.approx(
        (10, 10, 10), rel=0.3
    )
    assert spectral_distance(power[:, :, 0], 10 * power[:, :, 0], subject, STREAM).value == pytest.approx(10)
    assert spectral_distance(power[:, :, 0], 0 * power[:, :, 0], subject, STREAM).value < 70


# Kernel


def test_mmd_is_that_of_a_plain_double_loop():
    real, other, bandwidth = rows(0, 12), rows(1, 9, shift=0.5), 1.7

    def kernel(a, b):
        return np.exp(-np.sum((a - b) ** 2) / (2 * bandwidth**2))

    within = [
        np.mean([kernel(a, b) for i, a in enumerate(side) for j, b in enumerate(side) if i != j])
        for side in (real, other)
    ]
    across = np.mean([kernel(a, b) for a in real for b in other])
    assert mmd2(real, other, bandwidth) == pytest.approx(sum(within) - 2 * across)


def test_mmd_of_one_distribution_is_zero_on_average_at_any_n():
    for n in (10, 40):
        found = [mmd2(rows(2 * i, n), rows(2 * i + 1, n), 2.0) for i in range(200)]
        assert abs(np.mean(found)) < 4 * np.std(found) / 200**0.5


def test_the_bandwidth_is_the_median_distance():
    real = rows(0, 9)
    expected = np.median([np.linalg.norm(real[i] - real[j]) for i in range(9) for j in range(i)])
    assert median_distance(real) == pytest.approx(expected)


# Precision, recall, density, coverage, neighbours


def test_support_is_that_of_plain_loops():
    real, other, k = rows(0, 25), rows(1, 20, shift=0.6), 3

    def radius(side, i):
        return sorted(np.linalg.norm(side[i] - row) for j, row in enumerate(side) if j != i)[k - 1]

    def inside(side, point):
        return [np.linalg.norm(row - point) <= radius(side, i) for i, row in enumerate(side)]

    found = support(real, other, k)
    assert found.precision.tolist() == [any(inside(real, row)) for row in other]
    assert found.density.tolist() == pytest.approx([sum(inside(real, row)) / k for row in other])
    assert found.recall.tolist() == [any(inside(other, row)) for row in real]
    holds = [any(np.linalg.norm(row - o) <= radius(real, i) for o in other) for i, row in enumerate(real)]
    assert found.coverage.tolist() == holds


def test_collapse_is_seen_by_recall_and_coverage_but_not_by_precision():
    real = np.concatenate([rows(0, 150), rows(1, 150, shift=20)])
    whole = support(real, np.concatenate([rows(2, 150), rows(3, 150, shift=20)]))
    one_mode = support(real, rows(4, 300))
    assert min(whole.precision.mean(), whole.recall.mean(), whole.coverage.mean()) > 0.8
    assert one_mode.precision.mean() > 0.8
    assert one_mode.recall.mean() == pytest.approx(0.5, abs=0.1)
    assert one_mode.coverage.mean() < 0.55


def test_too_few_rows_have_no_balls():
    with pytest.raises(ValueError, match="more than 5 rows"):
        support(rows(0, 5), rows(1, 20))


def test_nearest_distances_are_those_of_a_plain_loop():
    real, other = rows(0, 30), rows(1, 20)
    expected = [min(np.linalg.norm(a - b) for b in other) for a in real]
    assert nearest_distances(real, other) == pytest.approx(expected)
    assert nearest_distances(real, real) == pytest.approx(np.zeros(30), abs=1e-6)


# Maps


def test_components_are_fitted_to_real_windows_alone():
    real, other = people(0), people(1, shift=50)
    alone, explained = principal_components(Pair(real, real))
    beside, _ = principal_components(Pair(real, other))
    assert np.array_equal(alone.real, beside.real)
    flat = real.windows.reshape(120, -1) - real.windows.reshape(120, -1).mean(axis=0)
    values = np.linalg.svd(flat, compute_uv=False) ** 2
    assert explained == pytest.approx(values[:2] / values.sum(), rel=1e-4)


def test_the_neighbour_map_keeps_what_lies_apart_apart_and_is_repeatable():
    pair = Pair(people(0, 60), people(1, 60, shift=50))
    found = neighbour_map(pair, STREAM)
    centres = found.real.mean(axis=0), found.other.mean(axis=0)
    assert np.linalg.norm(centres[0] - centres[1]) > 2 * found.real.std()
    assert np.array_equal(neighbour_map(pair, STREAM).other, found.other)


# What is compared


def test_all_samples_have_equally_many_windows_of_each_class():
    found = compare(people(0, 240), people(1, 90, name="SYN"), None, STREAM)
    assert len(found.floors) == HALVINGS
    counts = {int(s.stress.sum()) for pair in (found.synthetic, *found.floors) for s in pair}
    sizes = {len(s.stress) for pair in (found.synthetic, *found.floors) for s in pair}
    assert counts == {30}
    assert sizes == {90}
    for first, second in found.floors:
        assert not set(first.subject) & set(second.subject)
        assert len(set(first.subject)) == len(set(second.subject)) == 3


def test_many_windows_are_thinned_and_one_person_has_no_floor():
    assert sum(class_counts(people(0, 3000), people(1, 3000))) == pytest.approx(MOST_ROWS, abs=2)
    assert compare(people(0, subjects=1), people(1), None, STREAM).floors == ()


@pytest.fixture(scope="module")
def measured():
    """The measures of other people of the same kind, of shifted ones and of an average person."""
    real = people(0)
    bandwidth = kernel_bandwidth(real)
    others = {
        "alike": people(1, name="SYN"),
        "shifted": people(1, name="SYN", shift=1.5),
        "narrow": people(1, name="SYN", spread=0.2),
    }
    return {
        name: measure(Pair(real, other), CHANNELS, 1.0, bandwidth, STREAM) for name, other in others.items()
    }


LOWER_IS_BETTER = [Key("two_sample_1nn"), Key("two_sample_logistic"), Key("discriminative"), Key("mmd2")]
LOWER_IS_BETTER += [Key("nearest_real"), Key("nearest_synthetic")]
LOWER_IS_BETTER += [
    Key(name, "b", condition) for name in ("wasserstein", "ks") for condition in ("stress", "not_stress")
]


@pytest.mark.parametrize("key", LOWER_IS_BETTER, ids=lambda key: "-".join(key))
def test_a_shift_is_seen(measured, key):
    assert measured["shifted"][key].value > measured["alike"][key].value


@pytest.mark.parametrize("name", ["precision", "density", "recall", "coverage"])
def test_shifted_windows_share_less_support(measured, name):
    assert measured["shifted"][Key(name)].value < measured["alike"][Key(name)].value


def test_an_average_person_is_precise_and_covers_little(measured):
    narrow, alike = measured["narrow"], measured["alike"]
    assert narrow[Key("precision")].value >= alike[Key("precision")].value
    assert narrow[Key("recall")].value < alike[Key("recall")].value - 0.3
    assert narrow[Key("spectrum_db", "c")].value == pytest.approx(-20 * np.log10(0.2), abs=2)


def test_the_order_of_windows_does_not_matter():
    pair = Pair(people(0), people(1, name="SYN"))
    order = np.random.default_rng(2).permutation(120)
    shuffled = Pair(pair.real.take(order), pair.other.take(order[::-1]))
    first, second = (measure(p, CHANNELS, 1.0, 5.0, STREAM) for p in (pair, shuffled))
    fitted = {"two_sample_logistic", "discriminative"}  # whose people are divided in order of the windows
    for key, estimate in first.items():
        if key.measure not in fitted:
            assert second[key].value == pytest.approx(estimate.value, rel=1e-5), key


def test_equal_people_lie_near_the_floor():
    real, synthetic = people(0, 360, 24), people(1, 360, 24, name="SYN")
    found = compare(real, synthetic, None, STREAM)
    bandwidth = kernel_bandwidth(real)
    value = measure_people(found.synthetic, STREAM)
    floors = [measure_people(pair, STREAM) for pair in found.floors]
    for key in value:
        levels = [floor[key].value for floor in floors]
        spread = max(max(levels) - min(levels), 0.05 * abs(np.mean(levels)))
        assert abs(value[key].value - np.mean(levels)) < 2 * spread, key
    assert bandwidth > 0


def test_a_missing_class_leaves_its_rows_out():
    real, made = people(0), people(1, name="SYN")
    none = made.take(~made.stress)
    found = compare(real, none, None, STREAM)
    keys = set(measure(found.synthetic, CHANNELS, 1.0, 5.0, STREAM))
    assert Key("ks", "a", "not_stress") in keys
    assert Key("ks", "a", "stress") not in keys
