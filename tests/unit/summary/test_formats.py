import re
from html.parser import HTMLParser
from io import StringIO

import numpy as np
import pandas as pd
import pytest

from pulseveil.core.errors import InputError
from pulseveil.core.randomness import root_stream
from pulseveil.summary import main_columns, printing
from pulseveil.summary.column import keys_of
from pulseveil.summary.description import StudyDescription
from pulseveil.summary.labels import MINUS
from pulseveil.summary.printing import printed_table
from pulseveil.summary.results import arrange, collect
from pulseveil.summary.tables import main_table
from tests.unit.summary_cases import constant_scores, description, scores, write

STUDY = StudyDescription.model_validate(description())
WRONG = {"S2": 0, "S3": 12, "S4": 6, "S5": 0, "S6": 12, "S7": 7}


@pytest.fixture(scope="module")
def main(tmp_path_factory):
    synthetic = {"evaluation": "tstr", "generator": "cgan"}
    records = [
        scores(WRONG),
        constant_scores(list(WRONG)),
        *(scores(WRONG, **synthetic, subjects=n, epsilon_generator=e) for n in (5, 15) for e in (1, "inf")),
        *(constant_scores(list(WRONG), **synthetic, subjects=n) for n in (5, 15)),
    ]
    results = collect(write(tmp_path_factory.mktemp("scores"), records))
    return main_table(results, arrange(results, STUDY), STUDY, None, root_stream(0))


class Cells(HTMLParser):
    """The text of every body row of a table."""

    def __init__(self):
        super().__init__()
        self.rows, self.inside = [], False

    def handle_starttag(self, tag, attrs):
        if tag == "tr":
            self.rows.append([])
        if tag == "td":
            self.inside = True
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        self.inside = self.inside and tag != "td"

    def handle_data(self, data):
        if self.inside:
            self.rows[-1][-1] += data


def test_csv_reads_back_as_the_same_numbers(main, tmp_path):
    printing.write_csv(tmp_path / "main.csv", main)
    text = (tmp_path / "main.csv").read_text()
    back = pd.read_csv(StringIO(text), float_precision="round_trip")
    for column in main.select_dtypes("number"):
        np.testing.assert_array_equal(back[column], main[column])
    assert back["epsilon_generator"].tolist()[-1] == np.inf


def test_csv_spells_epsilons_as_in_file_names(main, tmp_path):
    printing.write_csv(tmp_path / "main.csv", main)
    spelled = pd.read_csv(tmp_path / "main.csv", dtype=str)["epsilon_generator"]
    assert set(spelled) == {"inf", "1"}


def test_latex_has_booktabs_rules_and_whole_rows(main):
    printed = printed_table(main, STUDY)
    text = printing.latex(printed, "Values in %", "tab:x")
    assert all(rule in text for rule in (r"\toprule", r"\midrule", r"\bottomrule", r"Values in \%"))
    body = text.split(r"\midrule")[1].split(r"\bottomrule")[0].strip().splitlines()
    assert len(body) == len(printed)
    assert {len(re.findall(r"(?<!\\)&", line)) + 1 for line in body} == {printed.shape[1]}
    assert text.isascii()


def test_the_latex_table_of_a_study_is_narrow_enough_for_a_page(main):
    printed = printed_table(main, STUDY, main_columns.LATEX)
    text = printing.latex(printed, "", "")
    heads = text.split(r"\toprule")[1].split(r"\midrule")[0].strip().removesuffix(r" \\").split(" & ")
    assert heads[-3:] == [
        r"\shortstack{Synthetic\\{}subjects}",
        r"\shortstack{Accuracy\\{}[95~\%]}",
        r"\shortstack{Stress F1\\{}[95~\%]}",
    ]
    lines = [head.removeprefix(r"\shortstack{").removesuffix("}").split(r"\\{}") for head in heads]
    cells = [[*line, *texts] for line, texts in zip(lines, printed.to_numpy().T.tolist(), strict=True)]
    # \footnotesize has 8 points, of which a character takes about half; 6 points lie between two columns.
    points = sum(4.2 * max(map(len, cell)) + 6 for cell in cells)
    assert points < 174 * 72 / 25.4


def test_each_column_of_the_main_table_can_be_chosen(main):
    for key in keys_of(main_columns.MAIN):
        chosen = ["evaluation", "detector", key]
        main_columns.require_main(chosen)
        text = printing.latex(printed_table(main, STUDY, chosen), "", "tab:x")
        rows = text.split(r"\midrule")[1].split(r"\bottomrule")[0].strip().splitlines()
        assert len(rows) == 7, key
        assert all(row.endswith(r" \\") for row in rows), key
        groups = text.replace(r"\\", "")
        assert groups.count("{") - groups.count(r"\{") == groups.count("}") - groups.count(r"\}"), key
        assert not re.findall(r"nan|None|\d{5}", text), key


def test_an_unknown_column_is_refused_with_its_nearest():
    with pytest.raises(InputError, match=r"table_columns: .* found 'acuracy' \(did you mean 'accuracy'\?\)"):
        main_columns.require_main(["evaluation", "acuracy"])


def test_a_label_holds_nothing_that_tex_would_run():
    text = printing.latex(pd.DataFrame({"Detector": ["cnn"]}), "", "tab:a_b #1 & {c}")
    assert r"\label{tab:a_b-1-c-}" in text


def test_latex_escapes_names():
    printed = pd.DataFrame({"Detector": ["my_net & co"], "Accuracy": [f"{MINUS}0.100†"]})
    assert r"my\_net \& co & $-$0.100$^\dagger$ \\" in printing.latex(printed, "", "")


def test_html_has_the_same_cells_and_escapes_names(main):
    printed = printed_table(main, STUDY)
    printed.iloc[0, 0] = "<script>"
    page = printing.html(printed, "main")
    parser = Cells()
    parser.feed(page)
    assert [row for row in parser.rows if row] == printed.to_numpy().tolist()
    assert "<script>" not in page


def test_marked_rows_are_grey_in_html(main):
    page = printing.html(printed_table(main, STUDY), "main")
    assert len(re.findall(r'class="[^"]*marked[^"]*" *>[^<]*†', page)) == 5


def test_readers_see_each_baseline_once_an_evaluation_and_only_axes_that_vary(main):
    printed = printed_table(main, STUDY)
    assert printed["Detector"].tolist() == ["CNN", "Majority", *["CNN"] * 4, "Majority"]
    assert printed["ε generator"].tolist() == ["", "", "∞", "∞", "1", "1", ""]
    assert printed["Synthetic subjects"].tolist() == ["", "", "5", "15", "5", "15", ""]
    assert "Input noise" not in printed


def test_printed_numbers_are_the_rounded_ones(main):
    cell = printed_table(main, STUDY)["Accuracy [95 %]"][0]
    numbers = [float(text) for text in re.findall(r"\d\.\d{3}", cell)]
    assert numbers == pytest.approx(main.loc[0, ["accuracy", "accuracy_low", "accuracy_high"]], abs=5e-4)
    assert cell.endswith("†")
