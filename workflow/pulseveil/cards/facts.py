"""The facts that cards tell, gathered from a model file and from what its study wrote beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

import pulseveil
from pulseveil import limits, paths, provenance, store
from pulseveil.claims import Claim, judge
from pulseveil.cohorts import Origin, origin_of
from pulseveil.contracts import CONDITIONS
from pulseveil.errors import InputError
from pulseveil.jobs import GeneratorJob
from pulseveil.public_summary import PublicChannel, public_channels
from pulseveil.tables import read_table

_RUN_KEYS = (
    *("cohort", "part", "generator", "detector", "unit"),
    *("epsilon_generator", "epsilon_detector", "seed"),
)


@dataclass(frozen=True, eq=False)
class Facts:
    """All that is known of the trained models behind an export; `people`: those who trained each fold.

    `quality` and `audit` are the rows that the study measured; empty where it did not.
    """

    study: str
    cohort: str
    origin: Origin
    protocol: str
    scaling: str
    channels: tuple[PublicChannel, ...]
    classes: tuple[str, ...]
    rate_hz: float
    window_s: float
    stride_s: float | None
    generator: str
    kind: str
    settings: Mapping[str, Any]
    seed: int
    folds: tuple[str, ...]
    people: tuple[int, ...]
    claim: Claim
    quality: pd.DataFrame
    audit: pd.DataFrame
    model_hash: str
    versions: Mapping[str, str]


def gather(path: Path, models: store.Models, folds: Sequence[str]) -> Facts:
    """The facts of some folds of the model file at `path`; reads the study's quality and audit tables."""
    job = GeneratorJob.model_validate(models.description["job"])
    form = models.description["form"]
    audit = _measured(path, paths.GENERATOR_AUDIT, ())
    return Facts(
        study=job.study,
        cohort=job.cohort,
        origin=origin_of(job.cohort_kind),
        protocol=form["protocol"],
        scaling=form["scaling"],
        channels=public_channels(tuple(form["channels"]), form["scaling"]),
        classes=class_names(job.classes),
        rate_hz=form["rate_hz"],
        window_s=form["window_s"],
        stride_s=models.description.get("trained_stride_s"),
        generator=job.generator,
        kind=job.kind,
        settings=job.settings,
        seed=int(models.description["seed"]),
        folds=tuple(folds),
        people=tuple(len(fold.train_subjects) for fold in job.folds if fold.name in folds),
        claim=_after_audit(judge(models, folds), audit),
        quality=_measured(path, paths.QUALITY, folds),
        audit=audit,
        model_hash=provenance.file_hash(path),
        versions=_versions(path),
    )


def class_names(classes: int) -> tuple[str, ...]:
    """What each condition code of a generator of 2 or 3 classes is called."""
    return ("not stress", "stress") if classes == 2 else CONDITIONS


def _after_audit(claim: Claim, audit: pd.DataFrame) -> Claim:
    """The claim, unless an attack has refuted it."""
    if not claim.is_private or "failed" not in audit or not audit["failed"].eq(True).any():
        return claim
    return claim.refused("an audit refuted its claim")


def _measured(path: Path, template: str, folds: Sequence[str]) -> pd.DataFrame:
    """The rows of a table that belong to a model file, without its run keys; empty where there is none."""
    found = paths.words(paths.MODELS, path)
    if found is None:
        return pd.DataFrame()
    root, words = found
    table = root / paths.fill(template, **words)
    if not table.exists():
        return pd.DataFrame()
    rows = read_table(table, (), "run the study anew")
    if "fold" in rows and folds:
        rows = rows[rows["fold"].astype(str).isin(folds)]
    kept = [column for column in rows if column not in _RUN_KEYS]
    return rows[kept].dropna(axis="columns", how="all").reset_index(drop=True)


def _versions(path: Path) -> dict[str, str]:
    """The versions that the model was trained with, from its sidecar, and of this program."""
    sidecar = store.sidecar_path(path)
    try:
        told = json.loads(limits.read_bytes(sidecar, limits.JSON_BYTES, "JSON")) if sidecar.exists() else {}
        versions = {f"{name} (training)": str(v) for name, v in told.get("packages", {}).items()}
    except (AttributeError, RecursionError, ValueError) as error:
        raise InputError(f"{sidecar}: not the provenance of a model ({error}); train it again") from None
    if told.get("git"):
        versions["code (training)"] = f"commit {told['git']}"
    return {**versions, "pulseveil (export)": pulseveil.__version__}
