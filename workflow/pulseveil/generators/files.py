"""Windows that another tool has synthesized, as a generator: it enters all tables like any other.

Nothing is known of how the windows were made. They have no ledger, and may have been learnt from the test
subject.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field, model_validator

from pulseveil.core import limits, store
from pulseveil.core.arrays import Arrays
from pulseveil.core.contracts import CONDITIONS, STRESS, SyntheticSet
from pulseveil.core.errors import InputError
from pulseveil.core.tables import as_numbers, read_table
from pulseveil.generators import Generator, GeneratorSettings, Training
from pulseveil.privacy.budget import Unit

_CONDITION = "condition"
# Columns that separate two windows, as far as a table has them.
_OF_WINDOW = ("fold", "subject", "window")
_KNOWN = (".csv", ".h5", ".npy", ".parquet")


class FilesSettings(GeneratorSettings):
    """Settings of `files`."""

    data: Path = Field(
        description="CSV, Parquet, HDF5 or NPY of windows in the channels, scaling and length of the study"
    )
    columns: Mapping[str, str] = Field(
        {}, description="names of the file's columns by channel, `subject`, `window` or `condition`"
    )
    sha256: str = Field("", description="of the file; found by itself, so that another file is another model")

    @model_validator(mode="after")
    def _known_file(self) -> Self:
        # The settings of a stored model name its file, which need not be there any more.
        if self.sha256:
            return self
        if self.data.suffix not in _KNOWN:
            raise ValueError(f"data: expected a file that ends in {', '.join(_KNOWN)}, found {self.data}")
        if not self.data.is_file():
            raise ValueError(f"data: expected a file of windows, found none at {self.data}")
        object.__setattr__(self, "sha256", _hash(self.data))
        return self


def _hash(path: Path) -> str:
    return sha256(limits.read_bytes(path, limits.ARRAYS_BYTES, "a file of windows")).hexdigest()


class Files(Generator):
    """Draws windows of a file, with replacement, by their condition.

    Examples:
        >>> windows, condition = np.arange(4, dtype=np.float32).reshape(4, 1, 1), np.array([0, 0, 1, 1])
        >>> model = Files(windows, condition)
        >>> model.sample(np.array([0, 1], np.int8), np.array([[-3], [3]], np.float32)).ravel().tolist()
        [0.0, 3.0]
    """

    Settings: ClassVar[type[GeneratorSettings]] = FilesSettings
    title: ClassVar[str] = "Given windows (no ledger)"
    colour: ClassVar[str] = "#7F7F7F"
    version: ClassVar[int] = 1
    no_budget: ClassVar[str] = (
        "its windows were made elsewhere, without a ledger, and may have been learnt from the test subject"
    )

    def __init__(self, windows: NDArray[np.float32], condition: NDArray[np.integer[Any]]) -> None:
        # In the order of the conditions, so that the windows of one are neighbours.
        order = np.argsort(condition, kind="stable")
        self._windows, self._condition = windows[order], condition[order].astype(np.int8)

    @staticmethod
    def expected_seconds(settings: FilesSettings, rows: int, private: Unit | None) -> float:
        """Expected CPU seconds of reading the file."""
        return 1.0

    @classmethod
    def fit(cls, settings: FilesSettings, training: Training) -> Self:
        """The windows of the file; of the training, only their form is read.

        Raises:
            InputError: the budget is private, the file has changed since the plan, or its windows have
                another form, missing values, unknown conditions, or not all conditions.
        """
        training.budget.refuse_private("files", "windows made elsewhere have no ledger")
        if _hash(settings.data) != settings.sha256:
            raise InputError(f"{settings.data}: changed since the study was planned; plan it again")
        windows, codes = read_windows(settings, training.windows.shape[1], training.channels)
        condition = codes if training.classes == len(CONDITIONS) else (codes == STRESS).astype(np.int8)
        for code in range(training.classes):
            if code not in condition:
                raise InputError(
                    f"{settings.data}: no windows of condition {code}; expected windows of each of "
                    f"{training.classes} conditions"
                )
        return cls(windows, condition)

    @property
    def noise_size(self) -> int:
        """One number, which selects a window."""
        return 1

    def sample(self, condition: NDArray[np.int8], noise: NDArray[np.float32]) -> NDArray[np.float32]:
        """Windows (n, time, channels) of the codes `condition` (n), from noise (n, 1)."""
        from scipy.special import ndtr

        first, after = (np.searchsorted(self._condition, condition, side=side) for side in ("left", "right"))
        share = ndtr(noise[:, 0].astype(np.float64))
        row = np.minimum((first + share * (after - first)).astype(np.intp), after - 1)
        return self._windows[row]

    def arrays(self) -> Arrays:
        """All windows and their conditions."""
        return {"windows": self._windows, "condition": self._condition}

    @classmethod
    def from_arrays(cls, settings: FilesSettings, arrays: Arrays) -> Self:
        """The generator whose `arrays()` these are."""
        return cls(arrays["windows"], arrays["condition"])


def read_windows(
    settings: FilesSettings, seconds: int, channels: Sequence[str]
) -> tuple[NDArray[np.float32], NDArray[np.int8]]:
    """Windows (n, seconds, channels) float32 of a file, and their condition (n): the most frequent one.

    Raises:
        InputError: the file cannot be read, or its windows have another form, missing values or unknown
            conditions.
    """
    path = settings.data
    match path.suffix:
        case ".h5":
            windows, codes = _of_record(path, channels)
        case ".npy":
            windows, codes = _of_array(path, channels)
        case _:
            windows, codes = _of_table(settings, seconds, channels)
    if windows.shape[1:] != (seconds, len(channels)):
        raise InputError(
            f"{path}: expected windows of {seconds} s and {len(channels)} channels, found "
            f"{windows.shape[1]} s and {windows.shape[2]} channels"
        )
    if not np.isfinite(windows).all():
        window = int(np.flatnonzero(~np.isfinite(windows).all(axis=(1, 2)))[0])
        raise InputError(f"{path}: window {window} has a value that is no finite number")
    unknown = codes[~np.isin(codes, range(len(CONDITIONS)))]
    if len(unknown):
        listed = ", ".join(f"{code} ({name})" for code, name in enumerate(CONDITIONS))
        raise InputError(f"{path}: expected the conditions {listed}, found {unknown.flat[0]:g}")
    counts = np.stack([(codes == code).sum(axis=1) for code in range(len(CONDITIONS))], axis=1)
    return windows.astype(np.float32), counts.argmax(axis=1).astype(np.int8)


Read = tuple[NDArray[Any], NDArray[Any]]


def _of_record(path: Path, channels: Sequence[str]) -> Read:
    """Windows and conditions (n, 1) of an HDF5 export of PulseVeil."""
    record = store.read_record(path, SyntheticSet)
    if record.channels != tuple(channels):
        raise InputError(
            f"{path}: expected the channels {' '.join(channels)}, found {' '.join(record.channels)}"
        )
    return record.windows, record.condition[:, np.newaxis]


def _of_array(path: Path, channels: Sequence[str]) -> Read:
    """Windows (n, time, channels) and conditions (n, time), which are the last channel of the array."""
    try:
        values = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not an array of numbers ({error})") from None
    if values.ndim != 3 or values.shape[2] != len(channels) + 1 or values.dtype.kind not in "fiu":
        raise InputError(
            f"{path}: expected numbers (windows, seconds, {len(channels)} channels and the condition), found "
            f"{values.dtype} {values.shape}"
        )
    return values[:, :, :-1], values[:, :, -1]


def _of_table(settings: FilesSettings, seconds: int, channels: Sequence[str]) -> Read:
    """Windows and conditions (n, seconds) of a table with one row per second."""
    path, named = settings.data, dict(settings.columns)
    known = (*channels, *_OF_WINDOW, _CONDITION)
    if unknown := set(named) - set(known):
        raise InputError(f"columns: expected names for {', '.join(known)}, found {min(unknown)}")
    wanted = [named.get(name, name) for name in (*channels, _CONDITION)]
    table = _read(path, wanted)
    if not len(table) or len(table) % seconds:
        raise InputError(
            f"{path}: expected whole windows of {seconds} rows, one per second, found {len(table)} rows"
        )
    # A border between two windows that is not a multiple of a window's length: rows are missing.
    borders = np.zeros(len(table), bool)
    for name in (named.get(name, name) for name in _OF_WINDOW):
        if name in table:
            values = table[name].to_numpy()
            borders[1:] |= values[1:] != values[:-1]
    odd = np.flatnonzero(borders & (np.arange(len(table)) % seconds != 0))
    if len(odd):
        raise InputError(f"{path}: row {odd[0] + 2}: a window ends after other than {seconds} rows")
    numbers = as_numbers(table, wanted, path)[wanted].to_numpy()
    shaped = numbers.reshape(-1, seconds, len(wanted))
    return shaped[:, :, :-1], shaped[:, :, -1]


def _read(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    cure = "name its columns by `columns`"
    if path.suffix == ".csv":
        return read_table(path, columns, cure)
    try:
        table: pd.DataFrame = pd.read_parquet(path)
    except Exception as error:  # pandas raises many types of errors, depending on the damage
        raise InputError(f"{path}: not a table ({error})") from None
    missing = [name for name in columns if name not in table]
    if missing:
        raise InputError(f"{path}: column {missing[0]!r} is missing; {cure}")
    return table
