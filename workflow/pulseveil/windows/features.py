"""Features of windows: averaged amplitude spectra, and statistics in named columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from pulseveil.core.contracts import PUBLISHED_CHANNELS, FeatureSet, SyntheticSet, WindowSet
from pulseveil.core.errors import InputError
from pulseveil.core.identity import FEATURES
from pulseveil.core.settings import Pairing, Preprocessing

# Statistics (suffixes of columns) with their units; `scaled` is the unit of the channel after scaling.
STATISTICS: Mapping[str, str] = {
    "mean": "scaled",
    "log_sd": "ln(scaled)",
    "slope": "scaled/min",
    "minimum": "scaled",
    "maximum": "scaled",
}
# About one step of a sensor. A sensor at rest has SD 0, whose logarithm is infinite.
SD_FLOOR = 1e-3
SECONDS_PER_MINUTE = 60.0


def statistic_names(channels: Sequence[str]) -> tuple[str, ...]:
    """Column names: all statistics of the first channel, then of the next.

    Examples:
        >>> statistic_names(["heart_rate"])[:3]
        ('heart_rate_mean', 'heart_rate_log_sd', 'heart_rate_slope')
    """
    return tuple(f"{channel}_{name}" for channel in channels for name in STATISTICS)


def window_statistics(windows: NDArray[np.floating], rate_hz: float) -> NDArray[np.float32]:
    """Statistics (n, channels * 5) of scaled windows (n, time, channels), columns as in `statistic_names`.

    mean; log_sd: natural logarithm of the population SD, floored at `SD_FLOOR`; slope: of the least-squares
    line, per minute; minimum; maximum.
    """
    values = np.asarray(windows, dtype=np.float64)
    count, time, channels = values.shape
    minutes = (np.arange(time) - (time - 1) / 2) / rate_hz / SECONDS_PER_MINUTE
    columns = (
        values.mean(axis=1),
        np.log(np.maximum(values.std(axis=1), SD_FLOOR)),
        np.einsum("ntc,t->nc", values, minutes) / np.square(minutes).sum(),
        values.min(axis=1),
        values.max(axis=1),
    )
    return np.stack(columns, axis=2).reshape(count, channels * len(columns)).astype(np.float32)


def select_columns(names: Sequence[str], wanted: Sequence[str]) -> NDArray[np.intp]:
    """Ascending indices of the wanted columns: full names, or a statistic such as `mean` for all channels.

    Examples:
        >>> names = ["eda_level_mean", "eda_level_slope", "temperature_mean"]
        >>> select_columns(names, ["mean", "eda_level_slope"])
        array([0, 1, 2])

    Raises:
        InputError: no column has a wanted name.
    """
    found = [[i for i, name in enumerate(names) if name == w or name.endswith(f"_{w}")] for w in wanted]
    for w, indices in zip(wanted, found, strict=True):
        if not indices:
            raise InputError(f"statistics: no column {w!r}; the windows' channels have {', '.join(names)}")
    return np.unique(np.concatenate([np.asarray(indices, dtype=np.intp) for indices in found]))


Spectra = NDArray[np.float64]
Coefficients = NDArray[np.complex128]

# Length (s) of the sub-windows per channel. The published code defines `intended`, but it took the lengths in
# the order ACC BVP EDA TEMP and the signals in the order BVP EDA ACC TEMP: it computed `published`.
SUB_WINDOW_S: Mapping[Pairing, Mapping[str, int]] = {
    "intended": {"BVP": 30, "EDA": 30, "ACC_x": 7, "ACC_y": 7, "ACC_z": 7, "TEMP": 35},
    "published": {"BVP": 7, "EDA": 7, "ACC_x": 7, "ACC_y": 30, "ACC_z": 30, "TEMP": 35},
}
PAPER_BINS = 210
# Windows per block. Sub-windows overlap almost completely: spectra need some fifty times the memory of their
# windows.
_BLOCK_ROWS = 256


def extract_features(
    windows: WindowSet | SyntheticSet, *, protocol: Preprocessing, pairing: Pairing
) -> FeatureSet:
    """Spectra and statistics of each window, computed alike for real and synthetic windows.

    `paper`: `sorted_spectra` (n, 6, 210) with the sub-window lengths of `pairing`. `sound`:
    `ordered_spectra` (n, 6, bins), which ignores `pairing`, because all channels have the same length.
    Real rows get fold "", synthetic rows calibration False and start_s NaN.

    Raises:
        InputError: a window holds NaN or infinity, or the protocol is `paper` and the channels, rate or
            length differ from the published study.
    """
    values, rate_hz = windows.windows, windows.rate_hz
    _require_finite(windows)
    if protocol == "paper":
        _require_published(windows)
        spectra = sorted_spectra(values, pairing)
        frequency_hz = np.full(spectra.shape[1:], np.nan)
    else:
        spectra = ordered_spectra(values, rate_hz)
        bins = np.fft.rfftfreq(_half(values), 1 / rate_hz)
        frequency_hz = np.tile(bins, (values.shape[2], 1))
    return FeatureSet(
        features=spectra.astype(np.float32),
        statistics=window_statistics(values, rate_hz),
        condition=windows.condition,
        stress=windows.stress,
        subject=windows.subject,
        frequency_hz=frequency_hz.astype(np.float32),
        statistic_names=statistic_names(windows.channels),
        scaling=windows.scaling,
        protocol=protocol,
        **_origin(windows),
    )


def spectrum_bins(protocol: Preprocessing, window_s: int) -> int:
    """Number of bins of the spectra of windows at 1 Hz.

    Examples:
        >>> spectrum_bins("sound", 60), spectrum_bins("paper", 60)
        (16, 210)
    """
    return PAPER_BINS if protocol == "paper" else window_s // 4 + 1


def feature_settings(protocol: Preprocessing, pairing: Pairing) -> dict[str, Any]:
    """All settings that features depend on beside the windows, for hashes."""
    settings: dict[str, Any] = {"stage": "features", "version": FEATURES, "protocol": protocol}
    return settings | {"pairing": pairing} if protocol == "paper" else settings


def sorted_spectra(windows: NDArray[np.floating], pairing: Pairing) -> Spectra:
    """Published features (n, 6, 210) of 1 Hz windows (n, time, 6) with the channels `PUBLISHED_CHANNELS`.

    A window is cut into sub-windows of L samples, shifted by 1 s. The magnitudes of the first L // 2 Fourier
    coefficients are sorted in descending order within each sub-window, averaged over the sub-windows, and
    padded with zeros to 210 bins. Amplitudes are in the unit of the channel, not divided by L.

    Source: Lange et al., Sensors 2024, 24(10):3052, and its code.
    """
    lengths = np.array([SUB_WINDOW_S[pairing][channel] for channel in PUBLISHED_CHANNELS])
    spectra = np.zeros((len(windows), len(lengths), PAPER_BINS))
    for length in np.unique(lengths):
        same = lengths == length
        spectra[:, same, : length // 2] = _averaged(windows[:, :, same], int(length), 1, _sorted_amplitudes)
    return spectra


def ordered_spectra(windows: NDArray[np.floating], rate_hz: float) -> Spectra:
    """Spectra (n, channels, bins) of windows (n, time, channels) in the order of their frequencies.

    Spectra are averaged over sub-windows of half a window, shifted by 1 s (31 of 30 s in a window of 60 s),
    which reduces their variance at the cost of resolution (Welch, IEEE Trans. Audio Electroacoust. 1967,
    15(2):70-73). Bins run from 0 Hz to the Nyquist frequency, in a window of 60 s by steps of 1/30 Hz. Bin 0
    is the signed sum of the sub-window, all others are magnitudes; both in the unit of the channel, not
    divided by the length.
    """
    length, step = _half(windows), max(1, round(rate_hz))
    return _averaged(windows, length, step, _ordered_amplitudes)


def _averaged(
    windows: NDArray[np.floating], length: int, step: int, amplitudes: Callable[[Coefficients], Spectra]
) -> Spectra:
    """Mean amplitudes of the Fourier coefficients over all sub-windows (rows, channels, bins)."""
    signals = np.moveaxis(windows, 2, 1)
    blocks = []
    for start in range(0, max(1, len(signals)), _BLOCK_ROWS):
        block = np.ascontiguousarray(signals[start : start + _BLOCK_ROWS], dtype=np.float64)
        sub_windows = sliding_window_view(block, length, axis=2)[:, :, ::step]
        blocks.append(amplitudes(np.fft.rfft(sub_windows, axis=-1)).mean(axis=2))
    return np.concatenate(blocks)


def _sorted_amplitudes(coefficients: Coefficients) -> Spectra:
    """Descending magnitudes of all but the last of the L // 2 + 1 coefficients, as in the published code."""
    ascending: Spectra = np.sort(np.abs(coefficients[..., :-1]), axis=-1)
    return ascending[..., ::-1]


def _ordered_amplitudes(coefficients: Coefficients) -> Spectra:
    amplitudes: Spectra = np.abs(coefficients)
    # On a channel centred on a person's rest, a magnitude would not distinguish a rise from a fall.
    amplitudes[..., 0] = coefficients[..., 0].real
    return amplitudes


def _half(windows: NDArray[np.floating]) -> int:
    return max(2, int(windows.shape[1]) // 2)


def _origin(windows: WindowSet | SyntheticSet) -> dict[str, NDArray[Any]]:
    if isinstance(windows, SyntheticSet):
        return {
            "fold": windows.fold,
            "calibration": np.zeros(len(windows), dtype=bool),
            "start_s": np.full(len(windows), np.nan),
        }
    return {
        "fold": np.full(len(windows), "", dtype=np.str_),
        "calibration": windows.calibration,
        "start_s": windows.start_s,
    }


def _require_finite(windows: WindowSet | SyntheticSet) -> None:
    bad = ~np.isfinite(windows.windows).all(axis=(1, 2))
    if bad.any():
        row = int(np.argmax(bad))
        raise InputError(
            f"windows: expected finite values, found NaN or infinity in row {row} "
            f"(subject {windows.subject[row]}) and {int(bad.sum()) - 1} more; create the window file again"
        )


def _require_published(windows: WindowSet | SyntheticSet) -> None:
    longest = max(SUB_WINDOW_S["intended"].values())
    if tuple(windows.channels) != PUBLISHED_CHANNELS:
        raise InputError(
            f"protocol paper: expected the channels {' '.join(PUBLISHED_CHANNELS)}, found "
            f"{' '.join(windows.channels)}; sub-window lengths exist only for the published channels, use "
            "`protocol: sound` or `channels: published`"
        )
    if windows.rate_hz != 1 or windows.windows.shape[1] < longest:
        raise InputError(
            f"protocol paper: expected windows of at least {longest} s at 1 Hz, found "
            f"{windows.windows.shape[1]} samples at {windows.rate_hz:g} Hz; use `protocol: sound`"
        )
