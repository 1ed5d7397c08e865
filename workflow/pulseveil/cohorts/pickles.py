"""Safe reading of pickles of NumPy arrays and plain containers: nothing in the file is executed.

The unpickler does not even call NumPy's own loading functions, because a crafted array state could make them
misread memory. Stand-ins collect shape, type and bytes; the arrays are built from them afterwards. The
opcodes of a pickle are checked before it is loaded, and everything that can multiply its content (encoding of
texts, aliases between containers) is counted, so that a small file cannot fill the memory or run for ever.
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
    """Stand-in for `numpy.dtype`; numbers only."""

    def __init__(self, name: str, *_: Any) -> None:
        # Type O over raw bytes would turn numbers into addresses of objects.
        if not re.fullmatch(r"[biuf]\d{1,2}", name):
            raise ValueError(f"arrays of type {name!r} are not read, only numbers")
        self._name, self._order = name, "="

    def __setstate__(self, state: Any) -> None:
        if state[1] not in ("<", ">", "=", "|"):
            raise ValueError(f"arrays in byte order {state[1]!r} are not read")
        self._order = "=" if state[1] == "|" else state[1]

    def values(self, raw: bytes | str) -> NDArray[Any]:
        """The numbers (n) of this type in `raw`; raises ValueError if bytes are left over."""
        # Byte strings of Python 2 are read as text, one character per byte.
        content = raw.encode("latin1") if isinstance(raw, str) else raw
        return np.frombuffer(content, np.dtype(self._order + self._name))


class _Array:
    """Stand-in for an array, whose state (shape, type, order of axes, bytes) is set after its creation."""

    def __init__(self, *_: Any) -> None:
        self._state: tuple[Any, ...] = ()

    def __setstate__(self, state: Any) -> None:
        self._state = tuple(state[-4:])

    def values(self) -> NDArray[Any]:
        """The array; raises ValueError if the state does not describe one."""
        shape, dtype, fortran, raw = self._state
        return np.asarray(dtype.values(raw).reshape(shape, order="F" if fortran else "C"))


class _ScalarReader:
    """Stand-in for NumPy's scalar constructor; without attributes, so that a pickle cannot change it."""

    __slots__ = ()

    def __call__(self, dtype: _Dtype, raw: bytes | str) -> Any:
        return dtype.values(raw[:_WIDEST])[0]


class _Encoder:
    """Stand-in for `_codecs.encode`, by which protocol 2 stores bytes.

    It encodes at most as many letters as the file has bytes: by aliases a pickle could encode one long text
    any number of times.
    """

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
    """Stand-in for `bytes()`, which pickles call for empty values; `bytes(n)` would allocate n bytes."""

    __slots__ = ()

    def __call__(self) -> bytes:
        return b""


# Bytes of the widest number.
_WIDEST = 16
# All names in array pickles of Python 2 and 3, NumPy 1 and 2, beside `_codecs.encode`.
_ADMITTED: Mapping[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy._core.multiarray", "_reconstruct"): _Array,
    ("numpy.core.multiarray", "scalar"): _ScalarReader(),
    ("numpy._core.multiarray", "scalar"): _ScalarReader(),
    ("numpy", "ndarray"): "numpy.ndarray",
    ("numpy", "dtype"): _Dtype,
    ("__builtin__", "bytes"): _EmptyBytes(),
}
# Opcodes after which a tuple can be on top of the stack. The opcodes of the second line remove values above
# it and can so uncover a tuple.
_TUPLES = (
    *("EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"),
    *("BUILD", "APPEND", "APPENDS", "SETITEM", "SETITEMS"),
)
# Sets, and opcodes that copy or drop the top of the stack: no pickle of arrays needs them.
_REFUSED = ("DUP", "POP", "POP_MARK", "EMPTY_SET", "ADDITEMS", "FROZENSET")


class _ArrayUnpickler(pickle.Unpickler):
    def __init__(self, content: mmap.mmap, path: Path) -> None:
        super().__init__(content, encoding="latin1")
        self._path = path
        self._encode = _Encoder(len(content))

    def find_class(self, module: str, name: str) -> Any:
        """The stand-in of an admitted name; raises InputError for any other name."""
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
    """Load a pickle of arrays of numbers and plain containers; the arrays are read-only.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "S2.pkl"
        ...     _ = path.write_bytes(pickle.dumps({"subject": "S2", "label": np.arange(3)}, protocol=2))
        ...     load_arrays(path)
        {'subject': 'S2', 'label': array([0, 1, 2])}

    Raises:
        InputError: the file is missing, truncated or damaged, names any other class or function, or would
            expand to far more than its own size.
    """
    limits.require_file(path, limits.PICKLE_BYTES, "a pickle")
    try:
        with open(path, "rb") as handle, mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ) as content:
            _check_opcodes(content)
            content.seek(0)
            loaded = _ArrayUnpickler(content, path).load()
            return _Resolver(limits.PICKLE_STEPS, len(content)).resolve(loaded)
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); expected a pickle") from None
    except Exception as error:  # a damaged pickle may raise nearly anything
        raise InputError(
            f"{path}: not a whole pickle of arrays ({type(error).__name__}: {error}); copy or unpack it again"
        ) from None


def _check_opcodes(content: mmap.mmap) -> None:
    """Raise ValueError for too many opcodes, or for one that no pickle of arrays contains.

    Positions in the memo must be filled in order, because a single high position would allocate all positions
    below it. A tuple may be used once, because nested tuples with aliases take for ever to hash as a key.
    """
    previous = ""
    filled: set[int] = set()
    tuples: set[int] = set()
    for steps, (step, argument, _) in enumerate(pickletools.genops(content)):  # type: ignore[arg-type]
        name = step.name
        if steps >= limits.PICKLE_STEPS:
            raise ValueError(f"more than {limits.PICKLE_STEPS} opcodes")
        if name in _REFUSED or (isinstance(argument, int) and argument.bit_length() > 64):
            raise ValueError(f"opcode {name} does not occur in pickles of arrays")
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


class _Resolver:
    """Replaces stand-ins by their arrays, for at most `values` values and `size` bytes of arrays.

    Values are counted each time that an alias leads to them; an array is built and counted once.
    """

    def __init__(self, values: int, size: int) -> None:
        self._values, self._size = values, size
        self._arrays: dict[int, NDArray[Any]] = {}

    def resolve(self, value: Any) -> Any:
        """The same containers with arrays; raises ValueError if they exceed the limits."""
        self._values -= 1
        if self._values < 0:
            raise ValueError("its containers hold each other by alias and expand without end")
        if isinstance(value, _Array):
            return self._array(value)
        if isinstance(value, dict):
            return {key: self.resolve(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return type(value)(self.resolve(item) for item in value)
        return value

    def _array(self, stand_in: _Array) -> NDArray[Any]:
        known = self._arrays.get(id(stand_in))
        if known is None:
            known = self._arrays[id(stand_in)] = stand_in.values()
            self._size -= known.nbytes
            if self._size < 0:
                raise ValueError("its arrays are larger than the file")
        return known
