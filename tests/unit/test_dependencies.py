"""What is declared in pyproject.toml is used, and what is used is declared."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterable
from functools import cache
from importlib import metadata
from pathlib import Path

import pandas as pd
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from pulseveil.core import identity

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
EXTRAS = PROJECT["project"]["optional-dependencies"]
RELEASED = {"dependencies": PROJECT["project"]["dependencies"], **EXTRAS}
DEVELOPMENT = RELEASED.pop("dev")
# Used without an import of ours: the file and the words that use it.
OTHER_USES = {
    "ipykernel": ("docs/notebook.py", '"name": "python3"'),
    "mkdocs": ("Makefile", " mkdocs build --strict"),
    "mkdocs-material": ("mkdocs.yml", "  name: material\n"),
    "mkdocstrings": ("mkdocs.yml", "  - mkdocstrings:\n"),
    "mypy": ("Makefile", "\tmypy\n"),
    "pyarrow": ("workflow/pulseveil/cohorts/table.py", "pd.read_parquet("),
    "pymdown-extensions": ("mkdocs.yml", "  - pymdownx.snippets:"),
    "pytest-xdist": ("Makefile", "--dist loadfile"),
    "ruff": ("Makefile", "\truff check ."),
    "snakefmt": ("Makefile", "\tsnakefmt "),
    "tf-keras": ("workflow/pulseveil/privacy/library_optimizer.py", '"TF_USE_LEGACY_KERAS"] = "1"'),
    "uv": ("Makefile", "uv pip compile "),
}
OWN_TESTS = tuple(
    str(path.relative_to(ROOT))
    for path in sorted((ROOT / "tests").glob("*"))
    if path.name not in ("foreign", "__pycache__") and (path.is_dir() or path.suffix == ".py")
)
# Tests run the notebook and the pictures of the documentation with the scripts that write them.
DEVELOPED = (*OWN_TESTS, "docs")
EXECUTOR = "snakemake-executor-plugin-"


@cache
def imported(*folders: str) -> frozenset[str]:
    """The packages of others that Python files, named or below `folders`, import, as written there."""
    places = [ROOT / folder for folder in folders]
    files = [file for place in places for file in ([place] if place.is_file() else place.rglob("*.py"))]
    # Scripts and test modules lie beside each other; the library imports itself by its whole name.
    beside = {file.stem for file in files if not file.is_relative_to(ROOT / "workflow")}
    own = {"pulseveil", "tests", *beside}
    names = {name.split(".")[0] for file in files for name in imports(ast.parse(file.read_text()))}
    return frozenset(names - own - sys.stdlib_module_names)


def imports(tree: ast.Module) -> Iterable[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module


# Reads the file lists of all installed packages: a second each time.
packages_distributions = cache(metadata.packages_distributions)


def distributions(packages: Iterable[str]) -> set[str]:
    """The installed distributions that the import names belong to."""
    known = packages_distributions()
    return {canonicalize_name(name) for package in packages for name in known.get(package, [])}


def declared(requirements: Iterable[str]) -> set[str]:
    return {canonicalize_name(Requirement(text).name) for text in requirements}


def executors() -> set[str]:
    """The executor plug-ins that Snakemake loads by the name in a profile."""
    profiles = [yaml.safe_load(file.read_text()) for file in ROOT.glob("profiles/*/config.yaml")]
    return {EXECUTOR + profile["executor"] for profile in profiles if "executor" in profile}


def otherwise_used() -> set[str]:
    return {name for name, (file, words) in OTHER_USES.items() if words in (ROOT / file).read_text()}


def undeclared(packages: Iterable[str], requirements: Iterable[str]) -> list[str]:
    wanted = declared(requirements)
    return sorted(package for package in packages if not distributions([package]) & wanted)


@pytest.mark.parametrize("group", RELEASED)
def test_every_dependency_of_a_release_is_used_by_the_library_or_a_script(group: str) -> None:
    used = distributions(imported("workflow", "scripts")) | executors() | otherwise_used()
    assert sorted(declared(RELEASED[group]) - used) == []


def test_every_dependency_of_the_development_is_used() -> None:
    all_declared = declared([*DEVELOPMENT, *(text for group in RELEASED.values() for text in group)])
    typed = {f"types-{name}" for name in all_declared} | {f"{name}-stubs" for name in all_declared}
    used = distributions(imported(*DEVELOPED)) | otherwise_used() | typed
    assert sorted(declared(DEVELOPMENT) - used) == []


def test_what_the_library_and_scripts_import_is_declared_for_a_release() -> None:
    requirements = [text for group in RELEASED.values() for text in group]
    assert undeclared(imported("workflow", "scripts"), requirements) == []


def test_what_tests_import_is_declared() -> None:
    requirements = [*DEVELOPMENT, *(text for group in RELEASED.values() for text in group)]
    assert undeclared(imported(*DEVELOPED), requirements) == []


def test_foreign_libraries_are_imported_by_their_tests_alone_and_enter_no_lock() -> None:
    lines = [line for line in (ROOT / "envs" / "foreign.txt").read_text().splitlines() if line[0] != "#"]
    assert all(re.fullmatch(r"[a-z-]+==[\d.]+", line) for line in lines)
    pinned = declared(lines)
    # Their import names: the libraries are not installed here.
    foreign = {name.replace("_", "-") for name in imported("tests/foreign")}
    assert {"jax-privacy", "opacus"} <= foreign & pinned
    assert foreign - pinned <= {canonicalize_name(name) for name in imported("workflow", *OWN_TESTS)}
    assert not pinned & {name.replace("_", "-") for name in imported("workflow", "scripts", *OWN_TESTS)}
    locked = {line.split("==")[0] for lock in ROOT.glob("envs/lock-*") for line in lock.open()}
    assert not pinned & locked


def test_no_foreign_test_is_collected_by_the_other_tests() -> None:
    folders = PROJECT["tool"]["pytest"]["ini_options"]["testpaths"]
    having_tests = {path.relative_to(ROOT).parts[1] for path in ROOT.glob("tests/*/**/test_*.py")}
    assert {f"tests/{name}" for name in having_tests - {"foreign"}} == set(folders)
    assert list(ROOT.glob("tests/test_*.py")) == []


def test_results_name_only_packages_that_the_library_imports() -> None:
    named = identity.describe_run("", pd.Timestamp.now())["packages"].keys() - {"pulseveil"}
    assert {canonicalize_name(name) for name in named} <= distributions(imported("workflow"))


def test_type_checks_excuse_only_packages_that_are_imported() -> None:
    excused = {name.split(".")[0] for part in PROJECT["tool"]["mypy"]["overrides"] for name in part["module"]}
    assert excused <= imported("workflow", "scripts")
