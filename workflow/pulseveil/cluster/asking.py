"""One question to a command of the cluster, which may be missing, fail or never answer."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass

_LINES = 3
_ENDING_S = 1.0


@dataclass(frozen=True)
class Reply:
    """What a command said; code is None where it is missing or did not answer in time."""

    code: int | None
    output: str
    errors: str

    @property
    def good(self) -> bool:
        """Whether the command did what it was asked."""
        return self.code == 0

    @property
    def said(self) -> str:
        """Its last words, for people."""
        text = self.errors if self.errors.strip() else self.output
        # Stars: the frame that scontrol draws around a call for the administrator.
        lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("*")]
        return "; ".join(lines[-_LINES:]) or f"exit code {self.code}"


def ask(environment: Mapping[str, str], name: str, *arguments: str, seconds: float) -> Reply:
    """The reply of a command within so many seconds; the command and all that it started are ended then."""
    program = shutil.which(name, path=environment.get("PATH", ""))
    if program is None:
        return Reply(None, "", f"{name} is not in PATH")
    try:
        process = subprocess.Popen(
            [program, *arguments],
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        )
    except OSError as error:
        return Reply(None, "", f"{name} does not start: {error.strerror}")
    try:
        output, errors = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        _end(process)
        return Reply(None, "", f"{name} did not answer within {seconds:g} s")
    except BaseException:
        _end(process)
        raise
    return Reply(process.returncode, output, errors)


def _end(process: subprocess.Popen[str]) -> None:
    """Kill a command with its children, one of which may hold its output open."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    # One that waits for a dead file system cannot even be killed: it is left behind.
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.communicate(timeout=_ENDING_S)
