"""Privacy columns and spending table: epsilon of private cells, composed from their ledgers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pulseveil.core import store
from pulseveil.core.errors import InputError
from pulseveil.core.identity import falling, parse_number
from pulseveil.privacy import accounting, ledger
from pulseveil.privacy.accounting import Group
from pulseveil.privacy.budget import Mechanism, seeds_asked
from pulseveil.privacy.ledger import Entry
from pulseveil.privacy.models import Setting, table_entries, together
from pulseveil.study.cells import Budgets
from pulseveil.summary import columns, main_columns
from pulseveil.summary.column import keys_of
from pulseveil.summary.description import StudyDescription
from pulseveil.summary.results import CELL, NO_GENERATOR
from pulseveil.windows.signals import ALL_SIGNALS

STUDY = "all of this study"
_DETECTOR_KEYS = tuple(CELL)
_GENERATOR_KEYS = tuple(keys_of(columns.GENERATOR_CELL))


@dataclass(frozen=True, eq=False)
class Ledgers:
    """All ledger entries of a study: of detectors by the keys `CELL`, of generators by `GENERATOR_CELL`."""

    detectors: Mapping[tuple[Any, ...], tuple[Entry, ...]]
    generators: Mapping[tuple[Any, ...], tuple[Entry, ...]]

    @property
    def entries(self) -> tuple[Entry, ...]:
        """All entries, those of generators first."""
        groups = (*self.generators.values(), *self.detectors.values())
        return tuple(entry for group in groups for entry in group)


@dataclass(frozen=True)
class Parts:
    """Mechanisms of a private cell: of its generator and of its detector.

    `secret`: whether all noise comes from secret keys.
    """

    generator: tuple[Mechanism, ...]
    detector: tuple[Mechanism, ...]
    delta: float
    secret: bool

    @property
    def all(self) -> tuple[Mechanism, ...]:
        """Mechanisms of both parts."""
        return (*self.generator, *self.detector)

    def groups(self, of_generator: float, of_detector: float) -> list[Group]:
        """Each mechanism with the number of its records that change together.

        `of_generator`, `of_detector`: that number for mechanisms at unit window; at unit subject it is 1.
        """
        counted = [(m, of_generator) for m in self.generator] + [(m, of_detector) for m in self.detector]
        return [(m, k if m.unit == "window" else 1) for m, k in counted]


def read_ledgers(detector_entries: Iterable[str], models: Iterable[Path]) -> Ledgers:
    """Ledgers of a study: of detectors from `detector_entries` (JSON), of generators from model files.

    Raises:
        InputError: an entry is not of this version's format, or a model file cannot be read.
    """
    of_models = (
        text
        for path in models
        for entries in store.read_models(path).ledgers.values()
        for text in entries.tolist()
    )
    return Ledgers(_by_keys(detector_entries, _DETECTOR_KEYS), _by_keys(of_models, _GENERATOR_KEYS))


def privacy_table(keys: pd.DataFrame, ledgers: Ledgers, description: StudyDescription) -> pd.DataFrame:
    """Columns `main_columns.PRIVACY` for each cell of `keys`; NaN for cells that are not private.

    epsilon_pld, _rdp, _unamplified and _replace_one compose generator and detector at the cell's unit.
    epsilon_subject, _window and _60_s are bounds for a person, one window and any 60 s of a person, by the
    same models: a model that protects people also protects their windows.

    If both parts were trained at unit window, their windows have different strides and compose only through
    any 60 s. epsilon_pld is then epsilon_60_s, and the other columns of the unit are NaN. If a raw second can
    change the whole recording, epsilon_60_s is NaN, and such parts compose through the person.

    Raises:
        InputError: a private cell has no ledger.
    """
    rows = [_row(cell, ledgers, description) for cell in _cells(keys)]
    return pd.DataFrame(rows, columns=keys_of(main_columns.PRIVACY), index=keys.index)


def spending_table(keys: pd.DataFrame, ledgers: Ledgers, description: StudyDescription) -> pd.DataFrame:
    """Epsilon that one person has spent if all private models of an evaluation or the study are published.

    One row per evaluation, then one for the study. Columns: `columns.SPENDING`. epsilon_subject holds for the
    private models alone: a published model without a budget protects nothing.
    """
    entries = ledgers.entries
    generators: dict[str, dict[tuple[Any, ...], tuple[Entry, ...]]] = {}
    trained_in: dict[str, list[str]] = {}
    for cell in _cells(keys):
        if is_protected(cell, description):
            used = generators.setdefault(cell["evaluation"], {})
            used[cell["generator"], cell["unit"], cell["epsilon_generator"]] = _generator_entries(
                cell, ledgers, description
            )
            trained_in.setdefault(cell["evaluation"], []).append(cell["trained_in"])
    of_table = partial(table_entries, entries)
    # Detectors on private synthetic windows spend nothing: then only their generators are counted.
    scopes = {
        name: [entry for trained in dict.fromkeys(trained_in[name]) for entry in of_table(trained)]
        or [entry for group in used.values() for entry in group]
        for name, used in generators.items()
    }
    rows = [_spent(name, members, description) for name, members in scopes.items() if members]
    if rows:
        rows.append(_spent(STUDY, entries, description))
    return pd.DataFrame(rows, columns=keys_of(columns.SPENDING))


def is_protected(cell: Mapping[str, Any], description: StudyDescription) -> bool:
    """Whether a cell is private: each of its parts that learns from real windows has a budget."""
    train = "real" if cell["generator"] == NO_GENERATOR else description.evaluations[cell["evaluation"]].train
    privacy = Budgets(cell["unit"], cell["epsilon_generator"], cell["epsilon_detector"])
    return privacy.protects(train)


def cell_parts(cell: Mapping[str, Any], ledgers: Ledgers, description: StudyDescription) -> Parts | None:
    """Mechanisms of a cell; None if the cell is not private.

    A private generator does not protect a cell whose detector learns from real windows without a budget.

    Raises:
        InputError: a ledger is missing.
    """
    if not is_protected(cell, description):
        return None
    detector = _detector_entries(cell, ledgers)
    generator = _generator_entries(cell, ledgers, description)
    entries = (*generator, *detector)
    delta = max(entry.delta for entry in entries)
    secret = all(entry.is_private for entry in entries)
    return Parts(_of_one_model(generator), _of_one_model(detector), delta, secret)


def _detector_entries(cell: Mapping[str, Any], ledgers: Ledgers) -> tuple[Entry, ...]:
    # Ledgers name the evaluation whose job trained the detector.
    trained = {**cell, "evaluation": cell["trained_in"]}
    return _entries(ledgers.detectors, trained, _DETECTOR_KEYS, cell["epsilon_detector"])


def _generator_entries(
    cell: Mapping[str, Any], ledgers: Ledgers, description: StudyDescription
) -> tuple[Entry, ...]:
    if cell["generator"] == NO_GENERATOR:
        return ()
    trained = {**cell, "cohort": description.evaluations[cell["evaluation"]].cohort}
    return _entries(ledgers.generators, trained, _GENERATOR_KEYS, cell["epsilon_generator"])


def _cells(keys: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in keys.to_dict("records")]


def _by_keys(texts: Iterable[str], names: tuple[str, ...]) -> dict[tuple[Any, ...], tuple[Entry, ...]]:
    found: dict[tuple[Any, ...], list[Entry]] = {}
    for text in texts:
        entry = ledger.from_json(text)
        found.setdefault(_key(entry.inputs, names), []).append(entry)
    return {key: tuple(found[key]) for key in sorted(found, key=lambda key: _rank(key, names))}


def _rank(key: tuple[Any, ...], names: tuple[str, ...]) -> tuple[Any, ...]:
    """Sort key of a ledger's key: its epsilons in their order."""
    values = zip(names, key, strict=True)
    return tuple(falling(value) if name.startswith("epsilon") else value for name, value in values)


def _key(values: Mapping[str, Any], names: Sequence[str]) -> tuple[Any, ...]:
    numbers = ("epsilon_generator", "epsilon_detector", "subjects", "noise")
    # Ledgers of runs that read all signals have no key `signals`.
    given = {"signals": ALL_SIGNALS, **values}
    return tuple(parse_number(given[name]) if name in numbers else given[name] for name in names)


def _entries(
    ledgers: Mapping[tuple[Any, ...], tuple[Entry, ...]],
    cell: Mapping[str, Any],
    names: tuple[str, ...],
    epsilon: float,
) -> tuple[Entry, ...]:
    if np.isinf(epsilon):
        return ()
    # A budget alone proves nothing: without the counted steps of a ledger the row must not show an epsilon.
    entries = ledgers.get(_key(cell, names), ())
    if not entries:
        where = ", ".join(f"{name} {cell[name]}" for name in names)
        raise InputError(f"{where}: no ledger shows epsilon {epsilon:g}; train this cell again")
    return entries


def _of_one_model(entries: Sequence[Entry]) -> tuple[Mechanism, ...]:
    """Mechanisms of one trained model: the release that spends most, since folds can differ in size."""
    releases: dict[str, list[Entry]] = {}
    for entry in entries:
        releases.setdefault(str(entry.inputs.get("release")), []).append(entry)
    most = max(releases.values(), key=lambda group: sum(e.epsilon_pld for e in group), default=[])
    return tuple(entry.as_mechanism() for entry in most)


def _row(cell: Mapping[str, Any], ledgers: Ledgers, description: StudyDescription) -> dict[str, Any]:
    parts = cell_parts(cell, ledgers, description)
    if parts is None:
        return {"secret": ""}
    delta, setting = parts.delta, description.privacy
    row: dict[str, Any] = {"delta": delta, "secret": "yes" if parts.secret else "no"}
    row["n_seeds_asked"] = seeds_asked(parts.all)
    row["epsilon_subject"] = accounting.epsilon_of_groups(parts.groups(*_person_windows(setting)), delta)
    of_60_s = accounting.epsilon_of_groups(parts.groups(*_piece_windows(setting)), delta)
    # Infinite: a raw second can change the whole recording. The table then shows no value instead of inf.
    row["epsilon_60_s"] = of_60_s if np.isfinite(of_60_s) else np.nan
    # The windows of generators and detectors have different strides: no record is common to both parts.
    if cell["unit"] == "window" and parts.generator and parts.detector:
        return row | {"epsilon_pld": of_60_s if np.isfinite(of_60_s) else row["epsilon_subject"]}
    row["epsilon_pld"] = row["epsilon_window"] = accounting.epsilon_pld(parts.all, delta)
    row["epsilon_rdp"] = accounting.epsilon_rdp(parts.all, delta)
    row["epsilon_unamplified"] = accounting.epsilon_unamplified(parts.all, delta)
    row["epsilon_replace_one"] = accounting.epsilon_replace_one(parts.all, delta)
    row["mu"] = accounting.gaussian_mu(parts.all)
    return row


def _person_windows(setting: Setting) -> tuple[int, int]:
    """Number of windows of a person, for generators and for detectors."""
    of_generator, of_detector = map(setting.person_windows, setting.strides_s)
    return of_generator, of_detector


def _piece_windows(setting: Setting) -> tuple[float, float]:
    """Number of windows that any 60 s of a person can change, for generators and for detectors."""
    of_generator, of_detector = map(setting.piece_windows, setting.strides_s)
    return of_generator, of_detector


def _spent(scope: str, entries: Sequence[Entry], description: StudyDescription) -> dict[str, Any]:
    # Copies are counted in the entries, whose `inputs` name the people of each model, never from an option.
    published = together(entries)
    delta = max(entry.delta for entry in entries)
    unbudgeted = [u for u in description.unbudgeted if scope == STUDY or scope in u.evaluations]
    return {
        "scope": scope,
        "models": published.copies,
        "models_without_budget": sum(of_name.models for of_name in unbudgeted),
        "delta": delta,
        "epsilon_subject": published.epsilon(description.privacy, delta, whole_person=True),
    }
