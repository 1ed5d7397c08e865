"""The documentation: it builds without network, and what it says of the code is there."""

import ast
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
import yaml

import pulseveil
from pulseveil.study.checks import make_plan
from pulseveil.study.reading import check_study

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
# Loads of a page that leave the machine; links that a reader clicks on may.
LOADED = re.compile(
    r"""<(?:script|img|iframe|source)\b[^>]*\ssrc=["']?(?:https?:)?//|<link\b[^>]*\shref=["']?(?:https?:)?//"""
)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The built site, by the command of `make docs` in another folder; its sockets reach nobody."""
    folder = tmp_path_factory.mktemp("site")
    offline = "import socket; socket.socket.connect = None; from mkdocs.__main__ import cli; cli()"
    command = (sys.executable, "-c", offline, "build", "--strict", "--site-dir", str(folder))
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


def test_every_page_is_built_and_loads_nothing_from_elsewhere(site):
    pages = {path.relative_to(DOCS).with_suffix(".html") for path in DOCS.rglob("*.md")}
    assert len(pages) > 10
    texts = {page: (site / page).read_text() for page in pages}
    assert [page for page, text in texts.items() if LOADED.search(text)] == []
    assert "fonts.googleapis" not in "".join(texts.values())


def test_included_texts_are_on_their_pages(site):
    for page, words in {
        "claims.html": "A private row must beat rules that use no private data.",
        "cluster.html": "Nodes without network",
        "study.html": "root of the seed tree",
        "contributing.html": "A quality measure",
        "changelog.html": "0.1.0",
        "examples.html": "class Blurred(Generator)",
        "reproduction/index.html": "All published cells",
    }.items():
        assert words in re.sub(r"<[^>]+>", "", (site / page).read_text()), page


@pytest.mark.parametrize("package", pulseveil.__all__)
def test_each_package_has_a_section_of_the_method_and_a_page_with_its_face_alone(site, package):
    assert f"\n## `{package}`" in (DOCS / "method.md").read_text()
    page = (site / "api" / f"{package}.html").read_text()
    shown = re.findall(rf'<h\d id="pulseveil\.{package}\.(\w+)"', page)
    assert shown == list(getattr(import_module(f"pulseveil.{package}"), "__all__", []))


def test_the_method_is_told_in_the_order_of_the_library():
    told = re.findall(r"^## `(\w+)`", (DOCS / "method.md").read_text(), re.M)
    named = [word for word in re.findall(r"`(\w+)`", pulseveil.__doc__) if word in pulseveil.__all__]
    assert told == list(dict.fromkeys(named))


def test_the_study_of_the_quick_start_is_a_study():
    (text,) = re.findall(r"```yaml\n(.*?)```", (DOCS / "index.md").read_text(), re.S)
    study = check_study(yaml.safe_load(text), "index.md")
    # Two seeds, 6 left-out people, both detectors on real windows and logistic on synthetic ones: the rule of
    # the second evaluation is that of the first.
    assert len(make_plan(study).runs()) == 2 * 6 * 3
    assert {evaluation.name for evaluation in study.evaluations} == {"real", "tstr"}


def test_the_glossary_has_at_most_30_terms_of_one_sentence_each():
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \|$", (DOCS / "glossary.md").read_text(), re.M)[1:]
    terms = [term.casefold() for term, _ in rows]
    assert 20 <= len(terms) <= 30
    assert terms == sorted(set(terms))
    assert [term for term, text in rows if not re.fullmatch(r"[A-Z][^.!?]*(\.\w[^.!?]*)*\.", text)] == []


def texts_of_the_code():
    """Every text that the library or an installing script can print; what changes in it is an ellipsis."""
    for path in (ROOT / "workflow").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr):
                parts = (p.value if isinstance(p, ast.Constant) else "…" for p in node.values)
                yield "".join(parts)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield re.sub(r"%[.\d]*[sdfg]", "…", node.value)
    yield from ((ROOT / "envs" / name).read_text() for name in ("venv.sh", "install.sh"))


def test_messages_of_the_troubleshooting_page_are_those_of_the_code():
    """Each constant piece of a heading stands in one text of the code, in this order."""
    headings = re.findall(r"^### (.+)$", (DOCS / "troubleshooting.md").read_text(), re.M)
    assert len(headings) >= 15
    texts = list(texts_of_the_code())

    def said(heading):
        wanted = ".*?".join(re.escape(piece) for piece in heading.split("…"))
        return any(re.search(wanted, text, re.S) for text in texts)

    assert [heading for heading in headings if not said(heading)] == []


def test_every_fenced_command_of_the_documentation_names_a_file_or_target_that_is_there():
    pages = [*DOCS.rglob("*.md"), ROOT / "CONTRIBUTING.md"]
    lines = [
        line
        for page in pages
        for block in re.findall(r"```sh\n(.*?)```", page.read_text(), re.S)
        for line in block.splitlines()
    ]
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    assert {line.split()[1] for line in lines if line.startswith("make ")} <= targets
    named = {word for line in lines for word in re.findall(r"(?<!\S)(?:scripts|config|tests)/[\w/.-]+", line)}
    assert named
    assert [name for name in named if not (ROOT / name).exists()] == []
