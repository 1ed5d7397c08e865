"""What the last screen promises about private rows, and what it must not promise."""

import numpy as np
import pandas as pd
import pytest

from pulseveil.summary.terminal import claims


def rows(*private):
    """A main table with a row without a budget and the rows (unit, epsilon, secret, use of private data)."""
    plain = {"role": "model", "unit": "subject", "delta": np.nan, "epsilon_pld": np.nan, "secret": ""}
    columns = ("unit", "epsilon_pld", "secret", "shows_use_of_private_data")
    found = [plain | {"delta": 1e-5} | dict(zip(columns, row, strict=True)) for row in private]
    return pd.DataFrame([plain | {"shows_use_of_private_data": ""}, *found])


def test_each_unit_has_one_sentence_with_all_its_epsilons():
    table = rows(("subject", 10, "yes", "yes"), ("subject", 1, "yes", "no"), ("window", 3, "yes", "no"))
    person, window, unshown, rest = claims(table)
    assert person.startswith("Private (ε 10, 1): ")
    assert "with the recordings of one whole person as without them" in person
    assert "except with probability about 1e-05" in person
    assert window.startswith("Private (ε 3): ")
    assert "one window" in window
    assert unshown.startswith("Private rows not shown to use the recordings: 2 of 3")
    assert rest == "Rows without ε have no budget: nothing protects the people behind them."


@pytest.mark.parametrize("table", [rows(), rows(("subject", 10, "no", "yes"))])
def test_rows_without_secret_noise_promise_nothing(table):
    assert claims(table) == []


def test_rows_that_are_shown_to_use_the_recordings_are_not_doubted():
    assert len(claims(rows(("subject", 10, "yes", "yes")))) == 2
