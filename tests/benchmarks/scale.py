"""What a dry run of the full paper costs, and of studies with 10 and 100 times its seeds.

    python tests/benchmarks/scale.py [--factors 1 10 100] [--detector-seeds 5] [--generator-seeds 1] [--shard]

The full paper is config/paper.yaml. With --shard, one part of each study: one evaluation, generator, epsilon
and detector. Prints runs and jobs, wall and CPU seconds and peak memory of `snakemake --dry-run`; one that
takes longer than --cpu-minutes or more than --gigabytes is ended.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from pulseveil.study import costs
from pulseveil.study.checks import make_plan
from pulseveil.study.plan import Plan
from pulseveil.study.reading import check_study
from pulseveil.study.resources import Pack

ROOT = Path(__file__).resolve().parents[2]


class Limit(NamedTuple):
    """The most that a dry run may take."""

    cpu_s: int
    memory_bytes: int

    def impose(self) -> None:
        """On the process that calls this."""
        resource.setrlimit(resource.RLIMIT_CPU, (self.cpu_s, self.cpu_s))
        resource.setrlimit(resource.RLIMIT_AS, (self.memory_bytes, self.memory_bytes))


class DryRun(NamedTuple):
    """What a dry run printed and took; jobs is None where it was ended before its end."""

    jobs: int | None
    wall_s: float
    cpu_s: float
    peak_mb: float


def full_paper(factor: int = 1, **pack: int) -> dict[str, Any]:
    """The values of the paper's study, with so many times its seeds."""
    values: dict[str, Any] = yaml.safe_load((ROOT / "config" / "paper.yaml").read_text())
    return values | {"seeds": values["seeds"] * factor, "pack": pack}


def shard(values: Mapping[str, Any]) -> dict[str, Any]:
    """One shard of a study, whose name and seeds it keeps: its files are some of the whole study's."""
    (tstr,) = [evaluation for evaluation in values["evaluations"] if evaluation["name"] == "tstr"]
    first = values["generators"][0]
    parts = {"generators": [first], "detectors": values["detectors"][:1]}
    own = tstr | {"generators": [first["name"]], "epsilon_generator": [10]}
    return {**values, **parts, "evaluations": [own]}


def runs(plan: Plan) -> int:
    """Trained and tested detectors of a plan."""
    return sum(line.runs for line in costs.lines(plan) if line.stage.startswith("detectors"))


def dry_run(values: Mapping[str, Any], limit: Limit) -> DryRun:
    """A dry run of a study in an empty directory."""
    with tempfile.TemporaryDirectory() as directory:
        study = Path(directory) / "study.yaml"
        study.write_text(yaml.safe_dump(dict(values)))
        command = [sys.executable, "-m", "snakemake", "-s", str(ROOT / "Snakefile"), "--dry-run"]
        command += ["--quiet", "rules", "reason", "--directory", directory, "--configfile", str(study)]
        with (Path(directory) / "printed").open("w+") as printed:
            started = time.perf_counter()
            process = subprocess.Popen(
                command, cwd=ROOT, stdout=printed, stderr=subprocess.STDOUT, preexec_fn=limit.impose
            )
            _, _, used = os.wait4(process.pid, 0)
            wall_s = time.perf_counter() - started
            printed.seek(0)
            total = re.search(r"^total +(\d+)$", printed.read(), re.MULTILINE)
    # One of the total is the target, which is no job of the cluster.
    jobs = int(total[1]) - 1 if total else None
    return DryRun(jobs, wall_s, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--factors", type=int, nargs="+", default=[1, 10, 100], help="times the paper's seeds"
    )
    parser.add_argument("--detector-seeds", type=int, default=Pack().detector_seeds, help="of a detector job")
    parser.add_argument(
        "--generator-seeds", type=int, default=Pack().generator_seeds, help="of a generator job"
    )
    parser.add_argument("--shard", action="store_true", help="measure one part of each study")
    parser.add_argument("--cpu-minutes", type=int, default=10, help="where a dry run is ended")
    parser.add_argument("--gigabytes", type=int, default=8, help="where a dry run is ended")
    options = parser.parse_args()
    limit = Limit(options.cpu_minutes * 60, options.gigabytes * 10**9)
    pack = {"detector_seeds": options.detector_seeds, "generator_seeds": options.generator_seeds}
    print(
        f"{'factor':>6}{'seeds':>7}{'runs':>12}{'jobs':>8}{'wall s':>9}{'CPU s':>9}{'peak MB':>9}", flush=True
    )
    for factor in options.factors:
        whole = full_paper(factor, **pack)
        values = shard(whole) if options.shard else whole
        count = runs(make_plan(check_study(values, "full paper")))
        found = dry_run(values, limit)
        jobs = "ended" if found.jobs is None else found.jobs
        print(
            f"{factor:>6}{values['seeds']:>7}{count:>12,}{jobs:>8}{found.wall_s:>9.1f}{found.cpu_s:>9.1f}"
            f"{found.peak_mb:>9.0f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
