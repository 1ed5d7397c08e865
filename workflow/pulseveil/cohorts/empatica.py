"""Any cohort recorded with Empatica E4 wristbands: its CSV exports and one file of labelled intervals."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar, Literal

from pulseveil.cohorts import Cohort, CohortSettings, Origin
from pulseveil.cohorts.e4 import LAYOUTS, read_export, sparse_beats
from pulseveil.cohorts.exports import Location, locate, unclaimed
from pulseveil.cohorts.intervals import Labels, condition_order, place_intervals, read_labels
from pulseveil.cohorts.irregularities import describe_signals
from pulseveil.contracts import Recording
from pulseveil.errors import InputError

logger = logging.getLogger(__name__)

_FILES = tuple(f"{name}.csv" for name in LAYOUTS)


class EmpaticaSettings(CohortSettings):
    """Where the exports are (a folder or zip a subject, or all in one zip), and the file of intervals."""

    kind: Literal["empatica"] = "empatica"
    data: Path
    labels: Path


class Empatica(Cohort):
    """Recordings of Empatica E4 exports with the intervals of a label file.

    The label file's column `stress` decides: 1 is stress, 0 is baseline; the interval keeps its own name.
    """

    Settings: ClassVar[type[CohortSettings]] = EmpaticaSettings
    version: ClassVar[int] = 2
    origin: ClassVar[Origin] = Origin(
        source="exports of Empatica E4 wristbands with a file of labelled intervals",
        citation="the owner of the recordings says how to cite them",
        terms="Those of the recordings: the consent of the people and the agreement with their owner. "
        "Stress-Predict (Iqbal et al., Sensors 2022, 22(21):8135) is under the MIT licence.",
    )

    def __init__(self, settings: CohortSettings) -> None:
        assert isinstance(settings, EmpaticaSettings)
        self._data = settings.data
        self._labels = settings.labels

    def outline(self) -> Mapping[str, tuple[str, ...]]:
        """Subjects of the label file and their conditions in order of time; reads no recording."""
        return {subject: condition_order(rows) for subject, rows in read_labels(self._labels).rows.items()}

    def sources(self) -> tuple[Path, ...]:
        """The label file and every signal file or archive; without the data folder, the label file only.

        Raises InputError for a subject without recording.
        """
        if not self._data.exists():
            return (self._labels,)
        files = [
            source
            for subject in self.outline()
            for source in locate(self._data, subject, _FILES).sources(_FILES)
        ]
        return (self._labels, *dict.fromkeys(files))

    def recordings(self) -> Iterator[Recording]:
        """Recordings one at a time; raises InputError for files or intervals beyond repair.

        Recordings without rows in the label file are left out, and a warning names them.
        """
        labels = read_labels(self._labels)
        spare = unclaimed(self._data, labels.rows)
        if spare:
            told = ", ".join(spare)
            logger.warning("%s: left out, %s has no rows for: %s", self._data, self._labels.name, told)
        for subject in labels.rows:
            yield read_subject(locate(self._data, subject, _FILES), subject, labels)


def read_subject(location: Location, subject: str, labels: Labels) -> Recording:
    """Read one export and place the subject's intervals in it."""
    where = str(location.folder).rstrip("/")
    files: dict[str, bytes] = {}
    for name in LAYOUTS:
        content = location.read(f"{name}.csv")
        if content is None:
            raise InputError(f"{where}: no {name}.csv; an export needs {', '.join(_FILES)}")
        files[name] = content
    export = read_export(files, where)
    intervals, interval_repairs, interval_notes = place_intervals(
        labels,
        subject,
        start_unix_s=export.start_unix_s,
        seconds=export.seconds,
        recorded_unix_s=export.recorded_unix_s,
    )
    beats = location.read("IBI.csv")
    beat_note = sparse_beats(beats, export.seconds) if beats is not None else ""
    return Recording(
        subject,
        export.signals,
        intervals,
        repairs=(*labels.repairs, *export.repairs, *interval_repairs),
        notes=tuple(n for n in (*describe_signals(export.signals), beat_note, *interval_notes) if n),
    )
