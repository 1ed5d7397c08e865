"""What a file of results says, piece by piece, so that two runs can be compared."""

import re
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np

# With a letter, and not the digits behind a decimal point.
_HEXADECIMAL = re.compile(r"(?<![0-9a-f.])(?=[0-9]*[a-f])[0-9a-f]{16,}(?![0-9a-f])")
_WORD = re.compile(r"[\w.+-]+")


def hexadecimals(path: Path) -> set[str]:
    """All that looks like a hash in the texts of a file: 16 hexadecimal digits or more."""
    texts = [
        text
        for _, value in _parts(path)
        if isinstance(value, str) or value.dtype == object
        for text in ([value] if isinstance(value, str) else value.ravel().tolist())
    ]
    return {found for text in texts for found in _HEXADECIMAL.findall(text)}


def pieces(path: Path) -> dict[str, str | bytes]:
    """The pieces of a file by their places: data sets and attributes of HDF5, words of all else."""
    found: dict[str, str | bytes] = {}
    for place, value in _parts(path):
        if isinstance(value, str):
            found |= {f"{place}, word {i}": word for i, word in enumerate(_WORD.findall(value))}
        else:
            found[place] = "\0".join(value.ravel()).encode() if value.dtype == object else value.tobytes()
    return found


def _parts(path: Path) -> Iterator[tuple[str, str | np.ndarray]]:
    """(place, content): attributes and data sets of HDF5, lines of all else."""
    if path.suffix != ".h5":
        lines = path.read_bytes().decode("latin-1").splitlines()
        yield from ((f"line {i}", line) for i, line in enumerate(lines))
        return
    with h5py.File(path) as file:
        yield from ((f"@{name}", str(value)) for name, value in file.attrs.items())
        found: list[tuple[str, h5py.Dataset]] = []
        file.visititems(lambda name, item: found.append((name, item)))
        for name, item in found:
            if isinstance(item, h5py.Dataset):
                text = h5py.check_string_dtype(item.dtype)
                yield name, np.asarray(item.asstr()[()], dtype=object) if text else np.asarray(item[()])
