"""History of a study's results: settings and main table of each summary that differed from the one before.

An entry is a folder `history/TIME` below the results (UTC), with study.json, main.csv and entry.json.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pulseveil.core.atomic import atomic_path, write_json
from pulseveil.core.errors import InputError
from pulseveil.study import kept

# No colons, which some file systems refuse.
_NAME = "%Y-%m-%dT%H-%M-%S"
_SETTINGS, _TABLE, _ENTRY = "study.json", "main.csv", "entry.json"


@dataclass(frozen=True)
class Entry:
    """One entry of a history.

    folder: of its files. revision: of the code that wrote it. changed: keys of the study that differ from the
    entry before, or "results" where only the table differs.
    """

    folder: Path
    revision: str
    changed: tuple[str, ...]

    @property
    def time(self) -> str:
        """Time of the summary (UTC), as users write it.

        Examples:
            >>> Entry(Path("history/2026-11-28T10-00-05"), "", ()).time
            '2026-11-28T10:00:05'
        """
        day, _, hour = self.folder.name.partition("T")
        return f"{day}T{hour.replace('-', ':')}"

    @property
    def table(self) -> Path:
        """The main table of that time."""
        return self.folder / _TABLE


def keep(results: Path, settings: Mapping[str, Any], revision: str, time: datetime) -> Entry | None:
    """Keep the settings and the main table of a study's results; None if the last entry has the same.

    results: folder of the study's results, with tables/main.csv.
    """
    table = results / "tables" / _TABLE
    before = entries(results)[-1:]
    changed = _changed(before[0], settings, table) if before else ()
    if before and not changed:
        return None
    entry = Entry(_history(results) / time.astimezone(UTC).strftime(_NAME), revision, changed)
    with atomic_path(entry.table) as temporary:
        shutil.copyfile(table, temporary)
    write_json(entry.folder / _SETTINGS, settings)
    # The last file: without it an entry is not complete, and no entry.
    write_json(entry.folder / _ENTRY, {"revision": revision, "changed": list(changed)})
    return entry


def entries(results: Path) -> list[Entry]:
    """All entries of a study's history, the oldest first; results: folder of the study's results."""
    found = []
    for path in sorted(_history(results).glob(f"*/{_ENTRY}")):
        values = json.loads(path.read_text())
        found.append(Entry(path.parent, str(values["revision"]), tuple(values["changed"])))
    return found


def find(results: Path, time: str) -> Entry:
    """The entry whose time begins with `time`, such as 2026-11-28 or 2026-11-28T10:00.

    Raises:
        InputError: there is none, or there are several; the message lists the times of all entries.
    """
    known = entries(results)
    found = [entry for entry in known if entry.time.startswith(time)]
    if len(found) != 1:
        times = ", ".join(entry.time for entry in known) or "none"
        raise InputError(
            f"{_history(results)}: expected the time of one entry, found {len(found)} entries of {time!r}; "
            f"there are: {times} (UTC)"
        )
    return found[0]


def describe(known: Sequence[Entry]) -> str:
    """One line per entry: its time, the revision of the code, and what had changed."""
    lines = []
    for number, entry in enumerate(known):
        changed = "first" if number == 0 else ", ".join(entry.changed)
        lines.append(f"{entry.time}  {entry.revision[:10] or '-':<10}  {changed}")
    return "\n".join(lines)


def _history(results: Path) -> Path:
    return results / "history"


def _changed(before: Entry, settings: Mapping[str, Any], table: Path) -> tuple[str, ...]:
    """What differs from an entry: keys of the study, or "results" if the table alone does."""
    # As JSON, because the settings at hand have tuples where those that were read have lists.
    now = json.loads(json.dumps(settings))
    keys = kept.changes(json.loads((before.folder / _SETTINGS).read_text()), now)
    other = before.table.read_bytes() != table.read_bytes()
    return tuple(keys) or (("results",) if other else ())
