"""The controller on a real cluster: killed, stopped, beside another one, and requeued in mid-study."""

import re
import signal
import time

import pytest

from pulseveil.cluster import lease, submission
from pulseveil.cluster.controller import Patience
from pulseveil.cluster.submission import Allocation, ControllerJob
from tests.slurm.cluster import wait_until
from tests.slurm.conftest import OnCluster
from tests.slurm.sleeping import SNAKEFILE, STEPS, arguments, finish, names, once, output, start, steps

pytestmark = [pytest.mark.workflow, pytest.mark.slurm]

STUCK = (
    SNAKEFILE
    + """
import time
from pathlib import Path
if Path("stuck").exists():
    Path("stuck").unlink()
    time.sleep(600)
"""
)


def test_after_kill_9_nothing_is_left_and_finished_work_is_not_redone(on_cluster: OnCluster) -> None:
    process = start(on_cluster)
    wait_until(lambda: output(on_cluster).count("Finished jobid") >= 1, 120, "a finished job")
    in_queue = names(on_cluster)
    process.send_signal(signal.SIGKILL)
    process.wait()
    wait_until(lambda: not names(on_cluster), 30, "the end of all jobs")
    finish(on_cluster, start(on_cluster), 180)
    kinds = [[what for what, _ in events] for events in steps(on_cluster).values()]
    again = [events for events in kinds if events.count("start") > 1]
    # A job that ended is done again if the kill came before Snakemake had seen its end.
    assert len(again) <= len(in_queue), kinds
    once_at_a_time = (["start", "end"], ["start", "start", "end"], ["start", "end", "start", "end"])
    assert all(events in once_at_a_time for events in kinds), kinds


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_controller_and_its_jobs(on_cluster: OnCluster, number: signal.Signals) -> None:
    process = start(on_cluster)
    wait_until(lambda: bool(steps(on_cluster)), 60, "a running step")
    process.send_signal(number)
    assert process.wait(timeout=60) == 130, output(on_cluster)
    assert not names(on_cluster)
    assert re.search(r"cancelled \d+ running jobs? after [\d.]+ minutes of work", output(on_cluster))
    # Nothing may submit jobs later.
    time.sleep(6)
    assert not names(on_cluster)
    assert lease.holder("one", on_cluster.directory) is None


def test_a_drained_controller_lets_running_jobs_end_and_submits_no_more(on_cluster: OnCluster) -> None:
    process = start(on_cluster)
    wait_until(lambda: bool(steps(on_cluster)), 60, "a running step")
    process.send_signal(signal.SIGUSR2)
    assert process.wait(timeout=90) == 130, output(on_cluster)
    kinds = [[what for what, _ in events] for events in steps(on_cluster).values()]
    assert kinds
    assert all(events == ["start", "end"] for events in kinds), kinds
    assert len(kinds) < STEPS
    finish(on_cluster, start(on_cluster), 120)


def test_two_studies_side_by_side_do_not_touch_each_other(on_cluster: OnCluster) -> None:
    first = start(on_cluster, "one")
    second = start(on_cluster, "one_more")
    wait_until(lambda: bool(steps(on_cluster, "one") and steps(on_cluster, "one_more")), 200, "steps of both")
    first.send_signal(signal.SIGTERM)
    assert first.wait(timeout=60) == 130
    left = names(on_cluster)
    assert all(name.startswith("pulseveil-one_more_") for name in left), left
    finish(on_cluster, second, 180, "one_more")
    assert once(on_cluster, "one_more")


def test_a_second_controller_of_a_study_is_refused(on_cluster: OnCluster) -> None:
    first = start(on_cluster)
    wait_until(lambda: lease.holder("one", on_cluster.directory) is not None, 30, "the lease")
    second = start(on_cluster)
    assert second.wait(timeout=30) != 0
    assert "study one is controlled by process" in output(on_cluster)
    assert first.poll() is None
    first.send_signal(signal.SIGTERM)
    first.wait(timeout=60)


def test_a_snakemake_that_waits_for_nothing_is_started_again(on_cluster: OnCluster) -> None:
    (on_cluster.directory / "stuck").touch()
    process = start(on_cluster, snakefile=STUCK, silence=40)
    finish(on_cluster, process, 180)
    assert "Snakemake is silent for" in output(on_cluster)
    assert once(on_cluster)


def enter(place: OnCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give this process the environment and the directory of a user of the cluster, and a study."""
    for name, value in place.login.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(place.directory)
    (place.directory / "Snakefile").write_text(SNAKEFILE)


def test_a_submitted_controller_is_requeued_at_its_time_limit_and_goes_on(
    on_cluster: OnCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    enter(on_cluster, monkeypatch)
    number = 5
    patience = Patience(grace=10, cancelled=10, leaving=5)
    job = ControllerJob("one", tuple(arguments("one", 1, number)), on_cluster.directory, True, patience)
    print(submission.submit(job, Allocation(minutes=3, mem_mb=700)))
    found = lease.controller("one", on_cluster.directory)
    assert found is not None
    wait_until(lambda: bool(steps(on_cluster)), 120, "a running step")
    # The limit is near: the signal comes 85 s before it.
    on_cluster.cluster.run("scontrol", "update", f"JobId={found.job}", "EndTime=now+100")
    wait_until(lambda: not names(on_cluster), 500, "the end of the controller")
    (words,) = (on_cluster.directory / ".snakemake" / "controller" / "one").glob("*_log.err")
    text = words.read_text()
    assert f"Requeued job {found.job}" in text
    assert text.count("start: ") >= 2
    assert len(list((on_cluster.directory / "results" / "one").glob("step*.txt"))) == number, text
    kinds = [[what for what, _ in events] for events in steps(on_cluster).values()]
    assert all(events == ["start", "end"] for events in kinds), kinds


def test_a_submitted_controller_is_cancelled_with_its_jobs(
    on_cluster: OnCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    enter(on_cluster, monkeypatch)
    job = ControllerJob("one", tuple(arguments("one")), on_cluster.directory, True, Patience())
    submission.submit(job, Allocation(minutes=60, mem_mb=700))
    wait_until(lambda: bool(steps(on_cluster)), 60, "a running step")
    ended = lease.cancel("one", on_cluster.directory, patience_s=60)
    assert ended.startswith("study one: ended its controller: job")
    assert not names(on_cluster)
