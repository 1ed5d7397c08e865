"""HDF5 from elsewhere: arrays of numbers and texts that lie in the file itself, read within `limits`.

A hostile file can name other files (links, external and virtual storage), declare more than memory holds, or
unfold to it. `check` looks at all that a file declares before any value is read; `read` inflates each chunk
itself, since the library would unfold a chunk whole before it compares sizes. ValueError says what is wrong.
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

# A text in a file is a length, and the position of its letters.
_TEXT = np.dtype([("length", "<u4"), ("address", "<u8"), ("index", "<u4")])
_MOST_ATTRIBUTES = 1000
# Deflated chunks that do not shrink grow by less.
_GROWTH = 1.01


def check(file: h5py.File) -> None:
    """Raise ValueError unless a file holds arrays and groups of arrays of its own, all within the limits."""
    if file.id.get_create_plist().get_sizes() != (8, 8):
        raise ValueError("its addresses are not of 64 bits")
    if len(file.attrs) > _MOST_ATTRIBUTES:
        raise ValueError(f"it has {len(file.attrs)} attributes")
    for name in file.attrs:
        if file.attrs.get_id(name).get_space().get_simple_extent_npoints() > _MOST_ATTRIBUTES:
            raise ValueError(f"attribute {name!r} has more than {_MOST_ATTRIBUTES} values")
    arrays = 0
    declared = 0
    for kept in (file, *(file[name] for name in _names(file) if _is_group(file, name))):
        for name in _names(kept):
            arrays += 1
            if arrays > limits.ARRAYS:
                raise ValueError(f"it has more than {limits.ARRAYS} arrays")
            if not _is_group(kept, name):
                declared += _declared(kept[name])
            elif kept is not file:
                raise ValueError(f"{kept.name}/{name} is a group in a group, expected an array")
    if declared > limits.ARRAYS_BYTES:
        raise ValueError(
            f"its arrays declare {declared} bytes, more than the {limits.ARRAYS_BYTES} that are read"
        )


def read(dataset: h5py.Dataset) -> NDArray[Any]:
    """The values of an array of a file that `check` has passed; raises ValueError for damaged storage."""
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
    """The names in a group, none of which is a link to another location or file."""
    if len(group) > limits.ARRAYS:
        raise ValueError(f"{group.name} has {len(group)} entries")
    names = list(group)
    for name in names:
        if group.id.links.get_info(name.encode("utf-8", "surrogateescape")).type != h5py.h5l.TYPE_HARD:
            raise ValueError(f"{name!r} is a link to another location; arrays must lie in the file itself")
    return names


def _is_group(group: h5py.Group, name: str) -> bool:
    return group.get(name, getclass=True) is h5py.Group


def _declared(dataset: Any) -> int:
    """The bytes that an array takes in memory; raises ValueError where it is not stored as ours are."""
    if not isinstance(dataset, h5py.Dataset):
        raise ValueError(f"{dataset.name} is no array")
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
    if dataset.chunks and any(c > s for c, s in zip(dataset.chunks, dataset.shape, strict=True)):
        raise ValueError(f"{dataset.name} has chunks of {dataset.chunks}, but is {dataset.shape} in all")
    width: int = _TEXT.itemsize if text else dataset.dtype.itemsize
    if text and text.length is not None:
        raise ValueError(f"{dataset.name} holds texts of a fixed length")
    if dataset.chunks is None and cells * width != dataset.id.get_storage_size():
        raise ValueError(
            f"{dataset.name} declares {cells * width} bytes and holds {dataset.id.get_storage_size()}"
        )
    return cells * width


def _check_texts(dataset: h5py.Dataset) -> None:
    """Raise ValueError where texts, each as wide as the longest, would take too much memory."""
    start = dataset.id.get_offset()
    if not dataset.size:
        return
    path = Path(dataset.file.filename)
    length = np.fromfile(path, _TEXT, dataset.size, offset=start)["length"]
    needed = 4 * int(length.max(initial=0)) * dataset.size
    if needed > limits.TEXTS_BYTES or len(length) < dataset.size:
        raise ValueError(f"the texts of {dataset.name} take {needed} bytes, too many")


def _inflated(dataset: h5py.Dataset, offset: tuple[int, ...]) -> NDArray[Any]:
    """One chunk (chunk shape), which must hold exactly its values."""
    size = math.prod(dataset.chunks) * dataset.dtype.itemsize
    if dataset.id.get_chunk_info_by_coord(offset).size > _GROWTH * size + 100:
        raise ValueError(f"a chunk of {dataset.name} is stored in more bytes than it holds")
    skipped, stored = dataset.id.read_direct_chunk(offset)
    if dataset.compression and not skipped:
        inflater = zlib.decompressobj()
        stored = inflater.decompress(stored, size + 1)
        if not inflater.eof:
            raise ValueError(f"a chunk of {dataset.name} does not end after {size} bytes")
    if len(stored) != size:
        raise ValueError(f"a chunk of {dataset.name} holds {len(stored)} bytes, expected {size}")
    return np.frombuffer(stored, dataset.dtype).reshape(dataset.chunks)
