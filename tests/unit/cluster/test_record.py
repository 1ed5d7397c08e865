"""The record of a study's tasks, and the search for the cause of a failure in logs."""

import logging
import os
import signal
from dataclasses import asdict

import pytest

from pulseveil.cluster import listener, record, stand_ins
from pulseveil.cluster.record import Failure
from pulseveil.study import dag

FIRST = Failure(
    "train_detectors_real_0",
    {"detector": "cnn", "unit": "subject"},
    1,
    3,
    "SLURM job 7: TIMEOUT, reason TimeLimit, exit code 0:0, node n1",
    "a.log",
    "interrupted: state stored",
)
OTHER = Failure("summarize", {}, 1, 1, "exit code 2", "", "")


def fail(path, failure):
    record.append(path, "failed", **asdict(failure))


def test_a_failure_is_one_block():
    assert FIRST.describe() == (
        "failed: detectors: train_detectors_real_0 (detector=cnn, unit=subject), try 1 of 3\n"
        "    SLURM job 7: TIMEOUT, reason TimeLimit, exit code 0:0, node n1\n"
        "    log: a.log\n"
        "    interrupted: state stored"
    )
    assert OTHER.describe() == (
        "failed: summary: summarize, try 1 of 1\n    exit code 2\n    log: none was written"
    )


def test_a_task_that_was_done_after_all_is_no_failure(tmp_path):
    path = tmp_path / "logs" / "record.jsonl"
    assert record.read(path) == record.LastRun()
    record.append(path, "start", planned=3)
    fail(path, FIRST)
    fail(path, OTHER)
    record.append(path, "done", task=FIRST.task)
    assert record.read(path) == record.LastRun((OTHER,), (FIRST, OTHER))
    record.append(path, "end", words="2 tasks done, 1 failed")
    assert record.read(path) == record.LastRun((OTHER,), (FIRST, OTHER), "2 tasks done, 1 failed")
    record.append(path, "start", planned=1)
    assert record.read(path) == record.LastRun()


def test_half_a_line_of_a_killed_process_is_passed_over(tmp_path):
    path = tmp_path / "record.jsonl"
    fail(path, FIRST)
    with path.open("a") as file:
        file.write('{"event": "fai')
    assert record.read(path).failed == (FIRST,)


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("start\nerror: x.h5: not readable; rerun\n", "error: x.h5: not readable; rerun"),
        ("Traceback (most recent call last):\n  File\nValueError: no\n", "ValueError: no"),
        ("numpy.linalg.LinAlgError: no\n", "numpy.linalg.LinAlgError: no"),
        (
            "slurmstepd: error: *** JOB 3 ON n1 CANCELLED AT 10:00 DUE TO TIME LIMIT ***\n"
            "srun: error: n1: task 0: Exited with exit code 1\n",
            "slurmstepd: error: *** JOB 3 ON n1 CANCELLED AT 10:00 DUE TO TIME LIMIT ***",
        ),
        (
            "slurmstepd-n1: error: execve(): /x/python: No such file or directory\n"
            "srun: error: n1: task 0: Exited with exit code 2",
            "slurmstepd-n1: error: execve(): /x/python: No such file or directory",
        ),
        (
            "srun: fatal: SLURM_MEM_PER_CPU, SLURM_MEM_PER_NODE are mutually exclusive\nWorkflowError:\n"
            "Error in rule examine:\n    jobid: 0\n",
            "srun: fatal: SLURM_MEM_PER_CPU, SLURM_MEM_PER_NODE are mutually exclusive",
        ),
        (
            "/bin/sh: 2: /gone/.venv/bin/python: not found\n\n",
            "/bin/sh: 2: /gone/.venv/bin/python: not found",
        ),
        ("", ""),
    ],
)
def test_the_last_line_that_tells_a_cause(tmp_path, text, cause):
    log = tmp_path / "job.log"
    log.write_text(text)
    assert listener.find_cause([log])[1] == cause


def test_a_log_without_a_cause_does_not_hide_another_one(tmp_path):
    (tmp_path / "rule.log").write_text("step 100\n")
    (tmp_path / "slurm.log").write_bytes(b"\xff\nslurmstepd: error: Exceeded memory\n")
    logs = [tmp_path / name for name in ("gone.log", "rule.log", "slurm.log")]
    assert listener.find_cause(logs) == (str(logs[2]), "slurmstepd: error: Exceeded memory")
    assert listener.find_cause(logs[:2]) == (str(logs[1]), "step 100")


def test_slurm_is_asked_for_the_end_of_a_job(tmp_path, monkeypatch):
    program = tmp_path / "scontrol"
    program.write_text(
        "#!/bin/sh\n"
        "echo 'JobId=7 JobName=a JobState=OUT_OF_MEMORY Reason=OutOfMemory ExitCode=0:125 NodeList=n1"
        " Command=/JobState=x'\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}/bin")
    assert listener.describe_job(listener.ended_job("7")) == (
        "SLURM job 7: OUT_OF_MEMORY, reason OutOfMemory, exit code 0:125, node n1"
    )
    program.write_text("#!/bin/sh\nexit 1\n")
    assert listener.ended_job("7") == {}


def event_record(**values):
    """An event of Snakemake, as its logger passes it to handlers."""
    return logging.makeLogRecord({"msg": "", **values})


def test_what_cannot_be_written_is_printed(tmp_path, capsys):
    (tmp_path / "logs").write_text("a file where a folder is wanted")
    path = tmp_path / "logs" / "record.jsonl"
    handler = listener.Listener(path, "light", planned=2, tries=1, change_attempt=lambda number, by: None)
    task = {"rule_name": "summarize", "wildcards": {}, "output": ["a"], "log": []}
    handler.emit(event_record(event="job_info", jobid=3, **task))
    handler.emit(event_record(event="job_error", jobid=3, rule_msg="SLURM sbatch failed", log=[]))
    handler.close()
    printed = capsys.readouterr().err
    assert "failed: summary: summarize, try 1 of 1\n    SLURM sbatch failed\n" in printed
    assert "study light: 0 tasks done, 1 failed, 1 not tried; failures are listed in" in printed
    assert printed.count("record.jsonl: not written: ") == 3


def test_bad_input_is_not_tried_again_and_missing_files_are_a_failure(tmp_path, capsys):
    path = tmp_path / "record.jsonl"
    changed = []
    handler = listener.Listener(
        path, "light", planned=3, tries=3, change_attempt=lambda *how: changed.append(how)
    )
    for number in (1, 2):
        log = str(tmp_path / f"{number}.log")
        task = {"rule_name": f"audit_{number}", "wildcards": {}, "output": ["a"], "log": [log]}
        handler.emit(event_record(event="job_info", jobid=number, **task))
    (tmp_path / "1.log").write_text("error: study.yaml: no\n")
    handler.emit(event_record(event="job_error", jobid=1, rule_msg=None, log=[]))
    missing = "Job 2 completed successfully, but some output files are missing.\na.h5 (missing locally)"
    handler.emit(event_record(event="error", msg=f"MissingOutputException in rule a:\n{missing}"))
    handler.close()
    assert changed == [(1, 3)]
    first, second = record.read(path).failed
    assert (first.rule, first.attempt, first.tries, first.cause) == ("audit_1", 1, 3, "error: study.yaml: no")
    assert second.found == "some output files are missing. a.h5 (missing locally)"
    assert "study light: 0 tasks done, 2 failed, 1 not tried" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "blamed"),
    [
        ("slurm_script: 4: /gone/.venv/bin/python: not found", True),
        ("ModuleNotFoundError: No module named 'snakemake'", True),
        (None, True),
        ("Building DAG of jobs...\nRuleException:", False),
        ("WorkflowError in file Snakefile, line 3:\nno such file", False),
        ("slurmstepd: error: StepId=3.batch exceeded memory limit (9 > 5), being killed", False),
    ],
)
def test_a_node_is_to_blame_where_the_snakemake_of_a_job_has_said_nothing(
    tmp_path, monkeypatch, capsys, text, blamed
):
    program = tmp_path / "scontrol"
    program.write_text("#!/bin/sh\necho JobId=$4 JobState=FAILED Reason=x ExitCode=1:0 NodeList=n1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}/bin")
    monkeypatch.setenv(stand_ins.EXCLUDED, "n9")
    changed = []
    handler = listener.Listener(
        tmp_path / "record.jsonl", "a", planned=2, tries=3, change_attempt=lambda *how: changed.append(how)
    )
    log = tmp_path / "slurm.log"
    for number in (1, 2):
        task = {"rule_name": "summarize", "wildcards": {}, "output": ["a"], "log": []}
        handler.emit(event_record(event="job_info", jobid=number, **task))
        if text is not None:
            log.write_text(text)
        failed = f"SLURM-job '{number}' failed, SLURM status is: 'FAILED'."
        handler.emit(event_record(event="job_error", jobid=number, rule_msg=failed, log=[str(log)]))
    assert changed == ([(1, -1), (2, -1)] if blamed else [])
    assert os.environ[stand_ins.EXCLUDED] == ("n9,n1" if blamed else "n9")
    assert capsys.readouterr().err.count("node n1: 2 jobs ended before their task began") == int(blamed)


def test_a_job_that_sbatch_refuses_for_good_is_reported_in_one_line_and_not_tried_again(tmp_path, capsys):
    path = tmp_path / "record.jsonl"
    changed = []
    handler = listener.Listener(
        path, "light", planned=2, tries=3, change_attempt=lambda *how: changed.append(how)
    )
    messages = {
        1: "sbatch: error: Memory specification can not be satisfied\n"
        "sbatch: error: Batch job submission failed: Requested node configuration is not available\n"
        "n1,n2: left out, because jobs ended there before their task began",
        2: "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation",
    }
    for number, errors in messages.items():
        task = {"rule_name": "summarize", "wildcards": {}, "output": ["a"], "log": []}
        handler.emit(event_record(event="job_info", jobid=number, **task))
        # The message of the executor, version 2.8.0.
        message = (
            f"SLURM sbatch failed. The error message was '{errors}'.\n    sbatch call:\n        sbatch x\n"
        )
        handler.emit(event_record(event="job_error", jobid=number, rule_msg=message, log=[]))
    assert changed == [(1, 3)]
    assert capsys.readouterr().err == (
        "failed: summary: summarize, try 1 of 3\n"
        "    sbatch did not take the job: Memory specification can not be satisfied; Batch job submission"
        " failed: Requested node configuration is not available; n1,n2: left out, because jobs ended there"
        " before their task began\n"
        "    log: none was written\n"
        "    not tried again: the next try would be refused, too\n"
        "failed: summary: summarize, try 1 of 3\n"
        "    sbatch did not take the job: Batch job submission failed: Socket timed out on send/recv"
        " operation\n"
        "    log: none was written\n"
    )


def test_jobs_that_refuse_a_changed_study_are_told_once_and_end_the_run(tmp_path, monkeypatch, capsys):
    signals = []
    monkeypatch.setattr(os, "kill", lambda pid, number: signals.append((pid, number)))
    path = tmp_path / "record.jsonl"
    handler = listener.Listener(path, "light", planned=5, tries=3, change_attempt=lambda number, by: None)
    log = tmp_path / "slurm.log"
    for number in (1, 2, 3):
        task = {"rule_name": f"audit_{number}", "wildcards": {}, "output": ["a"], "log": []}
        handler.emit(event_record(event="job_info", jobid=number, **task))
    log.write_text(f"WorkflowError in file Snakefile, line 3:\nthe code in /a {dag.CHANGED}; what is done\n")
    for number in (1, 2, 3):
        handler.emit(event_record(event="job_error", jobid=number, rule_msg="", log=[str(log)]))
    handler.close()
    assert set(signals) == {(os.getpid(), signal.SIGTERM)}
    assert [failure.rule for failure in record.read(path).failed] == ["audit_1"]
    printed = capsys.readouterr().err
    assert printed.count("changed since this run began") == 1
    assert "study light: 0 tasks done, 1 failed, 2 stopped, 2 not tried" in printed
