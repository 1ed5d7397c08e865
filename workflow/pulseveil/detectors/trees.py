"""Trained decision trees as arrays, which score without the library that trained them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from pulseveil.core.arrays import Arrays, Floats

_LEAF = -1
# Rows that are scored at the same time, so that memory does not grow with the rows.
_ROWS = 4096


@dataclass(frozen=True, eq=False)
class Trees:
    """Decision trees of a random forest of two classes, all nodes in one table.

    first (trees) int: root of each tree. left, right (nodes) int: children, -1 at a leaf. feature (nodes) int
    and threshold (nodes) float64: rows of which this column is at most the threshold go left. missing_left
    (nodes) bool: whether missing values go left. stress (nodes) float64: share of stress at the node.
    """

    first: NDArray[np.int64]
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    feature: NDArray[np.int64]
    threshold: Floats
    missing_left: NDArray[np.bool_]
    stress: Floats

    @classmethod
    def of_forest(cls, forest: Any) -> Self:
        """The trees of a fitted scikit-learn `RandomForestClassifier` of two classes."""
        trees = [estimator.tree_ for estimator in forest.estimators_]
        first = np.cumsum([0, *(tree.node_count for tree in trees)])

        def joined(name: str) -> NDArray[Any]:
            return np.concatenate([getattr(tree, name) for tree in trees])

        shift = np.repeat(first[:-1], np.diff(first))
        left, right = (
            np.where(child < 0, _LEAF, child + shift)
            for child in (joined("children_left"), joined("children_right"))
        )
        return cls(
            first[:-1],
            left,
            right,
            # Leaves have none; a walk reads it, and does not use it.
            np.maximum(joined("feature"), 0),
            joined("threshold"),
            joined("missing_go_to_left").astype(bool),
            # Column 1 is stress: scikit-learn sorts the classes False and True.
            joined("value")[:, 0, 1],
        )

    def probability(self, values: Floats) -> Floats:
        """Probability of stress (n) for rows of `values` (n, columns): the mean over the trees."""
        # scikit-learn compares single-precision values with double-precision thresholds.
        single = values.astype(np.float32)
        parts = [self._probability(single[start : start + _ROWS]) for start in range(0, len(single), _ROWS)]
        return np.concatenate([np.zeros(0), *parts])

    def _probability(self, values: NDArray[np.float32]) -> Floats:
        node = np.repeat(self.first[:, np.newaxis], len(values), axis=1)
        row = np.arange(len(values))
        while (inner := self.left[node] != _LEAF).any():
            value = values[row, self.feature[node]]
            goes_left = np.where(np.isnan(value), self.missing_left[node], value <= self.threshold[node])
            child = np.where(goes_left, self.left[node], self.right[node])
            node = np.where(inner, child, node)
        # One tree after the other, as in scikit-learn, so that the sum has its rounding.
        total = np.zeros(len(values))
        for share in self.stress[node]:
            total += share
        return total / len(self.first)

    def arrays(self) -> Arrays:
        """The table as named arrays."""
        return dict(vars(self))

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Self:
        """The trees in `arrays`.

        Raises:
            ValueError: the arrays are not those of trees whose children come after their parents.
        """
        kinds: Mapping[str, Any] = {"threshold": np.float64, "stress": np.float64, "missing_left": np.bool_}
        names = tuple(cls.__dataclass_fields__)
        table: dict[str, NDArray[Any]] = {
            name: np.asarray(arrays[name], kinds.get(name, np.int64)) for name in names
        }
        nodes = len(table["left"])
        if any(table[name].shape != (nodes,) for name in names[1:]):
            raise ValueError("expected as many values per array as there are nodes")
        inner = table["left"] != _LEAF
        own = np.arange(nodes)[inner]
        # Children after their parents: a walk through the trees ends, whoever has written the file.
        for child in (table["left"][inner], table["right"][inner]):
            if ((child <= own) | (child >= nodes)).any():
                raise ValueError("expected children that come after their parents")
        if ((table["first"] < 0) | (table["first"] >= nodes)).any() or not len(table["first"]):
            raise ValueError("expected roots among the nodes")
        if (table["feature"] < 0).any():
            raise ValueError("expected the numbers of columns")
        return cls(**table)
