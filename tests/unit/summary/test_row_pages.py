"""A main table with more rows than a page shows is divided into pages by evaluation."""

import re

import pandas as pd
import pytest

from pulseveil.summary.description import StudyDescription
from pulseveil.summary.summarize import summarize
from tests.unit.summary_cases import WESAD, constant_scores, description, scores, write, write_generator

MOST = 3
EPSILONS = ("inf", 10, 3, 1, 0.3)


def study(folder):
    """Score files and description of two evaluations: tstr has five private rows and a rule."""
    wrong = {name: i % 5 for i, name in enumerate(WESAD)}
    keys = {"evaluation": "tstr", "generator": "cgan", "subjects": 15}
    records = [scores(wrong), constant_scores(WESAD), constant_scores(WESAD, **keys)]
    records += [scores(wrong, **keys, epsilon_generator=epsilon) for epsilon in EPSILONS]
    models = [write_generator(folder, epsilon_generator=epsilon) for epsilon in EPSILONS[1:]]
    return write(folder, records), StudyDescription.model_validate(description(models=models))


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    paths, described = study(folder)
    return folder, summarize(described, paths, folder / "results", most_rows=MOST)


def cells(row):
    return [
        re.sub("<[^>]*>", "", cell).strip() for cell in re.findall(r"<t[hd].*?>(.*?)</t[hd]>", row, re.DOTALL)
    ]


def main_rows(path):
    """Tables of a page that have an accuracy, by the headings of their columns."""
    found = []
    for table in re.findall(r"<table.*?</table>", path.read_text(encoding="utf-8"), re.DOTALL):
        head, *rows = map(cells, re.findall(r"<tr.*?</tr>", table, re.DOTALL))
        if "Accuracy [95 %]" in head:
            found.append(pd.DataFrame(rows, columns=head))
    return found


def test_no_table_has_more_rows_than_the_limit(done):
    folder, _ = done
    for path in [folder / "results" / "report.html", *(folder / "results" / "tables").glob("*.html")]:
        found = main_rows(path)
        assert found
        assert max(map(len, found)) <= MOST


def test_pages_have_all_rows_of_the_whole_table_once(done, tmp_path):
    folder, _ = done
    paths, described = study(tmp_path)
    summarize(described, paths, tmp_path / "results")
    (whole,) = main_rows(tmp_path / "results" / "tables" / "main.html")
    pages = sorted((folder / "results" / "tables").glob("main.*.html"))
    assert [page.name for page in pages] == ["main.real.html", "main.tstr.1.html", "main.tstr.2.html"]
    rows = pd.concat([table for page in pages for table in main_rows(page)])
    shown = ["Evaluation", "Detector", "Accuracy [95 %]", "Stress F1 [95 %]"]
    assert sorted(map(tuple, rows[shown].to_numpy())) == sorted(map(tuple, whole[shown].to_numpy()))
    assert len(rows) == 8
    assert not list((tmp_path / "results" / "tables").glob("main.*.html"))


def test_the_report_shows_the_reference_rows_and_links_to_all_pages(done):
    folder, summary = done
    report = folder / "results" / "report.html"
    text = report.read_text(encoding="utf-8")
    linked = [folder / "results" / name for name in re.findall(r'href="(tables/main[^"]+)"', text)]
    assert linked == sorted((folder / "results" / "tables").glob("main.*.html"))
    assert set(linked) <= set(summary.files)
    assert "3 of 8 rows" in text
    brief = main_rows(report)[0]
    # The cell without a budget stands for all cells of its generator and detector.
    assert brief["Evaluation"].tolist() == ["real", "real", "tstr"]
    csv = pd.read_csv(folder / "results" / "tables" / "main.csv")
    assert len(csv) == 8
