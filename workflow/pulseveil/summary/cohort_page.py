"""Page of a cohort: its people, their signals over time, and examples and statistics of each class."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from pulseveil.core.contracts import CONDITIONS, WindowSet
from pulseveil.summary import printing
from pulseveil.summary.cohort_figures import CHANNELS, person_figure, spectra_figure, windows_figure
from pulseveil.summary.palette import save
from pulseveil.summary.report import Picture, embedded, plain_html
from pulseveil.windows.cutting import SubjectWindows, Trace

# Figures of more people would make the page too large to open; the tables have all people.
MOST_FIGURES = 30
_REAL = (
    "This page shows recordings of real people, without any noise. It is outside the guarantee of private "
    "models: it must stay where the recordings are, and no release contains it."
)
_ARTIFICIAL = "Nobody was recorded: a program made the people of this cohort."


def cohort_page(kind: str, source: str, subjects: Sequence[SubjectWindows], *, recorded: bool) -> str:
    """The page as one HTML text with embedded figures.

    kind, source: of the cohort. subjects: its people, each with a trace; at most `MOST_FIGURES` of them are
    drawn. recorded: False if nobody was recorded.
    """
    windows = WindowSet.concatenate([subject.windows for subject in subjects])
    traced = [(subject, subject.trace) for subject in subjects if subject.trace is not None]
    # Shares are empty where the values were scaled before.
    scaled = not any(trace.shares for _, trace in traced)
    with TemporaryDirectory() as folder:
        people = [
            (
                subject.subject,
                _drawn(person_figure(trace, windows.channels, scaled=scaled), Path(folder), "person"),
                (*subject.repairs, *subject.notes),
            )
            for subject, trace in traced[:MOST_FIGURES]
        ]
        examples = _drawn(windows_figure(windows), Path(folder), "windows")
        spectra = _drawn(spectra_figure(windows), Path(folder), "spectra")
    return printing.render(
        "cohort.html.jinja",
        kind=kind,
        source=source,
        warning=_REAL if recorded else _ARTIFICIAL,
        recorded=recorded,
        scaled=scaled,
        counts=plain_html(label_counts(subjects)),
        statistics=plain_html(statistics([trace for _, trace in traced], windows.channels, scaled=scaled)),
        examples=examples,
        spectra=spectra,
        people=people,
        undrawn=len(traced) - len(people),
    )


def label_counts(subjects: Sequence[SubjectWindows]) -> pd.DataFrame:
    """Labelled seconds and windows of each person by condition, windows left out, and a row of sums."""
    rows = []
    for subject in subjects:
        row: dict[str, str | int] = {"subject": subject.subject, "seconds": subject.seconds}
        condition = np.array([]) if subject.trace is None else subject.trace.timeline.condition
        row |= {f"s of {name}": int((condition == code).sum()) for code, name in enumerate(CONDITIONS)}
        row["s without label"] = subject.seconds - subject.labelled_seconds
        found = subject.windows.condition
        row |= {f"windows of {name}": int((found == code).sum()) for code, name in enumerate(CONDITIONS)}
        row["windows of stress in two classes"] = int(subject.windows.stress.sum())
        left_out = 0 if subject.trace is None else int((~subject.trace.kept).sum())
        row["windows left out"] = left_out
        row["reasons"] = "; ".join(f"{why}: {number}" for why, number in subject.left_out.items())
        rows.append(row)
    table = pd.DataFrame(rows)
    # The published study merged baseline and amusement before the vote, which decides ties another way.
    if (table["windows of stress in two classes"] == table["windows of stress"]).all():
        table = table.drop(columns="windows of stress in two classes")
    # Most cohorts have no amusement.
    table = table.drop(columns=[name for name in map(str, table) if " of " in name and not table[name].any()])
    sums = table.drop(columns=["subject", "reasons"]).sum().to_dict()
    return pd.concat([table, pd.DataFrame([{"subject": "all", **sums, "reasons": ""}])], ignore_index=True)


def statistics(traces: Sequence[Trace], channels: Sequence[str], *, scaled: bool) -> pd.DataFrame:
    """Statistics over the labelled seconds of all people, for each channel and condition.

    Values have the units of the channels, before windows are scaled; `scaled`: they have none.
    """
    values = np.concatenate([trace.timeline.values for trace in traces])
    condition = np.concatenate([trace.timeline.condition for trace in traces])
    return pd.DataFrame(
        {"signal": _title(name, scaled), "class": CONDITIONS[code], **row}
        for i, name in enumerate(channels)
        for code in range(len(CONDITIONS))
        for row in _row(values[condition == code, i])
    )


def _row(values: np.ndarray) -> Iterator[dict[str, float | int]]:
    """The statistics of a class; none for a class without seconds."""
    if len(values):
        # Filters and scaling leave 1e-16 where 0 is meant.
        values = values.round(12)
        low, median, high = np.quantile(values, [0.05, 0.5, 0.95])
        yield {
            "seconds": len(values),
            "mean": float(values.mean()),
            "SD": float(values.std()),
            "least": float(values.min()),
            "5 %": float(low),
            "median": float(median),
            "95 %": float(high),
            "largest": float(values.max()),
        }


def _title(channel: str, scaled: bool) -> str:
    title, unit = CHANNELS.get(channel, (channel, ""))
    return f"{title} ({unit})" if unit and not scaled else title


def _drawn(figure: Figure, folder: Path, name: str) -> str:
    """A figure as a data URI."""
    (path,) = save(figure, folder, name, ("svg",))
    return embedded(Picture(path, ""))[0]
