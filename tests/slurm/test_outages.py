"""A part of SLURM that is down hides nothing that another part knows."""

import time

import pytest

from tests.slurm.cluster import wait_until
from tests.slurm.conftest import OnCluster, finished

pytestmark = [pytest.mark.workflow, pytest.mark.slurm]

TWO_STEPS = """
rule second:
    input: "first.txt"
    output: "second.txt"
    resources: mem_mb=300, runtime=5
    shell: "cat {input} > {output}"
rule first:
    output: "first.txt"
    resources: mem_mb=300, runtime=5
    shell: "echo >> starts; while ! test -e again; do sleep 0.2; done; echo done > {output}"
"""


def test_a_study_goes_on_by_squeue_while_the_database_is_down(on_accounting_cluster: OnCluster) -> None:
    here, cluster = on_accounting_cluster.directory, on_accounting_cluster.cluster
    (here / "Snakefile").write_text(TWO_STEPS)
    run = on_accounting_cluster.snakemake(here / "Snakefile", "--slurm-status-command", "sacct")
    wait_until((here / "starts").exists, 90, "the first step")
    cluster.stop_daemon("slurmdbd")
    since = time.monotonic()
    try:
        (here / "again").touch()
        # The end of the first step is known, the second one runs, and its end is known, without sacct.
        done = finished(run, seconds=180)
        print(f"database down: finished {time.monotonic() - since:.0f} s after it began, while it lasted")
    finally:
        cluster.start_daemon("slurmdbd")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (here / "second.txt").read_text() == "done\n"
    assert (here / "starts").read_text() == "\n"
