"""Pickles of numpy arrays and plain containers, read without running anything that they contain.

Not even numpy's own loading functions are lent to a pickle: crafted array states could make them misread
memory. Stand-ins collect shape, type and bytes; the arrays are made from these when the pickle is closed.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from pulseveil.errors import InputError


class _Dtype:
    """Stands for `numpy.dtype`; numbers only."""

    def __init__(self, name: str, *_: Any) -> None:
        if not re.fullmatch(r"[biuf]\d{1,2}", name):
            raise ValueError(f"arrays of type {name!r} are not read, only numbers")
        self._name, self._order = name, "="

    def __setstate__(self, state: Any) -> None:
        self._order = {"|": "="}.get(state[1], state[1])

    def values(self, raw: bytes | str) -> NDArray[Any]:
        """The numbers (n) of this type in `raw`; raises ValueError where bytes are left over."""
        # Python 2 wrote bytes that come back as text, one character a byte.
        content = raw.encode("latin1") if isinstance(raw, str) else raw
        return np.frombuffer(content, np.dtype(self._order + self._name))


class _Array:
    """Stands for an array, whose state (shape, type, order of axes, bytes) arrives after its creation."""

    def __init__(self, *_: Any) -> None:
        self.values: NDArray[Any] = np.zeros(0)

    def __setstate__(self, state: Any) -> None:
        shape, dtype, fortran, raw = state[-4:]
        self.values = dtype.values(raw).reshape(shape, order="F" if fortran else "C")


class _ScalarReader:
    """Stands for numpy's scalar constructor; without attributes, so that a pickle cannot change it."""

    __slots__ = ()

    def __call__(self, dtype: _Dtype, raw: bytes | str) -> Any:
        return dtype.values(raw)[0]


# All that array pickles of Python 2 and 3, numpy 1 and 2 ask for. Protocol 2 stores bytes as a call of
# `_codecs.encode`; `str.encode` does the same and takes nothing but text. Empty bytes are a
# call of `bytes`.
_ADMITTED: Mapping[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy._core.multiarray", "_reconstruct"): _Array,
    ("numpy.core.multiarray", "scalar"): _ScalarReader(),
    ("numpy._core.multiarray", "scalar"): _ScalarReader(),
    ("numpy", "ndarray"): "numpy.ndarray",
    ("numpy", "dtype"): _Dtype,
    ("_codecs", "encode"): str.encode,
    ("__builtin__", "bytes"): bytes,
}


class _ArrayUnpickler(pickle.Unpickler):
    def __init__(self, handle: BinaryIO, path: Path) -> None:
        super().__init__(handle, encoding="latin1")
        self._path = path

    def find_class(self, module: str, name: str) -> Any:
        """What stands for an admitted class of the file; raises InputError for all others."""
        try:
            return _ADMITTED[module, name]
        except KeyError:
            raise InputError(
                f"{self._path}: this pickle asks for '{module}.{name}'; only numpy arrays and plain "
                "containers are read, and nothing in it was run. Get the file from its original source"
            ) from None


def load_arrays(path: Path) -> Any:
    """The content of a pickle made of number arrays and plain containers; the arrays are read-only.

    Raises InputError when the file is missing, cut short or damaged, or asks for anything else by name.
    """
    try:
        with open(path, "rb") as handle:
            return _with_arrays(_ArrayUnpickler(handle, path).load())
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); expected a pickle") from None
    except Exception as error:  # a damaged pickle may raise nearly anything
        raise InputError(
            f"{path}: not a whole pickle of arrays ({type(error).__name__}: {error}); copy or unpack it again"
        ) from None


def _with_arrays(value: Any) -> Any:
    """The same containers with arrays in place of their stand-ins."""
    if isinstance(value, _Array):
        return value.values
    if isinstance(value, dict):
        return {key: _with_arrays(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_with_arrays(item) for item in value)
    return value
