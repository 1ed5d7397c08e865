"""Score files of made-up studies whose accuracy is known by construction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pulseveil.core import registry
from pulseveil.core.contracts import Portrait, Scores
from pulseveil.core.identity import number_label, parse_number
from pulseveil.core.store import Models, write_models, write_record
from pulseveil.privacy import accounting, ledger
from pulseveil.privacy.budget import Budget
from pulseveil.privacy.noise import Noise

WINDOWS = 20
STRESS = 6
KEYS: Mapping[str, Any] = {
    "evaluation": "real",
    "generator": "none",
    "detector": "cnn",
    "unit": "subject",
    "epsilon_generator": "inf",
    "epsilon_detector": "inf",
    "subjects": 0,
    "noise": 0.0,
    "signals": "all",
    "seed": 0,
}
WESAD = tuple(f"S{i}" for i in (2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 14, 15, 16, 17))


def scores(wrong: Mapping[str, int], /, **keys: Any) -> Scores:
    """Each subject has 20 windows, the first 6 of them stress; its first `wrong` windows are decided wrongly.

    So accuracy is 1 - wrong / 20 and recall of stress 1 - min(wrong, 6) / 6.
    """
    stress = np.tile(np.arange(WINDOWS) < STRESS, len(wrong))
    mistaken = np.concatenate([np.arange(WINDOWS) < count for count in wrong.values()])
    subject = np.repeat(np.array(list(wrong), dtype=np.str_), WINDOWS)
    predicted = stress ^ mistaken
    score = np.where(predicted, 0.9, 0.1).astype(np.float32)
    return Scores(
        subject=subject,
        fold=subject,
        start_s=np.tile(60.0 * np.arange(WINDOWS), len(wrong)),
        condition=stress.astype(np.int8),
        stress=stress,
        score=score,
        score_rest=1 - score,
        predicted=predicted,
        keys={**KEYS, **keys},
        ledger=ledger_of({**KEYS, **keys}, "epsilon_detector"),
    )


def ledger_of(keys: Mapping[str, Any], epsilon: str, *, secret: bool = True, steps: int = 1) -> np.ndarray:
    """The ledger of private queries of 14 people (or 14 x 37 windows) at `keys[epsilon]`; empty at inf."""
    value = parse_number(keys[epsilon])
    if np.isinf(value):
        return np.array([], dtype=np.str_)
    budget = Budget(value, 1e-5, keys["unit"])
    n = 14 if keys["unit"] == "subject" else 14 * 37
    query = accounting.calibrate(budget, name="query", n=n, q=1.0, capacity=n, steps=steps, clip_norm=1.0)
    noise = Noise(bytes(32), secret)
    entry = ledger.close(query, steps_noised=steps, delta=1e-5, noise=noise, public_quantities=(), program=1)
    named = replace(entry, inputs={**keys, "fold": "S2", "release": "a"})
    return np.array([ledger.to_json(named)], dtype=np.str_)


def write_generator(folder: Path, **keys: Any) -> str:
    """A model file of a private generator that has a ledger and nothing else; its path."""
    keys = {"cohort": "wesad", "generator": "cgan", "unit": "subject", "seed": 0, **keys}
    path = folder / f"{keys['generator']}-{keys['unit']}-{number_label(keys['epsilon_generator'])}.h5"
    write_models(path, Models({}, {}, {"S2": ledger_of(keys, "epsilon_generator")}), cell_hash="made up")
    return str(path)


def write_quality(path: Path, values: Sequence[float], **columns: str) -> str:
    """A quality file with one row a value, of as many folds; floors are .1 above the values; its path."""
    keys = {"cohort": "wesad", "generator": "cgan", "unit": "subject", "epsilon_generator": "inf", "seed": 0}
    what = {"measure": "two_sample_1nn", "signal": "all", "condition": "all", **columns}
    numbers = [
        {"value": v, "low": v - 0.2, "high": v + 0.2, "floor": v + 0.1, "floor_low": v, "floor_high": v + 0.3}
        for v in values
    ]
    rows = [
        {**keys, "fold": f"S{i}", **what, **number, "held_out": np.nan} for i, number in enumerate(numbers)
    ]
    pd.DataFrame(rows).to_csv(path, index=False)
    return str(path)


def write_portrait(path: Path, epsilon: str = "inf", generator: str = "cgan") -> str:
    """A portrait of made-up windows; its path."""
    rng = np.random.default_rng(0)
    edges = np.linspace(-1, 1, 6)
    portrait = Portrait(
        channels=("EDA", "TEMP"),
        edges=np.stack([edges, edges]),
        real_density=rng.uniform(size=(2, 2, 5)),
        synthetic_density=rng.uniform(size=(2, 2, 5)),
        frequency_hz=np.linspace(0.1, 0.5, 5),
        real_power=rng.uniform(size=(2, 5)),
        synthetic_power=rng.uniform(size=(2, 5)),
        real_correlation=np.eye(3),
        synthetic_correlation=np.eye(3),
        explained=np.array([0.4, 0.2]),
        real_components=rng.normal(size=(8, 2)).astype(np.float32),
        synthetic_components=rng.normal(size=(8, 2)).astype(np.float32),
        real_neighbours=rng.normal(size=(8, 2)).astype(np.float32),
        synthetic_neighbours=rng.normal(size=(8, 2)).astype(np.float32),
        real_stress=np.arange(8) < 3,
        synthetic_stress=np.arange(8) < 4,
        real_windows=rng.normal(size=(2, 3, 12, 2)).astype(np.float32),
        synthetic_windows=rng.normal(size=(2, 3, 12, 2)).astype(np.float32),
        rate_hz=1.0,
        scaling="min-max",
        keys={
            "cohort": "wesad", "generator": generator, "unit": "subject",
            "epsilon_generator": epsilon, "seed": 0, "fold": "S2",
        },
    )  # fmt: skip
    write_record(path, portrait, cell_hash="made up")
    return str(path)


def constant_scores(people: Sequence[str], /, **keys: Any) -> Scores:
    """The majority rule: never stress, right in 14 of 20 windows."""
    answers = scores(dict.fromkeys(people, 0), **{"detector": "majority", **keys})
    never = np.zeros(len(answers), dtype=bool)
    score = np.full(len(answers), 0.3, dtype=np.float32)
    return Scores(**{**vars(answers), "predicted": never, "score": score, "score_rest": 1 - score})


def write(folder: Path, records: Sequence[Scores]) -> list[Path]:
    """One file a record, as the workflow names them."""
    paths = []
    for record in records:
        name = "-".join(f"{k}={v if isinstance(v, str) else number_label(v)}" for k, v in record.keys.items())
        paths.append(folder / f"{name}.h5")
        write_record(paths[-1], record, cell_hash=name)
    return paths


def models() -> dict[str, Any]:
    """All registered generators and detectors under the names of their kinds, as a study describes them."""
    groups: tuple[registry.Group, ...] = ("generators", "detectors")
    return {group: {name: described_kind(group, name) for name in registry.names(group)} for group in groups}


def described_kind(group: registry.Group, name: str) -> dict[str, Any]:
    """How a study describes a model that is named like its kind."""
    kind = registry.load(group, name)
    if group == "detectors":
        of_group = {"role": kind.role, "architecture": kind.architecture(kind.Settings())}
    else:
        of_group = {"learns": kind.learns}
    return {
        "kind": name,
        "title": kind.title,
        "colour": kind.colour,
        "private_differences": kind.private_differences,
        **of_group,
    }


def description(**changes: Any) -> dict[str, Any]:
    """A study in the paper protocol on WESAD: real, tstr (shared generator) and augmented."""
    evaluation = {
        "cohort": "wesad",
        "test": "loso",
        "tested_on": "each left-out subject",
        "generator_shared": True,
        "published": None,
    }
    return {
        "study": "made_up",
        "protocol": "paper",
        "channels": "published",
        "scaling": "min-max",
        "cohorts": {"wesad": {"kind": "wesad", "published": True, "subjects": 15, "summary": []}},
        "evaluations": {
            "real": {**evaluation, "train": "real", "published": "1-LOSO_15real"},
            "tstr": {**evaluation, "train": "synthetic", "published": "3-TSTR_cGAN"},
            "augmented": {**evaluation, "train": "real+synthetic", "generator_shared": False},
        },
        **models(),
        "seeds": 2,
        "plan": {"runs": 60, "jobs": 4},
        "quality": [],
        **changes,
    }
