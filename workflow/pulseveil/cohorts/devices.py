"""Devices: cohorts of one folder or zip per person and one file of labelled intervals.

A device says which files it reads and how they become sessions. Everything else is common.
"""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from pulseveil.cohorts import Cohort, CohortSettings, Labelled, each
from pulseveil.cohorts.folders import File, files_of, unclaimed
from pulseveil.cohorts.intervals import Labels, condition_order, read_labels
from pulseveil.cohorts.sessions import Session, recordings_of
from pulseveil.core.contracts import STRESS, Recording
from pulseveil.core.errors import noting, refuse

logger = logging.getLogger(__name__)


class DeviceSettings(CohortSettings):
    """Keys of every device: its recordings (a folder, or one zip of all) and the file of intervals."""

    data: Path = Field(description="folder with one folder or zip per subject, or one zip of all")
    labels: Path = Field(description="CSV of intervals: subject,condition,start_unix,end_unix,stress")


class Device(Cohort, Labelled):
    """Base of cohorts of one kind of device.

    The column `stress` of the label file gives the condition (1 stress, 0 baseline); the interval keeps its
    own name. Labels name subjects exactly as their folders.
    """

    Settings: ClassVar[type[CohortSettings]] = DeviceSettings

    def __init__(self, settings: CohortSettings) -> None:
        assert isinstance(settings, DeviceSettings)
        self._settings = settings

    @abstractmethod
    def wanted(self, where: str, files: Sequence[File]) -> Sequence[File]:
        """The files that are read, of all `files` below a person's folder `where`.

        Raises:
            InputError: there is no recording of this device.
        """
        ...

    @abstractmethod
    def sessions(self, where: str, files: Sequence[File]) -> Sequence[Session]:
        """The sessions in the wanted files of one person.

        Raises:
            InputError: a file is damaged beyond repair.
        """
        ...

    def outline(self) -> Mapping[str, tuple[str, ...]]:
        """Subjects of the label file and their conditions in order of time; reads no recording."""
        rows = read_labels(self._settings.labels).rows
        return {subject: condition_order(of_subject) for subject, of_subject in rows.items()}

    def longest_s(self) -> Mapping[bool, float]:
        """Seconds of the longest intervals of the label file."""
        longest: dict[bool, float] = {}
        for of_subject in read_labels(self._settings.labels).rows.values():
            for row in of_subject:
                stress = row.condition == STRESS
                longest[stress] = max(longest.get(stress, 0.0), row.end_unix - row.start_unix)
        return longest

    def sources(self) -> tuple[Path, ...]:
        """The label file and every file or archive that is read; without the data folder, the labels only.

        Raises:
            InputError: a subject of the label file has no recording.
        """
        # A study is planned, and a dry run made, before the recordings are available.
        if not self._settings.data.exists():
            return (self._settings.labels,)
        sources: list[Path] = []
        faults: list[str] = []
        for subject in self.outline():
            with noting(faults):
                files = self.wanted(*files_of(self._settings.data, subject))
                sources += [file.source for file in files]
        refuse(faults)
        return (self._settings.labels, *dict.fromkeys(sources))

    def recordings(self) -> Iterator[Recording]:
        """Recordings one at a time.

        Recordings without rows in the label file are left out, and a warning names them.

        Raises:
            InputError: a file or an interval is wrong beyond repair.
        """
        labels = read_labels(self._settings.labels)
        spare = unclaimed(self._settings.data, labels.rows)
        if spare:
            listed, of_labels = ", ".join(spare), self._settings.labels.name
            logger.warning("%s: left out, %s has no rows for: %s", self._settings.data, of_labels, listed)
        yield from each(labels.rows, lambda subject: self._of_person(labels, subject))

    def _of_person(self, labels: Labels, subject: str) -> Iterator[Recording]:
        where, files = files_of(self._settings.data, subject)
        return recordings_of(labels, subject, self.sessions(where, self.wanted(where, files)))
