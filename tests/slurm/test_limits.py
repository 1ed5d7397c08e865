"""Limits of a cluster on its users, and GPUs of a type: a study goes on within them, on a real cluster."""

import re
from collections.abc import Iterator

import pytest

from tests.slurm.cluster import Cluster, Shape, limited
from tests.slurm.conftest import OnCluster, finished, require, running, working
from tests.slurm.login import SOON, WINDOWS, user
from tests.slurm.sleeping import SNAKEFILE, STEPS, finish, once, output, start, steps

pytestmark = [pytest.mark.workflow, pytest.mark.slurm]


def at_once(place: OnCluster) -> int:
    """Largest number of steps that ran at the same time."""
    events = sorted((when, what) for step in steps(place).values() for what, when in step)
    now = most = 0
    for _, what in events:
        now += 1 if what == "start" else -1
        most = max(most, now)
    return most


USER = ("user", "root")
LIMITS = [
    (USER, "maxjobs=1", "AssocMaxJobsLimit"),
    (USER, "grptres=cpu=1", "AssocGrpCpuLimit"),
    (("qos", "normal"), "maxjobsperuser=1", "QOSMaxJobsPerUserLimit"),
    (("qos", "normal"), "grptres=cpu=1", "QOSGrpCpuLimit"),
]


@pytest.mark.parametrize(
    ("entity", "limit", "reason"),
    [LIMITS[0], *(pytest.param(*limit, marks=pytest.mark.slow) for limit in LIMITS[1:])],
)
def test_a_limit_on_running_jobs_is_kept_and_reported(
    on_accounting_cluster: OnCluster, entity: tuple[str, ...], limit: str, reason: str
) -> None:
    here = on_accounting_cluster
    with limited(here.cluster, entity, limit):
        finish(here, start(here, jobs=STEPS, look=1), 240)
    assert once(here)
    assert at_once(here) == 1
    assert output(here).count(reason) == 1
    assert re.search(rf"jobs wait: .*\d {reason}\b", output(here)), output(here)
    assert "Error" not in output(here)


# The first rule with resources is that of the steps.
ON_GPUS = SNAKEFILE.replace("runtime=5", 'runtime=5, gres="gpu:1"', 1)


@pytest.mark.slow
def test_a_limit_on_gpus_is_kept_and_reported(on_accounting_cluster: OnCluster) -> None:
    here = on_accounting_cluster
    with limited(here.cluster, USER, "grptres=gres/gpu=1"):
        finish(here, start(here, snakefile=ON_GPUS, jobs=STEPS, look=1), 240)
    assert once(here)
    assert at_once(here) == 1
    assert re.search(r"jobs wait: .*\d AssocGrpGRES\b", output(here)), output(here)


@pytest.mark.slow
def test_a_controller_and_one_job_are_enough(on_accounting_cluster: OnCluster) -> None:
    """The controller is a job as well: it takes one of two places, in the queue and among running jobs."""
    here = user(on_accounting_cluster)
    cluster = on_accounting_cluster.cluster
    with limited(cluster, USER, "maxjobs=2"), limited(cluster, USER, "maxsubmitjobs=2"):
        more = WINDOWS.replace("detector", "generator")
        job = here.submitted("--", WINDOWS, more, *SOON)
        assert here.end(job, 240)["JobState"] == "COMPLETED", here.words(job)
    message = "sbatch is tried again until the limit allows it: AssocMaxSubmitJobLimit"
    assert here.words(job).count(message) == 1, here.words(job)


@pytest.fixture(scope="module")
def typed_cluster() -> Iterator[Cluster]:
    """A cluster of two nodes with two GPUs each, of one type per node."""
    require()
    with running(Shape(gpu_types=("a100", "v100"))) as made:
        yield made


TYPED = """
rule all:
    input: expand("{i}.txt", i=range(3))
rule made:
    output: "{i}.txt"
    resources: mem_mb=300, runtime=5
    shell:
        "begin=$(date +%s.%N); sleep 6;"
        " echo $begin $(date +%s.%N) $SLURMD_NODENAME $CUDA_VISIBLE_DEVICES > {output}"
"""


@pytest.mark.parametrize(
    ("resources", "node"), [("gres='gpu:a100:1'", "n1"), ("gres='gpu:1' constraint=v100", "n2")]
)
def test_jobs_with_typed_gpus_or_a_constraint_see_one_device_each(
    typed_cluster: Cluster, tmp_path_factory: pytest.TempPathFactory, resources: str, node: str
) -> None:
    with working(typed_cluster, tmp_path_factory.mktemp("typed")) as here:
        (here.directory / "Snakefile").write_text(TYPED)
        run = here.snakemake(here.directory / "Snakefile", "--default-resources", *resources.split())
        done = finished(run, seconds=150)
        assert done.returncode == 0, done.stdout + done.stderr
        jobs = [path.read_text().split() for path in here.directory.glob("?.txt")]
    assert len(jobs) == 3
    # Times of start and end, node, CUDA_VISIBLE_DEVICES.
    assert {where for _, _, where, _ in jobs} == {node}
    assert {devices for *_, devices in jobs} == {"0", "1"}
    beside = [
        (one, other)
        for position, one in enumerate(jobs)
        for other in jobs[:position]
        if one[0] < other[1] and other[0] < one[1]
    ]
    assert beside
    assert all(one[3] != other[3] for one, other in beside), jobs
