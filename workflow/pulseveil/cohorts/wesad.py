"""WESAD: wrist recordings from `SX/SX.pkl` in the official layout.

Source: Schmidt et al., Introducing WESAD, ICMI 2018, doi:10.1145/3242969.3242985.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from pulseveil.cohorts import Article, Cohort, CohortSettings, Origin, each, plausible
from pulseveil.cohorts.e4 import SATURATION, describe_signals
from pulseveil.cohorts.electrocardiogram import rate_of_ecg
from pulseveil.cohorts.pickles import load_arrays
from pulseveil.core.arrays import Floats
from pulseveil.core.contracts import (
    AMUSEMENT,
    BASELINE,
    CONDITIONS,
    STRESS,
    Interval,
    Recording,
    Signal,
    subject_order,
)
from pulseveil.core.errors import InputError

_STRESS_FIRST = ("S2", "S3", "S6", "S9", "S11", "S14", "S16")
_AMUSEMENT_FIRST = ("S4", "S5", "S7", "S8", "S10", "S13", "S15", "S17")
ORDERS: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(_STRESS_FIRST, ("baseline", "stress", "amusement")),
    **dict.fromkeys(_AMUSEMENT_FIRST, ("baseline", "amusement", "stress")),
}

LABEL_HZ = 700
# Codes of WESAD. 0 (between tasks), 4 (meditation) and 5 to 7 (to be ignored, by its readme) are dropped.
_CONDITION_OF_CODE = {1: BASELINE, 2: STRESS, 3: AMUSEMENT}
# Arrays of the file with their rate (Hz) and the channels of their columns.
_WRIST: Mapping[str, tuple[int, tuple[str, ...]]] = {
    "BVP": (64, ("BVP",)),
    "EDA": (4, ("EDA",)),
    "ACC": (32, ("ACC_x", "ACC_y", "ACC_z")),
    "TEMP": (4, ("TEMP",)),
}


class WesadSettings(CohortSettings):
    """Keys of WESAD: the folder that holds the official folders, and optionally the subjects to use."""

    kind: Literal["wesad"] = "wesad"
    data: Path
    subjects: tuple[str, ...] | None = None


class Wesad(Cohort):
    """The wrist recordings of WESAD with their baseline, stress and amusement intervals."""

    Settings: ClassVar[type[CohortSettings]] = WesadSettings
    version: ClassVar[int] = 1
    origin: ClassVar[Origin] = Origin(
        source="WESAD, wrist recordings (Empatica E4) of 15 people in a laboratory",
        citation="P. Schmidt, A. Reiss, R. Duerichen, C. Marberger, K. Van Laerhoven, Introducing WESAD, a "
        "multimodal dataset for wearable stress and affect detection, ICMI 2018, "
        "https://doi.org/10.1145/3242969.3242985",
        terms="Its providers allow scientific, non-commercial use that gives them credit; its readme asks "
        "for this reference in publications and names no licence. The terms of the site that you downloaded "
        "it from apply too. Nothing here relicenses the recordings.",
        article=Article(
            "https://doi.org/10.1145/3242969.3242985",
            "Introducing WESAD, a Multimodal Dataset for Wearable Stress and Affect Detection",
            (
                *("Philip Schmidt", "Attila Reiss", "Robert Duerichen"),
                *("Claus Marberger", "Kristof Van Laerhoven"),
            ),
            "2018",
            "Proceedings of the 20th ACM International Conference on Multimodal Interaction, pages 400-408",
        ),
        published=True,
    )

    def __init__(self, settings: CohortSettings) -> None:
        assert isinstance(settings, WesadSettings)
        self._data = settings.data
        self._subjects = settings.subjects

    def outline(self) -> Mapping[str, tuple[str, ...]]:
        """Subjects with their order of conditions: the listed subjects, else those on disk, else all 15.

        Raises:
            InputError: a listed subject is unknown, or the data folder exists and holds no subject.
        """
        # All 15 if there is no data folder: a study is planned before the recordings are available.
        chosen = self._subjects or self._present() or tuple(ORDERS)
        for subject in chosen:
            if subject not in ORDERS:
                raise InputError(f"subjects: {subject!r} is not in WESAD; it has S2 to S11 and S13 to S17")
        return {subject: ORDERS[subject] for subject in sorted(set(chosen), key=subject_order)}

    def sources(self) -> tuple[Path, ...]:
        """The pickles, one per subject."""
        return tuple(self._data / subject / f"{subject}.pkl" for subject in self.outline())

    def recordings(self) -> Iterator[Recording]:
        """Recordings one at a time.

        Raises:
            InputError: a file is missing or differs from the documented layout.
        """
        if not self._data.is_dir():
            raise InputError(f"{self._data}: no such folder; 'data' must hold S2/S2.pkl, S3/S3.pkl, ...")
        yield from each(self.sources(), lambda path: (read_subject(path),))

    def _present(self) -> tuple[str, ...]:
        if not self._data.is_dir():
            return ()
        present = tuple(s for s in ORDERS if (self._data / s / f"{s}.pkl").exists())
        if not present:
            raise InputError(f"{self._data}: no WESAD subject here; expected S2/S2.pkl, S3/S3.pkl, ...")
        return present


def read_subject(path: Path) -> Recording:
    """Read one official pickle: wrist signals at native rates and the labelled intervals.

    Raises:
        InputError: a signal is missing, not finite, or of another length than its rate implies.
    """
    wrist, label, ecg = _wrist_label_and_ecg(path)
    seconds = _common_seconds(path, wrist, label)
    signals: dict[str, Signal] = {}
    for name, (rate, channels) in _WRIST.items():
        used = wrist[name][: rate * seconds]
        plausible.refuse_other_unit(plausible.SENSORS[name], used, f"{path}: wrist {name}")
        mended, bad = plausible.mend(plausible.SENSORS[name], used, rate)
        for column, channel in enumerate(channels):
            samples = np.ascontiguousarray(mended[:, column])
            masks = plausible.unmeasured(samples, bad[:, column], SATURATION if name == "ACC" else None)
            signals[channel] = Signal(samples, float(rate), 0.0, masks)
    # The label of a second is the 700 Hz label at its start, as in the published pre-processing.
    intervals = _intervals(label[: seconds * LABEL_HZ : LABEL_HZ])
    if not intervals:
        raise InputError(f"{path}: no second is labelled 1, 2 or 3; expected baseline, stress and amusement")
    cuts = tuple(
        f"{path.name} wrist {name}: last {extra} samples cut, beyond the last whole second of the labels"
        for name, (rate, _) in _WRIST.items()
        if (extra := len(wrist[name]) - rate * seconds)
    )
    chest_rate = rate_of_ecg(ecg, LABEL_HZ, seconds) if len(ecg) >= LABEL_HZ * seconds else None
    return Recording(path.stem, signals, intervals, cuts, describe_signals(signals), chest_rate)


def _wrist_label_and_ecg(path: Path) -> tuple[dict[str, Floats], NDArray[np.integer[Any]], Floats]:
    """The checked wrist arrays and labels of one subject, and the ECG (n,); empty without one."""
    # The chest arrays are far larger than the wrist arrays: `content` must not outlive this function.
    content = load_arrays(path)
    subject = _entry(path, content, "subject")
    if subject != path.stem:
        raise InputError(f"{path}: holds subject {subject!r}, expected {path.stem!r}; the file is misplaced")
    signals = _entry(path, content, "signal")
    stored = _entry(path, signals, "wrist")
    wrist = {
        name: _samples(path, name, _entry(path, stored, name), len(channels))
        for name, (_, channels) in _WRIST.items()
    }
    label = np.asarray(_entry(path, content, "label"))
    if label.ndim != 1 or label.dtype.kind not in "iu":
        raise InputError(f"{path}: 'label' must be one row of integers, found {label.dtype} {label.shape}")
    # Only a comparison needs the ECG: a file without one is whole.
    ecg = signals["chest"].get("ECG") if isinstance(signals.get("chest"), dict) else None
    if not isinstance(ecg, np.ndarray) or ecg.dtype.kind not in "fiu" or not np.isfinite(ecg).all():
        ecg = np.zeros(0)
    return wrist, label, ecg.ravel().astype(np.float64)


def _entry(path: Path, container: Any, key: str) -> Any:
    if not isinstance(container, dict) or key not in container:
        raise InputError(f"{path}: no entry {key!r}; expected the official WESAD layout")
    return container[key]


def _samples(path: Path, name: str, values: Any, columns: int) -> NDArray[np.float64]:
    array = np.asarray(values)
    if array.dtype.kind not in "fiu" or array.ndim != 2 or array.shape[1] != columns:
        raise InputError(
            f"{path}: wrist {name} must be numbers in {columns} column(s), found {array.dtype} {array.shape}"
        )
    bad = np.flatnonzero(~np.isfinite(array).all(axis=1))
    if len(bad):
        raise InputError(f"{path}: wrist {name} row {bad[0]} is not a finite number ({len(bad)} such rows)")
    return array.astype(np.float64)


def _common_seconds(
    path: Path, wrist: Mapping[str, NDArray[np.float64]], label: NDArray[np.integer[Any]]
) -> int:
    """Number of whole seconds that the labels and all wrist signals cover."""
    expected = len(label) / LABEL_HZ
    for name, (rate, _) in _WRIST.items():
        if abs(len(wrist[name]) / rate - expected) >= 1:
            raise InputError(
                f"{path}: wrist {name} has {len(wrist[name])} samples, expected {expected * rate:.0f} "
                f"({expected:.1f} s of labels at {rate} Hz); the rate is wrong or the file is damaged"
            )
    return min(len(label) // LABEL_HZ, *(len(wrist[name]) // rate for name, (rate, _) in _WRIST.items()))


def _intervals(codes: NDArray[np.integer[Any]]) -> tuple[Interval, ...]:
    """Runs of equal codes among 1, 2 and 3; `codes` (seconds,) holds one code per second."""
    # -1 is no code, so that the first second starts a run.
    starts = np.flatnonzero(np.diff(codes, prepend=-1))
    ends = np.append(starts[1:], len(codes))
    return tuple(
        Interval(condition, float(start), float(end), CONDITIONS[condition])
        for start, end in zip(starts, ends, strict=True)
        if (condition := _CONDITION_OF_CODE.get(int(codes[start]))) is not None
    )
