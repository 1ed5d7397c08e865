"""Sessions: the continuous recordings of one person, and the labelled intervals that lie in each.

A person can have several: the device was restarted, or taken off between them. Time between two sessions is
no data.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from pulseveil.cohorts.intervals import LabelRow, Labels, place_intervals
from pulseveil.core.contracts import Recording, Signal
from pulseveil.core.errors import InputError


@dataclass(frozen=True, eq=False)
class Session:
    """One continuous recording: its signals over common whole seconds, and sentences for the summary.

    where: folder or file, for messages. start_unix_s, seconds: the part that is used. recorded_unix_s (start,
    end): the time that at least one signal covers.
    """

    where: str
    signals: Mapping[str, Signal]
    start_unix_s: float
    seconds: int
    recorded_unix_s: tuple[float, float]
    repairs: tuple[str, ...]
    notes: tuple[str, ...] = ()


def recordings_of(labels: Labels, subject: str, sessions: Iterable[Session]) -> Iterator[Recording]:
    """The sessions of a subject in order of time, each with the intervals that lie in it.

    An interval over several sessions has a part in each. Sessions without any labelled time are left out.

    Raises:
        InputError: two sessions overlap in time, or an interval lies in none.
    """
    ordered = sorted(sessions, key=lambda session: session.recorded_unix_s)
    _refuse_overlap(subject, ordered)
    claimed, told = _rows_of(labels.rows[subject], ordered)
    spare = tuple(
        f"{s.where}: no labelled time, left out" for s, rows in zip(ordered, claimed, strict=True) if not rows
    )
    for session, rows in zip(ordered, claimed, strict=True):
        if not rows:
            continue
        intervals, repairs, notes = place_intervals(
            replace(labels, rows={subject: rows}),
            subject,
            start_unix_s=session.start_unix_s,
            seconds=session.seconds,
            recorded_unix_s=session.recorded_unix_s,
        )
        yield Recording(
            subject,
            session.signals,
            intervals,
            repairs=(*labels.repairs, *session.repairs, *repairs, *told),
            notes=(*session.notes, *notes, *spare),
        )
        # Sentences on the whole person, once.
        labels, told, spare = replace(labels, repairs=()), (), ()


def _rows_of(
    rows: Sequence[LabelRow], sessions: Sequence[Session]
) -> tuple[list[tuple[LabelRow, ...]], tuple[str, ...]]:
    """Rows of each session, cut at its borders to other sessions, and sentences on what lies between them."""
    found: list[list[LabelRow]] = [[] for _ in sessions]
    told: list[str] = []
    for row in rows:
        touched = [i for i, s in enumerate(sessions) if _shared(row, s) > 0]
        if not touched:
            # In none: the session that is nearest refuses it.
            distances = [-_shared(row, s) for s in sessions]
            touched = [distances.index(min(distances))]
        parts = [_cut(row, i, sessions) if _shared(row, sessions[i]) > 0 else row for i in touched]
        for i, part in zip(touched, parts, strict=True):
            found[i].append(part)
        lost = row.end_unix - row.start_unix - sum(part.end_unix - part.start_unix for part in parts)
        if lost > 0:
            told.append(
                f"row {row.row} of the labels ({row.name}): {lost:g} s lie between two recordings, left out"
            )
    return [tuple(of_session) for of_session in found], tuple(told)


def _cut(row: LabelRow, index: int, sessions: Sequence[Session]) -> LabelRow:
    """The part of a row in one session; ends beyond the first and the last session stay, to be checked."""
    start, end = sessions[index].recorded_unix_s
    first = row.start_unix if index == 0 else max(row.start_unix, start)
    last = row.end_unix if index == len(sessions) - 1 else min(row.end_unix, end)
    return replace(row, start_unix=first, end_unix=last)


def _shared(row: LabelRow, session: Session) -> float:
    """Seconds that a row and a session share; negative: the seconds between them."""
    start, end = session.recorded_unix_s
    return min(end, row.end_unix) - max(start, row.start_unix)


def _refuse_overlap(subject: str, ordered: Sequence[Session]) -> None:
    for before, after in pairwise(ordered):
        overlap = before.recorded_unix_s[1] - after.recorded_unix_s[0]
        if overlap > 0:
            raise InputError(
                f"{subject}: the recordings {before.where} and {after.where} overlap by {overlap:g} s; keep "
                "one of them, since a second can have one recording only"
            )
