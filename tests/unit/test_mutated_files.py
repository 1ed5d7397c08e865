"""A fuzzer: small valid files of each format, changed anywhere, are read or refused, and nothing else.

A changed digit reads as another number, so what is read need not be what was written; it must have its form.
"""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pulseveil.core.contracts import Rows
from pulseveil.core.errors import InputError
from tests.unit import hostile_files

# Files of a process of the long run, and processes a reader: some minutes in all.
FILES, PROCESSES = 400, 8
# What a format gives a meaning of its own.
WORDS = (
    *(
        b"",
        b"\0",
        b"\xff" * 4,
        b"\xff" * 8,
        b"\n",
        b"\r",
        b",",
        b"{",
        b"[",
        b"&a ",
        b"*a",
        b"!!",
        b"nan",
        b"1e999",
    ),
    *(
        b"-1",
        b"PK\x03\x04",
        b"PK\x01\x02",
        b"\x80\x02",
        b"R",
        b"b",
        b"0",
        b"2",
        b"SNOD",
        b"TREE",
        b"OHDR",
        b"FRHP",
    ),
)


@cache
def valid(reader: str) -> bytes:
    """The bytes of the good input of a reader."""
    with TemporaryDirectory() as folder:
        return hostile_files.good(reader, Path(folder)).read_bytes()


def mutated(content: bytes, changes: list[tuple[float, int, bytes]]) -> bytes:
    """`content` with a word at each of some shares of its length, for the bytes cut there."""
    for share, cut, word in changes:
        at = int(share * len(content))
        content = content[:at] + word + content[at + cut :]
    return content


changes = st.lists(
    st.tuples(
        st.floats(0, 1, exclude_max=True),
        st.sampled_from([0, 1, 2, 4, 8, 100]),
        st.sampled_from(WORDS) | st.binary(max_size=8),
    ),
    min_size=1,
    max_size=4,
)


def require_form(value: object) -> None:
    """A record that was read has columns of one length, and no field is missing."""
    if isinstance(value, Rows):
        assert len({len(getattr(value, name)) for name in value.row_columns}) == 1
    if is_dataclass(value):
        assert all(hasattr(value, item.name) for item in fields(value))


@pytest.mark.parametrize("reader", hostile_files.READERS)
@settings(deadline=None, max_examples=40, derandomize=True, suppress_health_check=list(HealthCheck))
@given(changes=changes)
def test_a_mutated_file_is_read_or_refused(reader, changes):
    with TemporaryDirectory() as folder:
        path = hostile_files.good(reader, Path(folder))
        path.write_bytes(mutated(valid(reader), changes))
        try:
            require_form(hostile_files.READERS[reader](path))
        except InputError as error:
            told = str(error)
        else:
            told = ""
        assert all(line.isprintable() for line in told.split("\n"))


@pytest.mark.slow
@pytest.mark.parametrize("reader", hostile_files.READERS)
@pytest.mark.parametrize("seed", range(PROCESSES))
def test_any_mutated_file_is_read_or_refused_by_a_process_of_little_memory(reader, seed, tmp_path):
    rng = np.random.default_rng([seed, list(hostile_files.READERS).index(reader)])
    paths = {}
    for number in range(FILES):
        path = hostile_files.good(reader, tmp_path / str(number))
        chosen = [
            (rng.random(), int(rng.choice([0, 1, 2, 4, 8, 100])), WORDS[rng.integers(len(WORDS))])
            if rng.random() < 0.5
            else (rng.random(), int(rng.integers(1, 9)), rng.bytes(int(rng.integers(1, 9))))
            for _ in range(rng.integers(1, 5))
        ]
        path.write_bytes(mutated(valid(reader), chosen))
        paths[str(number)] = str(path)
    asked = {"reader": reader, "good": str(hostile_files.good(reader, tmp_path / "good")), "paths": paths}
    answer = hostile_files.read_apart(asked)
    found = answer["found"]
    assert {o["error"] for o in found.values()} <= {"", "InputError"}, [
        (paths[name], told) for name, told in found.items() if told["error"] not in ("", "InputError")
    ]
    assert any(told["error"] for told in found.values())
