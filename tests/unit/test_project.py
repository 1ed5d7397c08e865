"""The files around the code: Makefile, continuous integration, profiles, citation, catalogue."""

import os
import re
import shutil
import subprocess
import sys
import tokenize
import tomllib
from ast import literal_eval
from itertools import takewhile
from pathlib import Path
from string import Formatter

import pytest
import yaml

import pulseveil
from pulseveil.core.errors import InputError
from pulseveil.study import dag

ROOT = Path(__file__).resolve().parents[2]
TARGETS = ("demo", "dryrun", "app", "docs", "test", "test-all", "lint", "schema", "lock", "wheelhouse")
SNAKEMAKE = Path(sys.executable).with_name("snakemake")


def run(*command: str | Path, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    # The tests may themselves run under make, whose variables would reach the inner one.
    inherited = {"MAKEFLAGS", "MAKELEVEL", "MFLAGS", "VENV", "PYTHON", "LOCK", "PYTEST_ARGS", "CORES"}
    environment = {name: value for name, value in os.environ.items() if name not in inherited}
    return subprocess.run(
        command, cwd=cwd, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )


@pytest.mark.parametrize("target", TARGETS)
def test_target_sets_up_the_environment_first(target: str, tmp_path: Path) -> None:
    planned = run("make", "--dry-run", target, f"VENV={tmp_path / 'venv'}", "PYTHON=python3.12")
    assert planned.returncode == 0, planned.stderr
    assert planned.stdout.startswith(f'envs/venv.sh {tmp_path / "venv"} "python3.12"')


def test_an_installed_environment_is_not_installed_again(tmp_path: Path) -> None:
    (tmp_path / ".installed").touch()
    assert run("make", "--dry-run", "dryrun", f"VENV={tmp_path}").stdout == "snakemake --dry-run\n"


def test_another_python_or_lock_is_installed(tmp_path: Path) -> None:
    (tmp_path / ".installed").touch()
    for choice in ("PYTHON=python3.12", "LOCK=envs/lock-gpu-py311.txt"):
        assert "envs/venv.sh" in run("make", "--dry-run", "dryrun", f"VENV={tmp_path}", choice).stdout


def test_help_lists_every_target() -> None:
    listed = [line.split()[0] for line in run("make", "help").stdout.splitlines()]
    assert {*TARGETS, "clean", "system"} <= set(listed)


def test_targets_named_in_the_readme_exist() -> None:
    named = re.findall(r"(?:^|`)make ([a-z-]+)", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert {"demo", "dryrun"} <= set(named) <= {*TARGETS, "clean", "system"}


def test_clean_keeps_results_and_environment(tmp_path: Path) -> None:
    shutil.copy(ROOT / "Makefile", tmp_path)
    for folder in ("results/paper", ".venv/lib/__pycache__", "build", "scripts/__pycache__"):
        (tmp_path / folder).mkdir(parents=True)
    assert run("make", "clean", cwd=tmp_path).returncode == 0
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_dir()}
    assert left == {"results", "results/paper", ".venv", ".venv/lib", ".venv/lib/__pycache__", "scripts"}


@pytest.mark.parametrize(("lint", "test", "stages"), [(0, 0, 3), (0, 1, 3), (1, 0, 1)])
def test_continuous_integration_fails_with_its_first_failing_stage(
    tmp_path: Path, lint: int, test: int, stages: int
) -> None:
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci" / "run", tmp_path / ".ci")
    (tmp_path / "Makefile").write_text(f"lint:\n\texit {lint}\nsystem:\n\ttrue\ntest:\n\texit {test}\n")
    done = run(tmp_path / ".ci" / "run", cwd=tmp_path.parent)
    assert bool(done.returncode) == bool(lint or test)
    assert len(re.findall(r"^== make \w+: exit code \d+ after \d+ s$", done.stdout, re.MULTILINE)) == stages


@pytest.mark.workflow
def test_profiles_load_and_a_changed_command_reruns_nothing(tmp_path: Path) -> None:
    rule = 'rule all:\n    output:\n        "done.txt",\n    resources:\n        gpu=1,\n    shell:\n'
    default, local = ROOT / "profiles" / "default", ROOT / "profiles" / "local"
    profiles = ("--workflow-profile", str(default), "--profile", str(local))
    (tmp_path / "Snakefile").write_text(f'{rule}        "echo one > {{output}}"\n')
    first = run(SNAKEMAKE, *profiles, cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    (tmp_path / "Snakefile").write_text(f'{rule}        "echo  two > {{output}}"\n')
    second = run(SNAKEMAKE, *profiles, cwd=tmp_path)
    assert second.returncode == 0, second.stderr
    assert (tmp_path / "done.txt").read_text() == "one\n"


def test_default_profile_suits_every_executor() -> None:
    keys = yaml.safe_load((ROOT / "profiles" / "default" / "config.yaml").read_text())
    machine = {"cores", "jobs", "executor", "resources", "default-resources", "local-cores"}
    assert not [key for key in keys if key in machine or key.startswith("slurm")]
    assert "code" not in keys["rerun-triggers"]


def test_citation_names_this_version_and_the_published_study() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    (paper,) = citation["references"]
    assert citation["version"] == pulseveil.__version__
    assert paper["doi"] == "10.3390/s24103052"
    assert [author["family-names"] for author in paper["authors"]] == ["Lange", "Wenzlitschke", "Rahm"]


def test_the_changelog_dates_this_version_as_the_citation_does() -> None:
    headings = re.findall(r"^## \[(.+?)\](?: - (.+))?$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert headings[:2] == [("Unreleased", ""), (pulseveil.__version__, str(citation["date-released"]))]


def test_licence_is_the_same_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    text = (ROOT / "LICENSE").read_text()
    assert text.startswith(f"{project['license']} License\n")
    assert project["authors"][0]["name"] in text
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["license"] == project["license"]


def test_catalogue_promises_only_what_the_workflow_declares() -> None:
    usage = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text())["usage"]
    promised = usage["software-stack-deployment"]
    files = [ROOT / "workflow" / "Snakefile", *(ROOT / "workflow" / "rules").glob("*.smk")]
    declared = "\n".join(file.read_text() for file in files)
    assert promised["conda"] == bool(re.search(r"^ +conda:$", declared, re.MULTILINE))
    assert promised["apptainer"] == bool(re.search(r"^ *container:", declared, re.MULTILINE))
    assert (ROOT / "config" / "README.md").exists()


def test_every_placeholder_of_a_rule_is_quoted() -> None:
    """A path with a blank would break a job's command, and `$(...)` in it would run."""
    files = [ROOT / "Snakefile", *(ROOT / "workflow").glob("Snakefile"), *ROOT.glob("workflow/rules/*.smk")]
    rules = sum(len(re.findall(r"^ *shell:", file.read_text(), re.MULTILINE)) for file in files)
    commands = [command for file in files for command in shell_commands(file)]
    assert len(commands) == rules > 5
    placeholders = [part[1:3] for command in commands for part in Formatter().parse(command) if part[1]]
    assert len(placeholders) > 4 * rules
    assert [name for name, form in placeholders if form != "q"] == []


@pytest.mark.parametrize("name", ["a b", "it's", "$(ls)", "`ls`", "a;b", "a\\b", 'a"b'])
def test_a_cluster_gets_no_path_that_its_shells_would_read(name: str) -> None:
    with pytest.raises(InputError, match="jobs of a cluster need a path without blanks"):
        dag.require_plain_words(Path("/plain/path-1_2+3@4%5,6.7:8=9"), Path("/home") / name)


def shell_commands(file: Path) -> list[str]:
    """The commands of the rules in a file of Snakemake, whose words are those of Python."""
    with open(file, "rb") as lines:
        words = list(tokenize.tokenize(lines.readline))
    starts = [i for i, word in enumerate(words[:-1]) if (word.string, words[i + 1].string) == ("shell", ":")]
    commands = []
    for start in starts:
        block = takewhile(lambda word: word.type != tokenize.DEDENT, words[start:])
        commands.append("".join(literal_eval(word.string) for word in block if word.type == tokenize.STRING))
    return commands
