"""Safe reading of HDF5 files from outside: arrays of numbers and texts, within `limits`.

A hostile file can refer to other files (links, external and virtual storage), and can declare or decompress
to more than memory holds. `check` inspects everything that a file declares before any value is read. `read`
decompresses each chunk itself, because the HDF5 library decompresses a whole chunk before it compares sizes.
"""

from __future__ import annotations

import math
import zlib
from itertools import product
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


def check(file: h5py.File) -> dict[str, h5py.Dataset]:
    """Check what a file declares, without reading values, and return the arrays outside of groups by name.

    Raises:
        ValueError: the file holds anything but arrays and groups of arrays stored in the file itself, or more
            of them than the limits allow.
    """
    # `_TEXT` assumes addresses of 8 bytes.
    if file.id.get_create_plist().get_sizes() != (8, 8):
        raise ValueError("its addresses do not have 64 bits")
    # Each call of `file.attrs` opens the root group.
    attributes = file.attrs
    if len(attributes) > _MOST_ATTRIBUTES:
        raise ValueError(f"it has {len(attributes)} attributes")
    for name in attributes:
        if attributes.get_id(name).get_space().get_simple_extent_npoints() > _MOST_ATTRIBUTES:
            raise ValueError(f"attribute {name!r} has more than {_MOST_ATTRIBUTES} values")
    # Counted once per name, not per array: with hard links many names share one array, and each is read anew.
    arrays = 0
    declared = 0
    outside = dict[str, h5py.Dataset]()
    waiting = [file]
    while waiting:
        kept = waiting.pop()
        for name in _names(kept):
            arrays += 1
            if arrays > limits.ARRAYS:
                raise ValueError(f"it has more than {limits.ARRAYS} arrays")
            # By identifiers: `kept[name]` takes several times as long, and a study has thousands of files.
            found = h5py.h5o.open(kept.id, _encoded(name))
            if not isinstance(found, h5py.h5g.GroupID):
                if not isinstance(found, h5py.h5d.DatasetID):
                    raise ValueError(f"{kept.name}/{name} is not an array")
                dataset = h5py.Dataset(found)
                declared += _declared(dataset)
                if kept is file:
                    outside[name] = dataset
            elif kept is file:
                waiting.append(h5py.Group(found))
            else:
                raise ValueError(f"{kept.name}/{name} is a group in a group, expected an array")
    if declared > limits.ARRAYS_BYTES:
        raise ValueError(f"its arrays declare {declared} bytes, more than the limit of {limits.ARRAYS_BYTES}")
    return outside


def read(dataset: h5py.Dataset) -> NDArray[Any]:
    """The values of an array in a file that has passed `check`.

    Raises:
        ValueError: the stored bytes do not match the declared shape and type.
    """
    dtype, chunks = dataset.dtype, dataset.chunks
    if h5py.check_string_dtype(dtype):
        return _read_texts(dataset)
    if chunks is None:
        return np.asarray(dataset[()])
    values = np.empty(dataset.shape, dtype)
    starts = (range(0, length, step) for length, step in zip(dataset.shape, chunks, strict=True))
    for offset in product(*starts):
        part = tuple(slice(start, start + step) for start, step in zip(offset, chunks, strict=True))
        # Chunks at the end of an array are stored in full.
        inside = tuple(slice(length) for length in values[part].shape)
        values[part] = _inflated(dataset, offset, dtype, chunks)[inside]
    return values


def _names(group: h5py.Group) -> list[str]:
    """The names in a group; raises ValueError if one of them is a link to another location or file."""
    if len(group) > limits.ARRAYS:
        raise ValueError(f"{group.name} has {len(group)} entries")
    names = list(group)
    for name in names:
        if group.id.links.get_info(_encoded(name)).type != h5py.h5l.TYPE_HARD:
            raise ValueError(f"{name!r} is a link to another location; arrays must lie in the file itself")
    return names


def _encoded(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")


def _declared(dataset: h5py.Dataset) -> int:
    """Bytes that an array needs in memory; raises ValueError unless it is stored as `store` writes arrays."""
    plan = dataset.id.get_create_plist()
    layout = plan.get_layout()
    if layout == h5py.h5d.VIRTUAL or plan.get_external_count():
        raise ValueError(
            f"the values of {dataset.name} lie in another file; they must lie in the file itself"
        )
    dtype, shape = dataset.dtype, dataset.shape
    chunks = plan.get_chunk() if layout == h5py.h5d.CHUNKED else None
    filters = [plan.get_filter(i)[0] for i in range(plan.get_nfilters())]
    text = h5py.check_string_dtype(dtype)
    if shape is None or not (text or dtype.kind in "biuf"):
        raise ValueError(f"{dataset.name} holds {dtype}; expected numbers or texts")
    if filters not in ([], [h5py.h5z.FILTER_DEFLATE]) or (text and chunks):
        raise ValueError(f"{dataset.name} is not stored as this program stores arrays")
    cells: int = math.prod(shape)
    # One chunk is allocated in full, so the size of the array bounds it only if no chunk is larger.
    if chunks and any(c > s for c, s in zip(chunks, shape, strict=True)):
        raise ValueError(f"{dataset.name} has chunks of {chunks}, but is {shape} in all")
    width: int = _TEXT.itemsize if text else dtype.itemsize
    if text and text.length is not None:
        raise ValueError(f"{dataset.name} holds texts of a fixed length")
    # HDF5 fills in values that are not stored: a small file could declare a large array.
    if chunks is None and cells * width != dataset.id.get_storage_size():
        raise ValueError(
            f"{dataset.name} declares {cells * width} bytes and holds {dataset.id.get_storage_size()}"
        )
    return cells * width


def _read_texts(dataset: h5py.Dataset) -> NDArray[np.str_]:
    """Texts as an array; raises ValueError if they take too much memory, each as wide as the longest."""
    if dataset.size:
        path = Path(h5py.h5f.get_name(dataset.id).decode("utf-8", "surrogateescape"))
        length = np.fromfile(path, _TEXT, dataset.size, offset=dataset.id.get_offset())["length"]
        # NumPy stores 4 bytes per letter.
        needed = 4 * int(length.max(initial=0)) * dataset.size
        if needed > limits.TEXTS_BYTES or len(length) < dataset.size:
            raise ValueError(f"the texts of {dataset.name} take {needed} bytes, too many")
    values = np.empty(dataset.shape, dataset.dtype)
    dataset.id.read(h5py.h5s.ALL, h5py.h5s.ALL, values)
    try:
        # Names are of ASCII: without a step over Python's texts an array takes a fifth of the time.
        return np.asarray(values, dtype=np.bytes_).astype(np.str_)
    except UnicodeDecodeError:
        return np.asarray(dataset.asstr()[:], dtype=np.str_)


def _inflated(
    dataset: h5py.Dataset, offset: tuple[int, ...], dtype: np.dtype[Any], chunks: tuple[int, ...]
) -> NDArray[Any]:
    """Values of one chunk (chunk shape); raises ValueError unless it holds exactly one value per cell."""
    size = math.prod(chunks) * dtype.itemsize
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
    return np.frombuffer(stored, dtype).reshape(chunks)
