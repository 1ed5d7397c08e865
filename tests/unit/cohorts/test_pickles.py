"""Reading array pickles must never run what they contain."""

from __future__ import annotations

import os
import pickle
import struct
import subprocess
import tempfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from pulseveil.cohorts.pickles import load_arrays
from pulseveil.core.errors import InputError


class Calls:
    """Pickles as a call of `function(*arguments)`."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return self.call


def written(folder: Path, content: bytes) -> Path:
    path = folder / "S2.pkl"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_arrays_and_containers_come_back(tmp_path: Path, protocol: int) -> None:
    content = {"a": np.arange(6.0).reshape(3, 2), "b": [np.int32(3), ("x", b"\x00\xff", None)]}
    loaded = load_arrays(written(tmp_path, pickle.dumps(content, protocol=protocol)))
    assert np.array_equal(loaded["a"], content["a"])
    assert loaded["b"] == content["b"]


@given(
    npst.arrays(
        st.sampled_from(["<f8", ">f8", "<i4", "u1", "?", "<f4"]), npst.array_shapes(min_dims=0, min_side=0)
    ),
    st.sampled_from(["C", "F"]),
)
def test_any_array_of_numbers_comes_back(array: np.ndarray, order: Any) -> None:
    ordered = np.asarray(array, order=order)
    with tempfile.TemporaryDirectory() as folder:
        loaded = load_arrays(written(Path(folder), pickle.dumps([ordered], protocol=2)))[0]
    assert loaded.dtype == ordered.dtype
    np.testing.assert_array_equal(loaded, ordered)


def test_a_pickle_of_python_2_is_read(tmp_path: Path) -> None:
    """Opcodes as Python 2 and numpy 1 wrote them: byte strings, and numpy's old module name."""
    raw = struct.pack("<2d", 1.5, -2.5)
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tU\x01btR"
        b"(K\x01(K\x02tcnumpy\ndtype\n(U\x02f8K\x00K\x01tR(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        b"I00\nU" + bytes([len(raw)]) + raw + b"tb"
    )
    loaded = load_arrays(written(tmp_path, b"\x80\x02}U\x07subjectU\x02S2sU\x03BVP" + array + b"s."))
    assert loaded["subject"] == "S2"
    assert np.array_equal(loaded["BVP"], [1.5, -2.5])


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize(
    ("function", "name"),
    [(os.system, "posix.system"), (subprocess.check_output, "check_output"), (eval, "eval")],
)
def test_a_hostile_pickle_is_refused_by_name_and_not_run(
    tmp_path: Path, protocol: int, function: Any, name: str
) -> None:
    trap = tmp_path / "trap"
    command = f"open({str(trap)!r}, 'w')" if function is eval else f"touch {trap}"
    hostile = {"subject": "S2", "signal": [Calls(function, command)]}
    with pytest.raises(InputError, match=name):
        load_arrays(written(tmp_path, pickle.dumps(hostile, protocol=protocol)))
    assert not trap.exists()


def test_an_object_array_gives_no_way_around(tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    array = np.array([Calls(os.system, f"touch {trap}")], dtype=object)
    with pytest.raises(InputError, match="type 'O8' are not read"):
        load_arrays(written(tmp_path, pickle.dumps(array, protocol=2)))
    assert not trap.exists()


def test_an_array_state_cannot_lie_about_its_type(tmp_path: Path) -> None:
    """Type 'O' over raw bytes would make numbers into addresses of objects."""
    honest = pickle.dumps(np.arange(3.0), protocol=2)
    with pytest.raises(InputError, match="type 'O8' are not read"):
        load_arrays(written(tmp_path, honest.replace(b"X\x02\x00\x00\x00f8", b"X\x02\x00\x00\x00O8")))


def test_an_array_of_more_elements_than_bytes_is_refused(tmp_path: Path) -> None:
    honest = pickle.dumps(np.arange(3.0), protocol=2)
    assert honest.count(b"K\x03\x85") == 1
    with pytest.raises(InputError, match="cannot reshape"):
        load_arrays(written(tmp_path, honest.replace(b"K\x03\x85", b"K\x63\x85")))


def test_harmless_classes_are_refused_too(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"collections\.OrderedDict"):
        load_arrays(written(tmp_path, pickle.dumps(OrderedDict(a=1), protocol=2)))


def test_attributes_of_admitted_modules_are_not_reachable(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"numpy\.ndarray\.tofile"):
        load_arrays(written(tmp_path, b"\x80\x04\x8c\x05numpy\x8c\x0endarray.tofile\x93."))


@pytest.mark.parametrize("share", [0, 0.01, 0.3, 0.6, 0.99])
def test_a_truncated_pickle_is_refused(tmp_path: Path, share: float) -> None:
    whole = pickle.dumps({"a": np.arange(1000.0)}, protocol=2)
    with pytest.raises(InputError, match="not a whole pickle"):
        load_arrays(written(tmp_path, whole[: int(share * len(whole))]))


def test_a_file_that_is_no_pickle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a whole pickle"):
        load_arrays(written(tmp_path, b"subject;S2\n"))


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        load_arrays(tmp_path / "S3.pkl")
