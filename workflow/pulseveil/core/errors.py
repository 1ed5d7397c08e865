"""Errors that a user sees as one sentence without a traceback, and the request to stop.

A time limit, a preemption or a user's signal asks a job to stop; it then ends without loss.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

StopRequested = Callable[[], bool]
"""Whether a stop of the job was requested."""

_SIGNALS = (signal.SIGTERM, signal.SIGUSR2)


class Interrupted(Exception):
    """A stop was requested. What is done is stored: the same command, run again, goes on from there."""


def never_requested() -> bool:
    """No stop is ever requested."""
    return False


@contextmanager
def stop_signals() -> Iterator[StopRequested]:
    """Within the block SIGTERM and SIGUSR2 do not kill the process: they request a stop."""
    heard = threading.Event()
    before = {number: signal.signal(number, lambda *_: heard.set()) for number in _SIGNALS}
    try:
        yield heard.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


# "Temporary failure, try again" of sysexits.h.
INTERRUPTED_CODE = 75


# A message quotes what it found: a file of one long line must not fill the screen.
_LONGEST = 2000


class InputError(ValueError):
    """Bad input: the message names the file and the key or row, what was expected, and how to mend it.

    It is one line: characters of a name or value that would break it or steer a terminal are spelled out.
    """

    def __init__(self, message: str) -> None:
        if len(message) > _LONGEST:
            message = f"{message[: _LONGEST // 2]} ... {message[-_LONGEST // 2 :]}"
        super().__init__(
            "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in message)
        )


def run_command(main: Callable[[], None]) -> None:
    """Run a script's `main`: bad input ends in one line on stderr and exit code 2, without a traceback.

    A stop that was requested leaves with exit code 75: run again, the job goes on. A reader that has seen
    enough (`| head`) ends it with code 1.
    """
    try:
        main()
        sys.stdout.flush()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except BrokenPipeError:
        # Python flushes stdout once more at exit, and would complain again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None
    except Interrupted as interrupted:
        print(f"interrupted: {interrupted}", file=sys.stderr)
        raise SystemExit(INTERRUPTED_CODE) from None
