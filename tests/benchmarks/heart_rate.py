"""Error of the heart rate from wrist BVP, and how much of it is filled in.

    python tests/benchmarks/heart_rate.py DATA [--first SEED | --wesad]

DATA holds `stress_predict`, `embraceplus` and `wesad_raw`. True heart rates are the intervals between beats
that the devices trust (IBI.csv of an E4, systolicPeaks of an EmbracePlus), and the rates of simulated pulses.
An E4 lists intervals only where it is sure, so that its rows say nothing of movement. Simulated people move:
`bursts` as the cohort `simulated` does, `steps` at a regular pace that also shakes the sensor.

The method is chosen on these rows (`--first 100` has simulated people that chose nothing). `--wesad` prints
instead what is filled in of WESAD, which chooses nothing: it is the tested cohort.

Columns: seconds with a true rate; median and 90 % quantile of the absolute error (beats/min), and the share
within 5, by second; median and share within 5 of means over 10 s; share of seconds that are filled in; the
median error of the other seconds.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import fastavro
import numpy as np
import pandas as pd
from scipy import signal

from pulseveil.cohorts.embraceplus import EmbracePlus, EmbracePlusSettings
from pulseveil.cohorts.simulated_sensors import (
    ACC_HZ,
    BVP_HZ,
    SLOW_HZ,
    Motion,
    band_noise,
    lag,
    simulate_motion,
    wander,
)
from pulseveil.cohorts.wesad import read_subject
from pulseveil.core.arrays import Floats
from pulseveil.core.contracts import Recording, Signal, subject_order
from pulseveil.windows.cutting import cut_subject
from pulseveil.windows.physiology import physiological_channels
from pulseveil.windows.recipe import Recipe

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.official_layout import write_official_layout

SIMULATED_S = 1200
SIMULATED_PEOPLE = 4
MOTIONS = ("calm", "bursts", "steps")
STRETCH_S = 10
WITHIN = 5.0


def rate_of_beats(beats: Floats, intervals: Floats, seconds: int) -> Floats:
    """Rate (beats/min) of the interval that covers the middle of each second (seconds,), NaN where none does.

    beats: (m,) ends of intervals (m,), in s.
    """
    centres = np.arange(seconds) + 0.5
    index = np.minimum(np.searchsorted(beats, centres), len(beats) - 1)
    covered = (beats[index] >= centres) & (beats[index] - intervals[index] <= centres)
    return np.where(covered, 60 / intervals[index], np.nan)


def e4(folder: Path) -> tuple[Recording, Floats]:
    """An Empatica E4 export as it is, and the true rate by second."""
    files = {name: pd.read_csv(folder / f"{name}.csv", header=None) for name in ("BVP", "ACC", "EDA", "TEMP")}
    columns = {"BVP": ("BVP", 0), "EDA": ("EDA", 0), "TEMP": ("TEMP", 0)}
    columns |= {f"ACC_{axis}": ("ACC", index) for index, axis in enumerate("xyz")}
    signals = {
        name: Signal(
            files[file][index].to_numpy(np.float64)[2:],
            float(files[file].iloc[1, 0]),
            float(files[file].iloc[0, 0]),
        )
        for name, (file, index) in columns.items()
    }
    recording = Recording(folder.name, signals, ())
    beats = pd.read_csv(folder / "IBI.csv", header=None, skiprows=1).to_numpy(np.float64)
    return recording, rate_of_beats(beats[:, 0], beats[:, 1], recording.whole_seconds)


def embraceplus(folder: Path) -> tuple[Recording, Floats]:
    """The EmbracePlus file, and the rate of its own systolic peaks by second."""
    (path,) = folder.glob("*.avro")
    with path.open("rb") as file:
        peaks = next(iter(fastavro.reader(file)))["rawData"]["systolicPeaks"]["peaksTimeNanos"]
    with tempfile.TemporaryDirectory() as name:
        data = Path(name)
        inner = data / "000001" / "2025-11-26" / "000001-3YK3K152XH" / "raw_data" / "v6"
        inner.mkdir(parents=True)
        (inner / path.name).symlink_to(path.resolve())
        start = int(path.stem.split("_")[-1])
        labels = data / "labels.csv"
        labels.write_text(
            "subject,condition,start_unix,end_unix,stress\n"
            f"000001,rest,{start + 10},{start + 900},0\n000001,task,{start + 900},{start + 1790},1\n"
        )
        (recording,) = EmbracePlus(EmbracePlusSettings(data=data, labels=labels)).recordings()
    beats = (np.array(peaks, np.int64) - int(recording.start_unix_s) * 10**9) / 1e9
    intervals = np.diff(beats)
    rate = rate_of_beats(beats[1:], intervals, recording.whole_seconds)
    # The device skips beats too: an interval of more than 1.5 s is no interval of one beat.
    return recording, np.where((rate >= 40) & (rate <= 180), rate, np.nan)


def simulated(kind: str, seed: int) -> tuple[Recording, Floats]:
    """A person at rest and under stress in turn, with a kind of `MOTIONS`, and the true rate by second."""
    rng = np.random.default_rng([MOTIONS.index(kind), seed])
    slow = SIMULATED_S * SLOW_HZ
    arousal = lag(1.0 * (np.arange(slow) // (240 * SLOW_HZ) % 2), 20.0, SLOW_HZ)
    breathing = 2.0 * band_noise(slow, (0.18, 0.32), SLOW_HZ, rng) + 2.0 * band_noise(
        slow, (0.05, 0.15), SLOW_HZ, rng
    )
    rate = (
        rng.uniform(55, 85) + rng.uniform(5, 45) * arousal + breathing + 2 * wander(slow, 60.0, SLOW_HZ, rng)
    )
    motion, shaken = _movement(kind, arousal, rng)
    fast = np.interp(np.arange(SIMULATED_S * BVP_HZ) / BVP_HZ, np.arange(slow) / SLOW_HZ, rate)
    angle = 2 * np.pi * np.cumsum(fast) / 60 / BVP_HZ
    wave = np.cos(angle) + rng.uniform(0.2, 0.7) * np.cos(2 * angle - 1.2) + 0.1 * np.cos(3 * angle - 2.2)
    noise = rng.uniform(0.1, 0.8) * band_noise(len(wave), (0.1, 8.0), BVP_HZ, rng)
    values = {
        "BVP": np.round(30 * (wave + shaken + noise), 2),
        "EDA": np.full(slow, 2.0),
        **dict(zip(("ACC_x", "ACC_y", "ACC_z"), motion.acceleration, strict=True)),
        "TEMP": np.full(slow, 33.0),
    }
    signals = {name: Signal(part, len(part) / SIMULATED_S, 0.0) for name, part in values.items()}
    return Recording(kind, signals, ()), fast.reshape(SIMULATED_S, BVP_HZ).mean(axis=1)


def _movement(kind: str, arousal: Floats, rng: np.random.Generator) -> tuple[Motion, Floats]:
    """Motion, and what it adds to a pulse of height 1 at `BVP_HZ`."""
    bursts = {"calm": 0.0, "bursts": 4.0, "steps": 0.0}[kind]
    motion = simulate_motion(bursts * (1 + arousal), rng)
    strength = np.repeat(motion.strength, BVP_HZ // ACC_HZ)
    shaken = 2.0 * strength * band_noise(len(strength), (0.5, 6.0), BVP_HZ, rng)
    if kind != "steps":
        return motion, shaken
    seconds = np.arange(SIMULATED_S * BVP_HZ) / BVP_HZ
    walks = signal.lfilter([1 / 32], [1, -31 / 32], (seconds % 120 > 70).astype(float))
    pace = np.cumsum(1.8 + 0.05 * np.repeat(wander(SIMULATED_S, 20.0, 1.0, rng), BVP_HZ)) / BVP_HZ
    step = walks * (np.cos(2 * np.pi * pace) + 0.5 * np.cos(np.pi * pace + 1.0))
    x, y, z = motion.acceleration
    moved = np.clip(np.rint(z + 20 * step[:: BVP_HZ // ACC_HZ]), -128, 127)
    return Motion(motion.strength, (x, y, moved)), 1.5 * np.roll(step, 5)


def row(name: str, recordings: list[tuple[Recording, Floats]]) -> str:
    """One line of the table: the seconds of all recordings together."""
    errors, stretches, filled = [], [], []
    for recording, truth in recordings:
        found = physiological_channels(recording)
        errors.append(np.abs(found.channels["heart_rate"] - truth))
        filled.append(found.pulse.unclear)
        whole = len(truth) // STRETCH_S * STRETCH_S
        ours, true = (
            values[:whole].reshape(-1, STRETCH_S) for values in (found.channels["heart_rate"], truth)
        )
        half = np.isfinite(true).sum(axis=1) >= STRETCH_S // 2
        # A rate over beats is the mean over seconds with a true rate, on both sides.
        known = np.where(np.isfinite(true), 1.0, np.nan)[half]
        stretches.append(np.abs(np.nanmean(ours[half] * known, axis=1) - np.nanmean(true[half], axis=1)))
    error, mask, stretch = np.concatenate(errors), np.concatenate(filled), np.concatenate(stretches)
    known = np.isfinite(error)
    rest = error[known & ~mask]
    return (
        f"{name:10} {known.sum():6} {np.median(error[known]):6.2f} {np.quantile(error[known], 0.9):6.2f} "
        f"{np.mean(error[known] <= WITHIN):6.1%} {np.median(stretch):6.2f} {np.mean(stretch <= WITHIN):6.1%} "
        f"{mask.mean():9.1%} {np.median(rest) if len(rest) else np.nan:6.2f}"
    )


def without_pulse(seed: int) -> Recording:
    """A worn device whose BVP is noise in the band of the pulse."""
    calm, _ = simulated("calm", seed)
    bvp = calm.signals["BVP"]
    noise = 30 * band_noise(len(bvp.values), (0.5, 6.0), BVP_HZ, np.random.default_rng(seed))
    return replace(calm, signals={**calm.signals, "BVP": replace(bvp, values=noise)})


def truths(data: Path, first: int) -> Iterator[tuple[str, list[tuple[Recording, Floats]]]]:
    """Recordings with a true rate, by the name of a line; `first`: seed of the first simulated person."""
    for folder in sorted((data / "stress_predict").glob("S0*")):
        yield f"E4 {folder.name}", [e4(folder)]
    yield "Embrace+", [embraceplus(data / "embraceplus")]
    for kind in MOTIONS:
        yield kind, [simulated(kind, seed) for seed in range(first, first + SIMULATED_PEOPLE)]


def filled_in(data: Path) -> Iterator[str]:
    """Lines of WESAD: share of all seconds and of tested windows that is filled in."""
    seconds, windows = [], []
    recipe = Recipe.with_defaults("sound", "detector", measured=0.0)
    with tempfile.TemporaryDirectory() as name:
        for source in sorted((data / "wesad_raw").glob("S*.npz"), key=lambda path: subject_order(path.stem)):
            recording = read_subject(write_official_layout(source, Path(name)))
            mask = physiological_channels(recording).pulse.unclear
            cut = cut_subject(recording, recipe).windows
            starts = cut.start_s[~cut.calibration].astype(int)
            seconds.append(mask)
            windows.append(mask[starts[:, None] + np.arange(recipe.window_s)].mean(axis=1))
            yield f"{recording.subject:10} {mask.mean():8.1%} {_windows(windows[-1])}"
    yield f"{'all':10} {np.concatenate(seconds).mean():8.1%} {_windows(np.concatenate(windows))}"


def _windows(shares: Floats) -> str:
    return f"{len(shares):7} {shares.mean():9.1%} {np.mean(shares > 0.5):11.1%} {shares.max():7.1%}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--first", type=int, default=0, help="seed of the first simulated person")
    parser.add_argument("--wesad", action="store_true", help="print what is filled in of WESAD")
    options = parser.parse_args()
    if options.wesad:
        print(f"{'':10} {'seconds':>8} {'windows':>7} {'filled in':>9} {'> half':>11} {'most':>7}")
        for line in filled_in(options.data):
            print(line, flush=True)
    else:
        titles = ("s", "median", "90 %", "< 5", "10 s", "< 5", "filled in", "rest")
        print(f"{'':10} " + " ".join(f"{title:>{max(len(title), 6)}}" for title in titles))
        for title, recordings in truths(options.data, options.first):
            print(row(title, recordings), flush=True)
        mask = physiological_channels(without_pulse(options.first)).pulse.unclear
        print(f"no pulse: {mask.mean():.1%} of seconds are filled in, ideal 100 %")
