"""Controller of one Snakemake process for a study: clean start, watch, restart and clean end.

Jobs and locks of the study are removed before each start and after each end. A Snakemake that waits for jobs
that no longer exist is stopped and started again. The next start continues with the stored results and states
of trainings.
"""

from __future__ import annotations

import logging
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pulseveil.cluster import jobs, lease, record, stand_ins
from pulseveil.core import paths
from pulseveil.core.errors import InputError

logger = logging.getLogger(__name__)

Mode = Literal["run", "drain", "stop"]

_TICK_S = 0.5
_PAUSE_S = 5.0
# The exit code of `run_command` for bad input.
_REFUSED_CODE = 2
# 128 + SIGINT, as shells report it.
_STOPPED_CODE = 130


@dataclass(frozen=True)
class Patience:
    """Time limits of a controller, in seconds.

    silence: for output of Snakemake while no job of the study is in the queue; must exceed the longest pause
    between two status checks. grace: for running jobs once nothing new is submitted. cancelled: for cancelled
    jobs to end; they store their state first. leaving: for Snakemake to end by itself. unanswered: for squeue
    to answer. look: between two searches for jobs that need a person.
    """

    # The executor pauses for up to 180 s between two status checks.
    silence: float = 400
    grace: float = 600
    cancelled: float = 180
    leaving: float = 60
    unanswered: float = 1800
    look: float = 120


@dataclass(frozen=True)
class Run:
    """A run to control: Snakemake's arguments for a study, and the directory and environment of Snakemake.

    cluster: True if the jobs go to SLURM. waiting: the file in which the stand-ins report that they wait.
    """

    study: str
    arguments: tuple[str, ...]
    directory: Path
    cluster: bool
    environment: Mapping[str, str]
    waiting: Path


@dataclass
class Controller:
    """Runs Snakemake until the study is done, or until `drain` or `stop` is called."""

    run: Run
    patience: Patience = field(default_factory=Patience)
    restarts: int = 5
    _mode: Mode = "run"
    _last_output: float = 0.0
    _last_line: str = ""
    _reported_waits: set[str] = field(default_factory=set)
    _next_report: float = 0.0
    _reasons: set[str] = field(default_factory=set)
    _reported: set[tuple[str, str]] = field(default_factory=set)
    _cancelled: list[jobs.Job] = field(default_factory=list)

    def control(self) -> int:
        """Control the study to its end.

        The log states how the run ended. So does the record, unless another controller holds the study.

        Returns:
            Snakemake's exit code; 130 after `drain` or `stop`; 2 if another controller may hold the study.
        """
        try:
            with lease.held(self.run.study, self.run.directory):
                return self._control()
        except InputError as error:
            logger.error("refused: %s", error)
            return _REFUSED_CODE

    def _control(self) -> int:
        """Exit code of the study under its lease; logs and records how the run ended."""
        try:
            code = self._run_snakemake()
            # The last line of a run begins with the study's name, as the message of the controller does.
            words = _describe_end(code, self._last_line.removeprefix(f"study {self.run.study}: "))
        except Exception as error:
            # `--status` reads the end of a run in the record: an unexpected error must be there, too.
            logger.exception("the controller cannot go on")
            code, words = 1, f"failed: {error}"
        if lost := jobs.describe_lost(self._cancelled):
            logger.info("%s", lost)
        logger.info("study %s: %s", self.run.study, words)
        try:
            record.append(self.run.directory / paths.record(self.run.study), "end", words=words)
        except OSError as error:
            # On a full disk, for example: the outcome of the study stays what it was.
            logger.error("the record is not written: %s", error)
        return code

    def drain(self) -> None:
        """Submit nothing new; end once the running jobs have ended or the grace is over."""
        if self._mode == "run":
            self._mode = "drain"

    def stop(self) -> None:
        """Cancel all jobs and end."""
        self._mode = "stop"

    def _run_snakemake(self) -> int:
        """Exit code of the first Snakemake that does not fall silent; 1 if all restarts are used up."""
        for _ in range(self.restarts + 1):
            # Snakemake adopts no jobs of an earlier run: it would submit them again, beside the running ones.
            self._clear()
            code = self._watch(self._start())
            self._clear()
            if code is not None:
                return code if self._mode == "run" else _STOPPED_CODE
            if self._mode != "run":
                return _STOPPED_CODE
        self._last_line = f"Snakemake fell silent {self.restarts + 1} times; see its logs"
        return 1

    def _start(self) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "pulseveil.cluster.bound", str(os.getpid()), *self.run.arguments]
        if self.run.cluster:
            # The executor's own job names are an id that is new in each start: by a prefix all are found.
            command += ["--slurm-jobname-prefix", jobs.prefix(self.run.study)]
        logger.info("start: %s", shlex.join(command))
        return subprocess.Popen(
            command,
            cwd=self.run.directory,
            env=dict(self.run.environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            # Ctrl-C must reach this process only, which then ends Snakemake and cancels its jobs.
            start_new_session=True,
        )

    def _watch(self, process: subprocess.Popen[str]) -> int | None:
        """Exit code of Snakemake, or None if Snakemake was stopped because it had fallen silent."""
        self._last_output = time.monotonic()
        reader = threading.Thread(target=self._relay, args=(process,), daemon=True)
        reader.start()
        drained_at: float | None = None
        silent = False
        while process.poll() is None:
            now = time.monotonic()
            if self._mode == "drain" and drained_at is None:
                logger.info("drain: nothing new is submitted; %.0f s for what runs", self.patience.grace)
                # At SIGTERM Snakemake waits for its running jobs; at SIGINT it would cancel them.
                process.send_signal(signal.SIGTERM)
                drained_at = now
            if drained_at is not None and now - drained_at > self.patience.grace:
                self._mode = "stop"
            self._report_waiting(now)
            silent = self._mode == "run" and self._is_silent(now)
            if self._mode == "stop" or silent:
                self._end(process)
                break
            time.sleep(_TICK_S)
        _end_group(process)
        reader.join(timeout=self.patience.leaving)
        return None if silent else process.returncode

    def _relay(self, process: subprocess.Popen[str]) -> None:
        """Print the output of Snakemake, and keep its last line and that line's time."""
        for line in process.stdout or ():
            self._last_output = time.monotonic()
            self._last_line = line.strip() or self._last_line
            sys.stderr.write(line)
            sys.stderr.flush()

    def _report_waiting(self, now: float) -> None:
        """Report why jobs wait, once per reason, and which need a person, once per job and reason."""
        if not self.run.cluster or now < self._next_report:
            return
        self._next_report = now + self.patience.look
        queued = self._jobs() or ()
        stuck = [job for job in queued if job.remedy]
        # SLURM has not yet considered a job without a reason.
        waiting = [
            job for job in queued if job not in stuck and job.state == "PENDING" and job.reason != "None"
        ]
        reasons = {job.reason for job in waiting}
        if reasons - self._reasons:
            logger.info("jobs wait: %s", jobs.describe_waiting(waiting))
        self._reasons |= reasons
        new = [job for job in stuck if (job.number, job.reason) not in self._reported]
        self._reported.update((job.number, job.reason) for job in new)
        for words in jobs.describe_stuck(new):
            logger.warning("%s", words)

    def _waits(self) -> bool:
        """Whether a stand-in waits for SLURM at present; warns once per reason."""
        words = stand_ins.describe_wait(self.run.waiting)
        if not words:
            self._reported_waits.clear()
            return False
        # A set: in an outage sbatch and squeue wait at the same time, and write in turn.
        if words not in self._reported_waits:
            logger.warning("%s; to end the study instead: scripts/submit.py --cancel", words)
        self._reported_waits.add(words)
        return True

    def _is_silent(self, now: float) -> bool:
        """Whether Snakemake is silent although no job of the study is left in the queue."""
        if self._waits():
            self._last_output = now
        if not self.run.cluster or now - self._last_output < self.patience.silence:
            return False
        queued = self._jobs()
        # None, no answer of squeue, does not show that the queue is empty.
        if queued != ():
            # squeue loads a server that all users share: it is called again only after as much time.
            self._last_output = now
            return False
        logger.warning(
            "no job is in the queue, and Snakemake is silent for %.0f s: restart", now - self._last_output
        )
        return True

    def _end(self, process: subprocess.Popen[str]) -> None:
        """End Snakemake and cancel its jobs."""
        process.send_signal(signal.SIGINT)
        # Snakemake may be asleep between two status checks: the jobs must not wait for it.
        if self.run.cluster:
            self._cancel()
        try:
            process.wait(timeout=self.patience.leaving)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _clear(self) -> None:
        """Cancel the jobs and remove the locks that are left of the study."""
        if self.run.cluster:
            self._cancel()
        for lock in (self.run.directory / ".snakemake" / "locks").glob("*.lock"):
            if _is_of(self.run.study, lock):
                lock.unlink(missing_ok=True)

    def _cancel(self) -> None:
        run = self.run
        deadline, reported = time.monotonic() + self.patience.unanswered, False
        while True:
            try:
                cancelled = jobs.cancel(
                    run.study, run.directory, run.environment, patience_s=self.patience.cancelled
                )
                break
            except jobs.NoAnswer as error:
                # Jobs may still run. To go on would start them a second time.
                if time.monotonic() > deadline:
                    raise
                if not reported:
                    logger.warning("%s; it is called again for up to %.0f s", error, self.patience.unanswered)
                reported = True
                time.sleep(_PAUSE_S)
        self._cancelled += cancelled
        for job in cancelled:
            logger.info("cancelled job %s (%s, %s)", job.number, job.state, job.comment or job.name)

    def _jobs(self) -> tuple[jobs.Job, ...] | None:
        """The study's jobs in the queue; None if squeue does not answer."""
        try:
            found = jobs.in_queue(self.run.environment)
        except jobs.NoAnswer:
            return None
        return jobs.of_study(found, self.run.study, self.run.directory)


def _describe_end(code: int, last_line: str) -> str:
    """Outcome of a run for a user, from the exit code and the last line of Snakemake."""
    if code == 0:
        return "finished"
    if code == _STOPPED_CODE:
        return "stopped, by --cancel or another signal; a new start goes on from there"
    return f"failed with exit code {code}: {last_line}"


@contextmanager
def listening(actions: Mapping[signal.Signals, Callable[[], None]]) -> Iterator[None]:
    """Call the action of a signal when it arrives within the block."""
    before = {
        number: signal.signal(number, lambda number, _: actions[signal.Signals(number)]())
        for number in actions
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end_group(process: subprocess.Popen[str]) -> None:
    """Kill what Snakemake left running: an sbatch that waits for SLURM would submit its job later."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _is_of(study: str, lock: Path) -> bool:
    """Whether a lock of Snakemake names files of this study; other studies in the directory keep theirs."""
    own = f"{paths.results(study)}/"
    return any(line.startswith(own) for line in lock.read_text().splitlines())
