"""Pickles of numpy arrays and plain containers, read without running anything that they contain."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from pulseveil.errors import InputError

_reconstruct = np.zeros(0).__reduce__()[0]
_scalar = np.float64(0).__reduce__()[0]

# All that array pickles of Python 2 and 3, numpy 1 and 2 need. Protocol 2 stores bytes as a call of
# `_codecs.encode`; `str.encode` does the same and takes nothing but text.
_ADMITTED: Mapping[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy.core.multiarray", "scalar"): _scalar,
    ("numpy._core.multiarray", "scalar"): _scalar,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): str.encode,
}


class _ArrayUnpickler(pickle.Unpickler):
    def __init__(self, handle: BinaryIO, path: Path) -> None:
        # latin1 is how byte strings written by Python 2 come back unchanged.
        super().__init__(handle, encoding="latin1")
        self._path = path

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ADMITTED[module, name]
        except KeyError:
            raise InputError(
                f"{self._path}: this pickle asks for '{module}.{name}'; only numpy arrays and plain "
                "containers are read, and nothing in it was run. Get the file from its original source"
            ) from None


def load_arrays(path: Path) -> Any:
    """The content of a pickle made of numpy arrays and plain containers.

    Raises InputError when the file is missing, cut short or damaged, or asks for anything else by name.
    """
    try:
        with open(path, "rb") as handle:
            return _ArrayUnpickler(handle, path).load()
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); expected a pickle") from None
    except Exception as error:  # a damaged pickle may raise nearly anything
        raise InputError(
            f"{path}: not a whole pickle ({type(error).__name__}: {error}); copy or unpack the file again"
        ) from None
