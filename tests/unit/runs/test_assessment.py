import numpy as np
import pandas as pd
import pytest

from pulseveil.core import store
from pulseveil.core.contracts import PUBLISHED_CHANNELS, Portrait, SyntheticSet, WindowSet
from pulseveil.runs.quality import assess, portrait
from pulseveil.study.checks import make_plan
from pulseveil.study.reading import check_study

STUDY = {
    "name": "s",
    "seed": 1,
    "protocol": "sound",
    "cohorts": {"simulated": {"kind": "simulated", "subjects": 6, "seed": 1}},
    "generators": ["moments"],
    "detectors": ["logistic"],
    "seeds": 1,
    "folds": 2,
    "evaluations": [
        {"name": "t", "cohort": "simulated", "train": "synthetic", "synthetic_subjects": [2]},
    ],
}
FORM = {"channels": PUBLISHED_CHANNELS, "rate_hz": 1.0, "window_s": 60.0, "stride_s": 60.0}


def real_windows():
    """Six people of 24 windows each, a third of them stress, with units that differ by channel."""
    rng = np.random.default_rng(0)
    subject = np.repeat([f"S{i}" for i in range(1, 7)], 24)
    level = np.repeat(rng.normal(size=(6, 1, 6)), 24, axis=0)
    windows = (rng.normal(size=(144, 60, 6)) + level) * 10.0 ** np.arange(-2, 4)
    condition = np.tile(np.repeat([0, 1, 2], 8), 6).astype(np.int8)
    return WindowSet(
        windows=windows.astype(np.float32),
        condition=condition,
        stress=condition == 1,
        calibration=np.zeros(144, bool),
        subject=subject,
        start_s=np.tile(np.arange(24.0) * 60, 6),
        scaling="calibration",
        protocol="sound",
        **FORM,
    )


def made(real, folds, train_subjects):
    """Exact copies of the training windows of each fold."""
    parts = [real.take(np.isin(real.subject, names)) for names in train_subjects]
    fold = np.concatenate([np.repeat(name, len(part)) for name, part in zip(folds, parts, strict=True)])
    windows, stress = (np.concatenate([getattr(p, name) for p in parts]) for name in ("windows", "stress"))
    return SyntheticSet(
        windows=windows,
        condition=stress.astype(np.int8),
        stress=stress,
        subject=np.char.add("SYN", (np.arange(len(fold)) % 8).astype(str)),
        fold=fold,
        scaling="calibration",
        protocol="sound",
        generator="moments",
        unit="subject",
        epsilon_generator=np.inf,
        seed=0,
        **FORM,
    )


@pytest.fixture(scope="module")
def inputs():
    plan = make_plan(check_study(STUDY, "test"))
    job = plan.generator_job(plan.generator_cells()[0], (0,))
    real = real_windows()
    synthetic = made(real, [f.name for f in job.folds], [f.train_subjects for f in job.folds])
    models = store.Models({}, {"job": job.model_dump(mode="json"), "seed": 0})
    return models, synthetic, real


@pytest.fixture(scope="module")
def rows(inputs):
    return assess(*inputs)


def of(rows, measure):
    return rows[rows["measure"] == measure].set_index("fold")


def test_every_fold_has_every_measure_with_its_floor(rows):
    assert set(rows["fold"]) == {"S1", "S2"}
    per_fold = rows.groupby("fold").size()
    # 12 numbers of whole windows; of each of six signals two distances for two classes and a spectrum.
    assert per_fold.tolist() == [12 + 6 * 5] * 2
    assert not rows.duplicated(["fold", "measure", "signal", "condition"]).any()
    assert rows[["value", "floor"]].notna().all(axis=None)
    assert (rows["floor_low"] <= rows["floor"]).all()
    assert (rows["floor"] <= rows["floor_high"]).all()


def test_copies_of_training_windows_are_seen_against_people_held_out(rows):
    near = of(rows, "nearest_real")
    assert (near["value"] < 0.8 * near["held_out"]).all()
    assert (of(rows, "two_sample_1nn")["value"] < 0.5).all()
    assert of(rows, "mmd2")["held_out"].isna().all()


def first_fold(models):
    """The same models, asked for one fold only."""
    job = models.description["job"]
    return store.Models({}, {**models.description, "job": {**job, "folds": job["folds"][:1]}})


def test_units_of_signals_do_not_matter(inputs, rows):
    models, synthetic, real = inputs
    factor = np.float32(2) ** np.arange(6)
    other = assess(
        first_fold(models),
        SyntheticSet(**{**vars(synthetic), "windows": synthetic.windows * factor}),
        WindowSet(**{**vars(real), "windows": real.windows * factor}),
    )
    pd.testing.assert_frame_equal(other, rows[rows["fold"] == "S1"], rtol=1e-4, atol=1e-6)


def test_every_generator_of_a_cohort_has_the_same_floor(inputs, rows):
    models, synthetic, real = inputs
    job = {**models.description["job"], "generator": "other", "epsilon_generator": 1.0}
    described = {**models.description, "job": job}
    worse = SyntheticSet(**{**vars(synthetic), "windows": synthetic.windows * 3})
    found = assess(first_fold(store.Models({}, described)), worse, real)
    first = rows[rows["fold"] == "S1"]
    assert found["floor"].tolist() == first["floor"].tolist()
    assert (found["epsilon_generator"].astype(str) == "1").all()
    wasserstein = found["measure"] == "wasserstein"
    assert (found["value"][wasserstein] > first["value"][wasserstein]).all()


def test_the_same_files_give_the_same_numbers(inputs, rows):
    models, synthetic, real = inputs
    again = assess(first_fold(models), synthetic, real)
    pd.testing.assert_frame_equal(again, rows[rows["fold"] == "S1"], check_exact=True)


def test_a_portrait_is_of_the_first_fold_and_keeps_the_units(inputs, tmp_path):
    found = portrait(*inputs)
    store.write_record(tmp_path / "p.h5", found, cell_hash="a")
    again = store.read_record(tmp_path / "p.h5", Portrait)
    assert again.keys["fold"] == "S1"
    assert again.channels == PUBLISHED_CHANNELS
    spread = found.edges[:, -1] - found.edges[:, 0]
    assert (spread[1:] / spread[:-1] > 3).all()
    inside = (found.real_density * np.diff(found.edges)).sum(axis=2)
    assert inside == pytest.approx(np.ones((2, 6)), abs=0.02)
    assert len(again.real_components) == len(again.real_stress) == len(again.synthetic_neighbours)


def test_example_windows_of_a_portrait_are_windows_of_their_class_and_of_several_people(inputs):
    found, (_, synthetic, real) = portrait(*inputs), inputs
    for i, is_stress in enumerate((False, True)):
        for examples, sources in (
            (found.real_windows[i], real.take((real.subject != "S1") & (real.stress == is_stress))),
            (found.synthetic_windows[i], synthetic.take(synthetic.stress == is_stress)),
        ):
            same = [(sources.windows == example).all(axis=(1, 2)) for example in examples]
            assert all(rows.any() for rows in same)
            assert len({tuple(sources.subject[rows]) for rows in same}) > 1
    assert found.rate_hz == real.rate_hz


def test_a_generator_of_all_people_has_nobody_held_out(inputs):
    models, synthetic, real = inputs
    job = models.description["job"]
    everyone = tuple(dict.fromkeys(real.subject.tolist()))
    fold = {"name": "S1", "train_subjects": everyone, "test_subjects": ("S1",)}
    shared = store.Models({}, {"job": {**job, "folds": [fold]}, "seed": 0})
    assert assess(shared, synthetic, real)["held_out"].isna().all()
