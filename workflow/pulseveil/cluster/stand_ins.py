"""Stand-ins for SLURM's commands that wait out its outages.

Snakemake's SLURM executor reports a job as failed if one sbatch fails. It waits for ever if squeue or sacct
fail a few times, or answer with a state that it does not know. `install` writes stand-ins that wait, repeat
and translate.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from pulseveil.cluster import calls
from pulseveil.cluster.calls import Answer
from pulseveil.cluster.slurm_text import (
    accepted,
    delay,
    explain,
    is_status_query,
    named_job,
    option,
    queue_query,
    states,
    submission_query,
    translate_states,
    without_nodes,
)

# The executor's longest pause between two status checks.
STATUS_PAUSE_S = 180
NAMES = ("sbatch", "squeue", "sacct", "sacctmgr", "scancel", "sinfo")
# A maintenance can take days, and a submission that fails would use up a try of its task.
_DAY_S = 24 * 3600
PATIENCE_S = 7 * _DAY_S
LONGEST_PAUSE_S = 60.0
# Limit of one call: SLURM's own time limits are shorter, but a call can hang on a file system.
CALL_S = 120.0
WAITING = "waiting"
# Last line of a stand-in that a signal ended: the end of a run must not look like a refusal by SLURM.
INTERRUPTED = "interrupted"
# A file that tells a folder of stand-ins from other folders of PATH.
_MARK = ".stand-ins"
# Environment variable with the nodes that get no more jobs of a run.
EXCLUDED = "PULSEVEIL_EXCLUDED_NODES"
# After 60 s Snakemake starts another status check, without ending the command that it waited for.
QUERY_PATIENCE_S = 40
# The clocks of this machine and of slurmctld may differ a little.
CLOCK_TOLERANCE = timedelta(seconds=5)


def folder(study: str, directory: Path) -> Path:
    """Folder of the stand-ins of a study's controller."""
    return directory / ".snakemake" / "controller" / study / "commands"


def describe_wait(waiting: Path) -> str:
    """Line on what a stand-in waits for at present, from its file; empty if none waits."""
    try:
        age = time.time() - waiting.stat().st_mtime
        words = waiting.read_text(errors="replace").strip()
    except OSError:
        return ""
    # A stand-in rewrites the file before each pause: an old file is left from a wait that has ended.
    return words if age <= 2 * LONGEST_PAUSE_S else ""


@dataclass(frozen=True)
class Command:
    """One call of a stand-in: SLURM's own program, seconds to wait for SLURM, and the caller's arguments.

    waiting: the file in which the controller finds a wait.
    """

    program: Path
    patience_s: float
    waiting: Path
    arguments: tuple[str, ...]

    def sibling(self, name: str, arguments: Sequence[str]) -> Command:
        """A call of another program of the same SLURM."""
        program = self.program.with_name(name)
        if not program.exists():
            # A site's own wrapper of sbatch may be alone in its folder.
            program = Path(shutil.which(name, path=_real_path(os.environ)) or name)
        return Command(program, self.patience_s, self.waiting, tuple(arguments))


def install(
    folder: Path, *, patience_s: int = PATIENCE_S, environment: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Write the stand-ins into `folder`; commands that the cluster lacks get none.

    Returns:
        `environment` with `folder` first in PATH.
    """
    variables = dict(os.environ if environment is None else environment)
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _MARK).touch()
    path = _real_path(variables)
    for name in NAMES:
        real = shutil.which(name, path=path)
        if real is None:
            continue
        # -P: a file in the work directory must not hide a module.
        module = [sys.executable, "-P", "-m", "pulseveil.cluster.stand_ins"]
        words = [*module, real, str(patience_s), str(folder / WAITING)]
        _write_script(folder / name, f"exec {shlex.join(words)}")
    srun = shutil.which("srun", path=path)
    if srun is not None and (configuration := variables.get("SLURM_CONF")):
        # The executor hides the variable from the srun within a job, which then fails on such a cluster.
        _write_script(folder / "srun", f"SLURM_CONF={shlex.quote(configuration)} exec {shlex.quote(srun)}")
    return variables | {"PATH": f"{folder}{os.pathsep}{path}"}


def _real_path(variables: Mapping[str, str]) -> str:
    """PATH without folders of stand-ins, which must not be taken for SLURM's commands.

    The job of a controller inherits the stand-ins of its submission: each command would start two of them.
    """
    folders = variables.get("PATH", "").split(os.pathsep)
    return os.pathsep.join(entry for entry in folders if not Path(entry, _MARK).exists())


def _write_script(path: Path, command: str) -> None:
    path.write_text(f'#!/bin/sh\n{command} "$@"\n')
    path.chmod(0o755)


def status_command(environment: Mapping[str, str]) -> str:
    """Command for the states of jobs: squeue, or sacct where squeue soon forgets a job that has ended."""
    settings = calls.call(environment, "scontrol", "show", "config", seconds=CALL_S).output
    age = re.search(r"^MinJobAge\s*=\s*(\d+)", settings, re.MULTILINE)
    return "sacct" if age and 0 < int(age[1]) <= STATUS_PAUSE_S else "squeue"


def call(command: Command, script: str | None = None) -> Answer:
    """Run a program of SLURM once."""
    # `accepted` compares times as text. Only for squeue: sbatch would pass the variable on to the job.
    times = {"SLURM_TIME_FORMAT": "standard"} if command.program.name == "squeue" else {}
    # With --wait, which no study uses, a submission takes as long as its job.
    limit = None if "--wait" in command.arguments else CALL_S
    try:
        done = subprocess.run(
            [str(command.program), *command.arguments],
            env=os.environ | times,
            input=script,
            stdin=subprocess.DEVNULL if script is None else None,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=limit,
        )
    except subprocess.TimeoutExpired:
        return Answer(calls.NO_ANSWER, "", f"no answer within {CALL_S:.0f} s")
    except OSError as error:
        return Answer(calls.NOT_STARTED, "", f"{command.program}: {error.strerror}\n")
    return Answer(done.returncode, done.stdout, done.stderr)


def persist(attempt: Callable[[], Answer], command: Command, patience_s: float) -> Answer:
    """Answer of an attempt that is repeated while its failure may pass, in an outage for `patience_s`."""
    name = command.program.name
    answered_at = time.monotonic()
    pause = 1.0
    reported = False
    while True:
        answer = attempt()
        cause = delay(answer.errors) if answer.code else None
        if cause is None:
            if reported:
                # What has passed is not reported any longer. Another stand-in that still waits writes anew.
                command.waiting.unlink(missing_ok=True)
            return answer
        if not cause.ends:
            # A full queue is an answer of SLURM: the time limit of an outage starts anew.
            answered_at = time.monotonic()
        elif time.monotonic() + pause - answered_at > patience_s:
            return answer
        limit = f"for {_span(patience_s)}" if cause.ends else "until the limit allows it"
        if not reported:
            print(f"{name}: {cause.reason}; trying again {limit}", file=sys.stderr, flush=True)
            reported = True
        # The caller repeats a query: its limit is not that of the wait.
        how = "is tried again" if patience_s < command.patience_s else f"is tried again {limit}"
        # Before each pause, because the controller takes an old file for a wait that has ended.
        command.waiting.write_text(f"{name} {how}: {cause.reason}\n")
        time.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE_S)


def _span(seconds: float) -> str:
    return f"{seconds / _DAY_S:.0f} days" if seconds >= 2 * _DAY_S else f"{seconds:.0f} s"


def query(command: Command, longest_s: float = QUERY_PATIENCE_S) -> Answer:
    """Answer of a command that may be repeated without harm."""
    patience_s = min(command.patience_s, longest_s)
    return persist(lambda: call(command), command, patience_s)


def sacctmgr(command: Command) -> Answer:
    """Answer of sacctmgr, which Snakemake calls without a time limit before a submission."""
    return query(command, command.patience_s)


def squeue(command: Command) -> Answer:
    """Answer of squeue, with states that Snakemake knows."""
    answer = query(command)
    if answer.code or not is_status_query(command.arguments):
        return answer
    # In squeue, a job that will be started again is no longer PREEMPTED.
    return Answer(0, translate_states(answer.output, answer.output), answer.errors)


def sacct(command: Command) -> Answer:
    """Answer of sacct with states that Snakemake knows, or the answer of squeue if sacct fails.

    Snakemake calls sacct even on a cluster without accounting if it could not read the settings of slurmctld.
    """
    run = option(command.arguments, "--name")
    if run is None or not is_status_query(command.arguments):
        return query(command)
    answer = call(command)
    in_queue = command.sibling("squeue", queue_query(run))
    if answer.code:
        # At once: in an outage of slurmdbd squeue still knows the states.
        return squeue(in_queue)
    queue = query(in_queue) if "PREEMPTED" in states(answer.output).values() else None
    waiting = queue.output if queue is not None and queue.code == 0 else None
    return Answer(0, translate_states(answer.output, waiting), answer.errors)


def sbatch(command: Command) -> Answer:
    """Answer of sbatch; a job that was accepted although sbatch failed is not submitted twice."""
    # The caller's script can be read only once, and each try needs it.
    script = sys.stdin.read() if "/dev/stdin" in command.arguments else None
    excluded = os.environ.get(EXCLUDED)
    submission = command.sibling("sbatch", without_nodes(command.arguments, excluded))
    since = (datetime.now() - CLOCK_TOLERANCE).isoformat(timespec="seconds")
    attempts = 0

    def attempt() -> Answer:
        nonlocal attempts
        attempts += 1
        known = _accepted(command, since) if attempts > 1 else None
        return known or call(submission, script)

    answer = persist(attempt, command, command.patience_s)
    answer = replace(answer, errors=explain(answer.errors, excluded))
    job = named_job(answer.output, parsable="--parsable" in command.arguments)
    if answer.code == 0 and job:
        return Answer(0, job, answer.errors)
    if not _is_of_a_run(command):
        return answer
    # Whatever sbatch printed, an accepted job is never reported as failed: it would run twice.
    if answer.code:
        return _accepted(command, since) or answer
    known = persist(lambda: _accepted(command, since) or answer, command, command.patience_s)
    if known is answer:
        return Answer(1, "", f"sbatch named no job, and none is in the queue: {answer.output}{answer.errors}")
    return known


def sinfo(command: Command) -> Answer:
    """Answer of sinfo, in which the user's choice for all jobs, if any, is the default partition."""
    # Without a partition in the profile, the executor asks for the default one.
    chosen = os.environ.get("SBATCH_PARTITION")
    if chosen and command.arguments == ("-o", "%P"):
        return Answer(0, f"{chosen}*\n", "")
    return query(command)


def _is_of_a_run(command: Command) -> bool:
    """Whether Snakemake submits a job, which can be found again by name and comment."""
    return all(option(command.arguments, name) is not None for name in ("--job-name", "--comment"))


def _accepted(command: Command, since: str) -> Answer | None:
    """Answer of sbatch for its job in the queue, or the failure of squeue; None without such a job."""
    run, comment = (option(command.arguments, name) for name in ("--job-name", "--comment"))
    if run is None or comment is None:
        return None
    queue = call(command.sibling("squeue", submission_query(run)))
    if queue.code:
        return queue if delay(queue.errors) else None
    job = accepted(queue.output, comment, since)
    return None if job is None else Answer(0, f"{job}\n", "")


def main(words: Sequence[str]) -> int:
    """Answer as SLURM's command would; words: program, seconds of patience, file for waits, arguments.

    Returns:
        The exit code; 130 after Ctrl-C or SIGTERM.
    """
    # SLURM sends SIGTERM to all processes of a controller's job.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    command = Command(Path(words[0]), float(words[1]), Path(words[2]), tuple(words[3:]))
    special = {"sbatch": sbatch, "squeue": squeue, "sacct": sacct, "sacctmgr": sacctmgr, "sinfo": sinfo}
    try:
        answer = special.get(command.program.name, query)(command)
    except KeyboardInterrupt:
        print(INTERRUPTED, file=sys.stderr)
        return 130
    sys.stdout.write(answer.output)
    sys.stderr.write(answer.errors)
    return answer.code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
