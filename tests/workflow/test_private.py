"""Private studies through Snakemake: planned spend, ledgers, secrets, reruns."""

import json
import re
import shutil

import pandas as pd
import pytest

from tests.workflow.conftest import LIGHT, Runner

pytestmark = pytest.mark.workflow

PRIVATE = LIGHT | {
    "name": "guarded",
    "detectors": ["logistic", "public_signs"],
    "units": ["subject", "window"],
    "epsilons": ["inf", 8],
    "evaluations": [
        {"name": "real", "cohort": "simulated", "train": "real"},
        {
            "name": "tstr",
            "cohort": "simulated",
            "train": "synthetic",
            "synthetic_subjects": [2],
            "epsilon_generator": [8],
        },
        {
            "name": "augmented",
            "cohort": "simulated",
            "train": "real+synthetic",
            "synthetic_subjects": [2],
            "epsilon_generator": [8],
            "epsilon_detector": [8],
        },
    ],
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    runner = Runner(tmp_path_factory.mktemp("guarded"))
    runner.snakemake(study=PRIVATE)
    return runner


@pytest.fixture
def copied(finished, tmp_path):
    shutil.copytree(finished.directory, tmp_path / "copy")
    return Runner(tmp_path / "copy")


def main_rows(runner):
    table = pd.read_csv(runner.result("tables/main.csv", "guarded"))
    return table.set_index(["evaluation", "detector", "unit", "epsilon_generator", "epsilon_detector"])


def test_a_dry_run_prints_what_each_cell_will_spend(runner):
    text = runner.snakemake("-n", "--quiet", study=PRIVATE).stderr
    assert "planned spend of one trained model, delta 1e-05 (secret noise)" in text
    assert re.search(r"real +none +logistic +window +inf +8 +8\n", text)
    assert re.search(r"tstr +moments +logistic +subject +8 +inf +8\n", text)
    # Two Gaussian parts of epsilon 8 at delta 1e-5 (mu 1.666 each) spend 12.3 together: sqrt(2) times mu.
    assert re.search(r"augmented +moments +logistic +subject +8 +8 +12\.3\n", text)


def test_parts_above_the_total_are_refused_before_any_job(runner):
    result = runner.snakemake(study=PRIVATE | {"epsilon_total": 10}, check=False)
    output = result.stdout + result.stderr
    assert result.returncode != 0
    assert "spend epsilon 12.3 together, epsilon_total is 10" in output
    assert "Traceback" not in output
    assert not runner.result("windows", "guarded").exists()


def test_a_delta_too_large_for_the_cohort_is_refused(runner):
    result = runner.snakemake(study=PRIVATE | {"delta": 0.01}, check=False)
    assert "delta: 0.01 is above 1 / (100 x 222)" in result.stdout + result.stderr


def test_every_private_row_has_its_epsilon_at_both_units(finished):
    rows = main_rows(finished)
    person = rows.loc[("real", "logistic", "subject", float("inf"), 8.0)]
    assert person[["epsilon_pld", "epsilon_subject"]].tolist() == pytest.approx([8, 8], rel=5e-3)
    assert person["epsilon_replace_one"] > person["epsilon_rdp"] > person["epsilon_pld"]
    window = rows.loc[("real", "logistic", "window", float("inf"), 8.0)]
    assert window["epsilon_window"] == pytest.approx(8, rel=5e-3)
    assert window["epsilon_subject"] > window["epsilon_60_s"] > window["epsilon_window"]
    both = rows.loc[("augmented", "logistic", "subject", 8.0, 8.0)]
    assert both["epsilon_pld"] == pytest.approx(12.3, abs=0.1)
    private = rows[rows["epsilon_pld"].notna()]
    assert set(private["secret"]) == {"yes"}
    # Two seeds are too few for a claim: moments is one query, logistic a training.
    assert private["n_seeds_asked"].groupby(level="evaluation").unique().map(list).to_dict() == {
        "augmented": [5], "real": [5], "tstr": [100],
    }  # fmt: skip
    assert set(private["shows_use_of_private_data"]) <= {"few seeds", "no"}
    assert rows.loc[("real", "logistic", "subject", float("inf"), float("inf")), "secret"] != "yes"


def test_the_ledger_has_one_entry_a_mechanism_of_every_training(finished):
    entries = json.loads(finished.result("ledger.json", "guarded").read_text())
    # 4 folds x 2 seeds: detectors real 2 units, augmented 2 units; generators 2 units.
    assert len(entries) == 4 * 2 * (2 + 2 + 2)
    assert len({entry["inputs"]["release"] for entry in entries}) == len(entries)
    assert all(entry["steps_noised"] == entry["steps_accounted"] for entry in entries)


def test_no_key_outlives_its_ledger(finished):
    assert not [path for path in finished.directory.rglob("*.key") if path.is_file()]


def test_a_second_run_does_nothing_and_a_new_epsilon_trains_only_its_cells(copied):
    again = copied.snakemake(study=PRIVATE)
    assert "Nothing to be done" in again.stdout + again.stderr
    before = len(copied.trained("guarded"))
    copied.snakemake(study=PRIVATE | {"epsilons": ["inf", 8, 1]})
    new = copied.trained("guarded")[before:]
    assert {(run["evaluation"], run["epsilon_detector"]) for run in new} == {("real", "1")}
    assert len(new) == 2 * 2 * 4


SMALL = PRIVATE | {"units": ["subject"], "seeds": 1, "evaluations": PRIVATE["evaluations"][:1]}
LEAF = (
    "scores/real/none/logistic/unit=subject/epsilon_generator=inf/epsilon_detector={}/"
    "subjects=0/noise=0/signals=all"
)


def leaf(runner, epsilon):
    return runner.result(f"{LEAF.format(epsilon)}/seed=0.h5", "guarded").read_bytes()


def test_reproducible_noise_gives_the_same_bytes_and_is_marked(runner, tmp_path):
    other = Runner(tmp_path / "other")
    other.directory.mkdir()
    for each in (runner, other):
        each.snakemake(study=SMALL | {"privacy_noise": "reproducible"})
    assert leaf(runner, 8) == leaf(other, 8)
    rows = main_rows(runner)
    assert set(rows.loc[rows["epsilon_pld"].notna(), "secret"]) == {"no"}


def test_secret_noise_differs_from_run_to_run(finished, runner):
    runner.snakemake(study=SMALL)
    assert leaf(runner, "inf") == leaf(finished, "inf")
    assert leaf(runner, 8) != leaf(finished, 8)


AUDITED = PRIVATE | {
    "name": "audited",
    "detectors": ["logistic"],
    "units": ["subject"],
    "seeds": 1,
    "folds": 2,
    "epsilons": ["inf", 8],
    "audit": {
        "evaluation": ["real", "tstr", "augmented"],
        "trainings": 3,
        "runs": 10,
        "repetitions": 30,
        "released_subjects": 2,
    },
}
MODEL = ["part", "generator", "detector", "epsilon_generator", "epsilon_detector"]


@pytest.fixture(scope="module")
def attacked(tmp_path_factory):
    runner = Runner(tmp_path_factory.mktemp("audited"))
    runner.snakemake(study=AUDITED)
    return runner


def test_a_dry_run_counts_audits_of_generators_and_detectors(runner):
    text = runner.snakemake("-n", study=AUDITED).stderr
    # Canaries, and what these are compared with; without a budget also people, 3 + 3 trainings each.
    of_generator, of_detector = 40 + 3 + 4, 40 + 2
    assert re.search(rf"audits +{of_generator + 3 * of_detector + 3 * 5} +4 ", text)


def test_every_part_that_sees_real_windows_is_audited_under_its_own_claim(attacked):
    table = pd.read_csv(attacked.result("tables/audit.csv", "audited"))
    inf = float("inf")
    assert set(table[MODEL].itertuples(index=False, name=None)) == {
        ("generator", "moments", "none", 8, inf),
        ("detector", "none", "logistic", inf, inf),
        ("detector", "none", "logistic", inf, 8),
        ("detector", "moments", "logistic", 8, 8),
    }
    attacks = table.groupby(MODEL)["attack"].agg(set)
    assert "missing person" in attacks["generator"].iloc[0]
    assert all({"canaries", "repeated canary"} <= names for names in attacks)
    # 3 + 3 trainings can show no epsilon: people are attacked where nothing is claimed.
    assert {key for key, names in attacks.items() if "membership" in names} == {
        ("detector", "none", "logistic", inf, inf)
    }
    judged = table[table["verdict"].notna()]
    assert (judged["epsilon_low"] <= judged["epsilon_ceiling"]).all()
    # Nothing is claimed without a budget; of the others none is refuted, at 5 % for all together.
    own = table["epsilon_generator"].where(table["part"] == "generator", table["epsilon_detector"])
    assert (table["epsilon_claimed"].dropna() == own[table["epsilon_claimed"].notna()]).all()
    assert not judged["failed"].astype(bool).any()


def test_the_main_table_says_which_part_was_audited(attacked):
    main = pd.read_csv(attacked.result("tables/main.csv", "audited")).set_index("evaluation")
    assert set(main.loc[["real"], "audited_part"]) == {"detector"}
    assert main.loc["tstr", "audited_part"] == "generator"
    assert main.loc["augmented", "audited_part"] in {"generator", "detector"}
    assert (main["audit_epsilon_low"] <= main["audit_epsilon_ceiling"]).all()


def test_an_audit_leaves_no_key_and_an_unknown_evaluation_is_refused(attacked):
    assert not [path for path in attacked.directory.rglob("*.key") if path.is_file()]
    missing = AUDITED | {"audit": {"evaluation": ["real", "reel"]}}
    result = attacked.snakemake("-n", study=missing, check=False)
    assert result.returncode != 0
    assert "audit.evaluation" in result.stdout + result.stderr
    assert "Traceback" not in result.stderr
