"""Cards as Markdown, from the package's templates."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pandas as pd

from pulseveil import provenance
from pulseveil.atomic import atomic_path
from pulseveil.cards.facts import Facts
from pulseveil.contracts import SyntheticSet
from pulseveil.naming import number_label

# More rows are a table of the study, not a card.
MOST_ROWS = 40


def model_card(facts: Facts) -> str:
    """The card of the trained models."""
    return _render("model_card.md.jinja", facts)


def data_card(
    facts: Facts, synthetic: SyntheticSet, made: Mapping[str, str], hashes: Mapping[str, str]
) -> str:
    """The card of an export: `made` says how it was drawn, `hashes` are the sha256 of its files by name."""
    counts = np.bincount(synthetic.condition, minlength=len(facts.classes)).tolist()
    # Every fold has its own SYN0001.
    inside = [_share(synthetic, i, c.low, c.high) for i, c in enumerate(facts.channels)]
    subjects = len(set(zip(synthetic.fold.tolist(), synthetic.subject.tolist(), strict=True)))
    return _render(
        "data_card.md.jinja",
        facts,
        made=made,
        hashes=hashes,
        subjects=subjects,
        windows=len(synthetic),
        class_counts=list(zip(facts.classes, counts, strict=True)),
        share_inside=inside,
        several_folds=len(facts.folds) > 1,
    )


def write_cards(path: Path, facts: Facts, synthetic: SyntheticSet, made: Mapping[str, str]) -> list[Path]:
    """Write data card and model card beside the export at `path`; returns their paths."""
    cards = {
        "data_card.md": data_card(facts, synthetic, made, {path.name: provenance.file_hash(path)}),
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
    source = files("pulseveil.cards").joinpath(template).read_text(encoding="utf-8")
    loader = jinja2.FunctionLoader(
        lambda name: files("pulseveil.cards").joinpath(name).read_text(encoding="utf-8")
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
