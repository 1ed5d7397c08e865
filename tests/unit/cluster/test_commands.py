"""The stand-ins with answers of SLURM 22.05.8 as text."""

import os
import subprocess
from pathlib import Path

import pytest

from pulseveil.cluster import stand_ins

UNREACHABLE = [
    "slurm_load_jobs error: Unable to contact slurm controller (connect failure)\n",
    "sbatch: error: Batch job submission failed: Unable to contact slurm controller (connect failure)\n",
    "scancel: error: Kill job error on job id 2: Unable to contact slurm controller (connect failure)\n",
    "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation\n",
    "sacct: error: Sending PersistInit msg: Connection refused\n"
    "sacct: error: Problem talking to the database: Connection refused\n",
    "sacct: error: Sending PersistInit msg: Unable to connect to database\n"
    "sacct: error: Problem talking to the database: Unable to connect to database\n",
    "sacctmgr: error: Sending PersistInit msg: Connection refused\n",
    'squeue: error: Munge encode failed: Failed to connect to "/run/munge.sock": Connection refused\n'
    "slurm_load_jobs error: Protocol authentication error\n",
    "sbatch: error: Batch job submission failed: Required partition not available (inactive or drain)\n",
    "sbatch: error: Batch job submission failed: Unable to establish control machine address\n",
    "sbatch: fatal: Could not establish a configuration source\n",
    "sbatch: error: Slurm controller not responding, primary and backup down\n",
    "sbatch: error: Munge encode failed: Invalid authentication credential\n",
    "sbatch: error: Insane message length\n",
    "sbatch: error: Batch job submission failed: I/O error writing script/environment to file\n",
    "sbatch: error: Batch job submission failed: Incompatible versions of client and server code\n",
    "sbatch: error while loading shared libraries: libslurmfull.so: cannot open shared object file\n",
    "",
]
POLICY = (
    "sbatch: error: Batch job submission failed: Job violates accounting/QOS policy"
    " (job submit limit, user's size and/or time limits)\n"
)
FULL = [
    "AssocMaxSubmitJobLimit",
    "AssocGrpSubmitJobsLimit",
    "QOSMaxSubmitJobPerUserLimit",
    "QOSGrpSubmitJobsLimit",
]
HOPELESS = [
    "Slurm accounting storage is disabled\n",
    "sacct: invalid option -- '1'\n",
    "sbatch: error: invalid partition specified: nope\n"
    "sbatch: error: Batch job submission failed: Invalid partition name specified\n",
    "sbatch: error: Batch job submission failed: Invalid account or account/partition combination"
    " specified\n",
    "sbatch: unrecognized option '--wrong'\nTry \"sbatch --help\" for more information\n",
    "sbatch: error: Memory specification can not be satisfied\n"
    "sbatch: error: Batch job submission failed: Requested node configuration is not available\n",
    "sbatch: error: Invalid generic resource (gres) specification\n",
    "You are not running a supported accounting_storage plugin\n",
    f"sbatch: error: QOSMaxWallDurationPerJobLimit\n{POLICY}",
    "slurm_load_jobs error: Invalid job id specified\n",
    "scancel: error: Kill job error on job id 3: Job/step already completing or completed\n",
    "sbatch: error: Batch job submission failed: User's group not permitted to use this partition\n",
]
SACCT = ["-X", "--parsable2", "--clusters", "all", "--noheader", "--format=JobIdRaw,State"]
SQUEUE = ["--format=%i|%T", "--states=all", "--noheader"]


@pytest.mark.parametrize("errors", UNREACHABLE)
def test_an_outage_is_describe_wait_in_limits(errors: str) -> None:
    delay = stand_ins.delay(errors)
    assert delay is not None
    assert delay.ends


@pytest.mark.parametrize("limit", FULL)
def test_a_full_queue_is_describe_wait_without_limit(limit: str) -> None:
    assert stand_ins.delay(f"sbatch: error: {limit}\n{POLICY}") == stand_ins.Delay(limit, ends=False)


@pytest.mark.parametrize("errors", HOPELESS)
def test_a_mistake_is_not_tried_again(errors: str) -> None:
    assert stand_ins.delay(errors) is None


@pytest.mark.parametrize("errors", UNREACHABLE)
def test_the_reason_is_not_taken_for_a_failed_submission(errors: str) -> None:
    # Snakemake takes a sbatch that succeeded for failed if these words are in its messages.
    delay = stand_ins.delay(errors)
    assert delay is not None
    assert "submission failed" not in delay.reason


@pytest.mark.parametrize("query", [SACCT, SQUEUE])
def test_snakemakes_question_is_known_from_others(query: list[str]) -> None:
    assert stand_ins.is_status_query([*query, "--name", "run"])
    assert not stand_ins.is_status_query(query)
    assert not stand_ins.is_status_query(["-nu", "root", "-o", "Account%256", "--name", "run"])


def test_a_cancelled_job_is_called_so_whoever_cancelled_it() -> None:
    assert stand_ins.translate_states("1|CANCELLED by 0\n2|COMPLETED\n3|CANCELLED by 1005\n", None) == (
        "1|CANCELLED\n2|COMPLETED\n3|CANCELLED\n"
    )


@pytest.mark.parametrize(
    ("queue", "state"),
    [
        ("3|PREEMPTED\n", "CANCELLED"),
        ("", "CANCELLED"),
        ("3|PENDING\n", "PREEMPTED"),
        ("3|COMPLETING\n", "PREEMPTED"),
        ("3|RUNNING\n", "PREEMPTED"),
        (None, "PREEMPTED"),
    ],
)
def test_a_preempted_job_is_over_unless_it_will_be_started_again(queue: str | None, state: str) -> None:
    assert stand_ins.translate_states("3|PREEMPTED\n4|RUNNING\n", queue) == f"3|{state}\n4|RUNNING\n"


def test_states_without_a_job_stay_empty() -> None:
    assert stand_ins.translate_states("", "") == ""


@pytest.mark.parametrize(
    ("queue", "job"),
    [
        ("2|PENDING|2026-11-25T07:16:13|rule_a_wildcards_x|y\n", "2"),
        ("2|COMPLETED|2026-11-25T07:16:13|rule_a_wildcards_x|y\n", "2"),
        ("2|FAILED|2026-11-25T07:16:13|rule_a_wildcards_x|y\n", None),
        ("2|RUNNING|2026-11-25T07:16:12|rule_a_wildcards_x|y\n", None),
        ("2|RUNNING|2026-11-25T07:16:13|rule_a_wildcards_x\n", None),
        (
            "1|FAILED|2026-11-25T07:10:00|rule_a_wildcards_x|y\n3|RUNNING|2026-11-25T07:17:00|rule_a_wildcards_x|y\n",
            "3",
        ),
        ("", None),
    ],
)
def test_a_job_is_known_by_its_comment_and_time(queue: str, job: str | None) -> None:
    assert stand_ins.accepted(queue, "rule_a_wildcards_x|y", "2026-11-25T07:16:13") == job


def program(folder: Path, name: str, text: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(0o755)


def test_stand_ins_are_written_for_the_commands_at_hand(tmp_path: Path) -> None:
    program(tmp_path / "bin", "squeue", 'echo "squeue $*"; echo noise >&2; exit 3')
    before = os.environ | {"PATH": f"{tmp_path / 'bin'}:/bin"}
    first = stand_ins.install(tmp_path / "stand-ins", patience_s=0, environment=before)
    again = stand_ins.install(tmp_path / "stand-ins", patience_s=0, environment=first)
    assert again == first
    # The job of a controller inherits the stand-ins of its submission.
    other = stand_ins.install(tmp_path / "others", patience_s=0, environment=first)
    assert other["PATH"] == f"{tmp_path / 'others'}:{before['PATH']}"
    assert str(tmp_path / "stand-ins") not in (tmp_path / "others" / "squeue").read_text()
    assert first["PATH"] == f"{tmp_path / 'stand-ins'}:{before['PATH']}"
    # A SLURM under /bin may add more stand-ins.
    assert (tmp_path / "stand-ins" / "squeue").exists()
    done = subprocess.run(["squeue", "-o", "%i %T"], env=first, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (3, "squeue -o %i %T\n", "noise\n")


@pytest.mark.parametrize(
    ("text", "chosen"),
    [
        ("echo 'MinJobAge               = 180 sec'", "sacct"),
        ("echo 'MinJobAge               = 300 sec'", "squeue"),
        ("echo 'MinJobAge               = 0 sec'", "squeue"),
        ("exit 1", "squeue"),
        (None, "squeue"),
    ],
)
def test_sacct_is_chosen_where_squeue_forgets(tmp_path: Path, text: str | None, chosen: str) -> None:
    if text is not None:
        program(tmp_path, "scontrol", text)
    assert stand_ins.status_command({"PATH": str(tmp_path)}) == chosen


def test_patience_ends_with_the_last_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program(tmp_path, "sbatch", f"echo call >> {tmp_path}/calls; echo '{UNREACHABLE[1].strip()}' >&2; exit 1")
    waiting = tmp_path / "waiting"
    assert stand_ins.main([str(tmp_path / "sbatch"), "1.5", str(waiting), "--wrap", "true"]) == 1
    reason = "Unable to contact slurm controller (connect failure)"
    words = f"sbatch is tried again for 2 s: {reason}"
    assert stand_ins.describe_wait(waiting) == words
    os.utime(waiting, (0, 0))
    assert stand_ins.describe_wait(waiting) == ""
    assert (tmp_path / "calls").read_text() == "call\ncall\n"
    printed = capsys.readouterr().err
    assert printed.count("trying again for 2 s") == 1
    assert printed.endswith(UNREACHABLE[1])


def test_a_script_from_standard_input_is_sent_at_every_try(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fails_once = (
        f"test -e {tmp_path}/tried || {{ touch {tmp_path}/tried; echo Connection refused >&2; exit 1; }}"
    )
    program(tmp_path, "sbatch", f"{fails_once}\ncat")
    with (tmp_path / "script").open("w+") as script:
        script.write("#!/bin/sh\ntrue\n")
        script.seek(0)
        monkeypatch.setattr("sys.stdin", script)
        command = stand_ins.Command(
            tmp_path / "sbatch", 10, tmp_path / "waiting", ("--parsable", "/dev/stdin")
        )
        assert stand_ins.sbatch(command).output == "#!/bin/sh\ntrue\n"


@pytest.mark.parametrize(
    ("output", "parsable", "named"),
    [
        ("12\n", True, "12\n"),
        ("12;north\n", True, "12;north\n"),
        ("Note: 17 nodes are down\n\n12\n80 % of your quota\n", True, "12\n"),
        ("12\n80\n", True, ""),
        ("3\nSubmitted batch job 12\n", False, "Submitted batch job 12\n"),
        ("Submitted batch job 12 on cluster north\n", False, "Submitted batch job 12 on cluster north\n"),
        ("job accepted\n", False, ""),
    ],
)
def test_a_job_is_named_whatever_is_printed_around_it(output: str, parsable: bool, named: str) -> None:
    assert stand_ins.named_job(output, parsable=parsable) == named


@pytest.mark.parametrize("code", [0, 1])
def test_a_job_that_sbatch_does_not_name_is_found_by_its_comment(
    tmp_path: Path, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    program(tmp_path, "sbatch", f"echo accepted; exit {code}")
    program(tmp_path, "squeue", "echo '12|PENDING|2999-01-01T00:00:00|rule_a'")
    start = [str(tmp_path / "sbatch"), "0", str(tmp_path / "waiting")]
    submission = [*start, "--parsable", "--job-name", "run", "--comment", "rule_a"]
    assert stand_ins.main(submission) == 0
    assert capsys.readouterr().out == "12\n"
    assert stand_ins.main([*submission[:-1], "rule_b"]) == 1
    assert capsys.readouterr().out == ("" if code == 0 else "accepted\n")


def test_the_chosen_partition_is_that_of_all_jobs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    program(tmp_path, "sinfo", "printf 'PARTITION\\ncpu*\\ngpu\\n'")
    query = [str(tmp_path / "sinfo"), "1", str(tmp_path / "waiting"), "-o", "%P"]
    stand_ins.main(query)
    monkeypatch.setenv("SBATCH_PARTITION", "gpu")
    stand_ins.main(query)
    assert capsys.readouterr().out == "PARTITION\ncpu*\ngpu\ngpu*\n"


def test_a_call_that_does_not_answer_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path, "squeue", "exec sleep 30")
    monkeypatch.setattr(stand_ins, "CALL_S", 0.5)
    answer = stand_ins.call(stand_ins.Command(tmp_path / "squeue", 0, tmp_path / "waiting", ()))
    assert (answer.code, answer.errors) == (124, "no answer within 0 s")
    assert stand_ins.delay(answer.errors) is not None


def test_squeue_answers_for_a_sacct_that_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program(tmp_path, "sacct", "echo 'Problem talking to the database' >&2; exit 1")
    program(tmp_path, "squeue", "echo '3|COMPLETED'")
    start = [str(tmp_path / "sacct"), "600", str(tmp_path / "waiting")]
    assert stand_ins.main([*start, *SACCT, "--name", "run"]) == 0
    assert capsys.readouterr().out == "3|COMPLETED\n"


def test_nodes_are_left_out_beside_those_that_the_study_leaves_out() -> None:
    call = ["--parsable", "--wrap=python --exclude=x"]
    assert stand_ins.without_nodes(call, None) == call
    assert stand_ins.without_nodes(call, "n1,n2") == ["--exclude=n1,n2", *call]
    assert stand_ins.without_nodes(["--exclude=n3", *call], "n1") == ["--exclude=n3,n1", *call]


def test_a_refusal_names_the_nodes_that_are_left_out() -> None:
    refused = "sbatch: error: Batch job submission failed: Requested node configuration is not available\n"
    printed = "n1,n2: left out, because jobs ended there before their task began\n"
    assert stand_ins.explain(refused, "n1,n2") == refused + printed
    assert stand_ins.explain(refused, None) == refused
    assert stand_ins.explain(HOPELESS[3], "n1") == HOPELESS[3]
    assert stand_ins.delay(refused + printed) is None


def test_a_wrapper_in_a_folder_of_its_own_has_the_commands_of_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    program(tmp_path / "site", "sbatch", "exit 0")
    program(tmp_path / "slurm", "squeue", "echo '12|PENDING|2999-01-01T00:00:00|rule_a'")
    folders = f"{tmp_path / 'site'}:{tmp_path / 'slurm'}:/bin"
    installed = stand_ins.install(tmp_path / "stand-ins", environment={"PATH": folders})
    monkeypatch.setenv("PATH", installed["PATH"])
    start = [str(tmp_path / "site" / "sbatch"), "0", str(tmp_path / "waiting")]
    assert stand_ins.main([*start, "--parsable", "--job-name", "run", "--comment", "rule_a"]) == 0
    assert capsys.readouterr().out == "12\n"


def test_a_command_that_is_gone_is_no_crash(tmp_path: Path) -> None:
    answer = stand_ins.call(stand_ins.Command(tmp_path / "squeue", 0, tmp_path / "waiting", ()))
    assert (answer.code, answer.errors) == (127, f"{tmp_path / 'squeue'}: No such file or directory\n")
