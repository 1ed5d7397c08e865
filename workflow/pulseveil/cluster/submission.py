"""Submission of the controller as a job of its own (submitit), so that nobody has to stay logged in."""

from __future__ import annotations

import hashlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import submitit

from pulseveil.cluster import jobs, slurm_text, stand_ins
from pulseveil.cluster.controller import Controller, Patience, Run, listening
from pulseveil.core.atomic import atomic_path
from pulseveil.core.errors import InputError

_TICK_S = 1.0
_STANDARD = (0, 1, 2)
# Practically no limit: submitit counts each requeue as a timeout.
_MOST_TIMEOUTS = 1000
# Short, because a user waits for the answer.
_PATIENCE_S = 60
# SLURM may send its signal up to a minute early.
_EARLY_S = 60


@dataclass
class ControllerJob:
    """Job that controls a study; before its time limit it drains and is requeued.

    submitit calls the object, and `checkpoint` at the signal. The start after a requeue continues the study.
    """

    study: str
    arguments: tuple[str, ...]
    directory: Path
    cluster: bool
    patience: Patience

    def __call__(self) -> None:
        """Control the study to its end.

        Raises:
            SystemExit: The study is not finished. submitit takes every return for a success, and SLURM would
                call the job of a failed study COMPLETED.
        """
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
        self._controller = Controller(self.run(), self.patience)
        self._cancelled = False
        codes: list[int] = []
        # In a thread, so that `checkpoint`, called by a signal in this one, can wait for its end.
        self._thread = threading.Thread(target=lambda: codes.append(self._controller.control()))
        # The handler that submitit has set ignores SIGTERM.
        with listening({signal.SIGTERM: self._controller.stop, signal.SIGINT: self._cancel}):
            self._thread.start()
            while self._thread.is_alive():
                self._thread.join(_TICK_S)
        if self._cancelled and self.cluster:
            # Otherwise SLURM would call the job FAILED, and send a mail about a failure that is none.
            jobs.cancel_own(jobs.own_environment())
        if code := codes[0] if codes else 1:
            raise SystemExit(code)

    def _cancel(self) -> None:
        """Cancel the study, at the SIGINT of `lease.cancel`; SLURM itself sends SIGTERM."""
        self._cancelled = True
        self._controller.stop()

    def run(self) -> Run:
        """The run to control, in an environment with the stand-ins for SLURM's commands."""
        environment, arguments = jobs.own_environment(), self.arguments
        folder = stand_ins.folder(self.study, self.directory)
        if self.cluster:
            environment = stand_ins.install(folder, environment=environment)
            # First, so that a user's own choice wins.
            arguments = ("--slurm-status-command", stand_ins.status_command(environment), *arguments)
        waiting = folder / stand_ins.WAITING
        return Run(self.study, arguments, self.directory, self.cluster, environment, waiting)

    def checkpoint(self, *_: Any, **__: Any) -> submitit.helpers.DelayedSubmission:
        """Drain, and have this job requeued; submitit calls this before the time limit."""
        self._controller.drain()
        self._thread.join()
        return submitit.helpers.DelayedSubmission(
            ControllerJob(self.study, self.arguments, self.directory, self.cluster, self.patience)
        )

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if not name.startswith("_")}


@dataclass(frozen=True)
class Allocation:
    """Options of sbatch for the controller's job; empty for the default. minutes: time limit.

    partition, account: also for the study's jobs if the profile names none. mail_user: address for mail;
    mail_type: events for mail.
    """

    minutes: int = 24 * 60
    partition: str = ""
    account: str = ""
    mem_mb: int = 4000
    mail_user: str = ""
    mail_type: str = "END,FAIL"


@dataclass(frozen=True)
class Submitted:
    """A submitted controller: the number of its job, or of its process without SLURM, and its log."""

    kind: Literal["job", "process"]
    number: str
    log: Path

    def describe(self) -> str:
        """One line for a user."""
        return f"controller: {self.kind} {self.number}; its log is {self.log}"


def submit(job: ControllerJob, allocation: Allocation) -> Submitted:
    """Submit the controller to SLURM, or start it as a background process of this machine.

    Raises:
        InputError: SLURM refuses the job, its time limit is too short, or mail is wanted without SLURM.
        NoAnswer: SLURM does not take the job at present.
    """
    folder = job.directory / ".snakemake" / "controller" / job.study
    if not job.cluster:
        if allocation.mail_user:
            raise InputError("--mail: only SLURM sends mails, and no sbatch is on this machine; leave it out")
        local = submitit.LocalExecutor(folder)
        local.update_parameters(timeout_min=allocation.minutes)
        with _detached():
            started = local.submit(job)
        return Submitted("process", started.job_id, started.paths.stderr)
    patience = job.patience
    delay = patience.grace + patience.cancelled + patience.leaving + _EARLY_S
    # At least half of each start must be left for the study.
    if delay > 60 * allocation.minutes / 2:
        raise InputError(
            f"--minutes {allocation.minutes}: the controller needs {delay / 60:.0f} of them to end in good "
            "order; give it at least twice as many, or a shorter --grace"
        )
    mail = {"mail_user": allocation.mail_user, "mail_type": allocation.mail_type}
    executor = submitit.SlurmExecutor(folder, max_num_timeout=_MOST_TIMEOUTS)
    executor.update_parameters(
        job_name=jobs.controller_name(job.study),
        time=allocation.minutes,
        mem=f"{allocation.mem_mb}MB",
        cpus_per_task=1,
        signal_delay_s=int(delay),
        additional_parameters={
            "requeue": True,
            "chdir": str(job.directory),
            **(mail if allocation.mail_user else {}),
        },
    )
    environment = jobs.own_environment(account=allocation.account, partition=allocation.partition)
    # submitit passes this process's environment on: SLURM_MEM_PER_CPU of salloc would end the controller.
    with _environment(stand_ins.install(folder / "asking", patience_s=_PATIENCE_S, environment=environment)):
        try:
            submitted = executor.submit(job)
        except (submitit.core.utils.FailedJobError, submitit.core.utils.FailedSubmissionError) as error:
            errors = "; ".join(str(error).split("\n"))
            kind = InputError if slurm_text.delay(errors) is None else jobs.NoAnswer
            raise kind(f"sbatch did not take the controller: {errors}") from None
    return Submitted("job", submitted.job_id, submitted.paths.stderr)


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Give this process only these variables within the block; its child processes get no others."""
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextmanager
def _detached() -> Iterator[None]:
    """Let processes started within the block outlive the terminal; they hold none of its pipes open."""
    # Child processes inherit an ignored signal.
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    kept = [os.dup(number) for number in _STANDARD]
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in _STANDARD:
        os.dup2(nothing, number)
    try:
        yield
    finally:
        for number, own in zip(_STANDARD, kept, strict=True):
            os.dup2(own, number)
            os.close(own)
        os.close(nothing)
        signal.signal(signal.SIGHUP, before)


def keep_study(configfile: Path, study: str, directory: Path) -> Path:
    """Copy a study file under a name with a hash of its content; returns the copy."""
    # Each job reads the study file at its start: after an edit, later cells would belong to another study.
    content = configfile.read_bytes()
    folder = directory / ".snakemake" / "controller" / study
    copy = folder / f"study-{hashlib.sha256(content).hexdigest()[:12]}.yaml"
    with atomic_path(copy) as temporary:
        temporary.write_bytes(content)
    return copy


def snakemake_arguments(
    snakefile: Path, profile: Path, configfile: Path, more: Sequence[str]
) -> tuple[str, ...]:
    """Arguments of Snakemake, with absolute paths that hold in any directory."""
    # --configfile takes all words up to the next option: targets among `more` must not follow it.
    files = (("--configfile", configfile), ("--snakefile", snakefile), ("--profile", profile))
    return (*(word for name, path in files for word in (name, str(path.resolve()))), *more)
