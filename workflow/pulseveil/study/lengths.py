"""Lengths of windows against the intervals that labels name, checked before any recording is read."""

from __future__ import annotations

from pulseveil.cohorts import Labelled
from pulseveil.core import registry
from pulseveil.core.errors import refuse
from pulseveil.study.study import Study


def require_room(study: Study) -> None:
    """Check that windows of protocol `sound`, which lie inside one condition, fit into its intervals.

    Raises:
        InputError: the longest interval with stress, or without it, is shorter than a window.
    """
    if study.protocol != "sound":
        return
    faults = []
    for name, settings in study.cohort_settings.items():
        cohort = registry.load("cohorts", settings.kind)(settings)
        longest = cohort.longest_s() if isinstance(cohort, Labelled) else {}
        for stress, seconds in longest.items():
            if seconds < study.window_s:
                kind = "with" if stress else "without"
                faults.append(
                    f"window_s: {study.window_s} s, but the longest interval {kind} stress of cohort {name} "
                    f"lasts {seconds:g} s; windows lie inside one interval: set window_s to at most "
                    f"{int(seconds)}"
                )
    refuse(faults)
