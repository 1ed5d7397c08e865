"""Croissant metadata of synthetic data sets, with the fields for responsible AI.

Sources: MLCommons, Croissant format specification 1.0, and Croissant RAI specification 1.0. All sentences are
those of the cards.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from hashlib import sha256
from pathlib import PurePath
from typing import Any

import mlcroissant as mlc

from pulseveil.cohorts import Origin
from pulseveil.core.contracts import SyntheticSet
from pulseveil.release.cards import Facts, columns, texts

NAME = "croissant.json"
_CONFORMS_TO = ["http://mlcommons.org/croissant/1.0", "http://mlcommons.org/croissant/RAI/1.0"]
# By ending. Croissant has readers for the first two: the exact values before the rounded ones.
_ENCODINGS = {".parquet": "application/x-parquet", ".csv": "text/csv", ".h5": "application/x-hdf5"}
_READ = (".parquet", ".csv")
_CONDITIONS = "conditions"
_TYPES = {
    "fold": mlc.DataType.TEXT,
    "subject": mlc.DataType.TEXT,
    "window": mlc.DataType.INTEGER,
    "second": mlc.DataType.INTEGER,
    "condition": mlc.DataType.INTEGER,
}


@dataclass(frozen=True, eq=False)
class DataSet:
    """Synthetic windows and the files that hold them: contents by name.

    `request`: how the windows were synthesized, by label.
    """

    name: str
    synthetic: SyntheticSet
    request: Mapping[str, str]
    files: Mapping[str, bytes]


def licence(origin: Origin, of_study: str | None) -> str:
    """Address of the licence that the study names, or else licence or terms of the recordings.

    `of_study`: SPDX identifier.
    """
    name = of_study or origin.license
    return f"https://spdx.org/licenses/{name}" if name else origin.terms


def croissant(
    name: str, facts: Facts, sets: Sequence[DataSet], license: str, published: date | None = None
) -> bytes:
    """Croissant metadata of data sets from one generator, as JSON-LD.

    The record set `conditions` lists the labels. Each data set with a CSV or Parquet file is a record set
    with one record per second. Croissant has no reader for HDF5: such a file is described in words.
    """
    said = {subject: " ".join(sentences) for subject, sentences in texts(facts).items()}
    lists = {subject: list(sentences) for subject, sentences in texts(facts).items()}
    metadata = mlc.Metadata(
        name=name,
        description=f"Synthetic windows of wrist signals. {facts.claim.headline}.",
        conforms_to=_CONFORMS_TO,
        cite_as=facts.origin.citation,
        license=[license],
        version="1.0.0",
        date_published=datetime.combine(published, time()) if published else None,
        distribution=[_file(path, content, said["forms"]) for s in sets for path, content in s.files.items()],
        record_sets=[_conditions(facts), *(found for s in sets if (found := _records(s, facts)))],
        data_collection=" ".join([said["origin"], *(_synthesized(facts, s) for s in sets)]),
        data_preprocessing_protocol=lists["protocol"],
        data_annotation_protocol=lists["labels"],
        data_biases=lists["biases"],
        data_limitations=lists["shortcomings"],
        data_use_cases=lists["uses"],
        personal_sensitive_information=lists["privacy"],
        data_release_maintenance_plan=said["maintenance"],
    )
    return (json.dumps(metadata.to_json(), indent=2, ensure_ascii=False) + "\n").encode()


def _synthesized(facts: Facts, data: DataSet) -> str:
    request = "; ".join(f"{label}: {value}" for label, value in data.request.items())
    return f"{data.name}: generator {facts.generator} (kind {facts.kind}), seed {facts.seed}; {request}."


def _file(name: str, content: bytes, forms: str) -> mlc.FileObject:
    return mlc.FileObject(
        id=name,
        name=name,
        description=forms,
        content_url=name,
        content_size=f"{len(content)} B",
        encoding_formats=[_ENCODINGS[PurePath(name).suffix]],
        sha256=sha256(content).hexdigest(),
    )


def _conditions(facts: Facts) -> mlc.RecordSet:
    """The labels: code and name of each condition."""
    code, name = f"{_CONDITIONS}/code", f"{_CONDITIONS}/name"
    return mlc.RecordSet(
        id=_CONDITIONS,
        name=_CONDITIONS,
        description="The labels of windows.",
        data_types=["sc:Enumeration"],
        key=[code],
        fields=[
            mlc.Field(id=code, name="code", data_types=[mlc.DataType.INTEGER]),
            mlc.Field(id=name, name="name", data_types=[mlc.DataType.TEXT]),
        ],
        data=[{code: i, name: text} for i, text in enumerate(facts.classes)],
    )


def _records(data: DataSet, facts: Facts) -> mlc.RecordSet | None:
    """One record per second of the windows, or None if no file can be read by Croissant."""
    readable = {PurePath(name).suffix: name for name in data.files}
    source = next((readable[ending] for ending in _READ if ending in readable), None)
    if source is None:
        return None
    rows = columns(facts, data.synthetic).to_dict("records")
    return mlc.RecordSet(
        id=data.name,
        name=data.name,
        description="Synthetic windows, one record per second.",
        fields=[_field(data.name, source, row) for row in rows],
    )


def _field(records: str, source: str, row: Mapping[Any, Any]) -> mlc.Field:
    name = row["column"]
    said = {"unit": row["unit"], "public range": row["public range"]}
    described = [row["meaning"], *(f"{label}: {text}" for label, text in said.items() if text)]
    labels: dict[str, Any] = {"references": mlc.Source(field=f"{_CONDITIONS}/code")}
    return mlc.Field(
        id=f"{records}/{name}",
        name=name,
        description="; ".join(described),
        data_types=[_TYPES.get(name, mlc.DataType.FLOAT)],
        source=mlc.Source(file_object=source, extract=mlc.Extract(column=name)),
        **(labels if name == "condition" else {}),
    )
