"""A study of sleeping jobs under a controller; each job logs its start and its end."""

import json
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from tests.slurm.conftest import ROOT, OnCluster

STEPS = 4
SNAKEFILE = """
STUDY = config["study"]
rule all:
    input: expand("results/{study}/last.txt", study=STUDY)
rule step:
    output: "results/{study}/step{i}.txt"
    resources: mem_mb=300, runtime=5
    shell:
        "echo start $(date +%s.%N) >> {wildcards.study}.step{wildcards.i}.log; sleep 3;"
        " echo end $(date +%s.%N) >> {wildcards.study}.step{wildcards.i}.log; echo {wildcards.i} > {output}"
rule last:
    input: expand("results/{study}/step{i}.txt", study=STUDY, i=range(config["steps"]))
    output: "results/{study}/last.txt"
    resources: mem_mb=300, runtime=5
    shell: "cat {input} > {output}"
"""
CONTROL = """
import json, logging, signal, sys
from pathlib import Path
from pulseveil.cluster.controller import Controller, Patience, listening
from pulseveil.cluster.submission import ControllerJob
logging.basicConfig(level=logging.INFO)
study, patience, arguments = json.loads(sys.argv[1])
run = ControllerJob(study, tuple(arguments), Path.cwd(), True, Patience()).run()
controller = Controller(run, Patience(**patience), restarts=1)
stop, drain = controller.stop, controller.drain
with listening({signal.SIGINT: stop, signal.SIGTERM: stop, signal.SIGUSR2: drain}):
    sys.exit(controller.control())
"""
PATIENCE = {"grace": 30, "cancelled": 30, "leaving": 20}


def arguments(study: str, jobs: int = 2, steps: int = STEPS) -> list[str]:
    """Snakemake's arguments for one of the sleeping studies."""
    profiles = ROOT / "profiles"
    return [
        *("--snakefile", "Snakefile", "--profile", str(profiles / "slurm")),
        *("--workflow-profile", str(profiles / "default"), "--config", f"study={study}", f"steps={steps}"),
        *("--slurm-init-seconds-before-status-checks", "1", "--latency-wait", "5", "--jobs", str(jobs)),
    ]


def start(
    place: OnCluster, study: str = "one", snakefile: str = SNAKEFILE, jobs: int = 2, **patience: float
) -> subprocess.Popen[str]:
    """Start a controller, with its output in a file."""
    (place.directory / "Snakefile").write_text(snakefile)
    job = [study, PATIENCE | patience, arguments(study, jobs)]
    return controlled(place, job, place.directory / f"{study}.controller.log")


def controlled(place: OnCluster, job: list[Any], log: Path) -> subprocess.Popen[str]:
    """Start a controller of a job (study, patience, arguments); its output is appended to `log`."""
    with log.open("a") as file:
        process = subprocess.Popen(
            [sys.executable, "-c", CONTROL, json.dumps(job)],
            env=place.login,
            cwd=place.directory,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            text=True,
            start_new_session=True,
        )
    place.started.append(process)
    return process


def output(place: OnCluster, study: str = "one") -> str:
    """Output of the controller so far."""
    return (place.directory / f"{study}.controller.log").read_text()


def steps(place: OnCluster, study: str = "one") -> dict[str, list[tuple[str, float]]]:
    """Starts and ends per step, in order of time."""
    found = defaultdict(list)
    for path in sorted(place.directory.glob(f"{study}.step*.log")):
        for line in path.read_text().splitlines():
            what, when = line.split()
            found[path.name].append((what, float(when)))
    return dict(found)


def names(place: OnCluster) -> list[str]:
    """Names of all jobs in the queue."""
    return place.cluster.squeue("--noheader", "--format", "%j")


def finish(place: OnCluster, process: subprocess.Popen[str], seconds: float, study: str = "one") -> None:
    """Wait for the controller's end; require exit code 0 and the results of all steps."""
    try:
        code = process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        pytest.fail(f"not finished after {seconds} s:\n{output(place, study)}")
    assert code == 0, output(place, study)
    assert (place.directory / "results" / study / "last.txt").read_text().split() == list(
        map(str, range(STEPS))
    )


def cost(place: OnCluster, since: float | None = None, study: str = "one") -> str:
    """What a fault cost: steps lost, steps run twice, and seconds from its end (`since`) to the next step."""
    events = steps(place, study)
    lost = STEPS - len(list((place.directory / "results" / study).glob("step*.txt")))
    twice = sum([what for what, _ in found].count("start") > 1 for found in events.values())
    words = f"lost {lost}, run twice {twice}"
    if since is None:
        return words
    after = [when for found in events.values() for _, when in found if when > since]
    return f"{words}, went on {min(after) - since:.0f} s after its end" if after else words


def once(place: OnCluster, study: str = "one") -> bool:
    """Whether each step started and ended exactly once."""
    return all([what for what, _ in events] == ["start", "end"] for events in steps(place, study).values())
