"""Snakemake's own report holds tables, figures and report of a study, each with its caption."""

import base64
import json
import re
from html import unescape
from urllib.parse import unquote

import pytest

from tests.workflow.conftest import LIGHT, ROOT

pytestmark = pytest.mark.workflow
CATEGORIES = {
    "Tables": ["tables/main.html", "tables/main.csv", "tables/per_subject.csv", "tables/reproduction.csv"],
    "Figures": ["figures/main.svg", "figures/per_subject.svg"],
    "Synthetic windows": ["figures/quality_simulated_moments.svg", "figures/windows_simulated.svg"],
    "Report": ["report.html", "reproduction.html", "files.html", "statement.txt"],
}


def embedded(value):
    """The bytes of a data URI."""
    head, content = value.split(",", 1)
    return base64.b64decode(content) if head.endswith(";base64") else unquote(content).encode()


def words(text):
    return " ".join(unescape(re.sub(r"<[^>]+>", "", text)).replace("``", "").split())


def value(page, name):
    """The JSON value of a variable of the page's script."""
    _, _, found = page.partition(f"{name} = {{")
    return json.JSONDecoder().raw_decode("{" + found)[0]


def test_snakemakes_report_has_tables_figures_and_report_with_captions(finished_light, tmp_path):
    path = tmp_path / "snakemake.html"
    finished_light.snakemake("--report", str(path), study=LIGHT)
    page = path.read_text(encoding="utf-8")
    results, categories = value(page, "results"), value(page, "categories")
    captions = {words(caption.read_text()) for caption in (ROOT / "workflow" / "report").glob("*.rst")}
    for category, names in CATEGORIES.items():
        listed = json.dumps(categories[category])
        for name in names:
            place = f"results/light/{name}"
            assert place in listed, name
            assert words(results[place]["caption"]) in captions, name
            assert embedded(results[place]["data_uri"]) == finished_light.result(name).read_bytes(), name
