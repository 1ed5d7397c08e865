"""Cohorts, generators and detectors by name, from this package and from any installed one (entry points)."""

from __future__ import annotations

from functools import cache
from importlib import metadata
from typing import Any, Literal

Group = Literal["cohorts", "generators", "detectors"]


@cache
def names(group: Group) -> tuple[str, ...]:
    """Registered names of a group, sorted."""
    return tuple(sorted(entry.name for entry in metadata.entry_points(group=f"pulseveil.{group}")))


@cache
def load(group: Group, name: str) -> Any:
    """The class registered under `name`; raises KeyError when there is none."""
    for entry in metadata.entry_points(group=f"pulseveil.{group}"):
        if entry.name == name:
            return entry.load()
    raise KeyError(name)
