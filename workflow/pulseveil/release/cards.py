"""Model and data cards in Markdown, from a model file and the tables of its study.

A card states origin, protocol, privacy claim, quality, audits and limits of an export.
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
from pulseveil.core.contracts import CONDITIONS, SyntheticSet
from pulseveil.core.errors import InputError
from pulseveil.core.identity import number_label
from pulseveil.core.tables import read_table
from pulseveil.release.claims import ReleaseClaim, judge
from pulseveil.release.public_summary import PublicChannel, public_channels
from pulseveil.study.jobs import DetectorJob, GeneratorJob

_RUN_KEYS = (
    *("cohort", "part", "generator", "detector", "unit"),
    *("epsilon_generator", "epsilon_detector", "seed"),
)

# Of a person-level audit, these two columns name people.
_NAMES_OF_PEOPLE = ("record", "verdict")


@dataclass(frozen=True, eq=False)
class Facts:
    """Facts about the trained models behind an export.

    `people`: number of training people per fold. `quality`, `audit`: rows that the study measured; empty if
    it did not.
    """

    study: str
    cohort: str
    public_cohorts: tuple[str, ...]
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
    """Facts about `folds` of the model file at `path`, with the study's quality and audit rows.

    Raises:
        InputError: a table or the provenance beside the model is damaged, or a channel is unknown.
    """
    job = GeneratorJob.model_validate(models.description["job"])
    form = models.description["form"]
    audit = read_audit(_table_beside(path, paths.GENERATOR_AUDIT))
    return Facts(
        study=job.study,
        cohort=job.cohort,
        public_cohorts=job.public_cohorts,
        origin=origin_of(job.cohort_kind),
        protocol=form["protocol"],
        scaling=form["scaling"],
        # Ranges from the literature: ranges of the data would reveal the extremes of single people.
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
        claim=after_audit(judge(models, folds), audit),
        quality=_measured(_table_beside(path, paths.QUALITY), folds),
        audit=audit,
        model_hash=identity.file_hash(path),
        versions=_versions(path),
    )


def class_names(classes: int) -> tuple[str, ...]:
    """Names of the condition codes of a generator with 2 or 3 classes, by code.

    Examples:
        >>> class_names(2), class_names(3)
        (('not stress', 'stress'), ('baseline', 'stress', 'amusement'))
    """
    return ("not stress", "stress") if classes == 2 else CONDITIONS


def after_audit(claim: ReleaseClaim, audit: pd.DataFrame) -> ReleaseClaim:
    """The claim, or its refusal if an audit refuted it."""
    if not claim.is_private or "failed" not in audit or not audit["failed"].eq(True).any():
        return claim
    return claim.refused("an audit refuted its claim")


def read_audit(table: Path | None) -> pd.DataFrame:
    """Attacks of an audit, without run keys and names of people; empty if there is no such table.

    Raises:
        InputError: the table is damaged.
    """
    rows = _measured(table)
    return rows[[column for column in rows if column not in _NAMES_OF_PEOPLE]]


def _table_beside(path: Path, template: str) -> Path | None:
    """Path of the study's table about the models at `path`; None outside of a study's folders."""
    found = paths.words(paths.MODELS, path)
    return None if found is None else found[0] / paths.fill(template, **found[1])


def _measured(table: Path | None, folds: Sequence[str] = ()) -> pd.DataFrame:
    """Rows of a study's table, without run keys; empty if the study has no such table."""
    if table is None or not table.exists():
        return pd.DataFrame()
    rows = read_table(table, (), "run the study anew")
    if "fold" in rows and folds:
        rows = rows[rows["fold"].astype(str).isin(folds)]
    kept = [column for column in rows if column not in _RUN_KEYS]
    return rows[kept].dropna(axis="columns", how="all").reset_index(drop=True)


def _versions(path: Path) -> dict[str, str]:
    """Versions that trained the model, from its sidecar file, and the version of this program."""
    sidecar = store.sidecar_path(path)
    try:
        stored = json.loads(limits.read_bytes(sidecar, limits.JSON_BYTES, "JSON")) if sidecar.exists() else {}
        versions = {f"{name} (training)": str(v) for name, v in stored.get("packages", {}).items()}
    except (AttributeError, RecursionError, ValueError) as error:
        raise InputError(f"{sidecar}: not the provenance of a model ({error}); train it again") from None
    if stored.get("git"):
        versions["code (training)"] = f"commit {stored['git']}"
    return {**versions, "pulseveil (export)": pulseveil.__version__}


# A card stays readable; all rows are in the study's own table.
MOST_ROWS = 40


def model_card(facts: Facts) -> str:
    """Model card of the trained models, as Markdown."""
    return _render("model_card.md.jinja", f=facts, claim=facts.claim)


def data_card(
    facts: Facts, synthetic: SyntheticSet, request: Mapping[str, str], hashes: Mapping[str, str]
) -> str:
    """Data card of an export, as Markdown.

    `request`: how the export was synthesized, by label. `hashes`: sha256 of the exported files by name.
    """
    counts = np.bincount(synthetic.condition, minlength=len(facts.classes)).tolist()
    # Every fold has its own SYN0001.
    subjects = len(set(zip(synthetic.fold.tolist(), synthetic.subject.tolist(), strict=True)))
    return _render(
        "data_card.md.jinja",
        f=facts,
        claim=facts.claim,
        request=request,
        hashes=hashes,
        subjects=subjects,
        windows=len(synthetic),
        class_counts=list(zip(facts.classes, counts, strict=True)),
        columns=columns(facts, synthetic),
    )


def columns(facts: Facts, synthetic: SyntheticSet) -> pd.DataFrame:
    """Columns of an export as CSV: name, meaning, unit, public range, and share of values inside, as text."""
    codes = ", ".join(f"{code} {name}" for code, name in enumerate(facts.classes))
    rows = [
        ("subject", "synthetic subject", "", "", ""),
        ("window", "index of the window within its subject", "from 0", "", ""),
        ("second", "time since the start of the window", "s", "", ""),
        *(
            (
                *(c.name, c.meaning, c.unit, f"{_number(c.low)} to {_number(c.high)}"),
                f"{100 * _share(synthetic, i, c.low, c.high):.1f} %",
            )
            for i, c in enumerate(facts.channels)
        ),
        ("condition", "class", codes, "", ""),
    ]
    if len(facts.folds) > 1:
        meaning = "whose generator synthesized the window"
        rows.insert(0, ("fold", meaning, "name of the left-out subject", "", ""))
    return pd.DataFrame(rows, columns=["column", "meaning", "unit", "public range", "values in the range"])


def texts(facts: Facts) -> dict[str, tuple[str, ...]]:
    """Sentences of the cards by subject, for other forms of metadata, without Markdown of lists."""
    shared: Any = _environment().get_template("shared.md.jinja").module
    rendered = {
        "origin": shared.origin(facts),
        "protocol": shared.protocol(facts),
        "privacy": f"{facts.claim.headline}.\n{shared.guarantee(facts, facts.claim)}",
        "forms": shared.forms(),
        "labels": shared.labels(facts),
        "biases": shared.biases(facts),
        "uses": shared.uses(facts),
        "shortcomings": shared.shortcomings(facts),
        "maintenance": shared.maintenance(),
    }
    return {
        name: tuple(line.removeprefix("- ") for line in text.splitlines() if line.strip())
        for name, text in rendered.items()
    }


def detector_card(
    job: DetectorJob, cohort: str, origin: Origin, claim: ReleaseClaim, audit: pd.DataFrame
) -> str:
    """Model card of a detector that is trained on all people of `cohort`, as Markdown.

    `audit`: attacks of the study on such detectors, as `read_audit` returns them.
    """
    return _render("detector_card.md.jinja", job=job, cohort=cohort, origin=origin, claim=claim, audit=audit)


def _share(synthetic: SyntheticSet, channel: int, low: float, high: float) -> float:
    """Share of the values of a channel in [low, high]."""
    values = synthetic.windows[:, :, channel]
    return float(((values >= low) & (values <= high)).mean())


def _render(template: str, **values: Any) -> str:
    return _environment().get_template(template).render(**values).rstrip() + "\n"


def _environment() -> jinja2.Environment:
    loader = jinja2.FunctionLoader(
        lambda name: files("pulseveil.release").joinpath(name).read_text(encoding="utf-8")
    )
    # Markdown, not HTML: only the bars of tables are escaped, by `_row`.
    environment = jinja2.Environment(
        loader=loader,
        autoescape=False,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {"table": _table, "number": _number}
    return environment


def _table(rows: pd.DataFrame) -> str:
    """The first `MOST_ROWS` rows of a frame as a Markdown table."""
    shown = rows.head(MOST_ROWS)
    lines = [_row(shown.columns), _row("---" for _ in shown.columns)]
    lines += [_row(map(_number, values)) for values in shown.itertuples(index=False, name=None)]
    if len(rows) > MOST_ROWS:
        lines.append(f"\n{len(rows) - MOST_ROWS} more rows are in the study's own table.")
    return "\n".join(lines)


def _row(cells: Iterable[Any]) -> str:
    return "| " + " | ".join(str(cell).replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def _number(value: Any) -> str:
    """Text of a cell: a float with four significant digits, empty for NaN."""
    if isinstance(value, float | np.floating):
        if np.isnan(value):
            return ""
        return number_label(float(f"{value:.4g}"))
    return str(value)
