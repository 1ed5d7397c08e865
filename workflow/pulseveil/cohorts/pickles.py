"""Pickles of numpy arrays and plain containers, read without running anything that they contain.

Not even numpy's own loading functions are lent to a pickle: crafted array states could make them misread
memory. Stand-ins collect shape, type and bytes; the arrays are made from these when the pickle is closed.
A pickle's steps are looked through before they are taken, and what it makes of itself (texts encoded again,
containers inside each other by alias) is counted: a small file cannot fill the memory, or never end.
"""

from __future__ import annotations

import mmap
import pickle
import pickletools
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pulseveil.core import limits
from pulseveil.core.errors import InputError


class _Dtype:
    """Stands for `numpy.dtype`; numbers only."""

    def __init__(self, name: str, *_: Any) -> None:
        if not re.fullmatch(r"[biuf]\d{1,2}", name):
            raise ValueError(f"arrays of type {name!r} are not read, only numbers")
        self._name, self._order = name, "="

    def __setstate__(self, state: Any) -> None:
        if state[1] not in ("<", ">", "=", "|"):
            raise ValueError(f"arrays in byte order {state[1]!r} are not read")
        self._order = "=" if state[1] == "|" else state[1]

    def values(self, raw: bytes | str) -> NDArray[Any]:
        """The numbers (n) of this type in `raw`; raises ValueError where bytes are left over."""
        # Python 2 wrote bytes that come back as text, one character a byte.
        content = raw.encode("latin1") if isinstance(raw, str) else raw
        return np.frombuffer(content, np.dtype(self._order + self._name))


class _Array:
    """Stands for an array, whose state (shape, type, order of axes, bytes) arrives after its creation."""

    def __init__(self, *_: Any) -> None:
        self._state: tuple[Any, ...] = ()

    def __setstate__(self, state: Any) -> None:
        self._state = tuple(state[-4:])

    def values(self) -> NDArray[Any]:
        """The array; raises ValueError where its state does not make one."""
        shape, dtype, fortran, raw = self._state
        return np.asarray(dtype.values(raw).reshape(shape, order="F" if fortran else "C"))


class _ScalarReader:
    """Stands for numpy's scalar constructor; without attributes, so that a pickle cannot change it."""

    __slots__ = ()

    def __call__(self, dtype: _Dtype, raw: bytes | str) -> Any:
        return dtype.values(raw[:_WIDEST])[0]


class _Encoder:
    """Stands for `_codecs.encode`, as which protocol 2 stores bytes; a file's letters are encoded once."""

    __slots__ = ("_left",)

    def __init__(self, letters: int) -> None:
        self._left = letters

    def __call__(self, text: str, codec: str) -> bytes:
        self._left -= len(text)
        if codec != "latin1" or self._left < 0:
            raise ValueError("texts are encoded as latin1, and once")
        return text.encode("latin1")

    def __setstate__(self, state: Any) -> None:
        raise ValueError("functions have no state")


class _EmptyBytes:
    """Stands for `bytes`, of which pickles ask for empty ones; a number in its call would be their length."""

    __slots__ = ()

    def __call__(self) -> bytes:
        return b""


# Bytes of the widest number.
_WIDEST = 16
# All that array pickles of Python 2 and 3, numpy 1 and 2 ask for, beside `_codecs.encode`.
_ADMITTED: Mapping[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy._core.multiarray", "_reconstruct"): _Array,
    ("numpy.core.multiarray", "scalar"): _ScalarReader(),
    ("numpy._core.multiarray", "scalar"): _ScalarReader(),
    ("numpy", "ndarray"): "numpy.ndarray",
    ("numpy", "dtype"): _Dtype,
    ("__builtin__", "bytes"): _EmptyBytes(),
}
# After these steps a tuple can lie on top of the stack; those of the second line can leave what they find.
_TUPLES = (
    *("EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"),
    *("BUILD", "APPEND", "APPENDS", "SETITEM", "SETITEMS"),
)
# Sets, and steps that copy or drop what is on the stack: no pickle of arrays needs them.
_REFUSED = ("DUP", "POP", "POP_MARK", "EMPTY_SET", "ADDITEMS", "FROZENSET")


class _ArrayUnpickler(pickle.Unpickler):
    def __init__(self, content: mmap.mmap, path: Path) -> None:
        super().__init__(content, encoding="latin1")
        self._path = path
        self._encode = _Encoder(len(content))

    def find_class(self, module: str, name: str) -> Any:
        """What stands for an admitted class of the file; raises InputError for all others."""
        if (module, name) == ("_codecs", "encode"):
            return self._encode
        try:
            return _ADMITTED[module, name]
        except KeyError:
            raise InputError(
                f"{self._path}: this pickle asks for '{module}.{name}'; only numpy arrays and plain "
                "containers are read, and nothing in it was run. Get the file from its original source"
            ) from None


def load_arrays(path: Path) -> Any:
    """The content of a pickle made of number arrays and plain containers; the arrays are read-only.

    Raises InputError when the file is missing, cut short or damaged, asks for anything else by name, or would
    unfold to far more than it holds.
    """
    limits.require_file(path, limits.PICKLE_BYTES, "a pickle")
    try:
        with open(path, "rb") as handle, mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ) as content:
            _check_steps(content)
            content.seek(0)
            return _Unfolding(limits.PICKLE_STEPS, len(content)).of(_ArrayUnpickler(content, path).load())
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); expected a pickle") from None
    except Exception as error:  # a damaged pickle may raise nearly anything
        raise InputError(
            f"{path}: not a whole pickle of arrays ({type(error).__name__}: {error}); copy or unpack it again"
        ) from None


def _check_steps(content: mmap.mmap) -> None:
    """Raise ValueError for a pickle that takes too many steps, or one that no pickle of arrays takes.

    Places of the memo are numbered as they are filled: a high number alone would allocate all below it. A
    tuple is used once: one of tuples of tuples by alias takes for ever to be hashed as a key.
    """
    previous = ""
    filled: set[int] = set()
    tuples: set[int] = set()
    for steps, (step, argument, _) in enumerate(pickletools.genops(content)):  # type: ignore[arg-type]
        name = step.name
        if steps >= limits.PICKLE_STEPS:
            raise ValueError(f"more than {limits.PICKLE_STEPS} steps")
        if name in _REFUSED or (isinstance(argument, int) and argument.bit_length() > 64):
            raise ValueError(f"step {name} is not of a pickle of arrays")
        if name == "MEMOIZE" or name.endswith("PUT"):
            position = len(filled) if argument is None else argument
            if position > steps or position in filled:
                raise ValueError(f"memo {position} is filled out of order")
            filled.add(position)
            if previous in _TUPLES:
                tuples.add(position)
        elif name.endswith("GET") and argument in tuples:
            raise ValueError("a tuple is used twice")
        elif name not in ("PROTO", "FRAME"):
            previous = name


class _Unfolding:
    """Puts arrays in place of their stand-ins, for up to so many values and letters, aliases counted anew."""

    def __init__(self, values: int, letters: int) -> None:
        self._values, self._letters = values, letters
        self._arrays: dict[int, NDArray[Any]] = {}

    def of(self, value: Any) -> Any:
        """The same containers with arrays; raises ValueError where they hold too much."""
        self._values -= 1
        if self._values < 0:
            raise ValueError("its containers hold each other by alias and unfold without end")
        if isinstance(value, _Array):
            return self._array(value)
        if isinstance(value, dict):
            return {key: self.of(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return type(value)(self.of(item) for item in value)
        return value

    def _array(self, stand_in: _Array) -> NDArray[Any]:
        """The array of a stand-in, made once."""
        known = self._arrays.get(id(stand_in))
        if known is None:
            known = self._arrays[id(stand_in)] = stand_in.values()
            self._letters -= known.nbytes
            if self._letters < 0:
                raise ValueError("its arrays are larger than the file")
        return known
