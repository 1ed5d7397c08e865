"""The stand-ins, before programs that answer as those of SLURM 22.05.8 do."""

import os
import subprocess
from pathlib import Path

import pytest

from pulseveil.cluster import slurm_text, stand_ins

UNREACHABLE = (
    "sbatch: error: Batch job submission failed: Unable to contact slurm controller (connect failure)"
)
SACCT = ["-X", "--parsable2", "--clusters", "all", "--noheader", "--format=JobIdRaw,State"]


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
    program(tmp_path, "sbatch", f"echo call >> {tmp_path}/calls; echo '{UNREACHABLE}' >&2; exit 1")
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
    assert printed.endswith(f"{UNREACHABLE}\n")


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
    assert slurm_text.delay(answer.errors) is not None


def test_squeue_answers_for_a_sacct_that_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program(tmp_path, "sacct", "echo 'Problem talking to the database' >&2; exit 1")
    program(tmp_path, "squeue", "echo '3|COMPLETED'")
    start = [str(tmp_path / "sacct"), "600", str(tmp_path / "waiting")]
    assert stand_ins.main([*start, *SACCT, "--name", "run"]) == 0
    assert capsys.readouterr().out == "3|COMPLETED\n"


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
