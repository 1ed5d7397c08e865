"""The search for a study's jobs in the queue, and the lease of its controller."""

import json
import multiprocessing
import os
import subprocess
import sys
import uuid
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from pulseveil.cluster import jobs, lease
from pulseveil.core.errors import InputError

RUN = "0b6f3a52-6c6e-4f0c-8d24-3f0b7a0c1b2d"
# Lines of squeue 22.05 in the format of `in_queue`.
QUEUE = f"""1016|RUNNING|1-02:03:04|gres:gpu:2|None|pulseveil-light_{RUN}|/tmp/c1|rule_step_wildcards_one
1017|PENDING|0:00|N/A|JobHeldUser|pulseveil-light_{RUN}|/tmp/c2|rule_prepare_cohort_wildcards_simulated_detector
1018|RUNNING|12:30|gres:gpu:a100:1|None|pulseveil-light_2_{RUN}|/tmp/c1|rule_step_wildcards_a|b
1019|RUNNING|7:05|gres:gpu|None|pulseveil-controller-light|/tmp/c1|(null)
1020|PENDING|INVALID|N/A|launch failed requeued held|pulseveil-held_{RUN}|/tmp/c1|(null)
1021|RUNNING|0:01|N/A|None|other|/tmp/c1|two lines
of a comment|
1022|RUNNING|0:01|N/A|None|a|b|/tmp/c1|(null)
"""


def test_lines_of_squeue_become_jobs():
    found = jobs.parse_queue(QUEUE)
    assert [job.number for job in found] == ["1016", "1017", "1018", "1019", "1020"]
    assert found[0].directory == Path("/tmp/c1")
    assert found[2].comment == "rule_step_wildcards_a|b"
    assert [job.used_s for job in found] == [93784, 0, 750, 425, 0]
    assert [job.gpus for job in found] == [2, 0, 1, 1, 0]
    assert jobs.parse_queue("\n") == ()


def test_jobs_that_wait_for_a_person_are_named_with_the_cure():
    found = jobs.parse_queue(QUEUE)
    assert jobs.describe_stuck(found) == [
        "will not start by itself: 1017 (JobHeldUser); let it go with: scontrol release 1017",
        "will not start by itself: 1020 (launch failed requeued held); let it go with: scontrol release 1020",
    ]
    assert jobs.describe_stuck(found[:1]) == []
    assert jobs.describe_waiting(found) == "1 JobHeldUser, 1 launch failed requeued held"
    assert jobs.describe_waiting(found[:1]) == ""


@pytest.mark.parametrize(
    ("reason", "remedy"),
    [
        ("PartitionTimeLimit", "time limit exceeds"),
        ("QOSMaxWallDurationPerJobLimit", "time limit exceeds"),
        ("AssocMaxWallDurationPerJobLimit", "time limit exceeds"),
        ("AssocGrpCPUMinutesLimit", "used up"),
        ("QOSGrpGRESMinutes", "used up"),
        ("AssocMaxCpuPerJobLimit", "lower resources"),
        ("BadConstraints", "lower resources"),
        ("InvalidQOS", "may not be used"),
        ("AccountNotAllowed", "may not be used"),
        ("DependencyNeverSatisfied", "scancel"),
        ("PartitionDown", "starts no jobs"),
        ("Priority", ""),
        ("Resources", ""),
        ("Dependency", ""),
        ("BeginTime", ""),
        ("QOSMaxJobsPerUserLimit", ""),
        ("AssocGrpCpuLimit", ""),
        ("ReqNodeNotAvail, UnavailableNodes:n1", ""),
        ("None", ""),
    ],
)
def test_reasons_that_need_a_person_have_a_remedy(reason, remedy):
    found = jobs.Job("1", "PENDING", "pulseveil-a", Path("/"), "", reason=reason).remedy
    assert remedy in found if remedy else not found


def test_the_lost_work_of_cancelled_jobs_is_reported():
    found = jobs.parse_queue(QUEUE)
    assert jobs.describe_lost([found[1], found[4]]) == ""
    # 1,563 minutes 4 s with two GPUs, and 12.5 minutes with one.
    assert jobs.describe_lost([found[0], found[2]]).startswith(
        "cancelled 2 running jobs after 1575.6 minutes of work and 3138.6 GPU minutes: lost, but for"
    )


def test_a_study_has_its_own_jobs_in_its_own_directory_only():
    found = jobs.parse_queue(QUEUE)
    assert [job.number for job in jobs.of_study(found, "light", Path("/tmp/c1"))] == ["1016"]
    assert [job.number for job in jobs.of_study(found, "light_2", Path("/tmp/c1"))] == ["1018"]
    assert jobs.of_study(found, "ligh", Path("/tmp/c1")) == ()


def test_names_fit_the_executors_limit_and_stay_apart():
    long = "s" * 60
    assert jobs.prefix("paper") == "pulseveil-paper"
    assert len(jobs.prefix(long)) == 50
    assert jobs.prefix(long) != jobs.prefix(long + "t")


def test_only_what_a_user_chooses_is_passed_on_to_commands_of_slurm(monkeypatch):
    chosen = {"SLURM_CONF", "SLURM_CLUSTERS", "SBATCH_ACCOUNT", "SBATCH_PARTITION", "OTHER"}
    bending = {"SLURM_JOB_ID", "SLURM_MEM_PER_CPU", "SLURM_TIME_FORMAT", "SBATCH_WAIT", "SRUN_DEBUG"}
    bending |= {"SQUEUE_PARTITION", "SQUEUE_FORMAT", "SACCT_FORMAT", "SINFO_FORMAT", "SCANCEL_PARTITION"}
    for name in chosen | bending:
        monkeypatch.setenv(name, "x")
    kept = jobs.own_environment(partition="gpu")
    assert chosen <= set(kept)
    assert not bending & set(kept)
    assert (kept["SBATCH_PARTITION"], kept["SBATCH_ACCOUNT"]) == ("gpu", "x")


def write(directory, holder):
    path = directory / ".snakemake" / "controller" / "light" / "lease.3.json"
    path.parent.mkdir(parents=True)
    path.write_text(holder if isinstance(holder, str) else json.dumps(asdict(holder)))


def take(directory):
    with lease.held("light", directory):
        return lease.holder("light", directory)


def test_a_lease_is_held_within_the_block_only(tmp_path):
    with lease.held("light", tmp_path):
        assert lease.holder("light", tmp_path) == lease.myself()
        assert lease.holder("other", tmp_path) is None
    assert lease.holder("light", tmp_path) is None
    assert len(list(tmp_path.rglob("lease.*"))) == 1


def test_a_live_holder_is_not_displaced_and_a_dead_one_is(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    alive = replace(lease.myself(), pid=process.pid, started=int(fields[19]), job="")
    write(tmp_path, alive)
    assert lease.is_alive(alive)
    with pytest.raises(InputError, match=f"controlled by process {process.pid}"):
        take(tmp_path)
    process.communicate(b"\n")
    assert not lease.is_alive(alive)
    assert take(tmp_path) == lease.myself()


def test_the_same_process_number_later_is_another_process(tmp_path):
    write(tmp_path, replace(lease.myself(), started=1))
    assert take(tmp_path) == lease.myself()


def test_a_holder_on_another_machine_may_be_alive(tmp_path):
    write(tmp_path, replace(lease.myself(), host="another", job=""))
    with pytest.raises(InputError, match=r"on another; stop it first .*--cancel.*or delete this file"):
        take(tmp_path)


def queue(folder, monkeypatch, line, code=0):
    """A SLURM whose squeue prints one line."""
    for name in ("sbatch", "squeue"):
        (folder / name).write_text(f"#!/bin/sh\necho '{line}'\nexit {code}\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}/usr/bin{os.pathsep}/bin")


@pytest.mark.parametrize(("number", "code", "free"), [("17", 0, False), ("18", 0, True), ("18", 1, False)])
def test_a_job_of_another_machine_is_gone_when_it_is_in_the_queue_no_more(
    tmp_path, monkeypatch, number, code, free
):
    row = f"{number}|RUNNING|0:01|N/A|None|{jobs.controller_name('light')}|{tmp_path}|(null)"
    queue(tmp_path, monkeypatch, row, code)
    write(tmp_path, replace(lease.myself(), host="node17", job="17"))
    if free:
        assert take(tmp_path) == lease.myself()
    else:
        with pytest.raises(InputError, match="on node17, job 17; stop it first"):
            take(tmp_path)


def test_a_requeued_job_displaces_its_earlier_start(tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    write(tmp_path, replace(lease.myself(), host="another"))
    assert take(tmp_path) == lease.myself()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"host": "a"}'])
def test_a_damaged_lease_holds_nobody_up(tmp_path, content):
    write(tmp_path, content)
    assert take(tmp_path) == lease.myself()


RACES = 200


def race(directory, gate, answers):
    """Take the lease at the same moment as another process, `RACES` times; keep it until both have tried."""
    for _ in range(RACES):
        gate.wait()
        try:
            with lease.held("light", directory):
                answers.put("held")
                gate.wait()
        except InputError as error:
            answers.put(str(error))
            gate.wait()


@pytest.mark.parametrize("stale", [False, True])
def test_of_two_controllers_that_start_together_one_runs_and_the_other_is_refused(tmp_path, stale):
    if stale:
        write(tmp_path, replace(lease.myself(), started=1))
    context = multiprocessing.get_context("fork")
    gate, answers = context.Barrier(2), context.Queue()
    racers = [context.Process(target=race, args=(tmp_path, gate, answers)) for _ in range(2)]
    for racer in racers:
        racer.start()
    outcomes = [answers.get(timeout=60) for _ in range(2 * RACES)]
    for racer in racers:
        racer.join()
    assert outcomes.count("held") == RACES
    assert sum("study light is controlled by process" in words for words in outcomes) == RACES


def test_run_ids_are_those_of_the_executor():
    (job,) = jobs.parse_queue(f"1|RUNNING|0:01|N/A|None|pulseveil-a_{uuid.uuid4()}|{os.sep}|(null)")
    assert jobs.of_study([job], "a", Path(os.sep)) == (job,)
