"""The packages: one order, no way up, and no import past a package's face."""

import ast
import re
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import pulseveil

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = ROOT / "workflow" / "pulseveil"
PACKAGES = sorted(path.name for path in LIBRARY.iterdir() if (path / "__init__.py").exists())
FILES = [*LIBRARY.rglob("*.py"), *(ROOT / "scripts").glob("*.py")]


def package_of(path: Path) -> str:
    """The package that a file belongs to; "scripts" for a script."""
    return path.relative_to(LIBRARY).parts[0] if path.is_relative_to(LIBRARY) else "scripts"


def imports(path: Path) -> Iterator[tuple[str, str]]:
    """Package, and module or name of it, of each import of another package's that a file makes anywhere."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            assert not any(name.name.startswith("pulseveil.") for name in node.names), path
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "pulseveil":
            for name in node.names:
                parts = [*node.module.split("."), name.name][1:]
                if len(parts) > 1 and parts[0] != package_of(path):
                    yield parts[0], parts[1]


def imports_of_the_workflow() -> set[tuple[str, str]]:
    """Package and name of each import of the Snakefile, which is no Python that could be parsed."""
    text = (ROOT / "workflow" / "Snakefile").read_text()
    found = re.findall(r"^from pulseveil\.(\w+) import (.+)$", text, re.MULTILINE)
    return {(package, name) for package, names in found for name in names.split(", ")}


def face(package: str) -> list[str]:
    """The names of a package's `__all__`, read without importing it."""
    for node in ast.parse((LIBRARY / package / "__init__.py").read_text()).body:
        if isinstance(node, ast.Assign) and node.targets[0].id == "__all__":
            return ast.literal_eval(node.value)
    return []


def test_every_module_lies_in_a_package_that_the_library_names():
    assert sorted(pulseveil.__all__) == PACKAGES
    assert [path.name for path in LIBRARY.glob("*.py")] == ["__init__.py"]


def test_imports_run_down():
    order = {package: floor for floor, package in enumerate(pulseveil.__all__)}
    up = {
        f"{path.relative_to(ROOT)}: {package}"
        for path in FILES
        if package_of(path) in order
        for package, _ in imports(path)
        if order[package] > order[package_of(path)]
    }
    assert not up


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_stop_at_the_face(package):
    past = {
        f"{path.relative_to(ROOT)}: {package}.{name}"
        for path in FILES
        for used, name in imports(path)
        if used == package and name not in face(package)
    }
    past |= {
        f"Snakefile: {package}.{name}" for used, name in imports_of_the_workflow() if used == package
    } - {f"Snakefile: {package}.{name}" for name in face(package)}
    assert not past


@pytest.mark.parametrize("package", PACKAGES)
def test_a_face_names_what_is_there_and_used(package):
    source = LIBRARY / package / "__init__.py"
    body = ast.parse(source.read_text()).body
    defined = {node.name for node in body if isinstance(node, ast.ClassDef | ast.FunctionDef)}
    assigned = [node for node in body if isinstance(node, ast.Assign | ast.AnnAssign)]
    defined |= {
        ast.unparse(node.targets[0] if isinstance(node, ast.Assign) else node.target) for node in assigned
    }
    # A package for readers of Python (`api`) has at its face what its modules define.
    own = [
        node
        for node in body
        if isinstance(node, ast.ImportFrom) and node.module.startswith(f"pulseveil.{package}.")
    ]
    defined |= {name.name for node in own for name in node.names}
    modules = {path.stem for path in source.parent.iterdir()} - {"__init__"}
    used = {name for path in FILES for other, name in imports(path) if other == package}
    used |= {name for other, name in imports_of_the_workflow() if other == package}
    assert set(face(package)) <= defined | modules
    assert set(face(package)) & modules <= used


def modules_imported(tree: ast.AST) -> set[str]:
    """Modules of this library that a tree imports anywhere in it."""
    found = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    return {node.module for node in found if (node.module or "").startswith("pulseveil.")}


def test_modules_of_the_library_are_imported_at_the_top():
    """An import within a function hides a circle, or a heavy module in one that plans load."""
    hidden = {
        f"{path.relative_to(ROOT)}: {module}"
        for path in FILES
        for part in ast.walk(ast.parse(path.read_text()))
        if isinstance(part, ast.FunctionDef)
        for module in modules_imported(part)
    }
    # The simulator needs scipy.signal, and a cohort is no model that jobs could import apart.
    assert hidden <= {"workflow/pulseveil/cohorts/simulated.py: pulseveil.cohorts.simulator"}


def test_no_two_modules_import_each_other():
    names = {
        path: ".".join(path.relative_to(LIBRARY.parent).with_suffix("").parts)
        for path in FILES
        if path.is_relative_to(LIBRARY)
    }
    modules = {name.removesuffix(".__init__") for name in names.values()}
    graph = {}
    for path, name in names.items():
        edges = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("pulseveil"):
                parts = {f"{node.module}.{each.name}" for each in node.names}
                edges |= {part if part in modules else node.module for part in parts}
        graph[name.removesuffix(".__init__")] = edges - {name.removesuffix(".__init__")}
    assert list(TopologicalSorter(graph).static_order())
