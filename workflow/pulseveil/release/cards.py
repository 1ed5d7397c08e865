"""Model and data cards as Markdown: facts from a model file and from what its study wrote beside it.

A card says what an export is, whence it comes, what protects whom, how good it is, what it is not for.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pandas as pd

import pulseveil
from pulseveil.cohorts import Origin, origin_of
from pulseveil.core import identity, limits, paths, store
from pulseveil.core.atomic import atomic_path
from pulseveil.core.contracts import CONDITIONS, SyntheticSet
from pulseveil.core.errors import InputError
from pulseveil.core.identity import number_label
from pulseveil.core.tables import read_table
from pulseveil.release.claims import ReleaseClaim, judge
from pulseveil.release.public_summary import PublicChannel, public_channels
from pulseveil.study.jobs import GeneratorJob

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
    claim: ReleaseClaim
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
        model_hash=identity.file_hash(path),
        versions=_versions(path),
    )


def class_names(classes: int) -> tuple[str, ...]:
    """What each condition code of a generator of 2 or 3 classes is called."""
    return ("not stress", "stress") if classes == 2 else CONDITIONS


def _after_audit(claim: ReleaseClaim, audit: pd.DataFrame) -> ReleaseClaim:
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


# More rows are a table of the study, not a card.
MOST_ROWS = 40


def model_card(facts: Facts) -> str:
    """The card of the trained models."""
    return _render("model_card.md.jinja", facts)


def data_card(
    facts: Facts, synthetic: SyntheticSet, drawn: Mapping[str, str], hashes: Mapping[str, str]
) -> str:
    """The card of an export: `drawn` says how it was drawn, `hashes` are the sha256 of its files by name."""
    counts = np.bincount(synthetic.condition, minlength=len(facts.classes)).tolist()
    # Every fold has its own SYN0001.
    inside = [_share(synthetic, i, c.low, c.high) for i, c in enumerate(facts.channels)]
    subjects = len(set(zip(synthetic.fold.tolist(), synthetic.subject.tolist(), strict=True)))
    return _render(
        "data_card.md.jinja",
        facts,
        drawn=drawn,
        hashes=hashes,
        subjects=subjects,
        windows=len(synthetic),
        class_counts=list(zip(facts.classes, counts, strict=True)),
        share_inside=inside,
        several_folds=len(facts.folds) > 1,
    )


def write_cards(path: Path, facts: Facts, synthetic: SyntheticSet, drawn: Mapping[str, str]) -> list[Path]:
    """Write data card and model card beside the export at `path`; returns their paths."""
    cards = {
        "data_card.md": data_card(facts, synthetic, drawn, {path.name: identity.file_hash(path)}),
        "model_card.md": model_card(facts),
    }
    written = []
    for name, text in cards.items():
        written.append(path.with_name(f"{path.name}.{name}"))
        with atomic_path(written[-1]) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return written


def _share(synthetic: SyntheticSet, channel: int, low: float, high: float) -> float:
    """Share of the values of a channel that lie in low..high."""
    values = synthetic.windows[:, :, channel]
    return float(((values >= low) & (values <= high)).mean())


def _render(template: str, facts: Facts, **values: Any) -> str:
    source = files("pulseveil.release").joinpath(template).read_text(encoding="utf-8")
    loader = jinja2.FunctionLoader(
        lambda name: files("pulseveil.release").joinpath(name).read_text(encoding="utf-8")
    )
    # Markdown, not HTML: nothing is to be escaped but the bars of tables.
    environment = jinja2.Environment(
        loader=loader,
        autoescape=False,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {"table": _table, "number": _number}
    return environment.from_string(source).render(f=facts, claim=facts.claim, **values).rstrip() + "\n"


def _table(rows: pd.DataFrame) -> str:
    """A frame as a Markdown table, at most `MOST_ROWS` rows of it."""
    shown = rows.head(MOST_ROWS)
    lines = [_row(shown.columns), _row("---" for _ in shown.columns)]
    lines += [_row(map(_number, values)) for values in shown.itertuples(index=False, name=None)]
    if len(rows) > MOST_ROWS:
        lines.append(f"\n{len(rows) - MOST_ROWS} more rows are in the study's own table.")
    return "\n".join(lines)


def _row(cells: Iterable[Any]) -> str:
    return "| " + " | ".join(str(cell).replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def _number(value: Any) -> str:
    """A cell: numbers to four digits, nothing for what is missing."""
    if isinstance(value, float | np.floating):
        if np.isnan(value):
            return ""
        return number_label(float(f"{value:.4g}"))
    return str(value)
