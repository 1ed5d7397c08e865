"""Exports: data and cards travel together, and what is not private says so everywhere."""

import hashlib
import io
import json
import math
import zipfile
from dataclasses import replace
from functools import partial

import mlcroissant as mlc
import numpy as np
import pandas as pd
import pytest

from pulseveil.app import catalogue, figures
from pulseveil.app.export import cell_hash, export, preview
from pulseveil.app.synthesis import Request, make
from pulseveil.core import store
from pulseveil.core.contracts import SyntheticSet
from pulseveil.core.errors import InputError

REQUEST = Request(3, 10, (0.7, 0.3), 2)
CONFIRMED = {"confirmed_not_private": True}
# All that the page shows or hands out of what was drawn.
EXITS = {
    "CSV": partial(export, form="csv"),
    "Parquet": partial(export, form="parquet"),
    "HDF5": partial(export, form="h5"),
    "cards": preview,
    "signals": figures.signals_figure,
    "distributions": figures.distributions_figure,
}
every_exit = pytest.mark.parametrize("leave", EXITS.values(), ids=EXITS)


@pytest.fixture(scope="module")
def trained(models_folder):
    found = catalogue.find_models(models_folder)
    return {(f.study, f.epsilon): catalogue.open_model(f, "S1") for f in found}


@pytest.fixture(scope="module")
def private(trained):
    return make(trained["small", 8], REQUEST)


@pytest.fixture(scope="module")
def open_made(trained):
    return make(trained["small", math.inf], REQUEST, confirmed_not_private=True)


def unzipped(made):
    with zipfile.ZipFile(io.BytesIO(made.content)) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


def test_a_csv_export_reads_back_as_the_windows(private):
    made = export(private, "csv")
    files = unzipped(made)
    name = made.name.replace(".zip", ".csv")
    of_release = {"data_card.md", "model_card.md", "statement.txt", "ledger.json", "croissant.json"}
    assert set(files) == of_release | {name, "verify.py", "manifest.json"}
    table = pd.read_csv(io.BytesIO(files[name]))
    channels = list(private.synthetic.channels)
    assert list(table) == ["subject", "window", "second", *channels, "condition"]
    values = table[channels].to_numpy().reshape(30, 60, 6)
    np.testing.assert_allclose(values, private.synthetic.windows, rtol=1e-6, atol=1e-30)
    assert table.groupby("subject")["condition"].mean().tolist() == pytest.approx([0.3] * 3)


def test_an_hdf5_export_is_a_synthetic_record(private, tmp_path):
    made = export(private, "h5")
    path = tmp_path / "made.h5"
    path.write_bytes(unzipped(made)[made.name.replace(".zip", ".h5")])
    record = store.read_record(path, SyntheticSet)
    np.testing.assert_array_equal(record.windows, private.synthetic.windows)
    assert (record.generator, record.unit, record.epsilon_generator) == ("moments", "subject", 8)
    assert store.read_cell_hash(path) == cell_hash(private)


def test_a_parquet_export_holds_the_windows_unrounded(private):
    made = export(private, "parquet")
    files = unzipped(made)
    table = pd.read_parquet(io.BytesIO(files[made.name.replace(".zip", ".parquet")]))
    channels = list(private.synthetic.channels)
    assert list(table) == ["subject", "window", "second", *channels, "condition"]
    values = table[channels].to_numpy()
    assert values.dtype == np.float32
    np.testing.assert_array_equal(values.reshape(30, 60, 6), private.synthetic.windows)


@pytest.mark.parametrize("form", ["csv", "parquet", "h5"])
def test_croissant_finds_the_data_of_an_export(private, tmp_path, form):
    made = export(private, form)
    for name, content in unzipped(made).items():
        (tmp_path / name).write_bytes(content)
    data, stem = mlc.Dataset(tmp_path / "croissant.json"), made.name.removesuffix(".zip")
    assert [file.name for file in data.metadata.distribution] == [f"{stem}.{form}"]
    assert data.metadata.personal_sensitive_information[0].startswith("private: epsilon 8")
    if form != "h5":
        seconds = [row[f"{stem}/heart_rate"] for row in data.records(stem)]
        np.testing.assert_allclose(seconds, private.synthetic.windows[:, :, 0].ravel(), rtol=1e-6)


@pytest.mark.parametrize("form", ["csv", "parquet", "h5"])
def test_the_same_request_gives_the_same_bytes(trained, private, form):
    assert export(make(trained["small", 8], REQUEST), form) == export(private, form)
    other = make(trained["small", 8], Request(3, 10, (0.7, 0.3), 3))
    assert export(other, form).name != export(private, form).name


def test_a_private_export_carries_ledger_statement_and_hash(private):
    made = export(private, "csv")
    files = unzipped(made)
    (entry,) = json.loads(files["ledger.json"])
    assert entry["unit"] == "subject"
    assert entry["epsilon_pld"] == pytest.approx(8, rel=5e-3)
    assert entry["steps_noised"] == entry["steps_accounted"] == 1
    assert files["statement.txt"].decode() == private.trained.facts.claim.statement
    name = made.name.replace(".zip", ".csv")
    assert f"`{name}`: sha256 `{hashlib.sha256(files[name]).hexdigest()}`" in files["data_card.md"].decode()
    everywhere = made.name + "".join(files) + "".join(files[name].decode() for name in files)
    assert "NOT-PRIVATE" not in everywhere
    assert "NOT PRIVATE" not in everywhere


@pytest.mark.parametrize("key", [("small", math.inf), ("rehearsal", 8)])
def test_a_model_that_is_not_private_gives_nothing_unconfirmed(trained, key):
    request = REQUEST if key[0] == "small" else Request(3, 10, (0.5, 0.3, 0.2), 2)
    with pytest.raises(InputError, match=r"not private: .*; confirm that you know it"):
        make(trained[key], request)
    made = make(trained[key], request, confirmed_not_private=True)
    with pytest.raises(InputError, match="confirm that you know it"):
        export(made, "csv")
    named = export(made, "csv", confirmed_not_private=True)
    files = unzipped(named)
    assert named.name.startswith("NOT-PRIVATE_")
    assert all(name.startswith("NOT-PRIVATE_") for name in files if name.endswith(".csv"))
    for card in ("data_card.md", "model_card.md"):
        first, _, rest = files[card].decode().partition("\n")
        assert "NOT PRIVATE" in first
        assert made.trained.facts.claim.reason in rest
    assert files["statement.txt"].decode().startswith("NOT PRIVATE")


@pytest.mark.parametrize("key", [("small", math.inf), ("rehearsal", 8)])
@every_exit
def test_nothing_of_a_model_that_is_not_private_leaves_before_that_is_confirmed(trained, key, leave):
    made = make(trained[key], Request(1, 10, (1.0, *[0.0] * (trained[key].job.classes - 1)), 0), **CONFIRMED)
    with pytest.raises(InputError, match="confirm that you know it"):
        leave(made)
    assert leave(made, **CONFIRMED)


@every_exit
def test_a_claim_that_falls_after_drawing_closes_every_exit(private, leave):
    assert leave(private)
    facts = replace(private.trained.facts, claim=private.trained.facts.claim.refused("an audit refuted it"))
    fallen = replace(private, trained=replace(private.trained, facts=facts))
    with pytest.raises(InputError, match="an audit refuted it; confirm that you know it"):
        leave(fallen)


def test_a_preview_is_the_card_without_hashes_of_files(private):
    card = unzipped(export(private, "csv"))["data_card.md"].decode()
    lines = set(card.splitlines()) - set(preview(private)[0].splitlines())
    assert len(lines) == 1
    assert "sha256" in lines.pop()


def test_signals_are_the_first_windows_of_each_class(private):
    axes = np.array(figures.signals_figure(private).axes).reshape(6, 2)
    synthetic = private.synthetic
    for code in (0, 1):
        shown = np.array([[line.get_ydata() for line in axes[row, code].lines] for row in range(6)])
        expected = synthetic.windows[synthetic.condition == code][: shown.shape[1]]
        np.testing.assert_array_equal(shown, expected.transpose(2, 0, 1))


def test_distributions_show_every_window_beside_the_literature(private):
    figure = figures.distributions_figure(private)
    panels = [axes for axes in figure.axes if axes.get_title()]
    names = [name.replace("_", " ").replace("eda", "EDA") for name in private.synthetic.channels]
    assert [axes.get_title().split("\n")[0] for axes in panels] == names
    assert panels[0].get_title().endswith("literature: higher in stress")
    means = private.synthetic.windows.mean(axis=1)
    for i, axes in enumerate(panels):
        low, high = axes.get_xlim()
        assert low < means[:, i].min() <= means[:, i].max() < high
    assert figures.png(figure).startswith(b"\x89PNG")


def test_a_class_that_was_not_drawn_is_left_out(trained):
    made = make(trained["small", 8], Request(1, 4, (0.0, 1.0), 0))
    assert len(figures.signals_figure(made).axes) == 6
    assert figures.distributions_figure(made).axes
