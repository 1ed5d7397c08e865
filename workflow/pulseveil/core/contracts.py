"""Data types that stages pass to each other; `store` writes and reads them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

PUBLISHED_CHANNELS = ("BVP", "EDA", "ACC_x", "ACC_y", "ACC_z", "TEMP")
PHYSIOLOGICAL_CHANNELS = (
    "heart_rate",
    "pulse_amplitude",
    "eda_level",
    "eda_phasic",
    "activity",
    "temperature",
)
CHANNEL_SETS: Mapping[str, tuple[str, ...]] = {
    "published": PUBLISHED_CHANNELS,
    "physiological": PHYSIOLOGICAL_CHANNELS,
}

# Skin conductance (microsiemens) below which the electrode has no skin contact.
CONTACT_US = 0.05

BASELINE, STRESS, AMUSEMENT = 0, 1, 2
CONDITIONS = ("baseline", "stress", "amusement")


@dataclass(frozen=True, eq=False)
class Signal:
    """One channel at its native rate: values (n,) float64, `rate_hz` in Hz, unix time of sample 0 in s.

    unmeasured: masks (n,) of samples that the sensor did not measure, by reason, such as mended samples.
    """

    values: NDArray[np.float64]
    rate_hz: float
    start_unix_s: float
    unmeasured: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)


@dataclass(frozen=True)
class Interval:
    """One labelled stretch `[start_s, end_s)` in seconds since the recording's first sample.

    `condition` is a code of `CONDITIONS`; `name` keeps the condition's name in the source files.
    """

    condition: int
    start_s: float
    end_s: float
    name: str


@dataclass(frozen=True, eq=False)
class Recording:
    """One continuous wrist recording of a subject: native-rate signals and labelled intervals.

    Signals are keyed by `PUBLISHED_CHANNELS`. Units: BVP arbitrary, EDA microsiemens, ACC_*
    g/64, TEMP degrees Celsius. `repairs` and `notes` are sentences for the cohort summary: which faults were
    repaired, and which irregularities were kept. chest_rate: (T,) beats/min by second from a chest ECG, where
    the recording has one; NaN where its beats are not sure. scaled: True for values that were scaled per
    person and have no units.
    """

    subject: str
    signals: Mapping[str, Signal]
    intervals: tuple[Interval, ...]
    repairs: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    chest_rate: NDArray[np.float64] | None = None
    scaled: bool = False

    @property
    def whole_seconds(self) -> int:
        """Number of whole seconds from the common start that every signal covers."""
        return min(int(len(signal.values) // signal.rate_hz) for signal in self.signals.values())

    @property
    def start_unix_s(self) -> float:
        """Unix time of the first sample."""
        return next(iter(self.signals.values())).start_unix_s


class Rows:
    """Row selection and concatenation for the columnar records below."""

    row_columns: tuple[str, ...]

    def __len__(self) -> int:
        return len(getattr(self, self.row_columns[0]))

    def take(self, rows: NDArray[np.bool_] | NDArray[np.intp]) -> Self:
        """The same columns restricted to `rows` (mask or indices)."""
        return replace(self, **{c: getattr(self, c)[rows] for c in self.row_columns})  # type: ignore[type-var]

    @classmethod
    def concatenate(cls, parts: list[Self]) -> Self:
        """Rows of all parts, in order.

        Raises:
            ValueError: a field without rows, such as `channels`, differs between the parts.
        """
        first = parts[0]
        for name in (f.name for f in fields(first)):  # type: ignore[arg-type]
            if name in cls.row_columns:
                continue
            if any(not _same(getattr(p, name), getattr(first, name)) for p in parts[1:]):
                raise ValueError(f"cannot concatenate: {name} differs between parts")
        return replace(  # type: ignore[type-var]
            first, **{c: np.concatenate([getattr(p, c) for p in parts]) for c in cls.row_columns}
        )


@dataclass(frozen=True, eq=False)
class WindowSet(Rows):
    """Windows of all subjects of a cohort, subjects in numeric order.

    windows (n, time, 6) float32; condition (n) int8; stress, calibration (n) bool; subject (n) str;
    start_s (n) float64, in the subject's own recording time (NaN for synthetic windows).
    """

    windows: NDArray[np.float32]
    condition: NDArray[np.int8]
    stress: NDArray[np.bool_]
    calibration: NDArray[np.bool_]
    subject: NDArray[np.str_]
    start_s: NDArray[np.float64]
    channels: tuple[str, ...]
    rate_hz: float
    window_s: float
    stride_s: float
    scaling: str
    protocol: str

    row_columns = ("windows", "condition", "stress", "calibration", "subject", "start_s")


@dataclass(frozen=True, eq=False)
class SyntheticSet(Rows):
    """Synthetic windows of one generator and seed, for every fold that the generator was trained for.

    `fold (n) str` names the fold whose generator synthesized the window ("all" for a generator shared by all
    folds); `subject` is `SYN0001`...; the first k subjects of a fold are a valid smaller set. Other columns
    as in `WindowSet`.
    """

    windows: NDArray[np.float32]
    condition: NDArray[np.int8]
    stress: NDArray[np.bool_]
    subject: NDArray[np.str_]
    fold: NDArray[np.str_]
    channels: tuple[str, ...]
    rate_hz: float
    window_s: float
    stride_s: float
    scaling: str
    protocol: str
    generator: str
    unit: str
    epsilon_generator: float
    seed: int

    row_columns = ("windows", "condition", "stress", "subject", "fold")


@dataclass(frozen=True, eq=False)
class FeatureSet(Rows):
    """Spectra and window statistics, one row per window.

    features (n, 6, bins) float32, FFT amplitudes (unit of the channel); statistics (n, k) float32 with
    `statistic_names` (k); frequency_hz (6, bins), NaN where bins carry no frequency (sorted or padded).
    `fold (n) str` is "" for real windows, else the fold whose generator synthesized the window.
    """

    features: NDArray[np.float32]
    statistics: NDArray[np.float32]
    condition: NDArray[np.int8]
    stress: NDArray[np.bool_]
    calibration: NDArray[np.bool_]
    subject: NDArray[np.str_]
    fold: NDArray[np.str_]
    start_s: NDArray[np.float64]
    frequency_hz: NDArray[np.float32]
    statistic_names: tuple[str, ...]
    scaling: str
    protocol: str

    row_columns = (
        "features",
        "statistics",
        "condition",
        "stress",
        "calibration",
        "subject",
        "fold",
        "start_s",
    )


@dataclass(frozen=True, eq=False)
class Scores(Rows):
    """Scores of one cell and seed, one row per tested window.

    score (n): estimated probability of stress; score_rest (n): the second output of two-output networks,
    else 1 - score; predicted (n) bool; fold (n): the fold in which the window was tested. `keys` are the
    run keys of the file: evaluation, generator, detector, unit, epsilons, subjects, noise, seed.
    `ledger` (m): the ledger entries of the detectors' private trainings, each as JSON.
    """

    subject: NDArray[np.str_]
    fold: NDArray[np.str_]
    start_s: NDArray[np.float64]
    condition: NDArray[np.int8]
    stress: NDArray[np.bool_]
    score: NDArray[np.float32]
    score_rest: NDArray[np.float32]
    predicted: NDArray[np.bool_]
    keys: Mapping[str, str | int | float] = field(default_factory=dict)
    ledger: NDArray[np.str_] = field(default_factory=lambda: np.array([], dtype=np.str_))

    row_columns = (
        "subject",
        "fold",
        "start_s",
        "condition",
        "stress",
        "score",
        "score_rest",
        "predicted",
    )


@dataclass(frozen=True, eq=False)
class Portrait:
    """Summaries of real and of synthetic windows for the quality figures of one generator.

    c channels in the study's units, two classes (not stress, stress). edges (c, bins + 1); densities
    (2, c, bins); frequency_hz (f); powers (c, f) in squared units per Hz; correlations (c + 1, c + 1) with
    the label last; components (n, 2) on the first two principal components of the real windows, neighbours
    (n, 2) on a t-SNE map, stress (n) per point; explained (2): the components' shares of the variance.
    real_windows, synthetic_windows (2, k, time, c): k example windows of each class at `rate_hz`, NaN for a
    class without any. `keys`: cohort, generator, unit, epsilon_generator, seed, fold.
    """

    channels: tuple[str, ...]
    edges: NDArray[np.float64]
    real_density: NDArray[np.float64]
    synthetic_density: NDArray[np.float64]
    frequency_hz: NDArray[np.float64]
    real_power: NDArray[np.float64]
    synthetic_power: NDArray[np.float64]
    real_correlation: NDArray[np.float64]
    synthetic_correlation: NDArray[np.float64]
    explained: NDArray[np.float64]
    real_components: NDArray[np.float32]
    synthetic_components: NDArray[np.float32]
    real_neighbours: NDArray[np.float32]
    synthetic_neighbours: NDArray[np.float32]
    real_stress: NDArray[np.bool_]
    synthetic_stress: NDArray[np.bool_]
    real_windows: NDArray[np.float32]
    synthetic_windows: NDArray[np.float32]
    rate_hz: float
    scaling: str
    keys: Mapping[str, str | int]


def _same(left: object, right: object) -> bool:
    # `frequency_hz` holds NaN where a bin has no frequency, and NaN is not equal to itself.
    if isinstance(left, np.ndarray) and left.dtype.kind == "f":
        return np.array_equal(left, np.asarray(right), equal_nan=True)
    return bool(np.array_equal(np.asarray(left), np.asarray(right)))


def subject_order(subject: str) -> tuple[str, int, str]:
    """Sort key for subject names in numeric order.

    Examples:
        >>> sorted(["S10", "S2", "S1"], key=subject_order)
        ['S1', 'S2', 'S10']
    """
    digits = "".join(c for c in subject if c.isdigit())
    prefix = subject.rstrip("0123456789")
    return (prefix, int(digits) if digits else -1, subject)
