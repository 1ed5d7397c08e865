import json
import math
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from pulseveil.core.randomness import root_stream
from pulseveil.privacy import ledger
from pulseveil.privacy.budget import Mechanism
from pulseveil.privacy.ledger import close
from pulseveil.privacy.models import Setting, model_kinds
from pulseveil.privacy.noise import Noise, reproducible
from pulseveil.privacy.statement import Unbudgeted, statement

SCRIPT = Path(__file__).parents[3] / "scripts" / "statement.py"
SECRET = Noise(bytes(32), secret=True)
SUBJECT = Mechanism("means", "subject", 14, 1, 14, 1, 1.5, 2.575)
WINDOW = Mechanism("means", "window", 495, 1, 495, 1, 1.5, 2.575)
POISSON = Mechanism("cnn", "window", 495, 64 / 495, 112, 160, 0.5, 4.34)
OF_GENERATOR = {"cohort": "wesad", "generator": "cgan", "unit": "window", "epsilon_generator": "10"}
OF_DETECTOR = {"evaluation": "tstr", "generator": "cgan", "detector": "cnn", "unit": "window"}
OF_DETECTOR |= {"epsilon_generator": "10", "epsilon_detector": "1"}
# Fourier resampling of the whole recording, scaled by its minimum and maximum.
PAPER = {"reach_s": math.inf, "scaling": "min-max"}


def entry(mechanism=SUBJECT, noise=SECRET, **inputs):
    quantities = ("share of stress windows (0.3)",)
    closed = close(
        mechanism,
        steps_noised=mechanism.steps,
        delta=1e-5,
        noise=noise,
        public_quantities=quantities,
        program=1,
    )
    return replace(closed, inputs=inputs)


def tables(text):
    """Every table of a statement as {delta: {column: value}}, by the line above it."""
    found, lines = {}, text.splitlines()
    for i, line in enumerate(lines):
        if line.split()[:1] == ["delta"]:
            head = re.split(r"\s{2,}", line.strip())
            rows = []
            for row in lines[i + 1 :]:
                if not re.fullmatch(r"[\d\s.,e+-]+", row) or not row.strip():
                    break
                rows.append([float(cell.replace(",", "")) for cell in row.split()])
            found[lines[i - 1]] = {row[0]: dict(zip(head[1:], row[1:], strict=False)) for row in rows}
    return found


def test_one_query_on_people_at_three_deltas():
    first = next(iter(tables(statement([entry()], Setting())).values()))
    assert list(first) == [1e-3, 1e-5, 1e-6]
    assert [first[delta]["epsilon"] for delta in first] == pytest.approx([1.0, 1.51, 1.71], abs=0.011)
    assert first[1e-3]["exchanged"] == pytest.approx(2.30, abs=0.006)
    assert first[1e-3]["mu"] == pytest.approx(0.388)
    for delta in first:
        assert first[delta]["person"] == first[delta]["any 60 s"] == first[delta]["epsilon"]


@pytest.mark.parametrize(
    ("stride_s", "reach_s", "minute"), [(30, 0, 5.46), (60, 0, 2.30), (60, 30, 3.80), (45, 30, 5.46)]
)
def test_a_minute_and_a_person_in_a_training_on_windows(stride_s, reach_s, minute):
    """4, 2, 3 and 4 windows of a minute and 36 of a person: as in the published table of groups."""
    setting = Setting(strides_s=(30, stride_s), labelled_s=36 * stride_s, reach_s=reach_s)
    first = next(iter(tables(statement([entry(WINDOW)], setting)).values()))
    assert first[1e-3]["any 60 s"] == pytest.approx(minute, abs=0.006)
    assert first[1e-3]["person"] == pytest.approx(140, abs=1)


def test_sampled_steps_show_every_value_and_no_mu():
    text = statement([entry(POISSON)], Setting())
    first = next(iter(tables(text).values()))
    assert first[1e-3]["epsilon"] == pytest.approx(0.999)
    assert first[1e-3]["unamplified"] == pytest.approx(12.6)
    assert first[1e-3]["epsilon"] < first[1e-3]["RDP"] < first[1e-3]["exchanged"]
    assert "mu" not in first[1e-3]
    assert "drawn with probability 0.1293 in each step, larger draws cut to 112" in " ".join(text.split())


@pytest.mark.parametrize(("seeds", "published"), [(1, 5.0), (10, 24.0)])
def test_all_models_of_15_folds(seeds, published):
    people = [f"S{i}" for i in range(15)]
    one = entry(evaluation="real", detector="means")
    folds = [
        replace(
            one, inputs={**one.inputs, "seed": seed, "fold": out, "people": [p for p in people if p != out]}
        )
        for seed in range(seeds)
        for out in people
    ]
    text = statement(folds, Setting())
    last = list(tables(text).values())[-1]
    assert f"All models of this ledger, each person in at most {14 * seeds} of them" in text
    assert last[1e-3]["person"] == pytest.approx(published, rel=5e-3)


def test_generator_and_detector_of_a_cell_compose_through_a_minute():
    """One query each: the generator's minute changes 6 windows, the detector's 3."""
    entries = [entry(WINDOW, **OF_GENERATOR), entry(WINDOW, **OF_DETECTOR)]
    text = statement(entries, Setting())
    assert "Generator and detector of one cell" in text
    multiplier = 2.575 / (6**2 + 3**2) ** 0.5
    truth = entry(replace(WINDOW, noise_multiplier=multiplier))
    both = list(tables(text).values())[2]
    assert both[1e-5]["any 60 s"] == pytest.approx(truth.epsilon_pld, abs=0.006 * truth.epsilon_pld)
    other = statement([entries[0], entry(WINDOW, **OF_DETECTOR | {"epsilon_generator": "1"})], Setting())
    assert "of one cell" not in other


def test_folds_and_seeds_of_a_kind_are_shown_once_at_their_most_expensive():
    small = replace(SUBJECT, n=13, capacity=13, noise_multiplier=2.0)
    models = [
        entry(m, evaluation="real", detector="means", seed=seed, fold=fold, release=f"{fold}{seed}")
        for m, fold in ((SUBJECT, "S2"), (small, "S3"))
        for seed in range(2)
    ]
    (kind,) = model_kinds(models)
    assert kind.mechanisms == (small,)
    assert kind.inputs == {"evaluation": "real", "detector": "means"}


def test_mechanisms_of_one_model_stay_together():
    (kind,) = model_kinds([entry(release="a"), entry(replace(SUBJECT, name="moments"), release="a")])
    assert [mechanism.name for mechanism in kind.mechanisms] == ["means", "moments"]


def test_tables_of_a_study_and_the_whole_study():
    entries = [entry(evaluation="a", detector="x"), entry(evaluation="b", detector="x")]
    text = statement(entries, Setting())
    found = tables(text)
    one = next(value for name, value in found.items() if "All models of the table a" in name)
    both = next(value for name, value in found.items() if "All models of this ledger" in name)
    assert one[1e-3]["person"] == pytest.approx(1.0, abs=0.006)
    two = entry(replace(SUBJECT, steps=2))
    assert both[1e-5]["person"] == pytest.approx(two.epsilon_pld, abs=0.006 * two.epsilon_pld)


@pytest.mark.parametrize(
    ("unbudgeted", "told"),
    [
        (
            [Unbudgeted("forest", ("real",), 30), Unbudgeted("cgan", ("tstr",), 4)],
            "34 models without a budget learn from the same people (forest, cgan): nothing that is published",
        ),
        (None, "A ledger names models with a budget only."),
        ([], ""),
    ],
)
def test_totals_say_what_they_leave_out(unbudgeted, told):
    words = " ".join(statement([entry()], Setting(), unbudgeted=unbudgeted).split())
    assert told in words
    assert ("hold for the private ones alone" in words) == bool(told)


def test_what_is_protected_and_what_is_not():
    words = " ".join(statement([entry()], Setting()).split())
    assert "One whole person" in words
    assert "14 subjects" in words
    assert "share of stress windows (0.3)" in words
    assert "contribution is zero in one of them" in words
    assert "The people that a model is tested on" in words
    assert "not cryptographic" in words
    assert "float32" in words
    assert "scale a person's signals" not in words
    assert "NOT PRIVATE" not in words


def test_windows_name_their_gaps():
    sound = " ".join(statement([entry(WINDOW)], Setting()).split())
    paper = " ".join(statement([entry(WINDOW)], Setting(**PAPER)).split())
    public = " ".join(statement([entry(WINDOW)], Setting(scaling="public")).split())
    assert "One window of one person" in sound
    assert "6 windows of 60 s every 30 s and 3 windows of 60 s every 60 s" in sound
    assert "up to 30 s further" in sound
    assert "signals (mean of each channel over the first rest)" in sound
    assert "no guarantee for raw seconds" not in sound
    assert "no guarantee for raw seconds" in paper
    assert "signals (minimum and maximum of each channel over all labelled seconds)" in paper
    assert "further, as far as filters" not in paper
    assert "scale a person's signals" not in public


def test_where_a_second_changes_the_whole_recording_no_minute_has_an_epsilon():
    rows = re.findall(r"^ +(?:0.001|1e-0[56]).*$", statement([entry(WINDOW)], Setting(**PAPER)), re.MULTILINE)
    assert len(rows) == 6
    assert all("no bound" in row for row in rows)
    of_people = statement([entry()], Setting(**PAPER))
    assert "no bound" not in of_people


def test_the_script_asks_for_the_protocol_where_no_study_tells_it(tmp_path):
    """Without an answer, windows of a resampled recording would pass for those of a minute."""
    ledger.write(tmp_path / "ledger.json", [entry(WINDOW)])
    answer = run_script(tmp_path / "ledger.json")
    assert answer.returncode == 2
    assert "--protocol" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_reproducible_noise_is_called_not_private_first():
    text = statement([entry(), entry(noise=reproducible(root_stream(1)), detector="b")], Setting())
    assert text.startswith("NOT PRIVATE (reproducible noise)")
    assert "not private (reproducible noise)" in " ".join(text.split())


def test_an_empty_ledger_protects_nothing():
    assert "nothing is protected" in statement([], Setting())


def test_lines_fit_a_terminal():
    entries = [entry(WINDOW, **OF_GENERATOR), entry(POISSON, **OF_DETECTOR)]
    assert max(map(len, statement(entries, Setting(**PAPER)).splitlines())) <= 105


def run_script(*arguments):
    return subprocess.run(
        [sys.executable, SCRIPT, *map(str, arguments)], capture_output=True, text=True, check=False
    )


def test_the_script_prints_a_statement(tmp_path):
    ledger.write(tmp_path / "ledger.json", [entry(WINDOW)])
    answer = run_script(tmp_path / "ledger.json", "--protocol", "paper")
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout == statement([entry(WINDOW)], Setting(**PAPER))


def test_the_script_refuses_a_mis_stated_ledger(tmp_path):
    path = tmp_path / "ledger.json"
    ledger.write(path, [entry(POISSON)])
    path.write_text(json.dumps([json.loads(path.read_text())[0] | {"noise_multiplier": 5.0}]))
    answer = run_script(path, "--protocol", "sound")
    assert answer.returncode == 2
    assert "epsilon_pld is stated as" in answer.stderr
    assert "Traceback" not in answer.stderr
