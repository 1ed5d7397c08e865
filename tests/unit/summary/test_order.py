"""Epsilons have one order in all outputs: no budget first, then ever smaller budgets."""

import random
import re
from html import unescape
from io import StringIO
from itertools import product
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from pulseveil.summary.description import StudyDescription
from pulseveil.summary.published import read_published
from pulseveil.summary.summarize import summarize
from pulseveil.summary.terminal import terminal_summary
from tests.unit.summary_cases import (
    constant_scores,
    description,
    scores,
    write,
    write_generator,
    write_quality,
)

PUBLISHED = Path(__file__).resolve().parents[3] / "config" / "published.csv"
PEOPLE = {f"S{i}": i % 4 for i in range(2, 8)}
LEVELS = ("10", "inf", "0.1", "1")
UNITS = ("window", "subject")
TSTR = {"evaluation": "tstr", "generator": "cgan", "subjects": 15}
NAMES = {"cohort", "evaluation", "generator", "detector", "unit", "part", "scenario", "measure", "attack"}
AUDIT = {"part": "generator", "detector": "none", "epsilon_detector": "inf", "attack": "canaries"}
AUDIT |= {"canaries": 100, "guesses": 100, "correct": 52, "canaries_needed": 1000, "epsilon_claimed": 10}


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """Printed table and files of a study whose inputs are in an order of their own."""
    shuffle, folder = random.Random(0).shuffle, tmp_path_factory.mktemp("study")
    records = [constant_scores(list(PEOPLE), seed=seed) for seed in range(2)]
    for seed, unit, epsilon in product(range(2), UNITS, LEVELS):
        records.append(scores(PEOPLE, seed=seed, unit=unit, epsilon_detector=epsilon))
        records.append(scores(PEOPLE, seed=seed, unit=unit, epsilon_generator=epsilon, **TSTR))
    budgets = list(product(UNITS, ("10", "0.1", "1")))
    shuffle(budgets)
    models = [write_generator(folder, unit=unit, epsilon_generator=epsilon) for unit, epsilon in budgets]
    quality, audits = [], []
    for i, (unit, epsilon) in enumerate(budgets):
        keys = {"unit": unit, "epsilon_generator": epsilon}
        quality.append(write_quality(folder / f"quality{i}.csv", [0.5], **keys))
        audits.append(str(folder / f"audit{i}.csv"))
        row = {"cohort": "wesad", "generator": "cgan", **keys, **AUDIT, "epsilon_low": 0.05}
        pd.DataFrame([{**row, "epsilon_ceiling": 3.0}]).to_csv(audits[-1], index=False)
    files = write(folder, records)
    shuffle(files)
    study = StudyDescription.model_validate(description(models=models, quality=quality, audits=audits))
    found = summarize(study, files, folder / "results", published=read_published(PUBLISHED))
    console = Console(width=110, file=StringIO())
    console.print(terminal_summary(found.main, found.files))
    return console.file.getvalue(), found.files


def require_falling(rows: pd.DataFrame, where: str) -> int:
    """Rows that share all names have falling epsilons; returns the largest number of such rows."""
    rows = rows.rename(columns=lambda name: str(name).lower().replace("ε ", "epsilon ").replace(" ", "_"))
    rows = rows.rename(columns={"epsilon_gen": "epsilon_generator", "epsilon_det": "epsilon_detector"})
    axes = [name for name in ("epsilon_generator", "epsilon_detector") if name in rows]
    others = {"subjects", "synthetic_subjects", "noise", "seed", "fold", "subject", "metric", "against"}
    numbers = rows[axes].replace({"∞": "inf", "": "inf"}).astype(float).fillna(float("inf"))
    names = [name for name in rows if name in NAMES or (name in others and "csv" in where)]
    # A table that shows no name has one group: all its cells share the names in the line above.
    keys = [rows[name].fillna("") for name in names] or [pd.Series("", index=rows.index)]
    longest = 0
    for _, own in numbers.groupby(keys, sort=False):
        budgets = [tuple(-row) for row in own.to_numpy()]
        assert budgets == sorted(budgets), where
        longest = max(longest, len(set(budgets)))
    return longest


def html_tables(page: str):
    for table in re.findall(r"<table.*?</table>", page, re.DOTALL):
        heads = [unescape(re.sub("<.*?>", "", cell)).strip() for cell in re.findall(r"<th.*?</th>", table)]
        rows = [re.findall(r"<td.*?</td>", row) for row in re.findall(r"<tr.*?</tr>", table, re.DOTALL)]
        texts = [[unescape(re.sub("<.*?>", "", cell)).strip() for cell in row] for row in rows if row]
        if {"ε generator", "ε detector", "epsilon generator"} & set(heads):
            yield pd.DataFrame(texts, columns=heads)


def test_rows_of_all_csv_files_have_falling_epsilons(done):
    longest = {}
    for path in done[1]:
        if path.suffix == ".csv" and "epsilon_generator" in (table := pd.read_csv(path)):
            longest[path.stem] = require_falling(table, path.name)
    assert longest.pop("differences") >= 1
    assert longest == {"main": 4, "per_subject": 4, "quality": 3, "audit": 3, "reproduction": 4}


def test_rows_of_all_html_tables_have_falling_epsilons(done):
    longest = []
    for path in done[1]:
        if path.suffix == ".html":
            longest += [require_falling(table, path.name) for table in html_tables(path.read_text())]
    # The main table of main.html, its two forms in the report, quality, and attacks.
    assert len([count for count in longest if count >= 3]) >= 5


def test_ticks_of_all_figures_have_falling_epsilons(done):
    shown = set()
    for path in done[1]:
        if path.suffix != ".svg":
            continue
        # Matplotlib writes each text as a comment above its outlines.
        for axis in path.read_text().split('<g id="matplotlib.axis_')[1:]:
            ticks = re.findall(r"<!-- (∞|[\d.]+) -->", axis.split('<g id="matplotlib.axis_')[0])
            if "∞" in ticks:
                shown.add(path.stem)
                assert ticks[:4] == ["∞", "10", "1", "0.1"], path.name
    assert shown == {
        f"{name}{end}" for name in ("axes_real", "axes_tstr", "privacy", "ways") for end in ("", "-column")
    }


def test_texts_name_falling_epsilons(done):
    terminal, files = done
    report = next(path for path in files if path.name == "report.html").read_text()
    statement = next(path for path in files if path.name == "statement.txt").read_text()
    (group, second) = re.findall(r"Private \(ε ([\d., ]+)\)", terminal)
    (guarantee, *_) = re.findall(r"one model: epsilon ([\d., ]+) for", report)
    for listed in (group, second, guarantee):
        budgets = list(map(float, listed.split(", ")))
        assert len(budgets) >= 3
        assert budgets == sorted(budgets, reverse=True)
    rows = [line.split() for line in terminal.splitlines() if re.match(r"cnn +cgan", line)]
    assert [row[3] for row in rows] == ["∞", "10", "1", "0.1"] * 2
    for part in ("epsilon_generator", "epsilon_detector"):
        assert re.findall(rf"{part} ([\d.]+)[\n,]", statement) == ["10", "1", "0.1"] * 2
