"""What a user plans to ask of a cluster."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Setup:
    """The plan that a cluster is examined for.

    directory: where the study runs. gpus: of a job, 0 or 1. minutes: time limit of the longest job at its
    first try. mem_mb: memory of a job at its first try; tries: the last of so many asks for as many times
    both. jobs: the most in the queue at a time. status_command: squeue or sacct.
    partition, account: empty for the cluster's default. pause_s: the longest time between two looks at the
    queue. latency_wait_s: how long a file of an ended job is waited for.
    """

    directory: Path
    gpus: int
    minutes: int
    mem_mb: int
    jobs: int
    status_command: str
    partition: str = ""
    account: str = ""
    tries: int = 1
    pause_s: int = 180
    latency_wait_s: int = 60


def options(setup: Setup) -> list[str]:
    """The options of sbatch that ask for the planned partition, account, memory and GPU."""
    gres = f"gpu:{setup.gpus}" if setup.gpus else ""
    wanted = {"partition": setup.partition, "account": setup.account, "gres": gres}
    return [
        *(f"--{name}={value}" for name, value in wanted.items() if value),
        f"--mem={setup.mem_mb}M",
        "--nodes=1",
        "--ntasks=1",
    ]
