"""Metrics of all scores of a study per run and subject, and its cells in table order."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pulseveil.core.contracts import Scores, subject_order
from pulseveil.core.errors import InputError
from pulseveil.core.identity import file_hash, parse_number
from pulseveil.core.processes import Spread
from pulseveil.core.store import read_hashed_record
from pulseveil.core.tables import in_order
from pulseveil.detectors import MODEL
from pulseveil.evaluation.metrics import NAMES, measure
from pulseveil.summary import columns, main_columns
from pulseveil.summary.column import in_declared_order, keys_of
from pulseveil.summary.description import StudyDescription
from pulseveil.windows.signals import ALL_SIGNALS

CELL = tuple(keys_of(main_columns.CELL))
RUN = (*CELL, "seed")
_WORDS = ("evaluation", "generator", "detector", "unit", "signals")
_WHOLE = ("subjects", "seed")
HashOf = Callable[[NDArray[np.str_]], str]
"""From the ledger of a score file to the hash that the file must have."""
# Files whose metrics are computed at once: 1 MB of scores.
_BATCH = 64
_MOST_NAMED = 5


@dataclass(frozen=True, eq=False)
class Results:
    """Metrics of a study. The keys `CELL` identify a cell; a cell and a seed are a run.

    The column `trained_in` names the evaluation whose job trained a run.
    `per_subject`: one row per run and tested subject: keys `RUN`, trained_in, fold, subject, windows,
    stress_windows, all metrics.
    `pooled`: one row per run: keys `RUN`, trained_in, windows, all metrics over all windows of the run.
    `digest`: one hash over the hashes of all score files, independent of their order.
    `ledger`: ledger entries of all private detectors, each as JSON.
    """

    per_subject: pd.DataFrame
    pooled: pd.DataFrame
    digest: str
    ledger: tuple[str, ...] = ()


def collect(
    paths: Sequence[Path], own_hashes: Mapping[Path, HashOf] | None = None, spread: Spread = map
) -> Results:
    """Read score files and compute their metrics; rows are sorted by the keys `RUN`.

    own_hashes: hash that each file must have, given its ledger; by default any file is read. spread: as
    `map`, which may work in other processes.

    Raises:
        InputError: there is no file, a file has another hash, a key is missing or not a number, two files
            hold the same run, or the seeds of a cell tested different windows.
    """
    if not paths:
        raise InputError("score files: expected at least one, found none; run train_detectors first")
    hash_of = own_hashes or {}
    files = [[(path, hash_of.get(path)) for path in some] for some in _batches(paths)]
    parts = list(spread(_read_runs, files))
    _refuse_foreign([path for part in parts for path in part.foreign])
    per_run = pd.concat([part.per_run for part in parts], ignore_index=True)
    subjects = pd.concat([part.subjects for part in parts], ignore_index=True)
    _refuse_repeated_runs(per_run, paths)
    _refuse_different_tests(subjects)
    return Results(
        in_order(in_declared_order(subjects, columns.PER_SUBJECT), RUN).reset_index(drop=True),
        in_order(per_run[[*RUN, "trained_in", "windows", *NAMES]], RUN).reset_index(drop=True),
        # Sorted: the digest must not depend on the order of the paths.
        hashlib.sha256("".join(sorted(h for part in parts for h in part.hashes)).encode()).hexdigest(),
        tuple(entry for part in parts for entry in part.ledger),
    )


def with_shared(results: Results, shared: Sequence[Mapping[str, Any]]) -> Results:
    """Results with the cells that an earlier evaluation trained, under each evaluation that asks for them.

    shared: rows of `Plan.shared_cells`.

    Raises:
        InputError: the scores of such a cell are missing.
    """
    asked = pd.DataFrame(shared, columns=[*RUN, "trained_in"])
    for name in ("epsilon_generator", "epsilon_detector", "noise"):
        asked[name] = asked[name].map(parse_number).astype(np.float64)
    asked = asked.astype({name: results.pooled[name].dtype for name in RUN})
    return replace(
        results,
        per_subject=_with_shared(results.per_subject, asked),
        pooled=_with_shared(results.pooled, asked),
    )


def _with_shared(frame: pd.DataFrame, asked: pd.DataFrame) -> pd.DataFrame:
    """Rows of a table with the keys `RUN`, and copies for the runs `asked`; sorted by `RUN`."""
    copies = asked.merge(frame.drop(columns="evaluation"), on=["trained_in", *RUN[1:]], how="left")
    missing = copies[copies["windows"].isna()]
    if len(missing):
        cell = dict(missing.iloc[0][[*RUN, "trained_in"]])
        raise InputError(
            f"scores of {cell['trained_in']}, detector {cell['detector']}, seed {cell['seed']} are missing, "
            f"which {cell['evaluation']} needs too; pass the scores of the whole study"
        )
    together = pd.concat([frame, copies.astype(frame.dtypes)], ignore_index=True)
    return in_order(together, RUN).reset_index(drop=True)


def _batches(paths: Sequence[Path]) -> Iterator[Sequence[Path]]:
    return (paths[start : start + _BATCH] for start in range(0, len(paths), _BATCH))


@dataclass(frozen=True, eq=False)
class _Runs:
    """Runs of some files: one row per run, one per run and subject, ledgers, hashes of the files' bytes, and
    files of other settings.
    """

    per_run: pd.DataFrame
    subjects: pd.DataFrame
    ledger: tuple[str, ...]
    hashes: tuple[str, ...]
    foreign: tuple[Path, ...]


def _read_runs(files: Sequence[tuple[Path, HashOf | None]]) -> _Runs:
    paths = [path for path, _ in files]
    read = [read_hashed_record(path, Scores) for path in paths]
    scores = [record for record, _ in read]
    keys = pd.DataFrame([_keys(record, path) for record, path in zip(scores, paths, strict=True)])
    keys["trained_in"] = keys["evaluation"]
    measured = measure(scores)
    of_run = measured.per_subject.pop("file").to_numpy()
    return _Runs(
        keys.assign(windows=list(map(len, scores))).join(measured.pooled),
        keys.iloc[of_run].reset_index(drop=True).join(measured.per_subject),
        tuple(entry for record in scores for entry in record.ledger.tolist()),
        tuple(map(file_hash, paths)),
        tuple(
            path
            for (path, hash_of), (record, found) in zip(files, read, strict=True)
            if hash_of is not None and hash_of(record.ledger) != found
        ),
    )


def _refuse_foreign(paths: Sequence[Path]) -> None:
    if paths:
        names = ", ".join(map(str, paths[:_MOST_NAMED])) + (" ..." if len(paths) > _MOST_NAMED else "")
        raise InputError(
            f"{names}: made by other settings than those of this study; delete these files and run the study "
            "again"
        )


def _keys(scores: Scores, path: Path) -> dict[str, Any]:
    keys: dict[str, Any] = {}
    # Runs that read all signals have no key `signals`.
    given = {"signals": ALL_SIGNALS, **scores.keys}
    for name in RUN:
        if name not in given:
            raise InputError(f"{path}: run key {name!r} is missing; rerun train_detectors")
        value = given[name]
        try:
            keys[name] = str(value) if name in _WORDS else parse_number(value)
        except ValueError:
            raise InputError(
                f"{path}: run key {name!r}: expected a number, found {value!r}; rerun train_detectors"
            ) from None
        if name in _WHOLE:
            keys[name] = int(keys[name])
    return keys


def _refuse_repeated_runs(per_run: pd.DataFrame, paths: Sequence[Path]) -> None:
    repeated = np.flatnonzero(per_run.duplicated(list(RUN), keep=False))
    if len(repeated):
        files = ", ".join(str(paths[i]) for i in repeated[:2])
        raise InputError(f"{files}: expected one file per run, found the same run keys twice; remove one")


def _refuse_different_tests(subjects: pd.DataFrame) -> None:
    # The SD over seeds would otherwise mix seeds with people.
    tested = subjects.groupby(list(RUN), sort=False).agg(
        tested=("subject", lambda names: " ".join(sorted(names))), windows=("windows", "sum")
    )
    different = tested.groupby(list(CELL), sort=False).nunique().max(axis=1) > 1
    if different.any():
        cell = dict(zip(CELL, different.index[int(np.argmax(different))], strict=True))
        raise InputError(f"scores of {cell}: seeds tested different windows; rerun train_detectors for it")


HEADLINES = tuple(keys_of(main_columns.HEADLINES))
NO_GENERATOR = "none"


@dataclass(frozen=True, eq=False)
class Cells:
    """c cells in table order.

    `keys`: frame (c) with the columns `CELL`, `trained_in` and `role`, the role of the detector's kind.
    `subjects` (s) in numeric order. `values[metric]` (c, s) float64: mean over seeds; NaN if the subject was
    not tested or the metric is undefined for this subject in each seed.
    """

    keys: pd.DataFrame
    subjects: tuple[str, ...]
    values: Mapping[str, NDArray[np.float64]]


def arrange(results: Results, description: StudyDescription) -> Cells:
    """Cells of `results` in table order, averaged over seeds.

    Raises:
        InputError: scores belong to an evaluation or a model that the description does not name.
    """
    for key, known in (
        ("evaluation", list(description.evaluations)),
        ("generator", [NO_GENERATOR, *description.generators]),
        ("detector", list(description.detectors)),
    ):
        # Score files are named on the command line: they may be of another study.
        unknown = set(results.pooled[key]) - set(known)
        if unknown:
            raise InputError(
                f"scores of {key} {min(unknown)!r}: the study has only {', '.join(known)}; "
                "pass the scores of this study"
            )
    keys = results.pooled[[*CELL, "trained_in"]].drop_duplicates()
    keys = keys.assign(role=[description.detectors[name].role for name in keys["detector"]])
    keys = _in_table_order(keys, list(description.evaluations))
    subjects = tuple(sorted(results.per_subject["subject"].unique(), key=subject_order))
    means = results.per_subject.groupby([*CELL, "subject"])[list(HEADLINES)].mean()
    # Every cell with every subject: pairs that were not tested become NaN.
    full = pd.MultiIndex.from_frame(
        keys.merge(pd.DataFrame({"subject": subjects}), how="cross")[[*CELL, "subject"]]
    )
    values = means.reindex(full).to_numpy().reshape(len(keys), len(subjects), len(HEADLINES))
    return Cells(keys, subjects, {metric: values[:, :, i] for i, metric in enumerate(HEADLINES)})


def _in_table_order(keys: pd.DataFrame, evaluations: list[str]) -> pd.DataFrame:
    """Sort cells: evaluations as in the study, rules after models, then by keys.

    Large epsilons come first, and rows that read all signals before rows that read some.
    """
    ranks = keys.assign(
        evaluation=keys["evaluation"].map(evaluations.index),
        rule=keys["role"] != MODEL,
        signals=(keys["signals"] != ALL_SIGNALS).astype(int).astype(str) + keys["signals"],
    )
    by = ["evaluation", "rule", *CELL[1:]]
    return keys.loc[in_order(ranks, by).index].reset_index(drop=True)
