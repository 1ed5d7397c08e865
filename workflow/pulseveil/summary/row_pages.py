"""Main tables that no page can show in full: the rows of the report, and pages of their own with all rows."""

from __future__ import annotations

import pandas as pd

from pulseveil.detectors import MODEL
from pulseveil.summary import labels, printing
from pulseveil.summary.description import StudyDescription
from pulseveil.summary.figures import reference_rows
from pulseveil.summary.printing import printed_table, readable_rows

# A browser takes seconds for a table of more rows, and nobody reads it.
MOST_ROWS = 2_000


def page_rows(main: pd.DataFrame, most_rows: int = MOST_ROWS) -> pd.DataFrame:
    """The rows of the main table that a page shows: all, if they are at most `most_rows`.

    Otherwise one row per evaluation, generator and detector at the reference of each axis, with each rule,
    and of these the first `most_rows`.
    """
    if len(readable_rows(main)) <= most_rows:
        return main
    rules = main[main["role"] != MODEL]
    return readable_rows(pd.concat([reference_rows(main), rules]).sort_index()).head(most_rows)


def row_pages(
    main: pd.DataFrame, description: StudyDescription, most_rows: int = MOST_ROWS
) -> dict[str, str]:
    """Pages with all rows of a main table that `page_rows` cuts, by file name; otherwise none.

    Each page holds at most `most_rows` rows of one evaluation, with all printed columns.
    """
    rows = readable_rows(main)
    if len(rows) <= most_rows:
        return {}
    pages = {}
    for evaluation, members in rows.groupby("evaluation", sort=False):
        for number, start in enumerate(range(0, len(members), most_rows), start=1):
            some = members.iloc[start : start + most_rows].reset_index(drop=True)
            end = "" if len(members) <= most_rows else f".{number}"
            pages[f"main.{evaluation}{end}.html"] = printing.render(
                "rows.html.jinja",
                study=description.study,
                evaluation=labels.evaluation(str(evaluation)),
                first=start + 1,
                last=start + len(some),
                number=len(members),
                table=printing.html(printed_table(some, description), "main"),
            )
    return pages


def cut(main: pd.DataFrame, most_rows: int = MOST_ROWS) -> str:
    """Sentence on the rows that `page_rows` leaves out; empty if it leaves out none."""
    number, shown = len(readable_rows(main)), len(page_rows(main, most_rows))
    if number <= most_rows:
        return ""
    return (
        f"{shown:,} of {number:,} rows: those at the reference of each axis (largest epsilons, least noise, "
        "most synthetic subjects). All rows are in tables/main.csv, and on one or more pages per evaluation."
    )
