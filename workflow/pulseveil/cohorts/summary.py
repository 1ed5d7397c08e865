"""The cohort summary: how much of each subject became windows, and what was mended or is odd."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pulseveil.windows import SubjectWindows


@dataclass(frozen=True)
class SubjectSummary:
    """One row of the summary; `stress_share` is None for a subject without windows."""

    subject: str
    seconds: int
    labelled_seconds: int
    windows: int
    calibration_windows: int
    stress_share: float | None
    repairs: tuple[str, ...]
    notes: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """The row for a JSON file."""
        return asdict(self)


def summarize(subjects: Iterable[SubjectWindows]) -> tuple[SubjectSummary, ...]:
    """One row a subject."""
    return tuple(
        SubjectSummary(
            subject=item.subject,
            seconds=item.seconds,
            labelled_seconds=item.labelled_seconds,
            windows=len(item.windows),
            calibration_windows=int(item.windows.calibration.sum()),
            stress_share=float(item.windows.stress.mean()) if len(item.windows) else None,
            repairs=item.repairs,
            notes=item.notes,
        )
        for item in subjects
    )


def render(rows: Sequence[SubjectSummary]) -> str:
    """The summary as plain text: a table, then every repair and note with the subjects that it concerns."""
    header = ("subject", "seconds", "labelled", "windows", "calibration", "stress", "repairs", "notes")
    cells = [header, *(_cells(row) for row in rows), _total(rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    lines = [
        "  ".join(cell.rjust(width) if i else cell.ljust(width) for i, (cell, width) in enumerate(pairs))
        for pairs in (list(zip(row, widths, strict=True)) for row in cells)
    ]
    lines.insert(-1, "-" * len(lines[0]))
    lines += _sentences("Repaired:", [(row.subject, row.repairs) for row in rows])
    lines += _sentences("Noted, left as it is:", [(row.subject, row.notes) for row in rows])
    return "\n".join(lines)


def _cells(row: SubjectSummary) -> tuple[str, ...]:
    counts = (row.seconds, row.labelled_seconds, row.windows, row.calibration_windows)
    return (
        row.subject,
        *(str(count) for count in counts),
        _percent(row.stress_share),
        str(len(row.repairs)),
        str(len(row.notes)),
    )


def _total(rows: Sequence[SubjectSummary]) -> tuple[str, ...]:
    windows = sum(row.windows for row in rows)
    stress = sum((row.stress_share or 0.0) * row.windows for row in rows)
    return (
        f"all {len(rows)}",
        str(sum(row.seconds for row in rows)),
        str(sum(row.labelled_seconds for row in rows)),
        str(windows),
        str(sum(row.calibration_windows for row in rows)),
        _percent(stress / windows if windows else None),
        str(sum(len(row.repairs) for row in rows)),
        str(sum(len(row.notes) for row in rows)),
    )


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"


def _sentences(title: str, by_subject: Sequence[tuple[str, tuple[str, ...]]]) -> list[str]:
    """Each different sentence once, with its subjects, in the order of first mention."""
    subjects: dict[str, list[str]] = {}
    for subject, sentences in by_subject:
        for sentence in sentences:
            subjects.setdefault(sentence, []).append(subject)
    if not subjects:
        return []
    return ["", title, *(f"  {', '.join(who)}: {sentence}" for sentence, who in subjects.items())]
