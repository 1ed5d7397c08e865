"""Errors that end a command with one line instead of a traceback, and requests to stop.

A time limit, a preemption or a user's signal requests a stop. The job then stores its state and ends.
"""

from __future__ import annotations

import io
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
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
# A file with another meaning of a column has a fault in each row.
_MOST_FAULTS = 40


class InputError(ValueError):
    """Bad input: the message names the file and the key or row, what was expected, and how to mend it.

    `messages`: one line per fault, all faults of the input. Line breaks and control characters, which could
    steer a terminal, are escaped:

    Examples:
        >>> print(InputError("labels.csv: row 2: found 'S1\\n', expected a subject"))
        labels.csv: row 2: found 'S1\\n', expected a subject
        >>> InputError("a.csv: empty", "b.csv: empty").messages
        ('a.csv: empty', 'b.csv: empty')
    """

    def __init__(self, *messages: str) -> None:
        self.messages = tuple(_one_line(message) for message in messages)
        super().__init__("\n".join(self.messages))


def _one_line(message: str) -> str:
    if len(message) > _LONGEST:
        message = f"{message[: _LONGEST // 2]} ... {message[-_LONGEST // 2 :]}"
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in message)


@contextmanager
def noting(faults: list[str]) -> Iterator[None]:
    """Add the messages of an InputError in the block to `faults`, so that other checks can go on.

    Examples:
        >>> faults = []
        >>> with noting(faults):
        ...     raise InputError("a.csv: empty")
        >>> faults
        ['a.csv: empty']
    """
    try:
        yield
    except InputError as error:
        faults += error.messages


def refuse(faults: Sequence[str]) -> None:
    """Raise InputError with the faults, the first `_MOST_FAULTS` of many; without any do nothing."""
    if faults:
        more = len(faults) - _MOST_FAULTS
        raise InputError(*faults[:_MOST_FAULTS], *([f"and {more} more faults"] if more > 0 else []))


def tolerate_terminal() -> None:
    """Escape what a terminal cannot encode, such as a letter of a name under LC_ALL=C, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def print_faults(error: InputError) -> None:
    """Print each fault on a line of its own to stderr."""
    for message in error.messages:
        print(f"error: {message}", file=sys.stderr, flush=True)


def run_command(main: Callable[[], None]) -> None:
    """Run a script's `main` and turn its expected failures into lines on stderr and an exit code.

    Exit codes: 2 for bad input (`InputError`), 75 for a requested stop (`Interrupted`; the same command
    resumes), 1 for a closed pipe (`| head`).
    """
    tolerate_terminal()
    try:
        main()
        sys.stdout.flush()
    except InputError as error:
        print_faults(error)
        raise SystemExit(2) from None
    except BrokenPipeError:
        # Python flushes stdout once more at exit, which would raise a second BrokenPipeError.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None
    except Interrupted as interrupted:
        print(f"interrupted: {interrupted}", file=sys.stderr)
        raise SystemExit(INTERRUPTED_CODE) from None
