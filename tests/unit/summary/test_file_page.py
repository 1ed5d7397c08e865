"""The page of files and columns names every file that a study leaves, and every column of its tables."""

import re
from fnmatch import fnmatchcase
from html import unescape
from pathlib import Path

import pandas as pd
import pytest

from pulseveil.core import paths
from pulseveil.core.identity import parse_number
from pulseveil.summary import columns, file_page, main_columns
from pulseveil.summary.column import keys_of
from pulseveil.summary.description import StudyDescription
from pulseveil.summary.published import read_published
from pulseveil.summary.summarize import summarize
from tests.unit.summary_cases import WESAD, constant_scores, description, scores, write

ROOT = Path(__file__).resolve().parents[3]


def patterns():
    """Shell patterns of the listed files."""
    for name in file_page.every_file():
        starred = re.sub(r"[A-Z][A-Z_]+", "*", name)
        for suffix in ("pdf", "png", "svg") if "{" in starred else ("",):
            pattern = starred.replace("{pdf,png,svg}", suffix)
            yield pattern
            yield pattern.replace(f".{suffix}", f"-column.{suffix}")


def texts(page, tag):
    return [unescape(re.sub("<.*?>", "", cell)).strip() for cell in re.findall(rf"<{tag}>.*?</{tag}>", page)]


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    records = [scores(dict.fromkeys(WESAD, 2)), constant_scores(WESAD)]
    study = StudyDescription.model_validate(description())
    published = read_published(ROOT / "config" / "published.csv")
    return summarize(study, write(folder, records), folder / "results", published=published)


def test_every_file_that_a_summary_writes_is_listed(results):
    known = list(patterns())
    folder = next(path.parent for path in results.files if path.name == "report.html")
    for path in results.files:
        name = path.relative_to(folder).as_posix()
        assert any(fnmatchcase(name, pattern) for pattern in known), name


def test_every_place_of_a_stored_file_is_listed():
    places = [getattr(paths, name) for name in dir(paths) if name.isupper() and not name.startswith("_")]
    places = [place for place in places if isinstance(place, str) and place.startswith("results/")]
    assert len(places) > 12
    for place in places:
        name = re.sub(r"\{\w+\}", "x", place.removeprefix("results/{study}/"))
        assert any(fnmatchcase(name, pattern) for pattern in patterns()), place


def test_the_page_has_every_column_of_every_table_with_meaning_unit_and_example(results):
    page = next(path for path in results.files if path.name == "files.html").read_text()
    parts = dict(re.findall(r'<h2 id="[^"]*">(.*?)</h2>(.*?)</table>', page, re.DOTALL))
    assert set(columns.TABLES) < set(parts)
    main = texts(parts["tables/main.csv"], "td")
    shown = {main[i]: main[i + 1 : i + 4] for i in range(0, len(main), 4)}
    assert list(shown) == list(results.main) + [
        c for c in keys_of(main_columns.MAIN) if c not in results.main
    ]
    assert all(len(meaning) > 2 and example for meaning, _, example in shown.values())
    numbers = [key for key, (_, unit, _) in shown.items() if unit.startswith(("share", "difference"))]
    assert len(numbers) > 40


def test_examples_have_the_form_of_the_values(results):
    for column in main_columns.MAIN:
        if column.key in results.main and pd.api.types.is_numeric_dtype(results.main[column.key]):
            assert isinstance(parse_number(column.example), float), column.key
        elif column.key in results.main and set(results.main[column.key]) <= {"yes", "no", ""}:
            assert column.example in ("yes", "no", "my_cohort", "detector"), column.key


def test_the_report_leads_to_the_page(results):
    report = next(path for path in results.files if path.name == "report.html")
    assert '<a href="files.html">' in report.read_text()
    assert (report.parent / "files.html").exists()


def test_the_documentation_has_the_same_page():
    text = file_page.markdown()
    for column in main_columns.MAIN:
        assert f"<td>{column.key}</td>" in text
