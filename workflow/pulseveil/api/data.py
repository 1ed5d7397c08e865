"""Recordings, windows and features as arrays and tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from pulseveil.cohorts import Cohort, copies, require_units
from pulseveil.core import registry
from pulseveil.core.contracts import (
    BASELINE,
    PHYSIOLOGICAL_CHANNELS,
    STRESS,
    FeatureSet,
    Recording,
    SyntheticSet,
    WindowSet,
)
from pulseveil.core.errors import InputError
from pulseveil.core.settings import Preprocessing, ScalingName
from pulseveil.release.claims import ReleaseClaim
from pulseveil.runs.cohort import check_settings
from pulseveil.windows.cutting import cut_windows as cut
from pulseveil.windows.features import extract_features

# The corrected pre-processing: with the published one a window knows the whole recording of its person.
PROTOCOL: Preprocessing = "sound"
SCALING: ScalingName = "calibration"


@dataclass(frozen=True, eq=False)
class Synthetic(SyntheticSet):
    """Windows of a generator, with its claim, which is theirs too, and the names of the people behind it."""

    claim: ReleaseClaim
    people: tuple[str, ...]


def load_cohort(kind: str, data: str | Path | None = None, **settings: Any) -> list[Recording]:
    """Read the recordings of a cohort, one or several per person.

    kind: `wesad`, `empatica`, `embraceplus`, `table`, `simulated`, or another registered kind. data: folder
    of the recordings. settings: other keys of the kind, as in a study, such as `labels`.

    Raises:
        InputError: a key is wrong, or a recording cannot be used or is there twice.

    Examples:
        >>> people = load_cohort("simulated", subjects=2)
        >>> [recording.subject for recording in people]
        ['S1', 'S2']
    """
    given = {"kind": kind, **settings} | ({} if data is None else {"data": str(data)})
    checked = check_settings(given, "load_cohort")
    require_units(checked.kind, PROTOCOL, "physiological", SCALING)
    cohort: Cohort = registry.load("cohorts", checked.kind)(checked)
    for path in cohort.sources():
        if not path.exists():
            raise InputError(f"{path}: no such file; load_cohort({kind!r}) needs it: give its folder as data")
    return list(copies.without_copies(cohort.recordings(), copies.Seen()))


def cut_windows(recordings: Sequence[Recording], *, window_s: int = 60, stride_s: int = 60) -> WindowSet:
    """Cut recordings into labelled windows (n, window_s, 6) at 1 Hz, scaled by each person's first rest.

    stride_s: seconds between the starts of two windows.

    Raises:
        InputError: there are no recordings, or one of them cannot be cut.

    Examples:
        >>> windows = cut_windows(load_cohort("simulated", subjects=2))
        >>> windows.windows.shape[1:], windows.channels[0]
        ((60, 6), 'heart_rate')
    """
    return cut(
        recordings,
        protocol=PROTOCOL,
        channels="physiological",
        scaling=SCALING,
        window_s=window_s,
        stride_s=stride_s,
        audience="detector",
    )


def as_windows(
    values: ArrayLike,
    stress: ArrayLike,
    subject: ArrayLike,
    *,
    stride_s: float | None = None,
    scaling: ScalingName = SCALING,
) -> WindowSet:
    """Your own windows, already at 1 Hz and scaled.

    values (n, seconds, 6): `heart_rate`, `pulse_amplitude`, `eda_level`, `eda_phasic`, `activity` and
    `temperature`. stress (n): True for stress. subject (n): name of the person, with the rows of each person
    in order of time. stride_s: seconds between the starts of two windows; default: they do not overlap.

    Raises:
        InputError: the shapes do not fit, or a value is not finite.

    Examples:
        >>> own = as_windows(np.zeros((4, 60, 6)), [True, False] * 2, ["A", "A", "B", "B"])
        >>> own.subject.tolist(), own.window_s
        (['A', 'A', 'B', 'B'], 60.0)
    """
    array, labels, names = np.asarray(values, np.float32), np.asarray(stress), np.asarray(subject, np.str_)
    expected = f"(n, seconds, {len(PHYSIOLOGICAL_CHANNELS)}) for {', '.join(PHYSIOLOGICAL_CHANNELS)}"
    if array.ndim != 3 or array.shape[2] != len(PHYSIOLOGICAL_CHANNELS) or not array.shape[1]:
        raise InputError(f"values: expected an array {expected}, found {array.shape}")
    for name, column in {"stress": labels, "subject": names}.items():
        if column.shape != (len(array),):
            raise InputError(f"{name}: expected one value per window ({len(array)}), found {column.shape}")
    if not np.isin(labels, (0, 1)).all():
        raise InputError("stress: expected True or False per window, found other values")
    if not np.isfinite(array).all():
        row = int(np.flatnonzero(~np.isfinite(array).all(axis=(1, 2)))[0])
        raise InputError(f"values: window {row} has values that are not finite; leave it out")
    window_s = float(array.shape[1])
    order = pd.Series(names).groupby(names).cumcount().to_numpy(np.float64)
    step = window_s if stride_s is None else stride_s
    return WindowSet(
        windows=array,
        condition=np.where(labels, STRESS, BASELINE).astype(np.int8),
        stress=labels.astype(bool),
        calibration=np.zeros(len(array), bool),
        subject=names,
        start_s=(order * step).astype(np.float64),
        channels=PHYSIOLOGICAL_CHANNELS,
        rate_hz=1.0,
        window_s=window_s,
        stride_s=step,
        scaling=scaling,
        protocol=PROTOCOL,
    )


def features(windows: WindowSet | SyntheticSet) -> pd.DataFrame:
    """Statistics of windows as a table: subject, start_s, stress, and one column per statistic.

    Examples:
        >>> table = features(cut_windows(load_cohort("simulated", subjects=2)))
        >>> [name for name in table if name.startswith("heart_rate")][:2]
        ['heart_rate_mean', 'heart_rate_log_sd']
    """
    found = extracted(windows)
    known = {"subject": found.subject, "start_s": found.start_s, "stress": found.stress}
    return pd.DataFrame(known | dict(zip(found.statistic_names, found.statistics.T, strict=True)))


def extracted(windows: WindowSet | SyntheticSet) -> FeatureSet:
    """Spectra and statistics of windows, which detectors read."""
    return extract_features(windows, protocol=PROTOCOL, pairing="published")
