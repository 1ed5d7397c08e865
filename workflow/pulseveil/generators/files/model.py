"""Draws of windows that another tool has synthesized."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from pulseveil.core.arrays import Arrays
from pulseveil.core.contracts import CONDITIONS, STRESS
from pulseveil.core.errors import InputError
from pulseveil.generators import GeneratorModel, Training
from pulseveil.generators.files import FilesSettings, file_hash
from pulseveil.generators.files.reading import read_windows


class FilesModel(GeneratorModel):
    """Draws windows of a file, with replacement, by their condition.

    Examples:
        >>> windows, condition = np.arange(4, dtype=np.float32).reshape(4, 1, 1), np.array([0, 0, 1, 1])
        >>> model = FilesModel(windows, condition)
        >>> model.sample(np.array([0, 1], np.int8), np.array([[-3], [3]], np.float32)).ravel().tolist()
        [0.0, 3.0]
    """

    def __init__(self, windows: NDArray[np.float32], condition: NDArray[np.integer[Any]]) -> None:
        # In the order of the conditions, so that the windows of one are neighbours.
        order = np.argsort(condition, kind="stable")
        self._windows, self._condition = windows[order], condition[order].astype(np.int8)

    @classmethod
    def fit(cls, settings: FilesSettings, training: Training) -> Self:
        """The windows of the file; of the training, only their form is read.

        Raises:
            InputError: the budget is private, the file has changed since the plan, or its windows have
                another form, missing values, unknown conditions, or not all conditions.
        """
        training.budget.refuse_private("files", "windows made elsewhere have no ledger")
        if file_hash(settings.data) != settings.sha256:
            raise InputError(f"{settings.data}: changed since the study was planned; plan it again")
        path, named = settings.data, settings.columns
        windows, codes = read_windows(path, named, training.windows.shape[1], training.channels)
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
        first, after = (np.searchsorted(self._condition, condition, side=side) for side in ("left", "right"))
        share = ndtr(noise[:, 0].astype(np.float64))
        row = np.minimum((first + share * (after - first)).astype(np.intp), after - 1)
        return np.asarray(self._windows[row])

    def arrays(self) -> Arrays:
        """All windows and their conditions."""
        return {"windows": self._windows, "condition": self._condition}

    @classmethod
    def from_arrays(cls, settings: FilesSettings, arrays: Arrays) -> Self:
        """The generator whose `arrays()` these are."""
        return cls(arrays["windows"], arrays["condition"])
