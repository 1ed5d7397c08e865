"""Export of synthetic windows as one zip file with data, metadata, cards, statement, ledger and proof."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from pulseveil.app.synthesis import Generated, cell_hash, require_confirmation
from pulseveil.core.identity import number_label
from pulseveil.privacy import ledger
from pulseveil.release import bundle, croissant
from pulseveil.release.cards import data_card, model_card
from pulseveil.release.exits import leaving_name
from pulseveil.release.export import Form, data_set


@dataclass(frozen=True)
class Export:
    """A file to download: name and content."""

    name: str
    content: bytes


def export(generated: Generated, form: Form, *, confirmed_not_private: bool = False) -> Export:
    """Zip file with the data of a request, its cards, its statement and its ledger.

    If the model is not private, the names of the zip file and of the data begin with NOT-PRIVATE.

    Raises:
        InputError: the model is not private, and `confirmed_not_private` is False.
    """
    # Each function that hands out data checks the claim by itself, not only the page.
    facts = generated.trained.facts
    stem = leaving_name(_stem(generated), facts.claim, not_private=confirmed_not_private)
    data = data_set(generated.synthetic, form, cell_hash=cell_hash(generated))
    contents = {f"{stem}.{form}": data}
    files = {
        **contents,
        croissant.NAME: _croissant(generated, stem, contents),
        "data_card.md": _data_card(generated, bundle.hashes(contents)).encode(),
        "model_card.md": model_card(facts).encode(),
        "statement.txt": facts.claim.statement.encode(),
    }
    if facts.claim.entries:
        entries = [ledger.as_json_values(entry) for entry in facts.claim.entries]
        files["ledger.json"] = (json.dumps(entries, indent=2) + "\n").encode()
    return Export(f"{stem}.zip", bundle.zipped(bundle.with_proof(files)))


def preview(generated: Generated, *, confirmed_not_private: bool = False) -> tuple[str, str]:
    """Data card and model card of an export, without the hashes of its files.

    Raises:
        InputError: the model is not private, and `confirmed_not_private` is False.
    """
    require_confirmation(generated.trained, confirmed_not_private)
    return _data_card(generated, {}), model_card(generated.trained.facts)


def _croissant(generated: Generated, stem: str, contents: Mapping[str, bytes]) -> bytes:
    facts = generated.trained.facts
    data = croissant.DataSet(stem, generated.synthetic, _described(generated), contents)
    # Without a date: the same request gives the same bytes.
    return croissant.croissant(stem, facts, [data], croissant.licence(facts.origin, None))


def _data_card(generated: Generated, hashes: Mapping[str, str]) -> str:
    return data_card(generated.trained.facts, generated.synthetic, _described(generated), hashes)


def _described(generated: Generated) -> dict[str, str]:
    """How the windows were synthesized, by label."""
    request, facts = generated.request, generated.trained.facts
    counts = zip(facts.classes, request.windows_per_condition(), strict=True)
    return {
        "Synthesized by": f"the front end; subjects: {request.subjects}; seed: {request.seed}",
        "Windows per subject": ", ".join(f"{n} {name}" for name, n in counts),
        "Cell hash of the data": f"`{cell_hash(generated)}`",
    }


def _stem(generated: Generated) -> str:
    facts, claim = generated.trained.facts, generated.trained.facts.claim
    words = [facts.study, facts.generator]
    words += [f"epsilon-{number_label(claim.epsilon)}", claim.unit] if claim.is_private else []
    words.append(cell_hash(generated)[:8])
    return "_".join(re.sub(r"[^A-Za-z0-9.-]+", "-", word) for word in words)
