"""Verdicts on private rows in the terminal are those of main.csv, and no number is cut at 100 characters."""

import io

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from pulseveil.detectors import COMPARED
from pulseveil.summary import labels, main_columns
from pulseveil.summary.column import by_key
from pulseveil.summary.terminal import WIDTH, terminal_summary

NUMBERS = ("accuracy", "f1", "auroc")


def row(detector, role="model", **values):
    """A row of a main table, as far as the terminal reads it."""
    names = {"evaluation": "real", "generator": "none", "detector": detector, "role": role}
    axes = {"unit": "subject", "epsilon_generator": np.inf, "epsilon_detector": np.inf}
    axes |= {"subjects": 0, "noise": 0.0, "signals": "all"}
    counts = {"n_seeds": 2, "n_subjects": 15, "n_windows": 460}
    metrics = {f"{name}{part}": value for name in NUMBERS for part, value in (("", 0.8), ("_low", 0.7))}
    metrics |= {f"{name}_high": 0.9 for name in NUMBERS}
    differences = {
        f"accuracy_minus_{rule}{part}": np.nan for rule in COMPARED for part in ("", "_low", "_high", "_p")
    }
    marks = {f"accuracy_minus_{rule}_two_people": "" for rule in COMPARED}
    others = {"better_than_majority": "yes", "generator_saw_test_subject": "", "delta": np.nan, "secret": ""}
    private = {"epsilon_pld": np.nan, "shows_use_of_private_data": "", "audit_epsilon_low": np.nan}
    return names | axes | counts | metrics | differences | marks | others | private | values


def private(detector="logistic", **values):
    verdict = {"delta": 1e-5, "secret": "yes", "epsilon_pld": 10.0, "epsilon_detector": 10.0}
    rule = "accuracy_minus_public_signs_three"
    verdict |= {rule: 0.121, f"{rule}_low": 0.0412, f"{rule}_high": 0.1849, f"{rule}_two_people": "yes"}
    return row(
        detector, **{**verdict, "shows_use_of_private_data": "yes", "audit_epsilon_low": 0.4321, **values}
    )


def lines(*rows):
    console = Console(width=WIDTH, file=io.StringIO())
    console.print(terminal_summary(pd.DataFrame(rows), ()), highlight=False)
    return console.file.getvalue().splitlines()


def line_of(detector, *rows):
    (found,) = [line for line in lines(*rows) if line.startswith(detector)]
    return found


@pytest.mark.parametrize("verdict", ["yes", "no", "few seeds"])
def test_a_private_row_has_difference_interval_mark_verdict_epsilon_and_audit(verdict):
    line = line_of("logistic", private(shows_use_of_private_data=verdict), row("majority", role="majority"))
    before, after = line.split("+0.121 [+0.04, +0.18]‡")
    assert "0.800 [0.70, 0.90]" in before
    assert after.split() == [*verdict.split(), "10", "0.432"]


def test_axes_on_which_the_models_are_equal_stand_in_the_title():
    rows = [private(), private("forest"), row("majority", role="majority")]
    (title,) = [line for line in lines(*rows) if line.startswith("real")]
    assert title.rstrip().endswith("2 seeds, ε det 10")
    assert not any("ε det" in line for line in lines(*rows) if line.startswith("detector"))
    differing = [*rows, row("logistic")]
    (head,) = [line for line in lines(*differing) if line.startswith("detector")]
    assert "ε det" in head


def test_blocks_without_a_private_row_are_not_judged():
    found = lines(row("logistic"), row("majority", role="majority"))
    assert not any("shown" in line or "public signs" in line or "audit" in line for line in found)


def test_no_number_is_cut_with_all_verdicts_and_long_names():
    names = {"evaluation": "tstr", "generator": "a_generator_with_a_very_long_name_that_is_folded"}
    signs = "accuracy_minus_public_signs"
    both = {signs: -0.1, f"{signs}_low": -0.2, f"{signs}_high": -0.05}
    levels = [
        {"epsilon_generator": 10.0, "epsilon_detector": 0.1, "subjects": 100, "unit": "window"},
        {"epsilon_generator": 1.0, "epsilon_detector": np.inf, "subjects": 10, "unit": "subject"},
    ]
    found = lines(*(private("a_long_detector", **names, **both, **level) for level in levels))
    assert max(map(len, found)) <= WIDTH
    text = "\n".join(found)
    assert "…" not in text
    assert text.count("0.800 [0.70, 0.90]") == text.count("+0.121 [+0.04, +0.18]‡") == 2
    assert text.count("0.432") == 2


def test_terminal_columns_are_columns_of_the_main_table():
    declared = by_key(main_columns.MAIN)
    assert set(main_columns.TERMINAL) <= set(declared)
    assert labels.difference_with_interval(0.121, 0.0412, 0.1849, 2) == "+0.121 [+0.04, +0.18]"
