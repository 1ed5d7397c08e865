import math

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pulseveil.core.errors import InputError
from pulseveil.core.identity import number_label, parse_number
from pulseveil.summary.printing import write_csv


@given(st.floats(allow_nan=False))
def test_a_label_reads_back_as_the_same_number(value):
    assert parse_number(number_label(value)) == value


@given(st.floats(allow_nan=False), st.floats(allow_nan=False))
def test_labels_are_equal_exactly_when_the_numbers_are(a, b):
    assert (number_label(a) == number_label(b)) == (a == b)


@given(st.integers(-(10**12), 10**12))
def test_whole_numbers_have_no_point(value):
    assert number_label(value) == number_label(float(value)) == str(value)


@pytest.mark.parametrize(
    ("value", "label"),
    [
        (1, "1"),
        (1.0, "1"),
        (0.1, "0.1"),
        (math.inf, "inf"),
        (-math.inf, "-inf"),
        (-0.0, "0"),
        (1e-5, "1e-05"),
    ],
)
def test_known_spellings(value, label):
    assert number_label(value) == label


@pytest.mark.parametrize(("text", "value"), [("1e-3", 1e-3), ("inf", math.inf), (".1", 0.1), (3, 3.0)])
def test_numbers_as_yaml_hands_them_over(text, value):
    assert parse_number(text) == value


@pytest.mark.parametrize("text", ["nan", math.nan, "ten", "", True, False])
def test_what_is_not_a_number_is_refused(text):
    with pytest.raises(ValueError, match=r"number|could not convert"):
        parse_number(text)


@pytest.mark.parametrize("cell", ["=1+1", "+1+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", "-S1"])
def test_a_text_that_is_a_formula_in_a_spreadsheet_is_not_written(tmp_path, cell):
    for table in (pd.DataFrame({"name": ["a", cell]}), pd.DataFrame({cell: [1]})):
        with pytest.raises(InputError, match="would be a formula in a spreadsheet"):
            write_csv(tmp_path / "t.csv", table)
    assert not list(tmp_path.iterdir())


def test_numbers_below_zero_are_written_and_read_back(tmp_path):
    table = pd.DataFrame({"change": [-0.5, 0.25], "text": ["-0.5", "inf"], "name": ["S1", "-inf"]})
    write_csv(tmp_path / "t.csv", table)
    assert pd.read_csv(tmp_path / "t.csv")["change"].tolist() == [-0.5, 0.25]
