"""Croissant metadata under its own library: files, records, and sentences of the cards."""

import hashlib
import json
from dataclasses import replace
from datetime import date

import mlcroissant as mlc
import numpy as np
import pandas as pd
import pytest

from pulseveil.cohorts import origin_of
from pulseveil.core import paths, store
from pulseveil.core.contracts import SyntheticSet
from pulseveil.release.cards import data_card, gather
from pulseveil.release.croissant import NAME, DataSet, croissant, licence
from pulseveil.release.export import data_set
from pulseveil.runs.generators import synthesize

WORDS = {"study": "small", "cohort": "people", "generator": "moments", "unit": "subject", "seed": "0"}
REQUEST = {"Drawn by": "a test"}
SPDX = "https://spdx.org/licenses/"


def made(models_folder, epsilon="8", folds=("S1",)):
    """Facts and synthetic windows of the small study."""
    path = models_folder / paths.fill(paths.MODELS, **WORDS, epsilon_generator=epsilon)
    models = store.read_models(path)
    kept = replace(models, arrays={fold: models.arrays[fold] for fold in folds})
    return gather(path, models, folds), synthesize(kept, 2)


def written(folder, facts, synthetic, forms=("csv", "parquet", "h5"), published=date(2024, 5, 1)):
    """The data sets of a bundle with their metadata, read by the library of Croissant."""
    files = {f"two.{form}": data_set(synthetic, form) for form in forms}
    metadata = croissant("test", facts, [DataSet("two", synthetic, REQUEST, files)], f"{SPDX}MIT", published)
    for name, content in (files | {NAME: metadata}).items():
        (folder / name).write_bytes(content)
    return mlc.Dataset(folder / NAME)


def records(data, name="two"):
    table = pd.DataFrame(list(data.records(name)))
    return table.rename(columns=lambda column: column.removeprefix(f"{name}/"))


def texts(table, column):
    return [text.decode() for text in table[column]]


def test_records_are_the_windows_to_the_bit_and_nothing_is_missing(models_folder, tmp_path):
    data = written(tmp_path, *made(models_folder))
    issues = data.metadata.ctx.issues
    assert (issues.errors, issues.warnings) == (set(), set())
    found, record = records(data), store.read_record(tmp_path / "two.h5", SyntheticSet)
    values = found[list(record.channels)].to_numpy(np.float32).reshape(record.windows.shape)
    np.testing.assert_array_equal(values, record.windows)
    seconds = record.windows.shape[1]
    assert found["condition"].tolist() == np.repeat(record.condition, seconds).tolist()
    assert texts(found, "subject") == np.repeat(record.subject, seconds).tolist()
    assert found["second"].tolist() == list(range(seconds)) * len(record)


@pytest.mark.parametrize(("form", "read"), [("csv", pd.read_csv), ("parquet", pd.read_parquet)])
def test_records_of_one_file_are_its_rows(models_folder, tmp_path, form, read):
    # Two folds, whose subjects share names: a column more.
    data = written(tmp_path, *made(models_folder, folds=("S1", "S2")), forms=(form,))
    found, table = records(data), read(tmp_path / f"two.{form}")
    assert list(found) == list(table)
    for column in ("fold", "subject"):
        found[column] = texts(found, column)
    pd.testing.assert_frame_equal(found, table, check_dtype=False, rtol=1e-6)


def test_an_hdf5_file_alone_has_labels_and_a_description(models_folder, tmp_path):
    data = written(tmp_path, *made(models_folder), forms=("h5",))
    assert [found.id for found in data.metadata.record_sets] == ["conditions"]
    assert "windows (n, time, channels)" in data.metadata.distribution[0].description


def test_labels_are_the_codes_of_the_records(models_folder, tmp_path):
    data = written(tmp_path, *made(models_folder))
    labels = {row["conditions/code"]: row["conditions/name"] for row in data.records("conditions")}
    assert labels == {0: "not stress", 1: "stress"}
    assert set(records(data)["condition"]) == labels.keys()


def test_units_of_channels_are_told(models_folder, tmp_path):
    data = written(tmp_path, *made(models_folder))
    (two,) = [found for found in data.metadata.record_sets if found.id == "two"]
    described = {field.name: field.description for field in two.fields}
    assert "unit: change against the person's own rest, in steps of 10 beats/min" in described["heart_rate"]
    assert described["second"] == "time since the start of the window; unit: s"


def test_each_file_has_its_hash_and_another_file_is_refused(models_folder, tmp_path):
    data = written(tmp_path, *made(models_folder))
    assert {file.name for file in data.metadata.distribution} == {"two.csv", "two.parquet", "two.h5"}
    for file in data.metadata.distribution:
        content = (tmp_path / file.content_url).read_bytes()
        assert file.sha256 == hashlib.sha256(content).hexdigest()
        assert file.content_size == f"{len(content)} B"
    (tmp_path / "two.parquet").write_bytes((tmp_path / "two.parquet").read_bytes() + b" ")
    with pytest.raises(mlc.GenerationError):
        records(mlc.Dataset(tmp_path / NAME))


@pytest.mark.parametrize("epsilon", ["8", "inf"])
def test_what_is_said_is_what_the_card_says(models_folder, tmp_path, epsilon):
    facts, synthetic = made(models_folder, epsilon)
    written(tmp_path, facts, synthetic)
    metadata = json.loads((tmp_path / NAME).read_text())
    card = data_card(facts, synthetic, REQUEST, {})
    for field in (
        "dataBiases",
        "dataLimitations",
        "dataUseCases",
        "dataPreprocessingProtocol",
        "dataAnnotationProtocol",
        "dataReleaseMaintenancePlan",
        "personalSensitiveInformation",
    ):
        said = metadata[f"rai:{field}"]
        for sentence in said if isinstance(said, list) else [said]:
            assert sentence.removesuffix(".") in card, sentence
    assert facts.origin.source in metadata["rai:dataCollection"]
    assert metadata["rai:personalSensitiveInformation"][0] == f"{facts.claim.headline}."
    assert facts.claim.headline.startswith("private: epsilon 8" if epsilon == "8" else "NOT PRIVATE")


def test_the_licence_is_that_of_the_study_or_else_that_of_the_recordings():
    assert licence(origin_of("wesad"), "CC-BY-4.0") == f"{SPDX}CC-BY-4.0"
    assert licence(origin_of("simulated"), None) == f"{SPDX}MIT"
    assert "names no licence" in licence(origin_of("wesad"), None)
