"""Mark, p value and interval of a claim agree in everything that a reader sees."""

import io
import re
import tempfile
from html import unescape
from pathlib import Path

import pandas as pd
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st
from rich.console import Console

from pulseveil.core.randomness import root_stream
from pulseveil.summary.description import StudyDescription
from pulseveil.summary.printing import NOT_BETTER, html, latex, printed_table, write_csv
from pulseveil.summary.results import arrange, collect
from pulseveil.summary.tables import main_table, use_of_private_data
from pulseveil.summary.terminal import WIDTH, terminal_summary
from tests.unit.summary_cases import constant_scores, description, scores, write

# Wrong windows of 20: the majority is wrong in 6.
MINE_AND_THE_RULES = st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), min_size=2, max_size=12)
DIFFERENCE = re.compile(r"[+\-]?\d\.\d{3} (?:\[([+\-]?\d\.\d{3}), ([+\-]?\d\.\d{3})\] )?p[=<](\d\.\d+)")


def study(folder, wrong):
    mine = {f"S{i}": own for i, (own, _) in enumerate(wrong)}
    of_rule = {f"S{i}": rule for i, (_, rule) in enumerate(wrong)}
    records = [
        scores(mine, epsilon_detector=1),
        constant_scores(list(mine)),
        scores(of_rule, detector="public_signs"),
    ]
    described = StudyDescription.model_validate(description())
    results = collect(write(folder, records))
    main = main_table(results, arrange(results, described), described, None, root_stream(0))
    main = main.assign(n_seeds_asked=[1 if name == "cnn" else None for name in main["detector"]])
    main["shows_use_of_private_data"] = use_of_private_data(main)
    path = folder / "main.csv"
    write_csv(path, main)
    return main, path, described


def terminal(main):
    console = Console(width=WIDTH, file=io.StringIO())
    console.print(terminal_summary(main, ()))
    return console.file.getvalue()


def shown_claims(line):
    """(side by p and sign of the difference, side by the interval or None) of each difference in a line."""
    found = []
    for match in DIFFERENCE.finditer(line.replace("\N{MINUS SIGN}", "-")):
        low, high, p = match.groups()
        sign = -1 if match.group().startswith("-") else 1
        by_p = sign if float(p) <= 0.05 else 0
        # A limit that is rounded to 0 says by its sign where it lies.
        by_limits = None if low is None else (not low.startswith("-")) - high.startswith("-")
        found.append((by_p, by_limits))
    return found


# Without shrinking: a failure would take minutes to become a smaller one.
@settings(max_examples=12, deadline=None, phases=(Phase.explicit, Phase.generate))
@given(MINE_AND_THE_RULES)
# Thirteen of fifteen better, two much worse; all better by the same; two people much better.
@example([(1, 6)] * 13 + [(14, 6), (11, 6)])
@example([(i % 3, 5) for i in range(13)] + [(14, 6), (12, 6)])
@example([(0, 1)] * 12)
@example([(5, 6)] * 8 + [(0, 20), (1, 19)])
def test_mark_p_and_interval_agree_in_all_outputs(wrong):
    with tempfile.TemporaryDirectory() as folder:
        main, path, described = study(Path(folder), wrong)
        table = pd.read_csv(path, keep_default_na=False).set_index("detector")
    sides = {}
    for rule in ("majority", "public_signs"):
        name = f"accuracy_minus_{rule}"
        low, high, p = (float(table.loc["cnn", f"{name}_{part}"]) for part in ("low", "high", "p"))
        sides[rule] = int(low > 0) - int(high < 0)
        assert (p <= 0.05) == (sides[rule] != 0)
    not_better = sides["majority"] <= 0
    assert table.loc["cnn", "better_than_majority"] == ("no" if not_better else "yes")
    assert table.loc["cnn", "shows_use_of_private_data"] == ("yes" if sides["public_signs"] > 0 else "no")

    printed = printed_table(main, described)
    (row,) = [line for line in terminal(main).splitlines() if re.match(r"\s*cnn\b", line)]
    assert [by_p for by_p, _ in shown_claims(row)][:1] == [sides["majority"]]
    assert (NOT_BETTER in row) == not_better

    page = unescape(html(printed, "main"))
    (row,) = [part for part in page.split("<tr") if described.detector_title("cnn") in part]
    assert shown_claims(row) == [(sides[rule],) * 2 for rule in ("majority", "public_signs")]
    assert (NOT_BETTER in row) == ("marked" in row) == not_better

    text = latex(printed, "", "main").replace("$-$", "\N{MINUS SIGN}").replace("$<$", "<")
    (row,) = [line for line in text.splitlines() if described.detector_title("cnn") in line]
    assert shown_claims(row) == [(sides[rule],) * 2 for rule in ("majority", "public_signs")]
    assert (r"$^\dagger$" in row) == not_better
