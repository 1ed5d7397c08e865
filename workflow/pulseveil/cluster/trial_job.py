"""Trial job that shows whether a node has the work directory, Python and a GPU."""

from __future__ import annotations

import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pulseveil.cluster.inventory import Reply, Setup, ask, options

# One file per answer, so that a command that fails does not hide the other answers.
_SCRIPT = """cd "$1" || exit 1
echo "$SLURMD_NODENAME" > node
"$2" -c 'import pulseveil; print(pulseveil.__version__)' > python 2> python.log
if [ "$3" != 0 ]; then
    "$2" -c 'import tensorflow; print(len(tensorflow.config.list_physical_devices("GPU")))' > gpus 2> gpus.log
fi
: > done
"""
_WAITING = ("PENDING", "CONFIGURING", "REQUEUED")
_ACTIVE = (*_WAITING, "RUNNING", "COMPLETING", "SUSPENDED", "STAGE_OUT")
_POLL_S = 0.5
# A job that failed has most likely not written its last file: a long wait would be in vain.
_FAILED_LAG_S = 5.0


@dataclass(frozen=True)
class Waits:
    """Time limits in seconds: for the answer of a command, the start of the job, and its end."""

    answer: float = 20
    start: float = 120
    end: float = 180


@dataclass(frozen=True)
class Trial:
    """Result of the trial job; state and reason are SLURM's own words.

    number: empty if the job was refused; refusal: why. lag_s: seconds from the end of the job until its last
    file was seen here; None if the file was never seen.
    """

    number: str = ""
    refusal: str = ""
    state: str = ""
    reason: str = ""
    lag_s: float | None = None
    node: str = ""
    python: str = ""
    python_log: str = ""
    gpus: str = ""
    gpus_log: str = ""

    @property
    def waits(self) -> bool:
        """Whether the job had not started when the wait for it ended."""
        return self.state in _WAITING

    @property
    def runs(self) -> bool:
        """Whether the job had started and not ended when the wait for it ended."""
        return self.state in _ACTIVE and not self.waits


def hold(setup: Setup, environment: Mapping[str, str], waits: Waits, minutes: int) -> Trial:
    """Run the trial job in a new folder of the work directory; neither job nor folder is left behind.

    minutes: time limit of the job.
    """
    try:
        folder = Path(tempfile.mkdtemp(prefix=".pulseveil-check-", dir=setup.directory)).resolve()
    except OSError as error:
        return Trial(refusal=f"{setup.directory}: {error.strerror}")
    name = folder.name.removeprefix(".")
    ended = False
    try:
        sent = _submit(setup, environment, folder, waits, minutes)
        number = sent.output.strip().partition(";")[0]
        if not sent.good or not number.isdecimal():
            return Trial(refusal=sent.said)
        state, reason = _followed(number, environment, waits)
        ended = state not in _ACTIVE
        lag_s = _lag(folder, state, 2 * setup.latency_wait_s) if ended else None
        return Trial(number, "", state, reason, lag_s, **_answers(folder))
    finally:
        if not ended:
            # By name, because sbatch may have submitted the job without an answer.
            ask(environment, "scancel", f"--name={name}", seconds=waits.answer)
        shutil.rmtree(folder, ignore_errors=True)


def _submit(setup: Setup, environment: Mapping[str, str], folder: Path, waits: Waits, minutes: int) -> Reply:
    arguments = shlex.join([str(folder), sys.executable, str(setup.gpus)])
    asked = [
        *options(setup),
        f"--time={minutes}",
        f"--job-name={folder.name.removeprefix('.')}",
        f"--chdir={folder}",
        f"--output={folder / 'job.log'}",
        "--parsable",
        f"--wrap=set -- {arguments}\n{_SCRIPT}",
    ]
    return ask(environment, "sbatch", *asked, seconds=3 * waits.answer)


def _followed(number: str, environment: Mapping[str, str], waits: Waits) -> tuple[str, str]:
    """Last known state of a job and the reason for it; the state is empty if squeue forgot the job."""
    query = ("--noheader", "--states=all", "--format=%T|%r", "--jobs", number)
    state, reason = "PENDING", "no answer of squeue"
    deadline = time.monotonic() + waits.start
    while True:
        reply = ask(environment, "squeue", *query, seconds=waits.answer)
        # "Invalid job id" is the answer for a job that squeue has forgotten; other errors may pass.
        if reply.good or "Invalid job id" in reply.errors:
            waited = state in _WAITING
            state, _, reason = reply.output.strip().partition("|")
            # The time limit for the end counts from the start of the job.
            if waited and state not in _WAITING:
                deadline = time.monotonic() + waits.end
        if state not in _ACTIVE or time.monotonic() > deadline:
            return state, reason
        time.sleep(_POLL_S)


def _lag(folder: Path, state: str, longest_s: float) -> float | None:
    """Seconds until the last file of the ended job is seen; None if it is not."""
    longest_s = longest_s if state in ("COMPLETED", "") else min(longest_s, _FAILED_LAG_S)
    start = time.monotonic()
    while not (folder / "done").exists():
        if time.monotonic() - start > longest_s:
            return None
        time.sleep(_POLL_S)
    return time.monotonic() - start


def _answers(folder: Path) -> dict[str, str]:
    logs = {f"{name}_log": _last_line(folder / f"{name}.log") for name in ("python", "gpus")}
    return {name: _last_line(folder / name) for name in ("node", "python", "gpus")} | logs


def _last_line(path: Path) -> str:
    lines: list[str] = []
    with suppress(OSError):
        lines = [line for line in path.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1].strip() if lines else ""
