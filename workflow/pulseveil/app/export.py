"""Exports: data, cards, ledger and statement in one zip file: no data without their card."""

from __future__ import annotations

import hashlib
import io
import json
import re
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from pulseveil.app.synthesis import Made, require_confirmation
from pulseveil.core import identity, store
from pulseveil.core.identity import number_label
from pulseveil.release.cards import data_card, model_card
from pulseveil.release.export import export_csv

Form = Literal["csv", "h5"]
NOT_PRIVATE = "NOT-PRIVATE"
# The earliest time that a zip file can hold: equal content, equal bytes.
_EPOCH = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Export:
    """A file to hand out."""

    name: str
    content: bytes


def cell_hash(made: Made) -> str:
    """The hash of all that an export's values depend on."""
    request = made.request
    return identity.cell_hash(
        {
            "model": made.trained.facts.model_hash,
            "fold": made.trained.fold,
            "subjects": request.subjects,
            "windows": request.windows_per_condition(),
            "seed": request.seed,
            "version": identity.SYNTHESIS,
        }
    )


def export(made: Made, form: Form, *, confirmed_not_private: bool = False) -> Export:
    """The zip file of a request; raises InputError for a model that is not private unless confirmed.

    The name of the zip file and of the data inside begin with NOT-PRIVATE where nothing is claimed.
    """
    require_confirmation(made.trained, confirmed_not_private)
    facts = made.trained.facts
    stem = _stem(made)
    data = _data(made, form)
    files = {
        f"{stem}.{form}": data,
        "data_card.md": _data_card(made, {f"{stem}.{form}": hashlib.sha256(data).hexdigest()}).encode(),
        "model_card.md": model_card(facts).encode(),
        "statement.txt": facts.claim.statement.encode(),
    }
    if facts.claim.entries:
        entries = [asdict(entry) for entry in facts.claim.entries]
        files["ledger.json"] = (json.dumps(entries, indent=2) + "\n").encode()
    return Export(f"{stem}.zip", _zip(files))


def preview(made: Made, *, confirmed_not_private: bool = False) -> tuple[str, str]:
    """Data card and model card as an export would hold them, without hashes of files that are not made yet.

    Raises InputError for a model that is not private unless confirmed.
    """
    require_confirmation(made.trained, confirmed_not_private)
    return _data_card(made, {}), model_card(made.trained.facts)


def _data_card(made: Made, hashes: Mapping[str, str]) -> str:
    request, facts = made.request, made.trained.facts
    counts = zip(facts.classes, request.windows_per_condition(), strict=True)
    drawn = {
        "Drawn by": f"the front end; subjects: {request.subjects}; seed: {request.seed}",
        "Windows of a subject": ", ".join(f"{n} {name}" for name, n in counts),
        "Cell hash of the data": f"`{cell_hash(made)}`",
    }
    return data_card(facts, made.synthetic, drawn, hashes)


def _stem(made: Made) -> str:
    facts, claim = made.trained.facts, made.trained.facts.claim
    words = [facts.study, facts.generator]
    words += [f"epsilon-{number_label(claim.epsilon)}", claim.unit] if claim.is_private else []
    words.append(cell_hash(made)[:8])
    name = "_".join(re.sub(r"[^A-Za-z0-9.-]+", "-", word) for word in words)
    return name if claim.is_private else f"{NOT_PRIVATE}_{name}"


def _data(made: Made, form: Form) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"data.{form}"
        if form == "csv":
            export_csv(path, made.synthetic)
        else:
            store.write_record(path, made.synthetic, cell_hash=cell_hash(made))
        return path.read_bytes()


def _zip(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()
