"""Other jobs, wrappers of a cluster and variables of a shell do not disturb a study."""

import os
from pathlib import Path

import pytest
import yaml

from pulseveil.core.store import read_cell_hash
from tests.slurm.cluster import wait_until
from tests.slurm.conftest import OnCluster, finished
from tests.slurm.login import MINUTES, SOON, WINDOWS, user
from tests.workflow.conftest import LIGHT, Runner

pytestmark = [pytest.mark.workflow, pytest.mark.slurm]


def test_names_and_comments_of_other_jobs_hurt_nobody(on_cluster: OnCluster) -> None:
    held = ("sbatch", "--parsable", "--hold", "--output=/dev/null", "--wrap", "true")
    words = (os.fsdecode("Gr\xf6\xdfe".encode("latin-1")), "a|b", "one\ntwo|\n3|RUNNING|x")
    other = [
        on_cluster.cluster.run(*held, "--job-name", name, "--comment", name).stdout.strip() for name in words
    ]
    try:
        here = user(on_cluster)
        assert here.submit("--cancel").stdout.startswith("study light: no controller in ")
        job = here.submitted("--", WINDOWS, *SOON)
        assert f"controller: job {job}" in here.submit("--status").stdout
        assert here.end(job)["JobState"] == "COMPLETED", here.words(job)
        print(f"names of other jobs: {here.cost()}")
        assert set(other) <= set(on_cluster.cluster.squeue("--format=%A"))
    finally:
        on_cluster.cluster.run("scancel", *other)


def test_what_a_shell_brings_along_neither_hides_jobs_nor_ends_them(on_cluster: OnCluster) -> None:
    filters = {"SQUEUE_PARTITION": "short", "SQUEUE_FORMAT": "%i", "SCANCEL_PARTITION": "short"}
    of_salloc = {"SLURM_JOB_ID": "999999", "SLURM_MEM_PER_CPU": "100", "SLURM_NTASKS": "7"}
    here = user(on_cluster, **filters, **of_salloc, SBATCH_PARTITION="gpu")
    job = here.submitted("--", WINDOWS, *SOON)
    assert f"controller: job {job}" in here.submit("--status").stdout
    second = here.submit(*MINUTES)
    assert second.returncode == 2
    assert f"study light in {on_cluster.directory} has its controller: job {job}" in second.stderr
    assert here.end(job)["JobState"] == "COMPLETED", here.words(job)
    print(f"variables of a shell: {here.cost()}")
    lines = on_cluster.cluster.squeue("--states=all", "--format=%P|%Z")
    assert [line for line in lines if line.endswith(f"|{on_cluster.directory}")] == 2 * [
        f"gpu|{on_cluster.directory}"
    ]


def test_the_partition_of_the_command_line_is_that_of_all_jobs(on_cluster: OnCluster) -> None:
    here = user(on_cluster, SBATCH_PARTITION="gpu")
    job = here.submitted("--partition", "scavenge", "--", WINDOWS, *SOON)
    assert here.end(job)["JobState"] == "COMPLETED", here.words(job)
    print(f"partition: {here.cost()}")
    lines = on_cluster.cluster.squeue("--states=all", "--format=%P|%Z")
    own = {line.partition("|")[0] for line in lines if line.endswith(f"|{on_cluster.directory}")}
    assert own == {"scavenge"}


def test_a_wrapper_that_prints_numbers_makes_no_job_run_twice(on_cluster: OnCluster) -> None:
    folder = on_cluster.directory / "site"
    folder.mkdir()
    wrapper = folder / "sbatch"
    real = on_cluster.cluster.run("sh", "-c", "command -v sbatch").stdout.strip()
    wrapper.write_text(
        f"#!/bin/sh\necho 'Note: 17 nodes are down'\n{real} \"$@\"; code=$?\necho 80; exit $code\n"
    )
    wrapper.chmod(0o755)
    here = user(on_cluster, PATH=f"{folder}{os.pathsep}{on_cluster.cluster.environment['PATH']}")
    job = here.submitted("--", WINDOWS, *SOON)
    assert here.end(job)["JobState"] == "COMPLETED", here.words(job)
    print(f"wrapper: {here.cost()}")
    lines = on_cluster.cluster.squeue("--states=all", "--format=%j|%Z")
    jobs = [line for line in lines if line.endswith(f"|{on_cluster.directory}")]
    assert len(jobs) == 2, jobs
    wait_until(
        lambda: "no controller runs; the last run: finished" in here.submit("--status").stdout, 20, "status"
    )


def test_a_controller_that_is_gone_from_the_queue_holds_nobody_up(on_cluster: OnCluster) -> None:
    def leave_lease() -> None:
        lease = on_cluster.directory / ".snakemake" / "controller" / "light" / "lease.7.json"
        lease.parent.mkdir(parents=True, exist_ok=True)
        lease.write_text('{"host": "node17", "pid": 3, "started": 4, "job": "31337"}')

    here = user(on_cluster)
    leave_lease()
    answer = here.submit("--cancel").stdout
    assert answer.endswith("; released the lease of process 3 on node17, job 31337, which is gone\n"), answer
    leave_lease()
    job = here.submitted("--", WINDOWS, *SOON)
    assert here.end(job)["JobState"] == "COMPLETED", here.words(job)
    print(f"stale lease: {here.cost()}")


def test_a_study_file_that_is_edited_changes_nothing_of_what_was_submitted(on_cluster: OnCluster) -> None:
    here = user(on_cluster)
    job = here.submitted("--", WINDOWS, *SOON)
    original = (on_cluster.directory / "study.yaml").read_text()
    (on_cluster.directory / "study.yaml").write_text("half an edit: [")
    assert here.end(job)["JobState"] == "COMPLETED", here.words(job)
    print(f"edited study: {here.cost()}")
    assert (on_cluster.directory / WINDOWS).exists(), here.words(job)
    (on_cluster.directory / "study.yaml").write_text(original)
    assert "no controller runs; the last run: finished" in here.submit("--status").stdout


def test_without_a_controller_a_job_of_another_study_file_refuses_and_ends_the_run(
    on_cluster: OnCluster,
) -> None:
    run = on_cluster.study(LIGHT, WINDOWS, WINDOWS.replace("detector", "generator"), "--jobs", "1")
    wait_until(lambda: bool(on_cluster.cluster.squeue("--format=%A")), 60, "the first job")
    (on_cluster.directory / "study.yaml").write_text(yaml.safe_dump(LIGHT | {"seed": 8}))
    done = finished(run, seconds=120)
    assert done.returncode == 1
    message = (
        "the study file of light changed since this run began; what is done is kept; start the study again"
    )
    assert message in done.stderr
    # Three tries of two jobs would make six such blocks.
    assert done.stderr.count(message) <= 2, done.stderr
    assert "Will exit after finishing currently running jobs" in done.stderr
    assert not (on_cluster.directory / WINDOWS).exists()


def hashes(place: Path) -> dict[str, str]:
    """Cell hash of each score file below a directory."""
    return {str(path.relative_to(place)): read_cell_hash(path) for path in place.rglob("scores/**/seed=*.h5")}


@pytest.mark.slow
def test_an_edit_in_mid_study_leaves_no_mixture(
    on_cluster: OnCluster, tmp_path_factory: pytest.TempPathFactory
) -> None:
    clean, here = Runner(tmp_path_factory.mktemp("clean")), Runner(on_cluster.directory)
    clean.snakemake(study=LIGHT)
    run = on_cluster.study(LIGHT, "--jobs", "10")
    wait_until(lambda: bool(hashes(here.directory)), 300, "the first score")
    edited = LIGHT | {"seed": 8}
    (here.directory / "study.yaml").write_text(yaml.safe_dump(edited))
    done = finished(run, seconds=120)
    assert done.returncode == 1, done.stderr
    assert done.stderr.count("the study file of light changed since this run began") == 1, done.stderr
    expected, found = hashes(clean.directory), hashes(here.directory)
    assert len(found) < len(expected)
    assert found == {name: expected[name] for name in found}
    assert "Nothing to be done" not in here.snakemake("--dry-run", study=LIGHT).stdout
    # A run of the edited file leaves other scores in the same place, which the original file replaces.
    here.snakemake(study=edited)
    assert "Nothing to be done" not in here.snakemake("--dry-run", study=LIGHT).stdout
    here.snakemake(study=LIGHT)
    assert hashes(here.directory) == expected
