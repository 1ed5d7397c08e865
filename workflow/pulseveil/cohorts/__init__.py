"""Cohorts: where recordings come from. A new kind is one class, registered as `pulseveil.cohorts`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol

from pulseveil.contracts import Recording
from pulseveil.settings import Settings


class CohortSettings(Settings):
    """Keys that every kind of cohort has; `kind` selects the registered class."""

    kind: str


@dataclass(frozen=True)
class Origin:
    """Whose recordings a kind of cohort reads: what they are, how to cite them, and on which terms."""

    source: str
    citation: str
    terms: str


class Cohort(Protocol):
    """A source of recordings.

    `Settings` names its keys in the study; `version` rises whenever the recordings it returns change;
    `origin`, which may be left out, goes onto the cards of what is made from them.
    """

    Settings: ClassVar[type[CohortSettings]]
    version: ClassVar[int]

    def __init__(self, settings: CohortSettings) -> None: ...

    def outline(self) -> Mapping[str, tuple[str, ...]]:
        """Subjects in numeric order, each with its conditions in order of time.

        Reads no recording: a plan must not need them.
        """
        ...

    def sources(self) -> tuple[Path, ...]:
        """The files that the recordings are read from, for content hashes; empty when they are simulated."""
        ...

    def recordings(self) -> Iterator[Recording]:
        """Recordings in the order of `outline`, one at a time; raises InputError for files beyond repair.

        A repair looks no further than `gaps.MENDED_S` to either side: statements count on this.
        """
        ...
