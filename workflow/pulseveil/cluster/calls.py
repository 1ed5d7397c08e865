"""Calls of SLURM's commands, which may be missing, fail or never answer."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

# Exit codes as shells and `timeout` give them.
NO_ANSWER = 124
NOT_STARTED = 127
_LINES = 3
_ENDING_S = 1.0


@dataclass(frozen=True)
class Answer:
    """Exit code, output and error messages of a command."""

    code: int
    output: str
    errors: str

    @property
    def words(self) -> str:
        """Last lines of the answer, for a user."""
        text = self.errors if self.errors.strip() else self.output
        # Lines with stars are the frame that scontrol draws around a message to administrators.
        lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("*")]
        return "; ".join(lines[-_LINES:]) or f"exit code {self.code}"


def call(
    environment: Mapping[str, str],
    name: str,
    *arguments: str,
    seconds: float | None,
    script: str | None = None,
) -> Answer:
    """Run a command once; after `seconds` the command and its children are killed.

    name: in PATH, or with its folder. script: the command's standard input.
    """
    program = shutil.which(name, path=environment.get("PATH", ""))
    if program is None:
        return Answer(NOT_STARTED, "", f"{name} is not in PATH")
    try:
        process = subprocess.Popen(
            [program, *arguments],
            env=dict(environment),
            stdin=subprocess.DEVNULL if script is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # The name of another user's job may be in Latin-1.
            errors="replace",
            start_new_session=True,
        )
    except OSError as error:
        return Answer(NOT_STARTED, "", f"{name} does not start: {error.strerror}")
    try:
        output, errors = process.communicate(script, timeout=seconds)
    except subprocess.TimeoutExpired:
        _end(process)
        return Answer(NO_ANSWER, "", f"{name}: no answer within {seconds:g} s")
    except BaseException:
        # Ctrl-C does not reach the command, which has a session of its own.
        _end(process)
        raise
    return Answer(process.returncode, output, errors)


def _end(process: subprocess.Popen[str]) -> None:
    """Kill a command and its children; one that holds the output open would block the read."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    # A process that waits for a dead file system cannot be killed. It is left behind.
    with suppress(subprocess.TimeoutExpired):
        process.communicate(timeout=_ENDING_S)
