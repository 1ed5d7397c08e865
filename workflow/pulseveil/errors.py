"""The one error that a user sees as a sentence instead of a traceback."""

from __future__ import annotations

import sys
from collections.abc import Callable


class InputError(ValueError):
    """Bad input: the message names the file and the key or row, what was expected, and how to mend it."""


def run_command(main: Callable[[], None]) -> None:
    """Run a script's `main`; bad input ends in one line on stderr and exit code 2, without a traceback."""
    try:
        main()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
