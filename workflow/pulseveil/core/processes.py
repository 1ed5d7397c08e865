"""Work in several processes, in the form of `map`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from typing import Any

from pulseveil.core.errors import InputError

Spread = Callable[[Callable[[Any], Any], Iterable[Any]], Iterable[Any]]
"""Applies a function to each value and gives the results in order, as `map` does."""


@contextmanager
def spread_over(processes: int) -> Iterator[Spread]:
    """`map` itself for one process; for more, a `map` whose calls run side by side in so many others.

    Examples:
        >>> with spread_over(2) as spread:
        ...     list(spread(abs, [-1, 2]))
        [1, 2]

    Raises:
        InputError: the number of processes is below 1.
    """
    if processes < 1:
        raise InputError(f"--processes: expected a number above 0, found {processes}")
    if processes == 1:
        yield map
        return
    # Spawned and not forked: a fork copies locks of threads that it does not have.
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        yield pool.map
