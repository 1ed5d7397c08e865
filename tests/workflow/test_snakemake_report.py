"""Snakemake's own report holds tables, figures and report of a study, each with its caption."""

import base64
import json
import re
from html import unescape
from urllib.parse import unquote

import pytest

from tests.workflow.conftest import LIGHT, ROOT

pytestmark = pytest.mark.workflow
# A figure that not every study has is among them: weights, which only linear detectors have.
FIGURES = {
    "main": ("Figures", "Accuracy and stress F1 of each model"),
    "per_subject": ("Figures", "Accuracy of each subject"),
    "weights": ("Figures", "What linear detectors read"),
    "quality_simulated_moments": ("Synthetic windows", "Synthetic windows beside the real windows"),
    "windows_simulated": ("Synthetic windows", "Synthetic windows beside the real windows"),
}
CATEGORIES = {
    "Tables": ["tables/main.html", "tables/main.csv", "tables/per_subject.csv", "tables/reproduction.csv"],
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
    # One form of each figure: the wide one.
    drawn = {path.stem for path in finished_light.result("figures").glob("*.svg")}
    assert {name for name in drawn if not name.endswith("-column")} == set(FIGURES)
    assert {name for name in results if "/figures/" in name} == {
        f"results/light/figures/{name}.svg" for name in FIGURES
    }
    for name, (category, caption) in FIGURES.items():
        place = f"results/light/figures/{name}.svg"
        assert place in json.dumps(categories[category]), name
        assert words(results[place]["caption"]).startswith(caption), name
        assert (
            embedded(results[place]["data_uri"]) == finished_light.result(f"figures/{name}.svg").read_bytes()
        )
