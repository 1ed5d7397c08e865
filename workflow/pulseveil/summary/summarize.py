"""Write all tables, figures and the report of a study from its score files."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from pulseveil.core.atomic import write_json
from pulseveil.core.processes import Spread
from pulseveil.core.randomness import Stream, child, root_stream
from pulseveil.privacy import ledger
from pulseveil.privacy.statement import statement
from pulseveil.summary import columns, main_columns, printing
from pulseveil.summary.column import in_declared_order
from pulseveil.summary.description import StudyDescription
from pulseveil.summary.differences import differences_table
from pulseveil.summary.drawings import result_drawings, window_drawings, write_all
from pulseveil.summary.file_page import file_page
from pulseveil.summary.printing import printed_table
from pulseveil.summary.published import reproduction_page, reproduction_table
from pulseveil.summary.quality import quality_table
from pulseveil.summary.report import Findings, render_report
from pulseveil.summary.results import Cells, HashOf, Results, arrange, collect, with_shared
from pulseveil.summary.row_pages import MOST_ROWS, cut, page_rows, row_pages
from pulseveil.summary.spent import Ledgers, privacy_table, read_ledgers, spending_table
from pulseveil.summary.tables import audit_table, audited_columns, main_table, use_of_private_data
from pulseveil.summary.unprotected import unprotected

_LOG = logging.getLogger(__name__)
_CAPTION = "Mean accuracy and F1 over subjects with 95 % intervals."
_MARKS = {
    printing.NOT_BETTER: f"{printing.NOT_BETTER} not shown to be better than always answering 'no stress'.",
    printing.TWO_PEOPLE: f"{printing.TWO_PEOPLE} two people decide the difference.",
}
# Resampling is not part of the study's random streams: the same scores give the same intervals for any root.
_STREAM: Stream = child(root_stream(0), "summary")


@dataclass(frozen=True, eq=False)
class Summary:
    """Result of `summarize`: main table, note of the study, and the written files in reading order."""

    main: pd.DataFrame
    note: str
    files: tuple[Path, ...]


def summarize(
    description: StudyDescription,
    scores_paths: Sequence[Path],
    out_dir: Path,
    *,
    published: pd.DataFrame | None = None,
    own_hashes: Mapping[Path, HashOf] | None = None,
    most_rows: int = MOST_ROWS,
    spread: Spread = map,
) -> Summary:
    """Write tables, figures, ledger, statement and report of a study under `out_dir`.

    `published`: rows of `read_published`, shown beside the cells that repeat them. own_hashes: as in
    `results.collect`. most_rows: number of rows of a table in HTML; a longer main table is divided into pages
    by evaluation. spread: as in `results.collect`, for reading and drawing. The same scores give the same
    bytes.

    Raises:
        InputError: a score, model, quality or audit file is missing, damaged or of another study.
    """
    _LOG.info("reading %d score files", len(scores_paths))
    results = with_shared(collect(scores_paths, own_hashes, spread), description.shared)
    cells = arrange(results, description)
    _LOG.info("writing tables of %d cells", len(cells.keys))
    ledgers = read_ledgers(results.ledger, map(Path, description.models))
    main = main_table(results, cells, description, published, _STREAM)
    main = main.join(privacy_table(cells.keys, ledgers, description))
    main["shows_use_of_private_data"] = use_of_private_data(main)
    # Every study writes all tables, also without audits or spending: the rule declares them as outputs.
    audits = audit_table(map(Path, description.audits))
    main = in_declared_order(main.join(audited_columns(cells.keys, audits, description)), main_columns.MAIN)
    quality = quality_table(map(Path, description.quality), description)
    pages = row_pages(main, description, most_rows)
    tables = _write_tables(out_dir / "tables", results, cells, description, main, quality, most_rows)
    tables += _write_pages(out_dir / "tables", pages)
    spending = spending_table(cells.keys, ledgers, description)
    privacy = statement(
        ledgers.entries, description.privacy, [*map(str, unprotected(description))], description.unbudgeted
    )
    tables += _write_privacy(out_dir, ledgers, spending, privacy)
    printing.write_csv(out_dir / "tables" / "audit.csv", audits)
    tables.append(out_dir / "tables" / "audit.csv")
    _LOG.info("drawing figures")
    folder = out_dir / "figures"
    drawings = [*result_drawings(main, audits, cells, description)]
    of_windows = [*window_drawings(description)]
    figures = write_all([*drawings, *of_windows], folder, spread)
    written = [out_dir / "files.html", out_dir / "report.html"]
    printing.write_text(written[0], file_page(description.study))
    compared = None if published is None else reproduction_table(main, description, published)
    findings = Findings(main, quality, spending, audits, compared)
    page = render_report(
        description,
        findings,
        [drawing.picture(folder) for drawing in drawings],
        [drawing.picture(folder) for drawing in of_windows],
        results.digest,
        privacy,
        most_rows=most_rows,
        pages=[*pages],
    )
    printing.write_text(written[-1], page)
    if compared is not None:
        printing.write_csv(out_dir / "tables" / "reproduction.csv", compared)
        tables.append(out_dir / "tables" / "reproduction.csv")
        written.insert(0, out_dir / "reproduction.html")
        printing.write_text(written[0], reproduction_page(compared, description))
    return Summary(main, description.note, (*tables, *figures, *written))


def _write_tables(
    folder: Path,
    results: Results,
    cells: Cells,
    description: StudyDescription,
    main: pd.DataFrame,
    quality: pd.DataFrame,
    most_rows: int,
) -> list[Path]:
    printed = printed_table(page_rows(main, most_rows), description)
    note = " ".join(filter(None, [description.note, cut(main, most_rows)]))
    printing.write_csv(folder / "main.csv", main)
    chosen = printed_table(main, description, description.table_columns or main_columns.LATEX)
    shown = "".join(chosen.to_numpy().ravel())
    marks = [text for mark, text in _MARKS.items() if mark in shown]
    caption = " ".join(filter(None, [description.note, _CAPTION, *marks]))
    printing.write_text(folder / "main.tex", printing.latex(chosen, caption, f"tab:{description.study}"))
    printing.write_text(folder / "main.html", printing.html(printed, "main", note) + "\n")
    printing.write_csv(folder / "per_subject.csv", results.per_subject)
    printing.write_csv(folder / "differences.csv", differences_table(cells, description, _STREAM))
    printing.write_csv(folder / "quality.csv", quality)
    write_json(folder / "columns.json", columns.dictionary())
    names = ("main.csv", "main.tex", "main.html", "per_subject.csv", "differences.csv", "quality.csv")
    return [folder / name for name in (*names, "columns.json")]


def _write_pages(folder: Path, pages: Mapping[str, str]) -> list[Path]:
    for name, page in pages.items():
        printing.write_text(folder / name, page)
    return [folder / name for name in pages]


def _write_privacy(out_dir: Path, ledgers: Ledgers, spending: pd.DataFrame, privacy: str) -> list[Path]:
    files = [out_dir / "tables" / "spending.csv", out_dir / "ledger.json", out_dir / "statement.txt"]
    printing.write_csv(files[0], spending)
    ledger.write(files[1], ledgers.entries)
    printing.write_text(files[2], privacy)
    return files
