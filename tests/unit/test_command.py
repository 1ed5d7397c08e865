"""The command `pulseveil`: it finds each program, names itself, and stands in the README as it is."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from pulseveil.command import COMMANDS, table

ROOT = Path(__file__).resolve().parents[2]
NAMES = [command.name for command in COMMANDS]


def run(*words, cwd=ROOT):
    """The finished command, through the entry point of the project."""
    entry = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]["pulseveil"]
    module, function = entry.split(":")
    program = f"import sys; from {module} import {function}; sys.argv[0] = 'pulseveil'; {function}()"
    command = [sys.executable, "-c", program, *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd)
    assert "Traceback" not in done.stderr, done.stderr
    return done


def test_the_list_names_each_command_with_an_example():
    shown = run().stdout
    assert [
        *(
            "plan",
            "run",
            "check-data",
            "generate",
            "score",
            "compare",
            "archive",
            "restore",
            "statement",
            "release",
            "verify",
            "app",
        ),
        *("submit", "doctor"),
    ] == NAMES
    for command in COMMANDS:
        assert f"  pulseveil {command.name} {command.example}" in shown


@pytest.mark.parametrize("command", COMMANDS, ids=NAMES)
def test_the_help_of_each_command_has_its_name_and_an_example_that_it_understands(command):
    done = run(command.name, "--help")
    assert done.returncode == 0, done.stderr
    assert f"usage: pulseveil {command.name}" in done.stdout
    example, usage = done.stdout.split("\n", 1)
    assert example == f"example: pulseveil {command.name} {command.example}"
    asked = {word for word in command.example.split() if word.startswith("--")}
    assert asked <= set(usage.replace("[", " ").replace(",", " ").split())


def test_the_table_of_the_readme_is_the_list():
    assert table() in (ROOT / "README.md").read_text()


def test_a_command_that_is_not_there_is_one_sentence_with_the_nearest():
    done = run("generat")
    assert done.returncode == 2
    assert "did you mean 'generate'?" in done.stderr


def test_a_command_does_what_its_script_does():
    study = ROOT / "config" / "private-demo.yaml"
    script = [sys.executable, ROOT / "scripts" / "plan.py", study]
    expected = subprocess.run(script, capture_output=True, text=True, check=True).stdout
    assert run("plan", study).stdout == expected


def test_a_dry_run_prints_the_plan_and_writes_no_result(tmp_path):
    done = run("run", ROOT / "config" / "private-demo.yaml", "--dry-run", "--cores", 1, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "study private-demo: protocol sound" in done.stderr
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize("study", [[], [ROOT / "config" / "private-demo.yaml"]], ids=["demo", "study"])
def test_words_after_two_dashes_are_those_of_snakemake(study, tmp_path):
    done = run("run", *study, "--cores", 1, "--", "--list-rules", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "summarize" in done.stdout.split()
    assert f"study {'private-demo' if study else 'demo'}: " in done.stderr


def test_recordings_are_read_person_by_person_and_a_fault_is_named(tmp_path):
    study = (ROOT / "config" / "private-demo.yaml").read_text()
    (tmp_path / "good.yaml").write_text(study)
    done = run("check-data", "good.yaml", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines() if line.startswith("S")] == [
        f"S{i}" for i in range(1, 9)
    ]
    mine = "simulated: {kind: empatica, data: nowhere, labels: labels.csv}"
    (tmp_path / "bad.yaml").write_text(
        study.replace("simulated: {kind: simulated, subjects: 8, seed: 1}", mine)
    )
    done = run("check-data", "bad.yaml", cwd=tmp_path)
    assert done.returncode == 2
    assert "labels.csv" in done.stderr


def test_a_folder_that_is_no_release_is_refused(tmp_path):
    done = run("verify", tmp_path)
    assert done.returncode == 2
    assert "no manifest.json; expected the unpacked folder of a release" in done.stderr


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"name: x\n  seeds: 2\n", "bad.yaml line 2, column 8: not valid YAML"),
        (b"a: 1\na: 2\n", "bad.yaml lines 1 and 2: the key 'a' is there twice"),
        (b"- 1\n", "bad.yaml: expected a mapping of keys, found list"),
        (b"", "bad.yaml: expected a mapping of keys"),
        (b"a: \xff\n", "bad.yaml: not a text file"),
    ],
)
def test_a_file_that_is_no_study_is_told_before_snakemake_reads_it(tmp_path, content, words):
    (tmp_path / "bad.yaml").write_bytes(content)
    done = run("run", "bad.yaml", "--cores", 1, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {words}")
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / ".snakemake").exists()
