"""The lock files, the Apptainer definition and pyproject.toml describe one environment."""

import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
ENVS = ROOT / "envs"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PYTHONS = ("3.11", "3.12")
CPU_LOCKS = ("lock-py311.txt", "lock-py312.txt")
LOCKS = (*CPU_LOCKS, "lock-gpu-py311.txt")
LOCK_LINE = re.compile(r"(?P<name>[a-z0-9]+(-[a-z0-9]+)*)==(?P<version>[\w.]+)( --hash=sha256:[0-9a-f]{64})+")


def read_lock(lock: str) -> dict[str, str]:
    lines = (ENVS / lock).read_text().splitlines()
    matches = [LOCK_LINE.fullmatch(line) for line in lines]
    unreadable = [line[:80] for line, match in zip(lines, matches, strict=True) if match is None]
    assert not unreadable
    pins = [(match["name"], match["version"]) for match in matches if match is not None]
    assert len(dict(pins)) == len(pins)
    return dict(pins)


def requirements(lock: str) -> list[Requirement]:
    extras = PROJECT["project"]["optional-dependencies"]
    groups = [group for name, group in extras.items() if name != "gpu" or "gpu" in lock]
    listed = [PROJECT["project"]["dependencies"], PROJECT["build-system"]["requires"], *groups]
    return [Requirement(text) for group in listed for text in group]


def refused(command: list[str | Path], **environment: str) -> str:
    """The message of a command that must fail."""
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment})
    assert done.returncode != 0
    return done.stderr


@pytest.fixture
def python_313(tmp_path: Path) -> Path:
    """Answers every question as Python 3.13 answers the one for its version."""
    program = tmp_path / "python3.13"
    program.write_text('#!/bin/sh\ncase "$2" in *py%d*) echo py313 ;; *) echo 3.13 ;; esac\n')
    program.chmod(0o755)
    return program


@pytest.mark.parametrize("lock", LOCKS)
def test_lock_holds_every_dependency_inside_its_range(lock: str) -> None:
    pins = read_lock(lock)
    outside = [
        f"{wanted}: {pins.get(canonicalize_name(wanted.name))}"
        for wanted in requirements(lock)
        if not wanted.specifier.contains(pins.get(canonicalize_name(wanted.name), "0"))
    ]
    assert not outside


@pytest.mark.parametrize("lock", LOCKS)
def test_lock_obeys_the_overrides(lock: str) -> None:
    pins = read_lock(lock)
    overrides = [Requirement(text) for text in PROJECT["tool"]["uv"]["override-dependencies"]]
    assert all(wanted.specifier.contains(pins[canonicalize_name(wanted.name)]) for wanted in overrides)


@pytest.mark.parametrize("lock", LOCKS)
def test_lock_holds_what_source_packages_are_built_with(lock: str) -> None:
    assert {"setuptools", "wheel"} <= set(read_lock(lock))


def test_gpu_lock_is_the_cpu_lock_with_the_cuda_libraries() -> None:
    cpu, gpu = read_lock("lock-py311.txt"), read_lock("lock-gpu-py311.txt")
    assert cpu.items() < gpu.items()
    assert all(name.startswith("nvidia-") for name in gpu.keys() - cpu.keys())


def test_no_index_address_in_any_environment_file() -> None:
    assert not [file.name for file in ENVS.iterdir() if "http" in file.read_text()]


def test_each_supported_python_has_a_lock() -> None:
    supported = SpecifierSet(PROJECT["project"]["requires-python"])
    assert tuple(v for v in (f"3.{minor}" for minor in range(8, 20)) if f"{v}.1" in supported) == PYTHONS
    assert {f"lock-py{version.replace('.', '')}.txt" for version in PYTHONS} == set(CPU_LOCKS)


def test_checkers_aim_at_the_oldest_python() -> None:
    assert PROJECT["tool"]["mypy"]["python_version"] == PYTHONS[0]
    assert PROJECT["tool"]["ruff"]["target-version"] == f"py{PYTHONS[0].replace('.', '')}"


def test_container_is_a_supported_python_and_holds_what_the_installation_reads() -> None:
    definition = (ENVS / "pulseveil.def").read_text()
    image = re.search(r"^From: python:(\d+\.\d+)-", definition, re.MULTILINE)
    assert image is not None
    assert image[1] in PYTHONS
    copied = set(re.findall(r"^ +(\S+) /opt/pulseveil/\1$", definition, re.MULTILINE))
    project, setuptools = PROJECT["project"], PROJECT["tool"]["setuptools"]
    read = {
        "pyproject.toml",
        "envs",
        project["readme"],
        *project["license-files"],
        setuptools["package-dir"][""],
    }
    assert read == copied
    assert all((ROOT / path).exists() for path in copied)


def test_container_installs_the_lock_by_the_script_of_make() -> None:
    assert "bash /opt/pulseveil/envs/install.sh " in (ENVS / "pulseveil.def").read_text()


def test_unsupported_python_gets_no_environment(python_313: Path, tmp_path: Path) -> None:
    message = refused([ENVS / "venv.sh", tmp_path / "venv", python_313])
    assert f"needs Python 3.11 or 3.12; tried: {python_313} (3.13)" in message
    assert not (tmp_path / "venv").exists()


def test_a_python_in_a_folder_with_a_blank_is_one_word(python_313: Path, tmp_path: Path) -> None:
    folder = tmp_path / "it's a folder $(touch ran)"
    folder.mkdir()
    (folder / "python").symlink_to(python_313)
    message = refused([ENVS / "venv.sh", tmp_path / "venv", folder / "python"])
    assert f"tried: {folder / 'python'} (3.13)" in message


def test_unsupported_python_gets_no_packages(python_313: Path) -> None:
    message = refused([ENVS / "install.sh", python_313])
    assert "PulseVeil runs on Python 3.11 and 3.12" in message
