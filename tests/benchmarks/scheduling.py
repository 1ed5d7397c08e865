"""How fast jobs go through Snakemake and a real SLURM cluster of this machine when they do nothing.

    python tests/benchmarks/scheduling.py [--jobs 100] [--at-once 50]      (as root, after `make system`)

Prints wall seconds, jobs a minute, and the seconds of CPU that Snakemake and SLURM take for a job.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.slurm.cluster import Shape  # noqa: E402
from tests.slurm.conftest import running, working  # noqa: E402

SNAKEFILE = """
rule all:
    input: expand("{{job}}.txt", job=range({jobs}))
rule nothing:
    output: "{{job}}.txt"
    resources: mem_mb=300, runtime=5
    shell: "touch {{output}}"
"""


def busy_s() -> float:
    """CPU seconds of all processes of this machine since its start."""
    words = Path("/proc/stat").read_text().splitlines()[0].split()[1:]
    user, nice, system = map(int, words[:3])
    return (user + nice + system) / 100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--jobs", type=int, default=100)
    parser.add_argument("--at-once", type=int, default=50, help="in the queue")
    options = parser.parse_args()
    with running(Shape(cpus=64)) as cluster, tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        (here / "Snakefile").write_text(SNAKEFILE.format(jobs=options.jobs))
        with working(cluster, here) as place:
            began, used = time.perf_counter(), busy_s()
            run = place.snakemake(here / "Snakefile", "--jobs", str(options.at_once))
            _, said = run.communicate()
            wall, cpu = time.perf_counter() - began, busy_s() - used
    if run.returncode:
        sys.exit(said)
    a_minute = 60 * options.jobs / wall
    print(
        f"{options.jobs} jobs, {options.at_once} at once: {wall:.0f} s, {a_minute:.0f} a minute,"
        f" {cpu / options.jobs:.1f} CPU s each (with all that runs on this machine)"
    )


if __name__ == "__main__":
    main()
