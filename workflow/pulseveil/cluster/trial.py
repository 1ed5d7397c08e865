"""Trial run of `submit.py --check`: a controller and one small job per class of nodes, as in a study."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pulseveil
from pulseveil.cluster import diagnosis, jobs, lease, listener, record, submission
from pulseveil.cluster.controller import Patience
from pulseveil.cluster.diagnosis import Finding
from pulseveil.cluster.inventory import NodeGroup, Setup
from pulseveil.cluster.jobs import Job
from pulseveil.cluster.lease import Found
from pulseveil.cluster.record import Failure
from pulseveil.cluster.submission import ControllerJob, Submitted
from pulseveil.core import paths
from pulseveil.core.atomic import write_json
from pulseveil.core.errors import InputError

PROJECT = Path(__file__).resolve().parents[3]
PREFIX = ".pulseveil-check-"
_STUDY = "check"
_MOST_CLASSES = 8
_MINUTES = 10
# Nothing of a trial needs to be saved.
_PATIENCE = Patience(grace=5, cancelled=20, leaving=20)
_POLL_S = 1.0
_AGAIN = "Run the check again when the cluster is less busy."


@dataclass(frozen=True)
class Waits:
    """Time limits in seconds: for the answer of a command, start of the controller, end of the trial."""

    answer: float = 20
    start: float = 120
    end: float = 300


def run(setup: Setup, classes: Sequence[NodeGroup], waits: Waits) -> list[Finding]:
    """Run the trial in a new folder of the work directory; neither jobs nor the folder are left behind."""
    tried, left = classes[:_MOST_CLASSES], classes[_MOST_CLASSES:]
    try:
        with _folder(setup.directory) as folder:
            submitted = _submit(setup, tried, folder)
            controller = _wait(submitted, folder, waits)
            findings = _findings(tried, folder, submitted, controller)
    except jobs.NoAnswer as error:
        return [Finding("controller", "unknown", str(error), _AGAIN)]
    except (InputError, TimeoutError) as error:
        return [Finding("controller", "wrong", str(error), diagnosis.find_remedy(str(error)))]
    if left:
        names = "; ".join(group.names for group in left)
        remedy = "Name the partition of such nodes with --partition to try them."
        findings.append(
            Finding("other classes", "unknown", f"{len(left)} of {len(classes)} not tried: {names}", remedy)
        )
    return findings


@contextmanager
def _folder(directory: Path) -> Iterator[Path]:
    """A new folder for a trial; at the end of the block its controller, jobs and files are removed."""
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=directory)).resolve()
    try:
        yield folder
    finally:
        try:
            lease.cancel(_STUDY, folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _submit(setup: Setup, classes: Sequence[NodeGroup], folder: Path) -> Submitted:
    # A plan that exceeds the time limit of its partition must not hide faults of nodes.
    minutes = int(max(1, min(_MINUTES, *(group.minutes for group in classes))))
    study = folder / "check.json"
    values = {
        "name": _STUDY,
        "minutes": min(minutes, setup.minutes),
        "mem_mb": setup.mem_mb,
        "classes": [_job(setup, group) for group in classes],
    }
    write_json(study, values)
    more = ["--retries", "0", "--keep-going", "--slurm-init-seconds-before-status-checks", "1"]
    snakefile = PROJECT / "workflow" / "check" / "Snakefile"
    arguments = submission.snakemake_arguments(snakefile, setup.profile, study, [*more, *setup.arguments])
    job = ControllerJob(_STUDY, arguments, folder, True, _PATIENCE)
    return submission.submit(job, replace(setup.allocation, minutes=minutes))


def _job(setup: Setup, group: NodeGroup) -> dict[str, Any]:
    """Resources of the job for a class of nodes."""
    # By --exclude, because --nodelist would require all nodes that it names.
    others = f"--exclude='{group.others}'" if group.others else ""
    gpus = int(bool(setup.gres) and group.has(setup.gres))
    return {"partition": group.partition, "slurm_extra": others, "gpus": gpus}


def _wait(submitted: Submitted, folder: Path, waits: Waits) -> Found | None:
    """The controller as it is when the time limit is over; None if it has ended before."""
    found: Found | None = Found(submitted.number, "PENDING", 0)
    deadline = time.monotonic() + waits.start
    while time.monotonic() < deadline:
        waited = found is not None and found.state == "PENDING"
        with suppress(jobs.NoAnswer):
            found = lease.controller(_STUDY, folder)
        if found is None:
            break
        # The time limit for the end counts from the start of the controller.
        if waited and found.state != "PENDING":
            deadline = time.monotonic() + waits.end
        time.sleep(_POLL_S)
    else:
        return found
    # Files of a node may be seen here late.
    late = listener.ended_job(submitted.number).get("JobState") == "COMPLETED"
    deadline = time.monotonic() + (waits.answer if late else 0)
    while not record.read(folder / paths.record(_STUDY)).outcome and time.monotonic() < deadline:
        time.sleep(_POLL_S)
    return None


def _findings(
    classes: Sequence[NodeGroup], folder: Path, submitted: Submitted, controller: Found | None
) -> list[Finding]:
    """Findings on the controller and, if it submitted jobs, on each class of nodes."""
    last = record.read(folder / paths.record(_STUDY))
    queued: Sequence[Job] = ()
    if controller is not None:
        with suppress(jobs.NoAnswer):
            queued = jobs.of_study(jobs.in_queue(jobs.own_environment()), _STUDY, folder)
    job = listener.ended_job(submitted.number)
    if last.tries or queued or any(folder.glob("class*.json")) or job.get("JobState") == "COMPLETED":
        return [
            Finding("controller", "ok", f"job {submitted.number} submitted jobs by Snakemake"),
            *(_judge(number, group, folder, last.tries, queued) for number, group in enumerate(classes)),
        ]
    if controller is not None:
        found = controller.describe()
        return [Finding("controller", "unknown", f"{found}; it submitted no jobs in time", _AGAIN)]
    log = submitted.log
    _, cause = listener.find_cause((log, log.with_suffix(".out")))
    found = "; ".join(filter(None, (listener.describe_job(job) if job else "", cause or last.outcome)))
    return [Finding("controller", "wrong", found, diagnosis.find_remedy(found))]


def _judge(
    number: int, group: NodeGroup, folder: Path, tries: Sequence[Failure], queued: Sequence[Job]
) -> Finding:
    """Finding on one class of nodes, from its failures, its file and its job in the queue."""
    subject, where = f"job on class {number + 1}", group.describe()
    # The first one, also before a success: the next try may have run on another node.
    if failure := next((each for each in tries if each.wildcards == {"number": str(number)}), None):
        found = "; ".join(filter(None, (failure.found, failure.cause)))
        return Finding(subject, "wrong", f"{where}: {found}", diagnosis.find_remedy(found))
    try:
        facts = json.loads((folder / f"class{number}.json").read_text())
    except (OSError, ValueError):
        job = next((job for job in queued if job.comment.endswith(f"_wildcards_{number}")), None)
        found = (
            f"job {job.number} is {job.state} ({job.reason})" if job else "no result was seen here in time"
        )
        limited = job is not None and "Limit" in job.reason
        remedy = diagnosis.find_remedy(found) if limited else _AGAIN
        return Finding(subject, "unknown", f"{where}: {found}", remedy)
    found = f"{where}: PulseVeil {facts['version']} ran on {facts['node']}"
    if facts["version"] != pulseveil.__version__:
        remedy = f"Install PulseVeil {pulseveil.__version__} on all nodes (envs/venv.sh)."
        return Finding(subject, "wrong", found, remedy)
    if facts["gpus"] is not None:
        found = f"{found}; TensorFlow sees {facts['gpus']} GPUs there"
    if facts["gpus"] == 0:
        return Finding(subject, "wrong", found, diagnosis.find_remedy(found))
    return Finding(subject, "ok", found)
