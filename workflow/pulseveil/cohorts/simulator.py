"""Simulation of one subject: traits, a timetable of conditions, and the arousal that drives all sensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pulseveil.cohorts import simulated_sensors as sensors
from pulseveil.core.arrays import Floats
from pulseveil.core.contracts import (
    AMUSEMENT,
    BASELINE,
    CONDITIONS,
    PUBLISHED_CHANNELS,
    STRESS,
    Interval,
    Recording,
    Signal,
)
from pulseveil.core.randomness import Stream, child, generator

START_UNIX_S = 1_700_000_000.0
# Shortest and longest unlabelled time (s) before, between and after the conditions.
GAP_RANGE_S = (60, 120)
GAP_AROUSAL = 0.3
GAP_MOTION_RATE = 5.0
MOTION_RATES = {BASELINE: 0.8, STRESS: 2.0, AMUSEMENT: 1.0}
NON_RESPONDER_AROUSAL = 0.45
AROUSAL_LAG_S = 20.0
AROUSAL_NOISE = (0.2, 60.0)


@dataclass(frozen=True)
class Traits:
    """Properties of one subject that all sensors share.

    stress, amusement: arousal in the two conditions (0 at rest, 1 the usual stress). restlessness: factor of
    the rate of arm movements. stress_motion: factor of that rate under stress.
    """

    stress: float
    amusement: float
    restlessness: float
    stress_motion: float


def simulate_recording(
    subject: str, timetable: Sequence[tuple[str, int]], *, responder: bool, stream: Stream
) -> Recording:
    """Simulate the recording of one subject; bit-identical for the same arguments.

    Rates and units are those of an Empatica E4. Time before, between and after the conditions is unlabelled.

    Args:
        timetable: conditions with their seconds, in order of time.
        responder: False for a subject whose body responds little to stress.
    """
    intervals, seconds = _intervals(timetable, generator(child(stream, "timetable")))
    traits = _traits(responder, generator(child(stream, "traits")))
    arousal = _arousal(intervals, seconds, traits, generator(child(stream, "arousal")))
    motion_rate = _motion_rate(intervals, seconds, traits)
    # One stream per sensor: a change in one simulation leaves the random numbers of the others as they are.
    motion = sensors.simulate_motion(motion_rate, generator(child(stream, "motion")))
    sampled = (
        sensors.simulate_bvp(arousal, motion.strength, generator(child(stream, "BVP"))),
        sensors.simulate_eda(arousal, motion.strength, generator(child(stream, "EDA"))),
        *motion.acceleration,
        sensors.simulate_temperature(arousal, generator(child(stream, "TEMP"))),
    )
    signals = {
        name: Signal(values, len(values) / seconds, START_UNIX_S)
        for name, values in zip(PUBLISHED_CHANNELS, sampled, strict=True)
    }
    return Recording(subject, signals, intervals)


def _intervals(
    timetable: Sequence[tuple[str, int]], rng: np.random.Generator
) -> tuple[tuple[Interval, ...], int]:
    """The labelled intervals with random gaps around them, and the length of the whole recording (s)."""
    gaps = rng.integers(*GAP_RANGE_S, size=len(timetable) + 1, endpoint=True)
    lengths = np.array([seconds for _, seconds in timetable])
    starts = np.cumsum(gaps[:-1]) + np.cumsum(lengths) - lengths
    intervals = tuple(
        Interval(CONDITIONS.index(name), float(start), float(start + length), name)
        for (name, length), start in zip(timetable, starts, strict=True)
    )
    return intervals, int(gaps.sum() + lengths.sum())


def _traits(responder: bool, rng: np.random.Generator) -> Traits:
    """Random traits of one subject."""
    stress = (1.1 if responder else NON_RESPONDER_AROUSAL) * rng.lognormal(0.0, 0.2)
    return Traits(
        stress=stress,
        amusement=rng.uniform(0.0, 0.35),
        restlessness=rng.lognormal(0.0, 0.4),
        stress_motion=rng.lognormal(0.0, 0.5),
    )


def _arousal(intervals: Sequence[Interval], seconds: int, traits: Traits, rng: np.random.Generator) -> Floats:
    """Arousal (n,) at `SLOW_HZ`: the level of the condition, approached with a lag, plus slow noise."""
    levels = {BASELINE: 0.0, STRESS: traits.stress, AMUSEMENT: traits.amusement}
    target = _stepwise(intervals, seconds, levels, GAP_AROUSAL)
    size, memory_s = AROUSAL_NOISE
    wandering = sensors.wander(len(target), memory_s, sensors.SLOW_HZ, rng)
    return sensors.lag(target, AROUSAL_LAG_S, sensors.SLOW_HZ) + size * wandering


def _motion_rate(intervals: Sequence[Interval], seconds: int, traits: Traits) -> Floats:
    """Expected bursts of movement per minute (n,) at `SLOW_HZ`."""
    rates = {**MOTION_RATES, STRESS: MOTION_RATES[STRESS] * traits.stress_motion}
    return traits.restlessness * _stepwise(intervals, seconds, rates, GAP_MOTION_RATE)


def _stepwise(
    intervals: Sequence[Interval], seconds: int, levels: dict[int, float], elsewhere: float
) -> Floats:
    """A course (n,) at `SLOW_HZ` with one level per condition, and the level `elsewhere` between them."""
    course = np.full(seconds * sensors.SLOW_HZ, elsewhere)
    for interval in intervals:
        inside = slice(round(interval.start_s) * sensors.SLOW_HZ, round(interval.end_s) * sensors.SLOW_HZ)
        course[inside] = levels[interval.condition]
    return course
