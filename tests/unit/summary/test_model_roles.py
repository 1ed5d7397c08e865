"""What a model is follows from its kind, whatever its name, and the summary knows no name at all."""

import ast
import os
import re
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import pulseveil.summary
from pulseveil.core import paths, store
from pulseveil.core.atomic import write_json
from pulseveil.core.identity import parse_number
from pulseveil.study import tasks
from pulseveil.study.checks import make_plan
from pulseveil.study.reading import check_study
from pulseveil.summary.description import describe
from pulseveil.summary.palette import model_colours
from pulseveil.summary.published import read_published
from pulseveil.summary.summarize import summarize
from tests.unit.summary_cases import (
    WESAD,
    constant_scores,
    ledger_of,
    scores,
    write_portrait,
)

ROOT = Path(__file__).resolve().parents[3]
SUMMARY = Path(pulseveil.summary.__file__).parent
PUBLISHED = ROOT / "config" / "published.csv"
GROUPS = ("cohorts", "generators", "detectors")
PEOPLE = tuple(f"S{i}" for i in range(1, 7))
WRONG = dict(zip(PEOPLE, (2, 4, 3, 0, 1, 3), strict=True))
# Mean accuracy of a model that decides `WRONG` windows of 20 wrongly, and of the rule that is right in 14.
GAIN = 1 - 13 / 120 - 0.7
COHORT = {"simulated": {"kind": "simulated", "subjects": 6}}


def summarized(folder, detectors, answers, published=None, measures=("two_sample_1nn",), **study):
    """The summary of a study whose detectors answered as `answers` says, by name; and its folder."""
    values = {
        "name": "roles",
        "seed": 1,
        "protocol": "sound",
        "cohorts": COHORT,
        "detectors": detectors,
        "seeds": 1,
        "keep": "none",
        "evaluations": [
            {"name": "real", "cohort": next(iter(study.get("cohorts", COHORT))), "train": "real"}
        ],
        **study,
    }
    plan = make_plan(check_study(values, "study.yaml"))
    prepare(plan, folder, measures)
    files = []
    for row in plan.cells.drop(columns=["pack", "folds"]).to_dict("records"):
        files.append(folder / paths.SCORES.format(study="roles", **row))
        numbers = {key: row[key] for key in ("epsilon_generator", "epsilon_detector")}
        keys = {**row, **{key: parse_number(value) for key, value in numbers.items()}}
        keys["noise"] = parse_number(row["noise"])
        store.write_record(files[-1], answers[row["detector"]](**keys), cell_hash=str(row))
    return summarize(describe(plan, folder), files, folder / "out", published=published), folder / "out"


def prepare(plan, folder, measures):
    """The files that a summary reads beside scores."""
    for name in plan.study.cohorts:
        windows = folder / paths.WINDOWS.format(study="roles", cohort=name, windows="detector")
        write_json(store.sidecar_path(windows), {"cohort": []})
    for path in (folder / name for name in tasks.files(plan, "train_generator")):
        _, words = paths.words(paths.MODELS, path)
        store.write_models(
            path, store.Models({}, {}, {"S1": ledger_of(words, "epsilon_generator")}), cell_hash="x"
        )
    for path in (folder / name for name in tasks.files(plan, "assess_quality")):
        _, words = paths.words(paths.QUALITY, path)
        rows = [{**words, "measure": measure, "value": i / 10} for i, measure in enumerate(measures)]
        rest = dict.fromkeys(("low", "high", "floor", "floor_low", "floor_high", "held_out"), 0.5)
        path.parent.mkdir(parents=True, exist_ok=True)
        table = pd.DataFrame(rows).assign(fold="S1", signal="all", condition="all", **rest)
        table.drop(columns="study").to_csv(path, index=False)
    for path in map(Path, tasks.portraits(plan)):
        write_portrait(folder / path, generator=path.parts[4])


def model(**keys):
    return scores(WRONG, **keys)


def rule(**keys):
    return constant_scores(PEOPLE, **keys)


def worse(**keys):
    """Right in 10 windows of 20."""
    return scores(dict.fromkeys(PEOPLE, 10), **keys)


RENAMED = {"name": "always_rest", "kind": "majority"}
IMPOSTOR = {"name": "majority", "kind": "cnn"}


def test_the_majority_under_another_name_is_the_baseline(tmp_path):
    answers = {"logistic": model, "always_rest": rule}
    summary, out = summarized(tmp_path, ["logistic", RENAMED], answers)
    rows = summary.main.set_index("detector")
    assert rows.loc["logistic", "accuracy_minus_majority"] == pytest.approx(GAIN)
    assert rows.loc["logistic", "better_than_majority"] == "yes"
    assert np.isnan(rows.loc["always_rest", "accuracy_minus_majority"])
    assert rows.loc["always_rest", "better_than_majority"] == ""
    assert list(rows.index) == ["logistic", "always_rest"]
    differences = pd.read_csv(out / "tables" / "differences.csv")
    assert differences.groupby("against")["reference_detector"].unique()["majority"].tolist() == [
        "always_rest"
    ]
    report = (out / "report.html").read_text()
    assert "majority rule is not part" not in report
    assert "always_rest (Majority)" in report


def test_a_network_that_is_called_majority_is_no_baseline(tmp_path):
    answers = {"logistic": model, "majority": worse}
    summary, out = summarized(tmp_path, ["logistic", IMPOSTOR], answers)
    assert summary.main["accuracy_minus_majority"].isna().all()
    assert (summary.main["better_than_majority"] == "").all()
    differences = pd.read_csv(out / "tables" / "differences.csv")
    assert set(differences["against"]) == {"detector"}
    assert "majority rule is not part" in (out / "report.html").read_text()
    # Both are models: each has a row of its own in the figure of means, none is a line.
    assert "majority (CNN)" in (out / "report.html").read_text()


def test_two_kinds_that_change_their_names_change_nothing_else(tmp_path):
    swapped = [{"name": "cnn", "kind": "majority"}, IMPOSTOR]
    summary, _ = summarized(tmp_path, swapped, {"cnn": rule, "majority": model})
    rows = summary.main.set_index("detector")
    assert rows.loc["majority", "accuracy_minus_majority"] == pytest.approx(GAIN)
    assert np.isnan(rows.loc["cnn", "accuracy_minus_majority"])


def test_of_two_rules_of_a_role_the_first_of_the_study_is_compared(tmp_path):
    by_protocol = {"name": "a_protocol", "kind": "majority", "settings": {"source": "simulated"}}
    answers = {"logistic": model, "majority": rule, "a_protocol": worse}
    summary, out = summarized(tmp_path, ["logistic", "majority", by_protocol], answers)
    rows = summary.main.set_index("detector")
    assert rows.loc["logistic", "accuracy_minus_majority"] == pytest.approx(GAIN)
    assert rows.loc["a_protocol", "accuracy_minus_majority"] == pytest.approx(0.5 - 0.7)
    assert np.isnan(rows.loc["majority", "accuracy_minus_majority"])
    differences = pd.read_csv(out / "tables" / "differences.csv")
    both = differences[(differences["detector"] == "logistic") & (differences["metric"] == "accuracy")]
    assert dict(zip(both["reference_detector"], both["difference"], strict=True)) == pytest.approx(
        {"majority": GAIN, "a_protocol": GAIN + 0.2}
    )


def test_networks_are_compared_with_the_untrained_network_of_their_shape(tmp_path):
    shape = {"filters": 8}
    detectors = [
        "cnn",
        {"name": "small", "kind": "cnn", "settings": {**shape, "epochs": 3, "private": {"steps": 7}}},
        "logistic",
        {"name": "first", "kind": "untrained"},
        {"name": "of_small", "kind": "untrained", "settings": {"network": "cnn", "settings": shape}},
    ]
    answers = {"cnn": model, "small": model, "logistic": model, "first": rule, "of_small": worse}
    summary, out = summarized(tmp_path, detectors, answers)
    found = summary.main.set_index("detector")["accuracy_minus_untrained"]
    assert found[["cnn", "small"]].tolist() == pytest.approx([GAIN, GAIN + 0.2])
    assert found[["logistic", "first", "of_small"]].isna().all()
    differences = pd.read_csv(out / "tables" / "differences.csv")
    pairs = differences[differences["against"] == "untrained"]
    assert set(zip(pairs["detector"], pairs["reference_detector"], strict=True)) == {
        ("cnn", "first"),
        ("small", "of_small"),
    }


def test_public_signs_under_another_name_judge_private_rows(tmp_path):
    detectors = ["logistic", {"name": "textbook", "kind": "public_signs"}]
    summary, _ = summarized(tmp_path, detectors, {"logistic": model, "textbook": worse}, epsilons=[1])
    row = summary.main.set_index("detector").loc["logistic"]
    assert row["accuracy_minus_public_signs"] == pytest.approx(GAIN + 0.2)
    assert row["shows_use_of_private_data"] == "few seeds"


def test_a_published_model_is_a_kind_and_not_a_name(tmp_path):
    people = dict.fromkeys(WESAD, 2)
    study = {
        "protocol": "paper",
        "cohorts": {"wesad": {"kind": "wesad", "data": str(tmp_path / "nowhere")}},
        "evaluations": [
            {"name": "real", "cohort": "wesad", "train": "real", "published": "1-LOSO_15real"},
        ],
    }
    detectors = [{"name": "mine", "kind": "cnn"}, {"name": "cnn_lstm", "kind": "logistic"}]
    answers = dict.fromkeys(("mine", "cnn_lstm"), lambda **keys: scores(people, **keys))
    summary, out = summarized(tmp_path, detectors, answers, published=read_published(PUBLISHED), **study)
    published = summary.main.set_index("detector")["published_accuracy"]
    assert published["mine"] == 0.8812
    assert np.isnan(published["cnn_lstm"])
    compared = pd.read_csv(out / "tables" / "reproduction.csv")
    assert compared.loc[compared["ours"].notna(), "detector"].tolist() == ["cnn"]


def test_a_measure_that_no_table_knows_reaches_the_report(tmp_path):
    study = {
        "generators": [{"name": "moments", "settings": {}}],
        "evaluations": [
            {"name": "tstr", "cohort": "simulated", "train": "synthetic", "synthetic_subjects": [2]}
        ],
    }
    measures = ("my_measure", "coverage", "two_sample_1nn")
    _, out = summarized(tmp_path, ["logistic"], {"logistic": model}, measures=measures, **study)
    report = (out / "report.html").read_text()
    (quality,) = re.findall(r'<h2 id="quality">.*?<h2 id="claims">', report, re.DOTALL)
    heads = re.findall(r"<th>(.*?)</th>", quality)
    assert heads[-3:] == ["1-NN accuracy → ½", "Coverage ↑", "my_measure"]
    assert "<td>0.200 (0.500)</td>" in report
    assert "<td>0.000 (0.500)</td>" in report


OUTSIDE = """
from pulseveil.generators import Generator, GeneratorSettings

class Flat(Generator):
    Settings, version, title, noise_size = GeneratorSettings, 1, "Flat", 0
    @classmethod
    def fit(cls, settings, training): ...
    @classmethod
    def from_arrays(cls, settings, arrays): ...
    @staticmethod
    def expected_seconds(settings, rows, private): return 0.0
    def arrays(self): ...
    def sample(self, condition, noise): ...

class Steep(Flat):
    title = "Steep"
"""
CODE = """
import sys
from pathlib import Path
from tests.unit.summary.test_model_roles import model, summarized

folder = Path(sys.argv[1])
evaluation = {"name": "tstr", "cohort": "simulated", "train": "synthetic", "synthetic_subjects": [2, 5]}
summarized(folder, ["logistic"], {"logistic": model}, generators=sys.argv[2:], evaluations=[evaluation])
"""


def colours(folder, *generators):
    """The colours of the lines over the axis, that are no greys, of a study with outside generators."""
    (folder / "outside.py").write_text(OUTSIDE)
    info = folder / "outside-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: outside\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[pulseveil.generators]\nflat = outside:Flat\nsteep = outside:Steep\n"
    )
    found = os.pathsep.join([str(folder), str(ROOT), *sys.path])
    subprocess.run(
        [sys.executable, "-c", CODE, str(folder), *generators],
        check=True,
        env={**os.environ, "PYTHONPATH": found},
    )
    svg = (folder / "out" / "figures" / "axes_tstr.svg").read_text()
    strokes = {stroke.lower() for stroke in re.findall(r"stroke: #([0-9a-fA-F]{6})", svg)}
    return {stroke for stroke in strokes if len({stroke[0:2], stroke[2:4], stroke[4:6]}) > 1}


def test_outside_generators_differ_from_each_other_and_from_known_ones(tmp_path):
    alone, beside = tmp_path / "alone", tmp_path / "beside"
    for folder in (alone, beside):
        folder.mkdir()
    cgan = "0072b2"
    both = colours(alone, "flat", "steep")
    assert len(both) == 2
    assert cgan not in both
    assert colours(beside, "flat", "cgan", "steep") == {cgan, *both}


def test_a_second_model_of_a_kind_has_a_colour_of_its_own():
    own = {"cgan": "#0072B2", "long": "#0072B2", **{f"other_{i}": None for i in range(20)}}
    found = model_colours(own)
    assert found["cgan"] == "#0072B2"
    assert len(set(found.values())) == len(own)


# `table` is a kind of cohort and `files` one of generators, and words that the summary needs for its own.
NAMES = tuple(
    entry.name
    for group in GROUPS
    for entry in entry_points(group=f"pulseveil.{group}")
    if entry.name not in ("table", "files")
)
WORD = re.compile(rf"\b({'|'.join(map(re.escape, NAMES))})\b", re.IGNORECASE)


def named(path):
    """The registered names in the code and texts of a module; docstrings and comments decide nothing."""
    if path.suffix == ".jinja":
        return WORD.findall(path.read_text())
    tree = ast.parse(path.read_text())
    prose = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        and isinstance(node.body[0], ast.Expr)
    }
    words = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
            words += WORD.findall(node.value)
        for field in ("id", "attr", "arg", "name", "asname"):
            identifier = getattr(node, field, None)
            if isinstance(identifier, str) and identifier.strip("_").lower() in NAMES:
                words.append(identifier)
    return words


def test_the_entry_points_are_those_of_this_library():
    assert {"wesad", "cgan", "majority"} <= set(NAMES)


@pytest.mark.parametrize(
    "path", sorted([*SUMMARY.glob("*.py"), *SUMMARY.glob("*.jinja")]), ids=lambda path: path.name
)
def test_no_module_of_the_summary_names_a_model_or_a_cohort(path):
    assert named(path) == []


def test_the_check_itself_finds_names(tmp_path):
    lines = ('"""cgan"""', "MAJORITY = 1", 'x = "a cGAN, say"', 'y = f"{x} wesad"', "z = row.moments")
    (tmp_path / "m.py").write_text("\n".join([*lines, 'ok = "better_than_majority"']))
    assert sorted(named(tmp_path / "m.py")) == ["MAJORITY", "cGAN", "moments", "wesad"]
    (tmp_path / "t.jinja").write_text("{{ x }} of Wesad")
    assert named(tmp_path / "t.jinja") == ["Wesad"]


def test_every_kind_has_a_title_and_detectors_a_role():
    for group in ("generators", "detectors"):
        kinds = {entry.name: entry.load() for entry in entry_points(group=f"pulseveil.{group}")}
        assert len({kind.title for kind in kinds.values()}) == len(kinds)
        assert group == "generators" or {kind.role for kind in kinds.values()} >= {"model", "majority"}
