"""Log handler that prints the outcome of each task of a run, and writes it to the study's record.

Snakemake passes each event of a run to its log handlers as data. The handler of the workflow gets all
events, whatever the profile silences, in a local run and under a controller. The process of a job has none.
"""

from __future__ import annotations

import logging
import os
import re
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pulseveil.cluster import slurm_text, stand_ins
from pulseveil.cluster.calls import call
from pulseveil.cluster.record import Failure, append
from pulseveil.core import paths
from pulseveil.study import dag

# Lines of a log that state a cause: of a script, of a traceback, of SLURM. The errors of the Snakemake within
# a job are left out, because they only repeat that its one task has failed.
_CAUSE = re.compile(
    r"error:|interrupted:|srun: (?:fatal|error):|slurmstepd\S*: error:"
    r"|(?!WorkflowError|RuleException|Error in )[\w.]*(?:Error|Exception)\b"
)
_REPEATING = re.compile(r"srun: error: .*\b(?:Exited with exit code|Terminated|Killed)\b")
# Beginning of a message of `run_command` in pulseveil.core.errors.
_OF_INPUT = "error: "
_TAIL_BYTES = 65536
# The clock of a node or of a file server may differ a little from this machine's.
_CLOCK_TOLERANCE_S = 5.0
# The first line of the Snakemake within a job, or its refusals: they show that the node has Python and the
# project. Nor is a node to blame for a job that exceeded its memory.
_STARTED = re.compile(
    r"Building DAG of jobs|WorkflowError|^error: |exceeded memory limit|oom[-_ ]?kill|out of memory",
    re.MULTILINE | re.IGNORECASE,
)
_MOST_FAILURES = 2
# Bounded, because without the stand-ins no node is ever excluded.
_MOST_RETURNS = 10
_ANSWER_S = 10.0
_SLURM_JOB = re.compile(r"SLURM-job '(\d+)' failed")
# The executor's message goes on with the whole command of the job.
_REFUSED = re.compile(r"SLURM sbatch failed\. The error message was '(.*?)'\.\n", re.DOTALL)
_EXIT = re.compile(r"returned non-zero exit status (\d+)")
_MISSING = re.compile(r"Job (\d+) completed successfully, but")


@dataclass
class _Task:
    """A task of this run; returned: number of tries that it got back; begun: start of its last try."""

    rule: str
    wildcards: Mapping[str, str]
    logs: Sequence[str]
    attempt: int = 0
    returned: int = 0
    begun: float = 0.0


class Listener(logging.Handler):
    """Log handler that records the tasks of one run of Snakemake, which closes the handler at the end.

    planned: number of tasks. tries: largest number per task. change_attempt: adds its second argument to the
    number of tries of the task whose number is its first argument.
    """

    def __init__(
        self, path: Path, study: str, *, planned: int, tries: int, change_attempt: Callable[[int, int], None]
    ) -> None:
        super().__init__()
        self._path = path
        self._study = study
        self._planned = planned
        self._tries = tries
        self._change_attempt = change_attempt
        self._suspected: Counter[str] = Counter()
        self._tasks: dict[int, _Task] = {}
        # The exit code comes in a separate event of the same thread, just before the event of the failure.
        self._codes: dict[int | None, str] = {}
        self._done: set[int] = set()
        self._failed: set[int] = set()
        self._over = False
        self._changed = False
        self._append("start", planned=planned)

    def emit(self, record: logging.LogRecord) -> None:
        """Record an event of a task; other events are ignored."""
        event = vars(record)
        match str(event.get("event")):
            case "job_info":
                self._begin(event)
            case "error":
                self._error(record)
            case "job_error":
                found = event["rule_msg"] or self._codes.pop(record.thread, "")
                if refused := _REFUSED.match(found):
                    self._refuse(event["jobid"], refused[1])
                    return
                job = ended_job(number[1]) if (number := _SLURM_JOB.match(found)) else {}
                self._fail(event["jobid"], describe_job(job) if job else found, event["log"])
                if job.get("JobState") == "FAILED" and event["jobid"] in self._tasks:
                    self._suspect(job["NodeList"], event["jobid"], event["log"])
            case "job_finished" if event["job_id"] in self._tasks:
                self._done.add(event["job_id"])
                self._failed.discard(event["job_id"])
                self._append("done", task=self._failure(event["job_id"], "", ()).task)

    def close(self) -> None:
        """Record how the run ended; print that if tasks are not done."""
        super().close()
        if self._over:
            return
        self._over = True
        counts = {
            "done": len(self._done),
            "failed": len(self._failed),
            "stopped": len(self._tasks.keys() - self._done - self._failed),
            "not tried": self._planned - len(self._tasks),
        }
        words = f"study {self._study}: {describe_end(counts)}"
        self._append("end", words=words)
        if len(self._done) < self._planned:
            self._print(f"{words}; failures are listed in {self._path}")

    def _begin(self, event: Mapping[str, Any]) -> None:
        # The rule of a run's targets has no output: it is no task.
        if not event["output"]:
            return
        task = _Task(event["rule_name"], dict(event["wildcards"] or {}), event["log"])
        known = self._tasks.setdefault(event["jobid"], task)
        known.attempt += 1
        known.begun = time.time()

    def _error(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if code := _EXIT.search(text):
            self._codes[record.thread] = f"exit code {code[1]}"
        elif missing := _MISSING.search(text):
            # Snakemake sends no other event for a task whose files are missing.
            self._fail(int(missing[1]), " ".join(text.partition(", but ")[2].split()), ())

    def _fail(self, number: int, found: str, logs: Sequence[str]) -> None:
        if number not in self._tasks:
            return
        failure = self._failure(number, " ".join(found.split()), logs)
        if dag.CHANGED in failure.cause:
            # At SIGTERM Snakemake submits no more, and waits for running jobs.
            os.kill(os.getpid(), signal.SIGTERM)
            if self._changed:
                # All jobs in the queue refuse to work for the same reason. One report is enough: their tasks
                # count as stopped.
                return
            self._changed = True
        self._failed.add(number)
        self._print(failure.describe())
        self._append("failed", **asdict(failure))
        if failure.cause.startswith(_OF_INPUT):
            # All tries count as used: the next one would read the same input.
            self._change_attempt(number, self._tries)
            self._print("    not tried again: the next try would read the same input")

    def _refuse(self, number: int, errors: str) -> None:
        """Record a job that sbatch did not take; if the reason stays, the task is not tried again.

        A submission that the end of the run interrupted is no failure: its task counts as stopped.
        """
        if errors.splitlines()[-1:] == [stand_ins.INTERRUPTED]:
            return
        lines = [line.removeprefix("sbatch: ").removeprefix("error: ") for line in errors.splitlines()]
        self._fail(number, f"sbatch did not take the job: {'; '.join(line for line in lines if line)}", ())
        if number in self._tasks and slurm_text.delay(errors) is None:
            self._change_attempt(number, self._tries)
            self._print("    not tried again: the next try would be refused, too")

    def _suspect(self, node: str, number: int, logs: Sequence[str]) -> None:
        """Count a failure against its node if the Snakemake of the job printed nothing.

        The task gets its try back. After two such failures the stand-in for sbatch excludes the node: a node
        without Python would otherwise use up all tries of many tasks.
        """
        task = self._tasks[number]
        words = "".join(_tail(Path(log)) for log in logs if _is_fresh(Path(log), task.begun))
        if _STARTED.search(words) or task.returned == _MOST_RETURNS:
            return
        task.returned += 1
        task.attempt -= 1
        self._change_attempt(number, -1)
        self._suspected[node] += 1
        if self._suspected[node] == _MOST_FAILURES:
            excluded = os.environ.get(stand_ins.EXCLUDED)
            os.environ[stand_ins.EXCLUDED] = f"{excluded},{node}" if excluded else node
            self._print(
                f"node {node}: {_MOST_FAILURES} jobs ended before their task began. These tries do not count,"
                " and this run sends no more jobs there. See the log above, and tell the administrators"
            )

    def _failure(self, number: int, found: str, logs: Sequence[str]) -> Failure:
        task = self._tasks[number]
        written = [Path(log) for log in dict.fromkeys((*task.logs, *logs))]
        log, cause = find_cause(log for log in written if _is_fresh(log, task.begun))
        return Failure(task.rule, task.wildcards, task.attempt, self._tries, found, log, cause)

    def _append(self, event: str, **values: Any) -> None:
        """Write to the record. If that fails, as on a full disk, the run goes on, with a message."""
        try:
            append(self._path, event, **values)
        except OSError as error:
            self._print(f"{self._path}: not written: {error.strerror}")

    def _print(self, words: str) -> None:
        print(words, file=sys.stderr, flush=True)


def listen(workflow: Any, study: str) -> None:
    """Record the tasks of a run; its Snakefile calls this at `onstart`."""
    listener = Listener(
        paths.record(study),
        study,
        planned=sum(bool(job.output) for job in workflow.dag.needrun_jobs()),
        tries=workflow.execution_settings.retries + 1,
        change_attempt=lambda number, by: _change_attempt(workflow.dag, number, by),
    )
    workflow.logger_manager.logger.addHandler(listener)
    # With `--quiet` Snakemake tells no handler of a finished task; the terminal has a filter of its own.
    workflow.scheduler.print_progress = True
    _handle_sigterm_in_a_thread()


def _handle_sigterm_in_a_thread() -> None:
    """Have Snakemake handle SIGTERM in a thread of its own.

    The handler of Snakemake waits for a lock, which the interrupted main thread may hold: when several jobs
    failed or ended at once, Snakemake hung for ever.
    """
    handler = signal.getsignal(signal.SIGTERM)
    if callable(handler):
        signal.signal(
            signal.SIGTERM, lambda *arguments: threading.Thread(target=handler, args=arguments).start()
        )


def _change_attempt(dag: Any, number: int, by: int) -> None:
    """Add to Snakemake's number of tries of a task: a failed try may count as several, or as none."""
    for job in dag.jobs:
        if dag.jobid(job) == number:
            job.attempt += by


def describe_end(counts: Mapping[str, int]) -> str:
    """One line with the number of tasks of a run per outcome.

    Examples:
        >>> describe_end({"done": 1, "failed": 2, "stopped": 0})
        '1 task done, 2 failed'
    """
    done = counts["done"]
    others = [f"{count} {end}" for end, count in counts.items() if end != "done" and count]
    return ", ".join([f"{done} task{'' if done == 1 else 's'} done", *others])


def find_cause(logs: Iterable[Path]) -> tuple[str, str]:
    """Search logs for the cause of a failure.

    Returns:
        The first log that states a cause, and its last line that does. Without one, the first log that has
        text, and its last line; both are empty without text.
    """
    last = ("", "")
    for log in logs:
        lines = [line.strip() for line in _tail(log).splitlines() if line.strip()]
        causes = [line for line in lines if _CAUSE.match(line) and not _REPEATING.match(line)]
        if causes:
            return str(log), causes[-1]
        # Snakemake ends its message about a broken Snakefile with the position of the error.
        text = [line for line in lines if not line.startswith('File "')]
        if text and not last[1]:
            last = (str(log), text[-1])
    return last


def ended_job(number: str) -> dict[str, str]:
    """SLURM's fields of a job that has ended; empty if scontrol fails."""
    # sacct would need accounting.
    answer = call(os.environ, "scontrol", "show", "job", "--oneliner", number, seconds=_ANSWER_S)
    # Reversed, so that the first field of a name wins: a comment or a path may contain "name=value".
    fields = reversed(re.findall(r"(\w+)=(\S*)", answer.output))
    return dict(fields) if answer.code == 0 else {}


def describe_job(fields: Mapping[str, str]) -> str:
    """State, reason, exit code and node of a job, from the fields of `ended_job`."""
    names = {"JobState": "", "Reason": "reason ", "ExitCode": "exit code ", "NodeList": "node "}
    described = [f"{words}{fields[name]}" for name, words in names.items() if fields.get(name)]
    return f"SLURM job {fields['JobId']}: {', '.join(described)}"


def _is_fresh(log: Path, begun: float) -> bool:
    """Whether a log was written since this start; an earlier try leaves a log of the same name."""
    try:
        return log.stat().st_mtime > begun - _CLOCK_TOLERANCE_S
    except OSError:
        return False


def _tail(path: Path) -> str:
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - _TAIL_BYTES))
            return file.read().decode(errors="replace")
    except OSError:
        return ""
