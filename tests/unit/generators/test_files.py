"""Windows of other tools: all formats give the same generator, and wrong files are refused."""

import math

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError
from scipy import stats

from pulseveil.core import registry, store
from pulseveil.core.contracts import PUBLISHED_CHANNELS, SyntheticSet
from pulseveil.core.errors import InputError
from pulseveil.core.randomness import root_stream
from pulseveil.generators import Training
from pulseveil.generators.files import Files, FilesSettings
from pulseveil.generators.files.model import FilesModel
from pulseveil.privacy.budget import NOT_PRIVATE, Budget, Population
from pulseveil.release.export import export_csv
from pulseveil.study.checks import make_plan
from pulseveil.study.reading import check_study

N, SECONDS = 40, 60


def record():
    """Windows in the published form, with all three conditions."""
    random = np.random.default_rng(4)
    condition = np.arange(N).astype(np.int8) % 3
    return SyntheticSet(
        windows=random.random((N, SECONDS, 6)).astype(np.float32),
        condition=condition,
        stress=condition == 1,
        subject=np.repeat([f"SYN{i:04d}" for i in range(4)], N // 4),
        fold=np.full(N, "all"),
        channels=PUBLISHED_CHANNELS,
        rate_hz=1.0,
        window_s=60.0,
        stride_s=60.0,
        scaling="min-max",
        protocol="paper",
        generator="elsewhere",
        unit="subject",
        epsilon_generator=math.inf,
        seed=0,
    )


def training(classes=3, budget=NOT_PRIVATE):
    windows = np.zeros((6, SECONDS, 6), np.float32)
    condition = np.arange(6).astype(np.int8) % classes
    subject = np.full(6, "S2")
    stream = root_stream(1)
    return Training(windows, condition, subject, classes, budget, stream, channels=PUBLISHED_CHANNELS)


def as_csv(path, made):
    export_csv(path, made)


def as_h5(path, made):
    store.write_record(path, made, cell_hash="")


def as_npy(path, made):
    """The form of the published study: seven signals, of which the last is the condition of each second."""
    labels = np.repeat(made.condition[:, None, None], SECONDS, axis=1)
    np.save(path, np.concatenate([made.windows.astype(float), labels], axis=2))


FORMS = {"csv": as_csv, "h5": as_h5, "npy": as_npy}


def written(folder, suffix, made):
    path = folder / f"windows.{suffix}"
    FORMS[suffix](path, made)
    return path


@pytest.mark.parametrize("suffix", FORMS)
@pytest.mark.parametrize("classes", [2, 3])
def test_all_forms_give_the_windows_of_the_file(tmp_path, suffix, classes):
    made = record()
    settings = FilesSettings(data=written(tmp_path, suffix, made))
    arrays = FilesModel.fit(settings, training(classes)).arrays()
    codes = made.condition if classes == 3 else (made.condition == 1).astype(np.int8)
    assert sorted(arrays["condition"].tolist()) == sorted(codes.tolist())
    for code in range(classes):
        # CSV holds seven digits.
        given, found = made.windows[codes == code], arrays["windows"][arrays["condition"] == code]
        np.testing.assert_allclose(found, given, rtol=1e-6)


def test_each_window_of_a_condition_is_drawn_equally_often():
    condition = np.repeat(np.array([0, 1], np.int8), [7, 3])
    model = FilesModel(np.arange(10, dtype=np.float32).reshape(10, 1, 1), condition)
    noise = np.random.default_rng(5).normal(size=(20_000, 1)).astype(np.float32)
    for code, rows in ((0, range(7)), (1, range(7, 10))):
        drawn = model.sample(np.full(len(noise), code, np.int8), noise).ravel()
        counts = [int((drawn == row).sum()) for row in rows]
        assert sum(counts) == len(noise)
        # A false alarm in one of 10,000 runs.
        assert stats.chisquare(counts).pvalue > 1e-4
    extremes = np.array([[-40.0], [40.0]], np.float32)
    assert model.sample(np.array([1, 1], np.int8), extremes).ravel().tolist() == [7.0, 9.0]


def test_columns_have_the_names_of_the_study_file(tmp_path):
    path = written(tmp_path, "csv", record())
    table = pd.read_csv(path).rename(columns={"BVP": "pulse", "condition": "label"}).drop(columns="window")
    table.to_csv(path, index=False)
    found = FilesModel.fit(
        FilesSettings(data=path, columns={"BVP": "pulse", "condition": "label"}), training()
    )
    assert len(found.arrays()["windows"]) == N


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop(columns="EDA"), "column 'EDA' is missing; name its columns by `columns`"),
        (lambda t: t.drop(index=[70]), "expected whole windows of 60 rows, one per second, found 2399 rows"),
        (lambda t: t.drop(index=range(30, 90)), r"row 32: a window ends after other than 60 rows"),
        (lambda t: t.assign(condition=t.condition + 2), r"expected the conditions 0 \(baseline\).*, found"),
        (lambda t: t.assign(condition=0), "no windows of condition 1"),
        (
            lambda t: t.assign(TEMP=np.where(t.index == 130, np.inf, t.TEMP)),
            "window 2 has a value that is no",
        ),
        (lambda t: t.assign(BVP="a"), "BVP"),
    ],
)
def test_tables_that_are_no_windows_of_the_study_are_refused(tmp_path, change, message):
    path = written(tmp_path, "csv", record())
    change(pd.read_csv(path)).to_csv(path, index=False)
    with pytest.raises(InputError, match=message):
        FilesModel.fit(FilesSettings(data=path), training())


def test_arrays_of_another_form_are_refused(tmp_path):
    path = tmp_path / "windows.npy"
    for values in (np.zeros((4, 60, 6)), np.zeros((4, 30, 7)), np.array(["a"])):
        np.save(path, values)
        with pytest.raises(InputError, match=r"windows\.npy: expected"):
            FilesModel.fit(FilesSettings(data=path), training())
    path.write_bytes(b"no array")
    with pytest.raises(InputError, match="not an array of numbers"):
        FilesModel.fit(FilesSettings(data=path), training())


def test_an_export_with_other_channels_is_refused(tmp_path):
    path = written(tmp_path, "h5", record())
    other = training()
    with pytest.raises(InputError, match="expected the channels a b c d e f, found BVP"):
        FilesModel.fit(FilesSettings(data=path), type(other)(**vars(other) | {"channels": tuple("abcdef")}))


def test_another_file_is_another_model_and_a_change_after_the_plan_is_refused(tmp_path):
    path = written(tmp_path, "npy", record())
    settings = FilesSettings(data=path)
    made = record()
    as_npy(path, type(made)(**vars(made) | {"windows": made.windows + 1}))
    assert FilesSettings(data=path).sha256 != settings.sha256
    with pytest.raises(InputError, match=r"windows\.npy: changed since the study was planned"):
        FilesModel.fit(settings, training())
    # A stored model is used without its file.
    path.unlink()
    assert FilesSettings(**settings.model_dump()) == settings
    with pytest.raises(ValidationError, match="expected a file of windows, found none at"):
        FilesSettings(data=path)


def test_no_budget_is_accepted(tmp_path):
    budget = Budget(1.0, 1e-5, "subject", Population(2, 3, 0.3))
    with pytest.raises(InputError, match="windows made elsewhere have no ledger"):
        FilesModel.fit(FilesSettings(data=written(tmp_path, "npy", record())), training(budget=budget))


def test_a_plan_names_a_missing_file_before_any_job(tmp_path):
    study = {
        "name": "given",
        "seed": 1,
        "protocol": "paper",
        "cohorts": {"people": {"kind": "simulated", "subjects": 3}},
        "generators": [{"name": "theirs", "kind": "files", "settings": {"data": str(tmp_path / "no.csv")}}],
        "detectors": ["logistic"],
        "seeds": 1,
        "evaluations": [{"name": "t", "cohort": "people", "train": "synthetic", "synthetic_subjects": [2]}],
    }
    with pytest.raises(InputError, match=r"generators\[0\].*data: expected a file of windows, found none at"):
        check_study(study, "study.yaml")
    study["generators"][0]["settings"]["data"] = str(written(tmp_path, "npy", record()))
    assert "theirs" in {cell.generator for cell in make_plan(check_study(study, "s")).generator_cells()}
    assert registry.load("generators", "files") is Files
