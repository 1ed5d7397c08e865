"""Errors that end a command with one line instead of a traceback, and requests to stop.

A time limit, a preemption or a user's signal requests a stop. The job then stores its state and ends.
"""

from __future__ import annotations

import io
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

StopRequested = Callable[[], bool]
"""Whether a stop of the job was requested."""

# SLURM sends SIGTERM; submitit has SLURM send SIGUSR2 some seconds before the time limit. Ctrl-C is SIGINT,
# and a terminal that is closed sends SIGHUP.
_SIGNALS = (signal.SIGTERM, signal.SIGUSR2, signal.SIGINT, signal.SIGHUP)


class Interrupted(Exception):
    """A stop was requested and the state is stored: the same command resumes from there."""


def never_requested() -> bool:
    """`StopRequested` of a job that nothing stops early."""
    return False


@contextmanager
def stop_signals() -> Iterator[StopRequested]:
    """Turn SIGTERM, SIGUSR2, SIGINT and SIGHUP into requests to stop within the block.

    Otherwise they kill the process.
    """
    requested = threading.Event()
    before = {number: signal.signal(number, lambda *_: requested.set()) for number in _SIGNALS}
    try:
        yield requested.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


# EX_TEMPFAIL of sysexits.h: temporary failure, try again.
INTERRUPTED_CODE = 75


# A message quotes what was found, which can be a file of one long line.
_LONGEST = 2000


class InputError(ValueError):
    """Bad input: the message names the file and the key or row, what was expected, and how to mend it.

    The message is one line. Line breaks and control characters, which could steer a terminal, are escaped:

    Examples:
        >>> print(InputError("labels.csv: row 2: found 'S1\\n', expected a subject"))
        labels.csv: row 2: found 'S1\\n', expected a subject
    """

    def __init__(self, message: str) -> None:
        if len(message) > _LONGEST:
            message = f"{message[: _LONGEST // 2]} ... {message[-_LONGEST // 2 :]}"
        super().__init__(
            "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in message)
        )


def tolerate_terminal() -> None:
    """Escape what a terminal cannot encode, such as a letter of a name under LC_ALL=C, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def run_command(main: Callable[[], None]) -> None:
    """Run a script's `main` and turn its expected failures into one line on stderr and an exit code.

    Exit codes: 2 for bad input (`InputError`), 75 for a requested stop (`Interrupted`; the same command
    resumes), 1 for a closed pipe (`| head`).
    """
    tolerate_terminal()
    try:
        main()
        sys.stdout.flush()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except BrokenPipeError:
        # Python flushes stdout once more at exit, which would raise a second BrokenPipeError.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None
    except Interrupted as interrupted:
        print(f"interrupted: {interrupted}", file=sys.stderr)
        raise SystemExit(INTERRUPTED_CODE) from None
