"""Safe reading of HDF5 files from outside: arrays of numbers and texts, within `limits`.

A hostile file can refer to other files (links, external and virtual storage), and can declare or decompress
to more than memory holds. `check` inspects everything that a file declares before any value is read. `read`
decompresses each chunk itself, because the HDF5 library decompresses a whole chunk before it compares sizes.
"""

from __future__ import annotations

import math
import zlib
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from pulseveil.core import limits

# Stored form of a text of variable length: its length, and the address of its letters.
_TEXT = np.dtype([("length", "<u4"), ("address", "<u8"), ("index", "<u4")])
_MOST_ATTRIBUTES = 1000
# Deflate enlarges incompressible data by less than this factor.
_GROWTH = 1.01


def check(file: h5py.File) -> None:
    """Check what a file declares, without reading values.

    Raises:
        ValueError: the file holds anything but arrays and groups of arrays stored in the file itself, or more
            of them than the limits allow.
    """
    # `_TEXT` assumes addresses of 8 bytes.
    if file.id.get_create_plist().get_sizes() != (8, 8):
        raise ValueError("its addresses do not have 64 bits")
    if len(file.attrs) > _MOST_ATTRIBUTES:
        raise ValueError(f"it has {len(file.attrs)} attributes")
    for name in file.attrs:
        if file.attrs.get_id(name).get_space().get_simple_extent_npoints() > _MOST_ATTRIBUTES:
            raise ValueError(f"attribute {name!r} has more than {_MOST_ATTRIBUTES} values")
    # Counted once per name, not per array: with hard links many names share one array, and each is read anew.
    arrays = 0
    declared = 0
    waiting = [file]
    while waiting:
        kept = waiting.pop()
        for name in _names(kept):
            arrays += 1
            if arrays > limits.ARRAYS:
                raise ValueError(f"it has more than {limits.ARRAYS} arrays")
            found = kept[name]
            if not isinstance(found, h5py.Group):
                declared += _declared(found)
            elif kept is file:
                waiting.append(found)
            else:
                raise ValueError(f"{kept.name}/{name} is a group in a group, expected an array")
    if declared > limits.ARRAYS_BYTES:
        raise ValueError(f"its arrays declare {declared} bytes, more than the limit of {limits.ARRAYS_BYTES}")


def read(dataset: h5py.Dataset) -> NDArray[Any]:
    """The values of an array in a file that has passed `check`.

    Raises:
        ValueError: the stored bytes do not match the declared shape and type.
    """
    if h5py.check_string_dtype(dataset.dtype):
        _check_texts(dataset)
        return np.asarray(dataset.asstr()[:], dtype=np.str_)
    if dataset.chunks is None:
        return np.asarray(dataset[()])
    values = np.empty(dataset.shape, dataset.dtype)
    for part in dataset.iter_chunks():
        chunk = _inflated(dataset, tuple(s.start for s in part))
        values[part] = chunk[tuple(slice(s.stop - s.start) for s in part)]
    return values


def _names(group: h5py.Group) -> list[str]:
    """The names in a group; raises ValueError if one of them is a link to another location or file."""
    if len(group) > limits.ARRAYS:
        raise ValueError(f"{group.name} has {len(group)} entries")
    names = list(group)
    for name in names:
        if group.id.links.get_info(name.encode("utf-8", "surrogateescape")).type != h5py.h5l.TYPE_HARD:
            raise ValueError(f"{name!r} is a link to another location; arrays must lie in the file itself")
    return names


def _declared(dataset: Any) -> int:
    """Bytes that an array needs in memory; raises ValueError unless it is stored as `store` writes arrays."""
    if not isinstance(dataset, h5py.Dataset):
        raise ValueError(f"{dataset.name} is not an array")
    plan = dataset.id.get_create_plist()
    if plan.get_layout() == h5py.h5d.VIRTUAL or plan.get_external_count():
        raise ValueError(
            f"the values of {dataset.name} lie in another file; they must lie in the file itself"
        )
    filters = [plan.get_filter(i)[0] for i in range(plan.get_nfilters())]
    text = h5py.check_string_dtype(dataset.dtype)
    if dataset.shape is None or not (text or dataset.dtype.kind in "biuf"):
        raise ValueError(f"{dataset.name} holds {dataset.dtype}; expected numbers or texts")
    if filters not in ([], [h5py.h5z.FILTER_DEFLATE]) or (text and dataset.chunks):
        raise ValueError(f"{dataset.name} is not stored as this program stores arrays")
    cells: int = math.prod(dataset.shape)
    # One chunk is allocated in full, so the size of the array bounds it only if no chunk is larger.
    if dataset.chunks and any(c > s for c, s in zip(dataset.chunks, dataset.shape, strict=True)):
        raise ValueError(f"{dataset.name} has chunks of {dataset.chunks}, but is {dataset.shape} in all")
    width: int = _TEXT.itemsize if text else dataset.dtype.itemsize
    if text and text.length is not None:
        raise ValueError(f"{dataset.name} holds texts of a fixed length")
    # HDF5 fills in values that are not stored: a small file could declare a large array.
    if dataset.chunks is None and cells * width != dataset.id.get_storage_size():
        raise ValueError(
            f"{dataset.name} declares {cells * width} bytes and holds {dataset.id.get_storage_size()}"
        )
    return cells * width


def _check_texts(dataset: h5py.Dataset) -> None:
    """Raise ValueError if texts would take too much memory as an array, each as wide as the longest."""
    start = dataset.id.get_offset()
    if not dataset.size:
        return
    path = Path(dataset.file.filename)
    length = np.fromfile(path, _TEXT, dataset.size, offset=start)["length"]
    # NumPy stores 4 bytes per letter.
    needed = 4 * int(length.max(initial=0)) * dataset.size
    if needed > limits.TEXTS_BYTES or len(length) < dataset.size:
        raise ValueError(f"the texts of {dataset.name} take {needed} bytes, too many")


def _inflated(dataset: h5py.Dataset, offset: tuple[int, ...]) -> NDArray[Any]:
    """Values of one chunk (chunk shape); raises ValueError unless it holds exactly one value per cell."""
    size = math.prod(dataset.chunks) * dataset.dtype.itemsize
    if dataset.id.get_chunk_info_by_coord(offset).size > _GROWTH * size + 100:
        raise ValueError(f"a chunk of {dataset.name} is stored in more bytes than it holds")
    skipped, stored = dataset.id.read_direct_chunk(offset)
    if dataset.compression and not skipped:
        inflater = zlib.decompressobj()
        # One byte beyond the expected size is enough to detect a chunk that is too long.
        stored = inflater.decompress(stored, size + 1)
        if not inflater.eof:
            raise ValueError(f"a chunk of {dataset.name} does not end after {size} bytes")
    if len(stored) != size:
        raise ValueError(f"a chunk of {dataset.name} holds {len(stored)} bytes, expected {size}")
    return np.frombuffer(stored, dataset.dtype).reshape(dataset.chunks)
