import numpy as np
import pytest

from pulseveil.core.errors import InputError
from pulseveil.summary.results import CELL, RUN, collect
from tests.unit.summary_cases import STRESS, WINDOWS, scores, write


def test_accuracy_and_recall_of_each_subject_are_those_built_in(tmp_path):
    wrong = {"S2": 1, "S10": 4, "S3": 10}
    table = collect(write(tmp_path, [scores(wrong)])).per_subject.set_index("subject")
    for subject, count in wrong.items():
        assert table.loc[subject, "accuracy"] == pytest.approx(1 - count / WINDOWS)
        assert table.loc[subject, "recall"] == pytest.approx(1 - min(count, STRESS) / STRESS)
    assert table["windows"].tolist() == [WINDOWS] * 3


def test_pooled_counts_windows_not_subjects(tmp_path):
    results = collect(write(tmp_path, [scores({"S2": 2, "S3": 4})]))
    assert results.pooled["accuracy"].tolist() == [1 - 6 / (2 * WINDOWS)]
    assert results.pooled["windows"].tolist() == [2 * WINDOWS]


def test_keys_are_numbers_whatever_their_spelling(tmp_path):
    record = scores(
        {"S2": 0}, epsilon_generator="inf", epsilon_detector=1, noise="0.10", subjects="15", seed=3
    )
    row = collect(write(tmp_path, [record])).pooled.iloc[0]
    assert row[["epsilon_generator", "epsilon_detector", "noise", "subjects", "seed"]].tolist() == [
        np.inf, 1, 0.1, 15, 3,
    ]  # fmt: skip


def test_order_of_files_does_not_matter(tmp_path):
    paths = write(tmp_path, [scores({"S2": s, "S3": 1}, seed=s) for s in range(12)])
    forward, backward = collect(paths), collect(paths[::-1])
    assert forward.per_subject.equals(backward.per_subject)
    assert forward.digest == backward.digest
    assert forward.pooled["seed"].tolist() == list(range(12))
    assert list(forward.pooled.columns[: len(RUN)]) == [*CELL, "seed"]


def test_no_files_is_an_error():
    with pytest.raises(InputError, match="score files: expected at least one"):
        collect([])


def test_the_same_run_twice_is_an_error(tmp_path):
    record = scores({"S2": 0})
    paths = write(tmp_path / "a", [record]) + write(tmp_path / "b", [record])
    with pytest.raises(InputError, match="same run keys twice"):
        collect(paths)


def test_seeds_that_tested_different_people_are_an_error(tmp_path):
    paths = write(tmp_path, [scores({"S2": 0}, seed=0), scores({"S3": 0}, seed=1)])
    with pytest.raises(InputError, match="tested different windows"):
        collect(paths)


def test_a_missing_key_names_file_and_stage(tmp_path):
    record = scores({"S2": 0})
    del record.keys["noise"]
    with pytest.raises(InputError, match=r"\.h5: run key 'noise' is missing; rerun train_detectors"):
        collect(write(tmp_path, [record]))


def test_a_key_that_is_no_number_is_named(tmp_path):
    with pytest.raises(InputError, match=r"epsilon_generator.*found 'much'"):
        collect(write(tmp_path, [scores({"S2": 0}, epsilon_generator="much")]))


def test_files_of_other_settings_are_refused_by_name(tmp_path):
    paths = write(tmp_path, [scores({"S2": 0}, seed=seed, epsilon_detector=1) for seed in (0, 1)])

    def own(name):
        return lambda ledger: name if len(ledger) == 1 else "no ledger"

    # `write` gives each file its name as hash.
    hashes = {path: own(path.stem) for path in paths}
    assert len(collect(paths, hashes).pooled) == 2
    with pytest.raises(InputError, match=r"seed=1\.h5: made by other settings") as refused:
        collect(paths, hashes | {paths[1]: own("another")})
    assert "seed=0" not in str(refused.value)
