"""What a paper may claim of each private row, and which files of a study may leave the lab."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd

from pulseveil.core.tables import levels
from pulseveil.detectors import BEFORE_TRAINING, LITERATURE, LITERATURE_THREE, MODEL
from pulseveil.privacy.statement import UNIT_NAMES
from pulseveil.summary import labels
from pulseveil.summary.description import StudyDescription
from pulseveil.summary.results import NO_GENERATOR
from pulseveil.summary.unprotected import unprotected

_RULES = {
    LITERATURE: "the literature rule",
    LITERATURE_THREE: "the literature rule of three statistics",
    BEFORE_TRAINING: "the same network with its initial weights",
}
_SHOWN = {
    "yes": "the use of private data is shown",
    "no": "a use of private data is not shown",
    "few seeds": "too few noise draws were averaged to claim a use of private data",
}


class File(NamedTuple):
    """Files of a study below its results: what they hold, their guarantee, and whether they may leave."""

    files: str
    what: str
    guarantee: str
    may_leave: str


def sentences(main: pd.DataFrame, description: StudyDescription) -> list[str]:
    """One sentence per private row of the main table, as a paper may state it.

    main: main table joined with the privacy table. Only rows with secret noise are private. Accuracies are
    computed without noise on the tested people, so that the sentences stay with the tables.
    """
    private = main[(main["role"] == MODEL) & (main["secret"] == "yes")]
    return [_sentence(row, description) for _, row in private.iterrows()]


def files(main: pd.DataFrame, description: StudyDescription) -> list[File]:
    """All files of a study that hold something of its people, with what protects them."""
    return [*_protected(main), *_unprotected(description)]


def _sentence(row: pd.Series[float], description: StudyDescription) -> str:
    source = "the recordings"
    if str(row["generator"]) != NO_GENERATOR:
        source = f"{row['subjects']} synthetic people of {description.generator_title(str(row['generator']))}"
    tested = description.evaluations[str(row["evaluation"])].tested_on
    draws = "one noise draw" if row["n_seeds"] == 1 else f"mean over {row['n_seeds']} noise draws"
    parts = [
        f"{description.detector_title(str(row['detector']))}, trained on {source} with "
        f"({labels.epsilon(row['epsilon_pld'])}, {row['delta']:g})-differential privacy of "
        f"{UNIT_NAMES[str(row['unit'])]} (one model, neighbours by zero-out), has an accuracy of "
        f"{labels.with_interval(row['accuracy'], row['accuracy_low'], row['accuracy_high'])} on {tested} "
        f"({row['n_subjects']} people, {draws})"
    ]
    parts += _differences(row)
    if shown := _SHOWN.get(str(row["shows_use_of_private_data"])):
        parts.append(shown)
    return "; ".join(parts) + "."


def _differences(row: pd.Series[float]) -> Iterator[str]:
    for role, rule in _RULES.items():
        name = f"accuracy_minus_{role}"
        if np.isfinite(row[name]):
            interval = f"[{labels.signed(row[f'{name}_low'])}, {labels.signed(row[f'{name}_high'])}]"
            p = labels.p_value(row[f"{name}_p"])
            yield f"{labels.signed(row[name])} {interval} ({p}) against {rule}"


def _protected(main: pd.DataFrame) -> Iterator[File]:
    private = main[(main["role"] == MODEL) & (main["secret"] == "yes")]
    for unit, members in private.groupby("unit", sort=False):
        epsilons = ", ".join(dict.fromkeys(map(labels.epsilon, levels(members["epsilon_pld"]))))
        guarantee = f"one model: epsilon {epsilons} for {UNIT_NAMES[str(unit)]}; several add up"
        release = "yes, one of them: pulseveil release trains it on all people with its proof"
        if (members["epsilon_generator"] < np.inf).any():
            where = f"unit={unit}/epsilon_generator=E"
            yield File(f"generators/**/{where}/*.h5", "generators with a budget", guarantee, release)
            yield File(
                f"synthetic/**/{where}/*.h5", "their synthetic windows", guarantee, "yes, with that one model"
            )
        if (members["epsilon_detector"] < np.inf).any():
            pattern = f"detectors/**/unit={unit}/*/epsilon_detector=E/**/*.h5"
            yield File(pattern, "detectors with a budget", guarantee, release)
    if len(private):
        what = "what was spent, and the statement"
        yield File("ledger.json, statement.txt", what, "hold no value of the people", "yes")


def _unprotected(description: StudyDescription) -> Iterator[File]:
    for holding in unprotected(description):
        answer = "no" if holding.of_single_people else "only as the people agreed"
        yield File(holding.files, holding.what, "none", answer)
