"""Cutting of recordings into labelled windows, as in the published study or inside single intervals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from pulseveil.core.arrays import Floats
from pulseveil.core.contracts import CHANNEL_SETS, CONDITIONS, STRESS, Recording, WindowSet
from pulseveil.core.errors import InputError
from pulseveil.core.settings import Audience, Channels, Preprocessing, ScalingName
from pulseveil.windows import measured, scaling
from pulseveil.windows.heart_rate import rmssd_ms
from pulseveil.windows.recipe import Recipe
from pulseveil.windows.scaling import Scaled
from pulseveil.windows.starts import interval_runs, interval_starts, published_starts
from pulseveil.windows.timeline import (
    RATE_HZ,
    RESAMPLERS,
    UNLABELLED,
    Resampled,
    Timeline,
    joined,
    make_timeline,
)


@dataclass(frozen=True, eq=False)
class Trace:
    """The seconds (T) of a person that windows were cut from, for the page of the cohort.

    timeline: values in the units of the channels. shares: measured share (T,) of each second by sensor;
    empty if it is not known. starts (n): row of each window's first second. kept (n): False for windows that
    are left out.
    """

    timeline: Timeline
    shares: Mapping[str, Floats]
    starts: NDArray[np.intp]
    kept: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class SubjectWindows:
    """The windows of one subject, with the facts on the recordings for the cohort summary.

    measured: mean share of the labelled seconds that each sensor measured, and of those in which the heart
    rate is clear. left_out: number of windows that are left out, by sensor and reason. rmssd_ms: (n,) heart
    rate variability of each window over clean beats, NaN where they are few. chest_error: median absolute
    difference (beats/min) between the heart rate and that of a chest ECG over labelled seconds.
    """

    subject: str
    seconds: int
    labelled_seconds: int
    windows: WindowSet
    repairs: tuple[str, ...]
    notes: tuple[str, ...] = field(default=())
    measured: Mapping[str, float] = field(default_factory=dict)
    left_out: Mapping[str, int] = field(default_factory=dict)
    rmssd_ms: Floats = field(default_factory=lambda: np.zeros(0))
    chest_error: float | None = None
    trace: Trace | None = None


def cut_windows(
    recordings: Iterable[Recording],
    *,
    protocol: Preprocessing,
    channels: Channels,
    scaling: ScalingName,
    window_s: float,
    stride_s: float,
    audience: Audience,
    calibration_s: float = 300,
) -> WindowSet:
    """Cut recordings into windows (n, window_s, 6), in the order of the recordings; see `cut_subject`.

    Examples:
        >>> from pulseveil.cohorts.simulated import Simulated, SimulatedSettings
        >>> recordings = Simulated(SimulatedSettings(subjects=1)).recordings()
        >>> sound = dict(protocol="sound", channels="physiological", scaling="calibration", window_s=60)
        >>> cut = cut_windows(recordings, **sound, stride_s=60, audience="detector")
        >>> cut.windows.shape, int(cut.stress.sum())
        ((21, 60, 6), 6)

    Raises:
        InputError: there are no recordings, or one of them cannot be cut.
    """
    lengths = {"window_s": window_s, "stride_s": stride_s, "calibration_s": calibration_s}
    recipe = Recipe.with_defaults(protocol, audience, channels=channels, scaling=scaling, **lengths)
    parts = [cut_person(list(own), recipe).windows for _, own in groupby(recordings, _subject)]
    if not parts:
        raise InputError("there are no recordings to cut into windows")
    return WindowSet.concatenate(parts)


def cut_subject(recording: Recording, recipe: Recipe) -> SubjectWindows:
    """Resample, label, scale and cut the only recording of a person; see `cut_person`."""
    return cut_person([recording], recipe)


def cut_person(recordings: Sequence[Recording], recipe: Recipe) -> SubjectWindows:
    """Resample, label, scale and cut the recordings of one person, which are in order of time.

    Each recording is resampled by itself. Times of windows count from the start of the first recording, and
    no window of protocol `sound` holds seconds of two recordings.

    Raises:
        InputError: the recordings lack what the channels or the scaling need (a pulse, labels, enough rest).
    """
    first = recordings[0]
    timeline, scaled, found, resampled = _scaled(recordings, recipe)
    rows = window_rows(timeline, recipe)
    dropped, left_out = measured.left_out(found, rows, recipe.measured)
    if dropped.all() and len(rows):
        listed = "; ".join(f"{why} in {number}" for why, number in left_out.items())
        raise InputError(
            f"{first.subject}: none of {len(rows)} windows is measured to {recipe.measured:.0%} by every "
            f"sensor ({listed}); leave the subject out of the labels, or lower the key 'measured'"
        )
    _require_calibration(timeline.subject, found, scaled, recipe.measured)
    trace = Trace(timeline, found.shares, rows[:, 0], ~dropped)
    rows = rows[~dropped]
    shares = {**found.shares, **_clear_share(resampled)}
    notes = [
        note
        for recording, part in zip(recordings, resampled, strict=True)
        for note in (*recording.notes, *part.notes)
    ]
    return SubjectWindows(
        subject=first.subject,
        seconds=len(timeline.values),
        labelled_seconds=int(timeline.labelled.sum()),
        windows=_window_set(timeline, scaled, rows, recipe),
        repairs=(*(repair for recording in recordings for repair in recording.repairs), *scaled.notes),
        notes=(
            *notes,
            *_left_out(left_out, recipe.measured),
            *_short_intervals(timeline, recipe.window_s),
        ),
        measured={name: float(share[timeline.labelled].mean()) for name, share in shares.items()}
        if timeline.labelled.any()
        else {},
        left_out=left_out,
        rmssd_ms=_variability(timeline.second[rows[:, 0]], recordings, resampled, recipe.window_s),
        chest_error=_chest_error(timeline, recordings) if recipe.channels == "physiological" else None,
        trace=trace,
    )


@dataclass(frozen=True, eq=False)
class WholeWindows:
    """Windows of all seconds of a person's recordings, labelled or not.

    windows: a window with seconds outside of its first condition has condition `UNLABELLED` and no stress.
    shares: for each sensor, the share (n,) of the window that the sensor measured, and the share in which the
    heart rate is clear. usable (n,) bool: whether
    each sensor measured enough of the window.
    """

    windows: WindowSet
    shares: Mapping[str, Floats]
    usable: NDArray[np.bool_]


def cut_whole(recordings: Sequence[Recording], recipe: Recipe) -> WholeWindows:
    """Resample, scale and cut all seconds of one person's recordings, which are in order of time.

    No window holds seconds of two recordings. Labels are used only by a scaling that needs them.

    Raises:
        InputError: as in `cut_person`.
    """
    timeline, scaled, found, resampled = _scaled(recordings, recipe)
    _require_calibration(timeline.subject, found, scaled, recipe.measured)
    recording = np.cumsum(np.diff(timeline.second, prepend=timeline.second[:1]) > 1).astype(np.int16)
    rows = _rows_from(interval_starts(recording, recipe.window_s, recipe.stride_s), recipe.window_s)
    codes = timeline.condition[rows]
    condition = np.where((codes == codes[:, :1]).all(axis=1), codes[:, 0], UNLABELLED).astype(np.int8)
    dropped, _ = measured.left_out(found, rows, recipe.measured)
    return WholeWindows(
        replace(_window_set(timeline, scaled, rows, recipe), condition=condition, stress=condition == STRESS),
        {
            name: share[rows].mean(axis=1)
            for name, share in {**found.shares, **_clear_share(resampled)}.items()
        },
        ~dropped,
    )


def _scaled(
    recordings: Sequence[Recording], recipe: Recipe
) -> tuple[Timeline, Scaled, measured.Measured, list[Resampled]]:
    """Timeline, scaled rows and measured shares of a person, and the resampled recordings."""
    first = recordings[0]
    resampled = [RESAMPLERS[recipe.protocol, recipe.channels].resample(recording) for recording in recordings]
    timelines = [
        make_timeline(
            recording.subject, part.values, recording.intervals, recording.start_unix_s - first.start_unix_s
        )
        for recording, part in zip(recordings, resampled, strict=True)
    ]
    timeline = joined(timelines)
    names = CHANNEL_SETS[recipe.channels]
    # Scaled again, values of a file that lacks seconds of a person would change.
    scaled = (
        scaling.unchanged(timeline)
        if first.scaled
        else scaling.scalings(recipe.calibration_s)[recipe.scaling].scale(timeline, names)
    )
    found = measured.joined([measured.measured(recording) for recording in recordings])
    if recipe.measured:
        for recording in recordings:
            measured.refuse_constant(recording)
    return timeline, scaled, found, resampled


def window_rows(timeline: Timeline, recipe: Recipe) -> NDArray[np.intp]:
    """Row indices of the timeline per window (n, window_s)."""
    if recipe.protocol == "paper":
        kept = np.flatnonzero(timeline.labelled)
        starts = published_starts(len(kept), recipe.window_s, recipe.stride_s, recipe.audience)
        return kept[_rows_from(starts, recipe.window_s)]
    return _rows_from(interval_starts(timeline.interval, recipe.window_s, recipe.stride_s), recipe.window_s)


def majority(codes: NDArray[np.int8], classes: int) -> NDArray[np.int8]:
    """The most frequent code (n,) in each row of codes (n, time); ties go to the smaller code.

    Examples:
        >>> majority(np.array([[0, 1, 1], [2, 0, 1]], np.int8), classes=3)
        array([1, 0], dtype=int8)
    """
    # argmax returns the first maximum, which is the tie rule of the published labels.
    counts = np.stack([(codes == code).sum(axis=1) for code in range(classes)], axis=1)
    return np.asarray(counts.argmax(axis=1), np.int8)


def _window_set(timeline: Timeline, scaled: Scaled, rows: NDArray[np.intp], recipe: Recipe) -> WindowSet:
    codes = timeline.condition[rows]
    condition = majority(codes, len(CONDITIONS))
    # The published study merged baseline and amusement before the vote for detectors, and after it for
    # generators. The order decides three windows in which stress and amusement tie.
    by_seconds = recipe.protocol == "paper" and recipe.audience == "detector"
    stress = majority((codes == STRESS).astype(np.int8), 2) == 1 if by_seconds else condition == STRESS
    if recipe.label_rule == "any":
        stress = (codes == STRESS).any(axis=1)
        condition = np.where(stress, np.int8(STRESS), condition)
    return WindowSet(
        windows=scaled.values[rows].astype(np.float32),
        condition=condition,
        stress=stress,
        calibration=np.any(scaled.calibration[rows], axis=1),
        subject=np.full(len(rows), timeline.subject),
        start_s=timeline.second[rows[:, 0]],
        channels=CHANNEL_SETS[recipe.channels],
        rate_hz=RATE_HZ,
        window_s=float(recipe.window_s),
        stride_s=float(recipe.stride_s),
        scaling=recipe.scaling,
        protocol=recipe.protocol,
    )


def _clear_share(resampled: Sequence[Resampled]) -> Mapping[str, Floats]:
    """Whether the heart rate of each second (T,) is clear, where the pulse of all recordings is tracked."""
    clear = [1.0 - part.pulse.unclear for part in resampled if part.pulse is not None]
    return {"heart rate": np.concatenate(clear)} if len(clear) == len(resampled) else {}


def _variability(
    starts_s: Floats, recordings: Sequence[Recording], resampled: Sequence[Resampled], window_s: int
) -> Floats:
    """RMSSD (n,) in ms of the windows that start at `starts_s` (n,), NaN without enough clean beats."""
    found = np.full(len(starts_s), np.nan)
    for recording, part in zip(recordings, resampled, strict=True):
        if part.pulse is not None:
            own = starts_s - (recording.start_unix_s - recordings[0].start_unix_s)
            inside = (own >= 0) & (own < len(part.values))
            found[inside] = rmssd_ms(part.pulse.beats, part.pulse.clean, own[inside], window_s)
    return found


def _chest_error(timeline: Timeline, recordings: Sequence[Recording]) -> float | None:
    """Median absolute difference (beats/min) of heart rate and chest ECG over labelled seconds."""
    chest = np.concatenate(
        [np.full(r.whole_seconds, np.nan) if r.chest_rate is None else r.chest_rate for r in recordings]
    )
    known = timeline.labelled & np.isfinite(chest)
    column = CHANNEL_SETS["physiological"].index("heart_rate")
    return float(np.median(np.abs(timeline.values[known, column] - chest[known]))) if known.any() else None


def _require_calibration(subject: str, found: measured.Measured, scaled: Scaled, least: float) -> None:
    """Raise InputError if a sensor measured less than `least` of the seconds of calibration."""
    if not scaled.calibration.any():
        return
    for sensor, share in found.shares.items():
        of_calibration = float(share[scaled.calibration].mean())
        if of_calibration < least:
            lost = {why: part[scaled.calibration].mean() for why, part in found.lost[sensor].items()}
            raise InputError(
                f"{subject}: {sensor} measured {of_calibration:.0%} of the {scaled.calibration.sum()} s of "
                f"calibration, less than {least:.0%} ({max(lost, key=lost.__getitem__)}): all windows would "
                "be scaled by invented values; leave the subject out, use scaling 'public', or lower the key "
                "'measured'"
            )


def _subject(recording: Recording) -> str:
    return recording.subject


def _rows_from(starts: NDArray[np.intp], window_s: int) -> NDArray[np.intp]:
    return starts[:, None] + np.arange(window_s)


def _left_out(counts: Mapping[str, int], least: float) -> tuple[str, ...]:
    return tuple(
        f"{why}: {number} window(s) measured to less than {least:.0%}, left out"
        for why, number in counts.items()
    )


def _short_intervals(timeline: Timeline, window_s: int) -> tuple[str, ...]:
    return tuple(
        f"interval at {timeline.second[start]:.0f} s holds {end - start} s, less than one window of "
        f"{window_s} s"
        for start, end in interval_runs(timeline.interval)
        if end - start < window_s
    )
