"""Cohorts: sources of recordings. A new kind is one class, registered as `pulseveil.cohorts`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar

from pulseveil.core import registry
from pulseveil.core.contracts import CONDITIONS, STRESS, Recording
from pulseveil.core.errors import InputError, noting, refuse
from pulseveil.core.settings import Channels, Preprocessing, ScalingName, Settings

# What other packages may use, in reading order.
__all__ = [  # noqa: RUF022
    "CohortSettings",
    "Article",
    "Origin",
    "UNKNOWN_ORIGIN",
    "Labelled",
    "Cohort",
    "each",
    "origin_of",
    "require_classes",
    "require_units",
    "copies",
    "gaps",
]


Person = TypeVar("Person")


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
    """Source, citation and terms of use of the recordings that a kind of cohort reads.

    license: SPDX identifier, if the recordings have one. article: the article that describes them.
    simulated: True if nobody was recorded. published: True for the recordings of the published study, whose
    results they can repeat.
    """

    source: str
    citation: str
    terms: str
    license: str | None = None
    article: Article | None = None
    simulated: bool = False
    published: bool = False


UNKNOWN_ORIGIN = Origin(
    source="recordings of a kind of cohort that this installation does not know",
    citation="as the owner of the recordings asks",
    terms="Unknown: ask the owner of the recordings before you pass this on.",
)


# An abstract class and not a part of the protocol: the labels of some cohorts lie in their recordings.
class Labelled(ABC):
    """Second base of a cohort whose labels can be read without its recordings."""

    @abstractmethod
    def longest_s(self) -> Mapping[bool, float]:
        """Seconds of the longest interval with stress (True) and without it (False); reads no recording."""
        ...


class Cohort(Protocol):
    """A source of recordings: the base of every kind of cohort.

    `Settings` declares the cohort's keys in the study. `version` rises whenever the returned recordings
    change. `origin` is printed on the cards and in the crates of everything derived from the recordings.
    `scaled`: the recordings hold values that were scaled per person, without units.
    """

    Settings: ClassVar[type[CohortSettings]]
    version: ClassVar[int]
    origin: ClassVar[Origin] = UNKNOWN_ORIGIN
    scaled: ClassVar[bool] = False

    @abstractmethod
    def __init__(self, settings: Any) -> None: ...

    @abstractmethod
    def outline(self) -> Mapping[str, tuple[str, ...]]:
        """Subjects in numeric order, each with its conditions in order of time.

        Reads no recording, because a study is planned before the recordings are available.
        """
        ...

    @abstractmethod
    def sources(self) -> tuple[Path, ...]:
        """The files that the recordings are read from, for content hashes; empty for a simulated cohort."""
        ...

    @abstractmethod
    def recordings(self) -> Iterator[Recording]:
        """Recordings in the order of `outline`, one at a time; those of one subject in order of time.

        A repair uses no sample more than `gaps.MENDED_S` away: privacy statements rely on this bound.

        Raises:
            InputError: a file is damaged beyond repair.
        """
        ...


def each(people: Iterable[Person], read: Callable[[Person], Iterable[Recording]]) -> Iterator[Recording]:
    """Recordings of all people in their order; a person who cannot be read does not hide faults of others.

    Raises:
        InputError: after the last person, with the faults of all people.
    """
    faults: list[str] = []
    for person in people:
        with noting(faults):
            yield from read(person)
    refuse(faults)


def origin_of(kind: str) -> Origin:
    """The origin of a kind of cohort; `UNKNOWN_ORIGIN` if the kind is not registered.

    Examples:
        >>> origin_of("simulated").license, origin_of("another").license
        ('MIT', None)
    """
    if kind not in registry.names("cohorts"):
        return UNKNOWN_ORIGIN
    origin: Origin = registry.load("cohorts", kind).origin
    return origin


def require_classes(conditions: Mapping[str, tuple[str, ...]], what: str) -> None:
    """Check that people have intervals with stress and intervals without it, at least one of each together.

    Args:
        conditions: conditions of each person, as in `Cohort.outline`.
        what: name of these people in messages.

    Raises:
        InputError: one of both is missing.
    """
    found = {condition == CONDITIONS[STRESS] for of_person in conditions.values() for condition in of_person}
    for stress, wanted in ((True, "with stress (1)"), (False, "without stress (0)")):
        if stress not in found:
            raise InputError(
                f"{what}: no interval {wanted} in the labels of {len(conditions)} people; models learn from "
                "both: add such intervals, or people who have them"
            )


def require_units(kind: str, protocol: Preprocessing, channels: Channels, scaling: ScalingName) -> None:
    """Check that the recordings of a kind of cohort have what windows are computed from.

    Raises:
        InputError: the values are scaled per person already, and the windows need units or the pulse.
    """
    wanted = (protocol, channels, scaling)
    if registry.load("cohorts", kind).scaled and wanted != ("paper", "published", "min-max"):
        raise InputError(
            f"kind {kind}: its values were scaled per person at 1 Hz, without units and pulse; possible are "
            "protocol paper, channels published and scaling min-max, found "
            f"{', '.join(wanted)}; for others read the recordings themselves, such as kind wesad"
        )
