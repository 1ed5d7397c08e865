"""Cohorts, generators, detectors and protocols by name, from any installed package (entry points)."""

from __future__ import annotations

from functools import cache
from importlib import metadata
from typing import Any, Literal

from pulseveil.errors import InputError

Group = Literal["cohorts", "generators", "detectors", "protocols"]


@cache
def names(group: Group) -> tuple[str, ...]:
    """Registered names of a group, sorted; raises InputError for a group of which nothing is installed."""
    found = tuple(sorted(entry.name for entry in metadata.entry_points(group=f"pulseveil.{group}")))
    if not found:
        # Entry points are read from the installation, while an editable one runs the code of today.
        raise InputError(
            f"no {group} are registered: the installed PulseVeil is older than this code; run `make dryrun` "
            "or `pip install --no-deps -e .`"
        )
    return found


@cache
def load(group: Group, name: str) -> Any:
    """The class registered under `name`; raises KeyError when there is none."""
    for entry in metadata.entry_points(group=f"pulseveil.{group}"):
        if entry.name == name:
            return entry.load()
    raise KeyError(name)
