"""What one controller costs: a study of empty jobs on a real SLURM cluster of this machine.

    python tests/benchmarks/cluster.py [--jobs 1000] [--at-once 100]      (as root, after `make system`)

Prints minutes, calls of SLURM's commands per minute, and the memory of the controller's processes. The jobs
only touch their file: with a Snakemake in each job, as in a study, this machine would measure the jobs
(tests/benchmarks/scheduling.py does).
"""

from __future__ import annotations

import argparse
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.slurm.cluster import SEARCH_PATH, Cluster, Shape, with_descendants  # noqa: E402
from tests.slurm.conftest import OnCluster, working  # noqa: E402
from tests.slurm.sleeping import controlled  # noqa: E402

from pulseveil.cluster import record  # noqa: E402
from pulseveil.core import paths  # noqa: E402

COMMANDS = ("sbatch", "squeue", "sacct", "scontrol", "sinfo", "scancel", "sacctmgr", "sshare")
STUDY = "empty"
SNAKEFILE = """
from pulseveil.cluster import listener
STUDY = config["study"]
onstart:
    listener.listen(workflow, STUDY)
rule all:
    input: expand("results/{study}/{job}.txt", study=STUDY, job=range(JOBS))
rule nothing:
    output: "results/{study}/{job}.txt"
    log: "logs/{study}/{job}.log"
    resources: mem_mb=300, runtime=5
    shell: "touch {output}"
"""
# The comment of a job comes before its command, and ends in the number of the file.
TOUCH = f"""
last= job=
for word do
    shift
    case $last in --comment) job=${{word##*_}} ;; esac
    case $word in --wrap=*) word="--wrap=touch results/{STUDY}/$job.txt" ;; esac
    set -- "$@" "$word"
    last=$word
done
"""
TICK_S = 1.0


class Counted(Cluster):
    """A cluster whose commands write a line into a file at each call."""

    @property
    def folder(self) -> Path:
        """Folder of the wrappers around SLURM's commands, and of the file of calls."""
        return self.directory / "counted"

    @property
    def environment(self) -> dict[str, str]:
        """Variables of the cluster, with the wrappers first in PATH."""
        return super().environment | {"PATH": f"{self.folder}:{SEARCH_PATH}"}

    def up(self) -> None:
        """Write the wrappers and start the daemons."""
        self.folder.mkdir()
        for name in COMMANDS:
            real = shutil.which(name, path=SEARCH_PATH)
            if real is None:
                continue
            wrapper = self.folder / name
            touch = TOUCH if name == "sbatch" else ""
            wrapper.write_text(
                f'#!/bin/sh\necho {name} >> {self.folder / "calls"}\n{touch}exec {shlex.quote(real)} "$@"\n'
            )
            wrapper.chmod(0o755)
        super().up()

    def calls(self) -> Counter[str]:
        """Number of calls per command so far."""
        path = self.folder / "calls"
        return Counter(path.read_text().split() if path.exists() else ())


def memory_mb(pids: list[int]) -> float:
    """Resident memory of processes in megabytes, pages that processes share counted in parts."""
    total = 0
    for pid in pids:
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total / 1024


def cpu_s(pids: list[int]) -> float:
    """CPU seconds of processes and of their children that have ended."""
    total = 0
    for pid in pids:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        total += sum(map(int, fields[11:15]))
    return total / 100


def start(place: OnCluster, jobs: int, at_once: int) -> subprocess.Popen[str]:
    """Start a controller with the profile for SLURM, and with its output in a file."""
    (place.directory / "Snakefile").write_text(SNAKEFILE.replace("JOBS", str(jobs)))
    # Otherwise the Snakemake of a job makes the folder.
    (place.directory / paths.results(STUDY)).mkdir(parents=True)
    profiles = ROOT / "profiles"
    arguments = [
        *("--snakefile", "Snakefile", "--config", f"study={STUDY}", "--jobs", str(at_once)),
        *("--profile", str(profiles / "slurm"), "--workflow-profile", str(profiles / "default")),
    ]
    return controlled(place, [STUDY, {}, arguments], place.directory / "controller.log")


def watched(process: subprocess.Popen[str]) -> tuple[float, float, float]:
    """Seconds until a controller ends, its peak memory in megabytes, and its CPU seconds."""
    began, peak, used = time.perf_counter(), 0.0, 0.0
    while process.poll() is None:
        own = with_descendants([process.pid])
        peak, used = max(peak, memory_mb(own)), max(used, cpu_s(own))
        time.sleep(TICK_S)
    return time.perf_counter() - began, peak, used


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--at-once", type=int, default=100, help="in the queue, as `jobs` in profiles/slurm")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="pulseveil-slurm-") as folder,
        Counted(Path(folder), Shape(cpus=64)) as cluster,
        tempfile.TemporaryDirectory() as here,
        working(cluster, Path(here)) as place,
    ):
        before = cluster.calls()
        process = start(place, options.jobs, options.at_once)
        seconds, memory, used = watched(process)
        calls = cluster.calls() - before
        if process.returncode:
            sys.exit((place.directory / "controller.log").read_text())
        kept = place.directory / paths.record(STUDY)
        size = kept.stat().st_size / 1024
        began = time.perf_counter()
        past = record.read(kept)
        read = time.perf_counter() - began
    print(f"{options.jobs} jobs, {options.at_once} at once: {past.outcome}")
    rows = {
        "minutes": f"{seconds / 60:.1f}",
        "jobs per minute": f"{60 * options.jobs / seconds:.0f}",
        "peak memory of the controller's processes, MB": f"{memory:.0f}",
        "CPU seconds of the controller's processes, per job": f"{used / options.jobs:.3f}",
        "record, kB and milliseconds to read": f"{size:.0f}, {1000 * read:.0f}",
    }
    rows |= {
        f"calls of {name}, per minute": f"{count}, {60 * count / seconds:.1f}"
        for name, count in calls.most_common()
    }
    width = max(map(len, rows))
    print("\n".join(f"{name:{width}}  {value}" for name, value in rows.items()))


if __name__ == "__main__":
    main()
