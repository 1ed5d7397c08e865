"""Simulated sensors of a wrist device: signals as functions of arousal and movement.

The directions of the responses to stress (heart rate and skin conductance up, pulse amplitude and finger
temperature down) follow the literature: Kreibig, Biol. Psychol. 84 (2010) 394; Giannakakis et al., IEEE
Trans. Affect. Comput. 13 (2022) 440. The sizes of the responses and their spread between people are chosen so
that stress can be distinguished from rest and amusement most of the time, but not always.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from pulseveil.core.arrays import Floats

BVP_HZ = 64
ACC_HZ = 32
# The rate of EDA and TEMP, and of all slow courses such as arousal.
SLOW_HZ = 4
TEMP_STEP_C = 0.02


@dataclass(frozen=True, eq=False)
class Motion:
    """Movement at `ACC_HZ`: strength (n,), 0 at rest, and acceleration along x, y, z, each (n,) in g/64."""

    strength: Floats
    acceleration: tuple[Floats, Floats, Floats]


def simulate_motion(rate: Floats, rng: np.random.Generator) -> Motion:
    """Movement with `rate` (n,) bursts per minute at `SLOW_HZ`; each leaves the arm in a new position."""
    step = ACC_HZ // SLOW_HZ
    starts = np.flatnonzero(rng.random(len(rate)) < rate / 60 / SLOW_HZ) * step
    samples = len(rate) * step
    lengths = (1 + rng.exponential(4.0, len(starts))) * ACC_HZ
    ends = np.minimum(starts + lengths.astype(int), samples)
    sizes = rng.lognormal(-0.3, 0.6, len(starts))
    edges = np.zeros(samples + 1)
    # Not `edges[ends] -= sizes`, which would count bursts that end at the same sample only once.
    np.add.at(edges, starts, sizes)
    np.add.at(edges, ends, -sizes)
    strength = np.maximum(lag(np.cumsum(edges[:-1]), 0.3, ACC_HZ), 0.0)
    posture = _posture(samples, ends, rng)
    shaking = strength * np.stack([band_noise(samples, (0.5, 5.0), ACC_HZ, rng) for _ in range(3)])
    tremor = 0.004 * rng.standard_normal((3, samples))
    x, y, z = np.clip(np.rint(64 * (posture + 0.12 * shaking + tremor)), -128, 127)
    return Motion(strength, (x, y, z))


def simulate_bvp(arousal: Floats, motion: Floats, rng: np.random.Generator) -> Floats:
    """BVP (n,) at `BVP_HZ` in the arbitrary unit of an E4: a pulse train of varying rate and height.

    arousal: (m,) at `SLOW_HZ`; motion: strength (k,) at `ACC_HZ`.
    """
    samples = len(arousal)
    resting = rng.normal(71.0, 8.0)
    reaction = 18.0 * rng.lognormal(0.0, 0.35)
    constriction = 0.6 * rng.lognormal(0.0, 0.4)
    height = rng.lognormal(np.log(35.0), 0.5) * np.exp(0.2 * drift(samples, rng))
    # Heart rate varies with breathing, less under stress, and with the slow waves of vascular tone.
    breathing = 2.0 * np.exp(-0.4 * arousal) * band_noise(samples, (0.18, 0.32), SLOW_HZ, rng)
    vessels = band_noise(samples, (0.05, 0.15), SLOW_HZ, rng)
    variability = breathing + 2.0 * vessels + 1.5 * wander(samples, 60.0, SLOW_HZ, rng)
    rate = np.clip(resting + reaction * lag(arousal, 8.0, SLOW_HZ) + variability, 42.0, 170.0)
    size = height * np.exp(-constriction * lag(arousal, 10.0, SLOW_HZ) + 0.15 * vessels)
    wave = _faster(size, BVP_HZ) * _beat(np.cumsum(_faster(rate, BVP_HZ)) / 60 / BVP_HZ)
    artefact = np.repeat(motion, BVP_HZ // ACC_HZ) * band_noise(len(wave), (0.5, 6.0), BVP_HZ, rng)
    hiss = band_noise(len(wave), (0.1, 8.0), BVP_HZ, rng)
    return np.asarray(np.round(wave + height.mean() * (2.0 * artefact + 0.15 * hiss), 2))


def simulate_eda(arousal: Floats, motion: Floats, rng: np.random.Generator) -> Floats:
    """Skin conductance (n,) in uS at `SLOW_HZ`: a drifting level that rises with arousal, plus responses.

    arousal: (n,) at `SLOW_HZ`; motion: strength (k,) at `ACC_HZ`; movement presses on the electrodes.
    """
    samples = len(arousal)
    level = rng.lognormal(np.log(1.0), 0.8)
    rise = 0.8 * rng.lognormal(0.0, 0.4)
    settling = 0.13 * wander(samples, 200.0, SLOW_HZ, rng) + 0.2 * drift(samples, rng)
    tonic = level * np.exp(rise * lag(arousal, 30.0, SLOW_HZ) + settling)
    liveliness = rng.lognormal(0.0, 0.4)
    per_minute = liveliness * np.clip(2.0 + 8.0 * arousal, 0.3, 20.0)
    responses = rng.random(samples) < per_minute / 60 / SLOW_HZ
    sizes = 0.06 * level * rng.lognormal(0.0, 0.6, samples) * (1 + np.maximum(arousal, 0.0))
    phasic = signal.fftconvolve(responses * sizes, _skin_response())[:samples]
    pressure = motion[:: ACC_HZ // SLOW_HZ] * band_noise(samples, (0.05, 1.0), SLOW_HZ, rng)
    noise = 0.002 * rng.standard_normal(samples)
    # A worn sensor stays above `CONTACT_US`, below which a reader notes a loss of contact.
    return np.asarray(np.round(np.maximum(tonic * (1 + 0.03 * pressure) + phasic + noise, 0.06), 6))


def simulate_temperature(arousal: Floats, rng: np.random.Generator) -> Floats:
    """Skin temperature (n,) in degrees Celsius at `SLOW_HZ`, with one new value per second as in an E4."""
    cooling = 0.7 * rng.normal(1.0, 0.6)
    wandering = 0.2 * wander(len(arousal), 300.0, SLOW_HZ, rng)
    course = 33.0 + rng.normal(0.0, 1.2) + 0.6 * drift(len(arousal), rng) + wandering
    course = (course - cooling * lag(arousal, 120.0, SLOW_HZ))[::SLOW_HZ]
    noisy = course + TEMP_STEP_C * rng.standard_normal(len(course))
    return np.asarray(np.repeat(np.rint(noisy / TEMP_STEP_C) * TEMP_STEP_C, SLOW_HZ).round(2))


def lag(course: Floats, time_constant_s: float, rate_hz: float) -> Floats:
    """A course (n,) after a first-order lag that starts in the steady state of the first value."""
    share = 1 - np.exp(-1 / (time_constant_s * rate_hz))
    followed, _ = signal.lfilter([share], [1, share - 1], course, zi=[(1 - share) * course[0]])
    return np.asarray(followed)


def wander(samples: int, memory_s: float, rate_hz: float, rng: np.random.Generator) -> Floats:
    """Stationary noise (n,) of unit SD whose autocorrelation falls to 1/e in `memory_s` seconds."""
    keep = np.exp(-1 / (memory_s * rate_hz))
    innovations = rng.standard_normal(samples) * np.sqrt(1 - keep**2)
    # A random state before the first sample makes the variance 1 from the start.
    wandering, _ = signal.lfilter([1], [1, -keep], innovations, zi=[keep * rng.standard_normal()])
    return np.asarray(wandering)


def drift(samples: int, rng: np.random.Generator) -> Floats:
    """A linear drift (n,) at `SLOW_HZ` from 0, whose change in half an hour is standard normal."""
    return rng.standard_normal() * np.arange(samples) / (1800 * SLOW_HZ)


def band_noise(
    samples: int, band_hz: tuple[float, float], rate_hz: float, rng: np.random.Generator
) -> Floats:
    """Noise (n,) of unit SD in a band of frequencies (Hz)."""
    sections = signal.butter(2, band_hz, btype="bandpass", fs=rate_hz, output="sos")
    noise = signal.sosfilt(sections, rng.standard_normal(samples))
    return np.asarray(noise / noise.std())


def _posture(samples: int, turns: NDArray[np.intp], rng: np.random.Generator) -> Floats:
    """Gravity (3, n) in g: around a direction that is usual for the subject, new after each of `turns`."""
    habit = rng.standard_normal(3)
    positions = habit / np.linalg.norm(habit) + 0.3 * rng.standard_normal((len(turns) + 1, 3))
    positions /= np.linalg.norm(positions, axis=1, keepdims=True)
    current = positions[np.searchsorted(np.sort(turns), np.arange(samples), side="right")]
    return np.stack([lag(axis, 0.5, ACC_HZ) for axis in current.T])


def _beat(phase: Floats) -> Floats:
    """Pulse waveform (n,) of mean 0 at `phase` (beats): a systolic crest and a dicrotic shoulder."""
    angle = 2 * np.pi * phase
    return np.asarray(np.cos(angle) + 0.4 * np.cos(2 * angle - 1.2) + 0.1 * np.cos(3 * angle - 2.2))


def _skin_response() -> Floats:
    """One skin conductance response at `SLOW_HZ`: a Bateman function (steep rise, slow fall) of peak 1."""
    time = np.arange(0.0, 30.0, 1 / SLOW_HZ)
    shape = np.exp(-time / 4.0) - np.exp(-time / 0.8)
    return np.asarray(shape / shape.max())


def _faster(course: Floats, rate_hz: int) -> Floats:
    """A slow course (n,) interpolated linearly to a higher rate, (n * rate_hz / SLOW_HZ,)."""
    time = np.arange(len(course) * rate_hz // SLOW_HZ) * (SLOW_HZ / rate_hz)
    return np.asarray(np.interp(time, np.arange(len(course)), course))
