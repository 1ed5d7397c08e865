import math
import os
import string
import time
from dataclasses import fields, replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from pulseveil.core import limits
from pulseveil.core.atomic import atomic_path, write_json
from pulseveil.core.contracts import CHANNEL_SETS, FeatureSet, Scores, SyntheticSet, WindowSet
from pulseveil.core.errors import InputError
from pulseveil.core.store import (
    Models,
    read_cell_hash,
    read_models,
    read_record,
    record_kind,
    sidecar_path,
    write_models,
    write_record,
)

# The folder is shared by all examples of a property; each example writes its own whole file.
properties = settings(
    deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
words = st.text(string.ascii_letters + string.digits + "µ°é-_ ", min_size=1, max_size=12)
real = st.floats(allow_nan=False, width=64)


def column(n: int, kind: type, **options) -> st.SearchStrategy:
    return arrays.arrays(kind, n, **options)


def texts(n: int) -> st.SearchStrategy:
    return st.lists(words | st.just(""), min_size=n, max_size=n).map(lambda v: np.array(v, dtype=np.str_))


def blocks(*shape: int) -> st.SearchStrategy:
    return arrays.arrays(np.float32, shape, elements=st.floats(width=32))


@st.composite
def common(draw, n: int) -> dict:
    return {
        "condition": draw(column(n, np.int8, elements=st.integers(0, 2))),
        "stress": draw(column(n, np.bool_)),
        "subject": draw(texts(n)),
    }


@st.composite
def window_settings(draw) -> dict:
    return {
        "channels": draw(st.sampled_from(list(CHANNEL_SETS.values()))),
        "rate_hz": draw(st.floats(0.5, 64)),
        "window_s": draw(real),
        "stride_s": draw(real),
        "scaling": draw(words),
        "protocol": draw(words),
    }


@st.composite
def window_sets(draw) -> WindowSet:
    n = draw(st.integers(0, 4))
    return WindowSet(
        windows=draw(blocks(n, 5, 6)),
        calibration=draw(column(n, np.bool_)),
        start_s=draw(column(n, np.float64)),
        **draw(common(n)),
        **draw(window_settings()),
    )


@st.composite
def synthetic_sets(draw) -> SyntheticSet:
    n = draw(st.integers(0, 4))
    return SyntheticSet(
        windows=draw(blocks(n, 5, 6)),
        fold=draw(texts(n)),
        generator=draw(words),
        unit=draw(words),
        epsilon_generator=draw(st.sampled_from([0.1, 1.0, math.inf])),
        seed=draw(st.integers(0, 2**31)),
        **draw(common(n)),
        **draw(window_settings()),
    )


@st.composite
def feature_sets(draw) -> FeatureSet:
    n, k = draw(st.integers(0, 4)), draw(st.integers(1, 3))
    return FeatureSet(
        features=draw(blocks(n, 6, 4)),
        statistics=draw(blocks(n, k)),
        calibration=draw(column(n, np.bool_)),
        fold=draw(texts(n)),
        start_s=draw(column(n, np.float64)),
        frequency_hz=draw(blocks(6, 4)),
        statistic_names=tuple(draw(st.lists(words, min_size=k, max_size=k))),
        scaling=draw(words),
        protocol=draw(words),
        **draw(common(n)),
    )


@st.composite
def score_sets(draw) -> Scores:
    n = draw(st.integers(0, 4))
    values = st.one_of(words, st.integers(-9, 9), st.floats(allow_nan=False))
    return Scores(
        fold=draw(texts(n)),
        start_s=draw(column(n, np.float64)),
        score=draw(blocks(n)),
        score_rest=draw(blocks(n)),
        predicted=draw(column(n, np.bool_)),
        keys=draw(st.dictionaries(words, values, max_size=4)),
        **draw(common(n)),
    )


RECORDS = {
    WindowSet: window_sets(),
    SyntheticSet: synthetic_sets(),
    FeatureSet: feature_sets(),
    Scores: score_sets(),
}
any_record = st.one_of(*RECORDS.values())


def scores(n: int = 3) -> Scores:
    return Scores(
        subject=np.full(n, "S2"),
        fold=np.full(n, "S2"),
        start_s=np.arange(n, dtype=np.float64),
        condition=np.zeros(n, np.int8),
        stress=np.zeros(n, bool),
        score=np.linspace(0, 1, n, dtype=np.float32),
        score_rest=np.linspace(1, 0, n, dtype=np.float32),
        predicted=np.zeros(n, bool),
        keys={"seed": 0},
    )


def assert_equal_records(found, expected) -> None:
    for item in fields(expected):
        left, right = getattr(found, item.name), getattr(expected, item.name)
        if isinstance(right, np.ndarray):
            np.testing.assert_array_equal(left, right, err_msg=item.name)
            assert left.dtype.kind == right.dtype.kind
            assert right.dtype.kind == "U" or left.dtype == right.dtype
        else:
            assert left == right, item.name
            assert type(left) is type(right), item.name


@properties
@given(any_record)
def test_every_record_comes_back_as_it_was(tmp_path, record):
    path = tmp_path / "record.h5"
    write_record(path, record, cell_hash="abc")
    assert record_kind(path) is type(record)
    assert read_cell_hash(path) == "abc"
    assert_equal_records(read_record(path, type(record)), record)


@properties
@given(st.dictionaries(words, st.dictionaries(words, blocks(2, 3), min_size=1), min_size=1))
def test_models_come_back_as_they_were(tmp_path, models):
    description = {"kind": "moments", "settings": {"rank": 30}}
    write_models(tmp_path / "m.h5", Models(models, description), cell_hash="abc")
    found = read_models(tmp_path / "m.h5")
    assert found.description == description
    assert found.arrays.keys() == models.keys()
    for fold, expected in models.items():
        assert found.arrays[fold].keys() == expected.keys()
        for name in expected:
            np.testing.assert_array_equal(found.arrays[fold][name], expected[name])


def test_large_arrays_survive_in_chunks(tmp_path):
    values = np.random.default_rng(0).random((5000, 60, 6), dtype=np.float32)
    record = replace(_windows(5000), windows=values)
    write_record(tmp_path / "w.h5", record, cell_hash="x")
    np.testing.assert_array_equal(read_record(tmp_path / "w.h5", WindowSet).windows, values)


def _windows(n: int) -> WindowSet:
    return WindowSet(
        windows=np.zeros((n, 60, 6), np.float32),
        condition=np.zeros(n, np.int8),
        stress=np.zeros(n, bool),
        calibration=np.zeros(n, bool),
        subject=np.full(n, "S2"),
        start_s=np.zeros(n),
        channels=CHANNEL_SETS["published"],
        rate_hz=1.0,
        window_s=60.0,
        stride_s=60.0,
        scaling="min-max",
        protocol="paper",
    )


def test_equal_content_gives_equal_bytes_at_any_time(tmp_path):
    written = []
    for name in ("first.h5", "second.h5"):
        write_record(tmp_path / name, scores(), cell_hash="x")
        write_models(tmp_path / f"m_{name}", Models({"S2": {"w": np.ones(3)}}, {"a": 1}), cell_hash="x")
        written.append([(tmp_path / f"{prefix}{name}").read_bytes() for prefix in ("", "m_")])
        # HDF5 keeps times in whole seconds.
        time.sleep(1.1)
    assert written[0] == written[1]


def test_a_failed_write_leaves_the_old_file_and_no_rest(tmp_path):
    path = tmp_path / "scores.h5"
    write_record(path, scores(), cell_hash="old")
    before = path.read_bytes()

    def write_half() -> None:
        with atomic_path(path) as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["scores.h5"]


def test_a_half_written_file_is_never_seen_under_its_name(tmp_path):
    path = tmp_path / "deep" / "folder" / "a.txt"
    with atomic_path(path) as temporary:
        temporary.write_text("whole")
        assert not path.exists()
        assert temporary.parent == path.parent
    assert path.read_text() == "whole"
    assert path.stat().st_mode & 0o777 == 0o644


def test_a_record_of_another_kind_is_refused_with_the_stage_to_rerun(tmp_path):
    path = tmp_path / "s.h5"
    write_record(path, scores(), cell_hash="x")
    expected = (
        f"{path}: expected format pulseveil-windows version 3, found pulseveil-scores version 3; "
        "rerun prepare_cohort"
    )
    with pytest.raises(InputError) as raised:
        read_record(path, WindowSet)
    assert str(raised.value) == expected
    with pytest.raises(InputError, match="rerun train_generator"):
        read_models(path)


def test_another_version_is_refused(tmp_path):
    path = tmp_path / "s.h5"
    write_record(path, scores(), cell_hash="x")
    with h5py.File(path, "a") as file:
        file.attrs["format_version"] = 99
    with pytest.raises(InputError, match=r"found pulseveil-scores version 99; rerun train_detectors"):
        read_record(path, Scores)


def test_a_missing_field_is_named(tmp_path):
    path = tmp_path / "s.h5"
    write_record(path, scores(), cell_hash="x")
    with h5py.File(path, "a") as file:
        del file["score_rest"]
    with pytest.raises(InputError, match=r"no field 'score_rest'; rerun train_detectors"):
        read_record(path, Scores)


def test_a_missing_file_says_how_to_make_it(tmp_path):
    with pytest.raises(InputError, match="no such file; run extract_features to make it"):
        read_record(tmp_path / "none.h5", FeatureSet)


@pytest.mark.parametrize("content", [b"", b"subject,score\nS2,0.5\n"])
def test_a_file_that_is_not_hdf5_is_refused(tmp_path, content):
    path = tmp_path / "s.h5"
    path.write_bytes(content)
    with pytest.raises(InputError, match="not a readable HDF5 file"):
        read_record(path, Scores)
    with pytest.raises(InputError, match="not a readable HDF5 file"):
        record_kind(path)


def test_hdf5_of_somebody_else_is_refused(tmp_path):
    with h5py.File(tmp_path / "s.h5", "w") as file:
        file["score"] = [1.0]
    with pytest.raises(InputError, match=r"expected one of the formats pulseveil-windows.*found None"):
        record_kind(tmp_path / "s.h5")


@pytest.fixture(scope="module")
def window_bytes(tmp_path_factory) -> bytes:
    path = tmp_path_factory.mktemp("store") / "w.h5"
    values = np.random.default_rng(0).random((20, 60, 6), dtype=np.float32)
    write_record(path, replace(_windows(20), windows=values), cell_hash="x")
    return path.read_bytes()


@properties
@given(share=st.floats(0, 0.999))
def test_a_truncated_file_is_refused(tmp_path, window_bytes, share):
    path = tmp_path / "w.h5"
    path.write_bytes(window_bytes[: int(share * len(window_bytes))])
    with pytest.raises(InputError, match=r"rerun prepare_cohort"):
        read_record(path, WindowSet)


def test_a_flipped_bit_among_the_values_is_refused(tmp_path, window_bytes):
    path = tmp_path / "w.h5"
    path.write_bytes(window_bytes)
    with h5py.File(path, "r") as file:
        chunk = file["windows"].id.get_chunk_info(0)
    damaged = bytearray(window_bytes)
    damaged[chunk.byte_offset + chunk.size // 2] ^= 4
    path.write_bytes(damaged)
    with pytest.raises(InputError, match=r"damaged file .* rerun prepare_cohort"):
        read_record(path, WindowSet)


def test_json_is_written_whole_in_the_order_given(tmp_path):
    write_json(tmp_path / "a.json", {"b": 1, "a": [1, 2]})
    assert (tmp_path / "a.json").read_text() == '{\n  "b": 1,\n  "a": [\n    1,\n    2\n  ]\n}\n'


def test_the_sidecar_lies_beside_its_file():
    assert sidecar_path(Path("results/a/seed=0.h5")) == Path("results/a/seed=0.h5.provenance.json")


def without_values(file: h5py.File, **options) -> None:
    """`score` declared anew, with no value in the file."""
    del file["score"]
    file.create_dataset("score", (1 << 20,), np.float32, **options)


def with_wide_texts(file: h5py.File) -> None:
    """1000 short texts beside one of 1 MB: as an array of equal widths they take 4 GB."""
    del file["subject"]
    texts = np.array(["x" * 1_000_000, *["S2"] * 1000], dtype=object)
    file.create_dataset("subject", data=texts, dtype=h5py.string_dtype())


UNFOLDING = {
    "contiguous fill": (without_values, "declares 4194304 bytes and holds 0"),
    "missing chunks": (lambda file: without_values(file, chunks=(1024,)), "damaged file"),
    "filters in a row": (
        lambda file: without_values(file, chunks=(1024,), compression="gzip", shuffle=True),
        "not stored as this program stores",
    ),
    "wide texts": (with_wide_texts, "the texts of /subject take"),
    "chunks above the array": (
        lambda file: without_values(file, chunks=(1 << 24,), maxshape=(None,)),
        "has chunks of",
    ),
}


@pytest.mark.parametrize(("change", "message"), UNFOLDING.values(), ids=UNFOLDING)
def test_what_unfolds_beyond_its_file_is_refused(tmp_path, change, message):
    path = tmp_path / "s.h5"
    write_record(path, scores(), cell_hash="x")
    with h5py.File(path, "a") as file:
        change(file)
    with pytest.raises(InputError, match=message):
        read_record(path, Scores)


def test_one_array_under_many_names_counts_each_time(tmp_path, monkeypatch):
    path = tmp_path / "s.h5"
    write_record(path, _windows(500), cell_hash="x")
    with h5py.File(path, "a") as file:
        for number in range(9):
            file[f"again {number}"] = file["windows"]
    monkeypatch.setattr(limits, "ARRAYS_BYTES", 5_000_000)
    with pytest.raises(InputError, match="its arrays declare 7"):
        read_record(path, WindowSet)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("score", np.zeros(3, np.float64)),
        ("score", np.zeros(4, np.float32)),
        ("predicted", np.zeros(3, np.float32)),
        ("subject", np.zeros(3, np.int8)),
    ],
    ids=["wider numbers", "more rows", "numbers for truth values", "numbers for texts"],
)
def test_a_column_of_another_type_or_length_is_refused(tmp_path, name, value):
    path = tmp_path / "s.h5"
    write_record(path, scores(), cell_hash="x")
    with h5py.File(path, "a") as file:
        del file[name]
        file.create_dataset(name, data=value, chunks=value.shape, compression="gzip")
    with pytest.raises(InputError, match="rerun train_detectors"):
        read_record(path, Scores)
