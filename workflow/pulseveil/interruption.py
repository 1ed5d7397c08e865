"""Jobs that are told to end: a time limit, a preemption or a user's signal stops them without loss."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Told = Callable[[], bool]
"""Whether the job was told to end."""

_SIGNALS = (signal.SIGTERM, signal.SIGUSR2)


class Interrupted(Exception):
    """The job was told to end. What is done is stored: the same command, run again, goes on from there."""


def never() -> bool:
    """Nobody tells this job to end."""
    return False


@contextmanager
def listening() -> Iterator[Told]:
    """Within the block SIGTERM and SIGUSR2 do not kill the process; they are what it is told by."""
    heard = threading.Event()
    before = {number: signal.signal(number, lambda *_: heard.set()) for number in _SIGNALS}
    try:
        yield heard.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
