import cmath
import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pulseveil.core.contracts import (
    PHYSIOLOGICAL_CHANNELS,
    PUBLISHED_CHANNELS,
    FeatureSet,
    SyntheticSet,
    WindowSet,
)
from pulseveil.core.errors import InputError
from pulseveil.core.store import read_record, sidecar_path, write_record
from pulseveil.windows.features import (
    extract_features,
    feature_settings,
    ordered_spectra,
    sorted_spectra,
    statistic_names,
)


def window_set(values, *, channels=PUBLISHED_CHANNELS, rate_hz=1.0, protocol="paper") -> WindowSet:
    n = len(values)
    return WindowSet(
        windows=np.asarray(values, np.float32),
        condition=np.arange(n, dtype=np.int8) % 3,
        stress=np.arange(n) % 3 == 1,
        calibration=np.arange(n) == 0,
        subject=np.full(n, "S2"),
        start_s=60.0 * np.arange(n),
        channels=channels,
        rate_hz=rate_hz,
        window_s=values.shape[1] / rate_hz,
        stride_s=60.0,
        scaling="min-max",
        protocol=protocol,
    )


def synthetic_set(values) -> SyntheticSet:
    n = len(values)
    return SyntheticSet(
        windows=np.asarray(values, np.float32),
        condition=np.zeros(n, np.int8),
        stress=np.zeros(n, bool),
        subject=np.full(n, "SYN0001"),
        fold=np.full(n, "S14"),
        channels=PUBLISHED_CHANNELS,
        rate_hz=1.0,
        window_s=60.0,
        stride_s=60.0,
        scaling="min-max",
        protocol="paper",
        generator="moments",
        unit="subject",
        epsilon_generator=math.inf,
        seed=0,
    )


def random_windows(n: int, time: int = 60, seed: int = 0):
    return np.random.default_rng(seed).random((n, time, 6))


def fourier_term(signal, k: int) -> complex:
    return sum(x * cmath.exp(-2j * math.pi * k * t / len(signal)) for t, x in enumerate(signal))


def plain_published(signal, length: int) -> list[float]:
    """The definition, one number at a time."""
    sub_windows = [signal[s : s + length] for s in range(len(signal) - length + 1)]
    rows = [sorted((abs(fourier_term(w, k)) for k in range(length // 2)), reverse=True) for w in sub_windows]
    means = [sum(column) / len(rows) for column in zip(*rows, strict=True)]
    return means + [0.0] * (210 - len(means))


@pytest.mark.parametrize(
    ("pairing", "lengths"), [("published", (7, 7, 7, 30, 30, 35)), ("intended", (30, 30, 7, 7, 7, 35))]
)
def test_paper_features_equal_the_plain_definition(pairing, lengths):
    windows = random_windows(2)
    expected = [
        [plain_published(w[:, c].tolist(), length) for c, length in enumerate(lengths)] for w in windows
    ]
    np.testing.assert_allclose(sorted_spectra(windows, pairing), expected, rtol=1e-10, atol=1e-10)


def test_sound_features_equal_the_plain_definition():
    windows = random_windows(1)
    signal = windows[0, :, 4].tolist()
    sub_windows = [signal[s : s + 30] for s in range(31)]
    expected = [np.mean([abs(fourier_term(w, k)) for w in sub_windows]) for k in range(16)]
    np.testing.assert_allclose(ordered_spectra(windows, 1.0)[0, 4], expected, rtol=1e-10)


def test_a_sine_stands_in_the_bin_of_its_frequency():
    time = np.arange(60)
    windows = np.zeros((1, 60, 6))
    windows[0, :, 3] = 2.0 * np.sin(2 * np.pi * 0.2 * time)
    features = extract_features(window_set(windows, protocol="sound"), protocol="sound", pairing="published")
    peak = features.features[0, 3].argmax()
    assert features.frequency_hz[3, peak] == pytest.approx(0.2)
    assert features.features[0, 3, peak] == pytest.approx(2.0 * 30 / 2, rel=1e-6)
    assert np.delete(features.features[0, 3], peak) == pytest.approx(0, abs=1e-5)


def test_sound_tells_a_rise_from_a_fall_and_paper_does_not():
    windows = np.stack([np.full((60, 6), 1.5), np.full((60, 6), -1.5)])
    sound = ordered_spectra(windows, 1.0)[:, :, 0]
    paper = sorted_spectra(windows, "intended")[:, :, 0]
    np.testing.assert_allclose(sound, [[45.0] * 6, [-45.0] * 6])
    np.testing.assert_allclose(paper[0], paper[1])


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 5), st.sampled_from(["published", "intended"]), st.floats(0.1, 10), st.integers(0, 99))
def test_paper_spectra_descend_scale_and_use_56_bins(n, pairing, factor, seed):
    windows = random_windows(n, seed=seed)
    spectra = sorted_spectra(windows, pairing)
    assert (np.diff(spectra, axis=2) <= 1e-12).all()
    assert (spectra > 0).sum(axis=(1, 2)).tolist() == [56] * n
    np.testing.assert_allclose(sorted_spectra(factor * windows, pairing), factor * spectra, rtol=1e-9)


@settings(deadline=None, max_examples=30)
@given(st.integers(2, 6), st.sampled_from(["paper", "sound"]), st.randoms(use_true_random=False))
def test_each_window_stands_for_itself(n, protocol, random):
    order = random.sample(range(n), n)
    windows = window_set(random_windows(n))
    whole = extract_features(windows, protocol=protocol, pairing="intended")
    shuffled = extract_features(windows.take(np.array(order)), protocol=protocol, pairing="intended")
    np.testing.assert_array_equal(shuffled.features, whole.features[order])
    np.testing.assert_array_equal(shuffled.statistics, whole.statistics[order])


def test_more_windows_than_a_block_give_the_same_values():
    windows = random_windows(600)
    one_by_one = np.concatenate([ordered_spectra(windows[i : i + 1], 1.0) for i in (0, 255, 256, 599)])
    np.testing.assert_array_equal(ordered_spectra(windows, 1.0)[[0, 255, 256, 599]], one_by_one)


def test_real_rows_keep_their_labels_and_times():
    windows = window_set(random_windows(4))
    features = extract_features(windows, protocol="paper", pairing="published")
    assert features.features.shape == (4, 6, 210)
    assert features.features.dtype == features.statistics.dtype == features.frequency_hz.dtype == np.float32
    assert np.isnan(features.frequency_hz).all()
    assert features.statistic_names == statistic_names(PUBLISHED_CHANNELS)
    assert features.fold.tolist() == [""] * 4
    for column in ("condition", "stress", "calibration", "subject", "start_s"):
        np.testing.assert_array_equal(getattr(features, column), getattr(windows, column))


def test_synthetic_rows_have_a_fold_but_no_time_and_join_real_rows():
    real = extract_features(window_set(random_windows(2)), protocol="paper", pairing="published")
    made = extract_features(synthetic_set(random_windows(3)), protocol="paper", pairing="published")
    assert made.fold.tolist() == ["S14"] * 3
    assert np.isnan(made.start_s).all()
    assert not made.calibration.any()
    assert len(FeatureSet.concatenate([real, made])) == 5


def test_sound_takes_other_rates_and_channels():
    windows = window_set(
        random_windows(2, time=240), channels=PHYSIOLOGICAL_CHANNELS, rate_hz=4.0, protocol="sound"
    )
    features = extract_features(windows, protocol="sound", pairing="published")
    assert features.features.shape == (2, 6, 61)
    assert features.frequency_hz[0, [0, 1, -1]] == pytest.approx([0, 1 / 30, 2.0])


def test_paper_refuses_what_the_published_study_did_not_define():
    other = window_set(random_windows(1), channels=PHYSIOLOGICAL_CHANNELS)
    with pytest.raises(InputError, match=r"found heart_rate .* use `protocol: sound`"):
        extract_features(other, protocol="paper", pairing="published")
    with pytest.raises(InputError, match="at least 35 s at 1 Hz, found 30 samples at 1 Hz"):
        extract_features(window_set(random_windows(1, time=30)), protocol="paper", pairing="published")
    with pytest.raises(InputError, match="found 60 samples at 4 Hz"):
        extract_features(window_set(random_windows(1), rate_hz=4.0), protocol="paper", pairing="published")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_missing_value_is_named_by_row_and_subject(value):
    windows = random_windows(3)
    windows[1, 7, 2] = value
    with pytest.raises(InputError, match=r"row 1 \(subject S2\)"):
        extract_features(window_set(windows), protocol="sound", pairing="published")


def test_no_windows_give_no_features():
    features = extract_features(window_set(random_windows(0)), protocol="sound", pairing="published")
    assert features.features.shape == (0, 6, 16)


def test_the_pairing_matters_for_the_paper_only():
    assert feature_settings("sound", "published") == feature_settings("sound", "intended")
    assert feature_settings("paper", "published") != feature_settings("paper", "intended")


def run_script(*arguments):
    command = [sys.executable, "scripts/extract_features.py", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_script_writes_equal_files_and_tells_real_from_synthetic(tmp_path):
    source, first, second = tmp_path / "w.h5", tmp_path / "a.h5", tmp_path / "b.h5"
    windows = synthetic_set(random_windows(3))
    write_record(source, windows, cell_hash="x")
    for out in (first, second):
        answer = run_script(source, "--protocol", "paper", "--out", out, "--study", "demo")
        assert answer.returncode == 0, answer.stderr
    expected = extract_features(windows, protocol="paper", pairing="published")
    np.testing.assert_array_equal(read_record(first, FeatureSet).features, expected.features)
    assert first.read_bytes() == second.read_bytes()
    assert '"study": "demo"' in sidecar_path(first).read_text()


def test_the_script_explains_a_wrong_file_in_one_line(tmp_path):
    features = extract_features(window_set(random_windows(1)), protocol="sound", pairing="published")
    write_record(tmp_path / "f.h5", features, cell_hash="x")
    answer = run_script(tmp_path / "f.h5", "--protocol", "sound", "--out", tmp_path / "out.h5")
    assert answer.returncode == 2
    assert answer.stderr.startswith("error: ")
    assert "expected windows of prepare_cohort or synthesize, found FeatureSet" in answer.stderr
    assert answer.stderr.count("\n") == 1
    assert not (tmp_path / "out.h5").exists()
