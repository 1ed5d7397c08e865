"""Which jobs in the queue are a study's, and who holds its lease."""

import json
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


def test_held_jobs_are_named_with_the_cure():
    words = jobs.describe_held(jobs.parse_queue(QUEUE))
    assert "1017 (JobHeldUser), 1020 (launch failed requeued held)" in words
    assert words.endswith("scontrol release 1017,1020")
    assert jobs.describe_held(jobs.parse_queue(QUEUE)[:1]) == ""


def test_what_cancelled_jobs_had_worked_for_is_told():
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
    path = lease.path("light", directory)
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(asdict(holder)))


def test_a_lease_is_held_within_the_block_only(tmp_path):
    with lease.held("light", tmp_path):
        assert lease.holder(lease.path("light", tmp_path)) == lease.myself()
        lease.require_free("other", tmp_path)
    assert lease.holder(lease.path("light", tmp_path)) is None


def test_a_live_holder_is_not_displaced_and_a_dead_one_is(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    alive = replace(lease.myself(), pid=process.pid, started=int(fields[19]), job="")
    write(tmp_path, alive)
    assert lease.is_alive(alive)
    with (
        pytest.raises(InputError, match=f"controlled by process {process.pid}"),
        lease.held("light", tmp_path),
    ):
        pass
    process.communicate(b"\n")
    assert not lease.is_alive(alive)
    with lease.held("light", tmp_path):
        pass


def test_the_same_process_number_later_is_another_process(tmp_path):
    write(tmp_path, replace(lease.myself(), started=1))
    with lease.held("light", tmp_path):
        pass


def test_a_holder_on_another_machine_may_be_alive(tmp_path):
    write(tmp_path, replace(lease.myself(), host="another", job="17"))
    with pytest.raises(InputError, match="on another, job 17; stop it first"), lease.held("light", tmp_path):
        pass


def test_a_requeued_job_displaces_its_earlier_start(tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    write(tmp_path, replace(lease.myself(), host="another"))
    with lease.held("light", tmp_path):
        pass


@pytest.mark.parametrize("content", ["", "{", "[]", '{"host": "a"}'])
def test_a_damaged_lease_holds_nobody_up(tmp_path, content):
    path = lease.path("light", tmp_path)
    path.parent.mkdir()
    path.write_text(content)
    with lease.held("light", tmp_path):
        pass


def test_run_ids_are_those_of_the_executor():
    (job,) = jobs.parse_queue(f"1|RUNNING|0:01|N/A|None|pulseveil-a_{uuid.uuid4()}|{os.sep}|(null)")
    assert jobs.of_study([job], "a", Path(os.sep)) == (job,)
