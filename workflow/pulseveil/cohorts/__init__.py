"""Cohorts: where recordings come from. A new kind is one class, registered as `pulseveil.cohorts`."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

from pulseveil.core import registry
from pulseveil.core.contracts import Recording
from pulseveil.core.settings import Settings

# What other packages may use, in reading order.
__all__ = [  # noqa: RUF022
    "CohortSettings",
    "Article",
    "Origin",
    "UNKNOWN_ORIGIN",
    "Cohort",
    "origin_of",
    "gaps",
]


class CohortSettings(Settings):
    """Keys that every kind of cohort has; `kind` selects the registered class."""

    kind: str


@dataclass(frozen=True)
class Article:
    """A published article: its DOI as an address, title, authors, year, and journal or proceedings."""

    doi: str
    title: str
    authors: tuple[str, ...]
    year: str
    journal: str


@dataclass(frozen=True)
class Origin:
    """Whose recordings a kind of cohort reads: what they are, how to cite them, and on which terms.

    `license`: SPDX identifier, where they have one. `article`: what describes them. `simulated`: nobody was
    recorded. `published`: they are the recordings of the published study, so that its results can be
    repeated.
    """

    source: str
    citation: str
    terms: str
    license: str | None = None
    article: Article | None = None
    simulated: bool = False
    published: bool = False


UNKNOWN_ORIGIN = Origin(
    source="recordings of a kind of cohort that is not known here",
    citation="the owner of the recordings says how to cite them",
    terms="Not recorded: ask the owner of the recordings before this is passed on.",
)


class Cohort(Protocol):
    """A source of recordings: the base of every kind of cohort.

    `Settings` names its keys in the study; `version` rises whenever the recordings it returns change;
    `origin` goes onto the cards and into the crates of what is made from them.
    """

    Settings: ClassVar[type[CohortSettings]]
    version: ClassVar[int]
    origin: ClassVar[Origin] = UNKNOWN_ORIGIN

    @abstractmethod
    def __init__(self, settings: Any) -> None: ...

    @abstractmethod
    def outline(self) -> Mapping[str, tuple[str, ...]]:
        """Subjects in numeric order, each with its conditions in order of time.

        Reads no recording: a plan must not need them.
        """
        ...

    @abstractmethod
    def sources(self) -> tuple[Path, ...]:
        """The files that the recordings are read from, for content hashes; empty when they are simulated."""
        ...

    @abstractmethod
    def recordings(self) -> Iterator[Recording]:
        """Recordings in the order of `outline`, one at a time; raises InputError for files beyond repair.

        A repair looks no further than `gaps.MENDED_S` to either side: statements count on this.
        """
        ...


def origin_of(kind: str) -> Origin:
    """The origin of a kind of cohort; `UNKNOWN_ORIGIN` where the kind is not registered."""
    if kind not in registry.names("cohorts"):
        return UNKNOWN_ORIGIN
    origin: Origin = registry.load("cohorts", kind).origin
    return origin
