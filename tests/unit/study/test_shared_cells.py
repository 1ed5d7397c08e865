"""Equal cells of several evaluations are trained once, and each evaluation has its rows."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from pulseveil.study import costs, tasks
from pulseveil.study.checks import make_plan
from pulseveil.study.plan import RUN_KEYS, Plan
from pulseveil.study.reading import check_study, read_study
from tests.unit.study.test_plan import full_paper

ROOT = Path(__file__).parents[3]
KEYS = list(RUN_KEYS)


def rows(table):
    return sorted(map(tuple, table[KEYS].astype(str).to_numpy()))


def alone(plan, evaluation):
    """The plan of a study that has one evaluation only."""
    return Plan(plan.study.model_copy(update={"evaluations": (evaluation,)}), plan.outlines)


@pytest.mark.parametrize("name", ["demo", "paper", "noised", "private"])
def test_every_evaluation_has_the_rows_that_it_has_in_a_study_of_its_own(name):
    plan = make_plan(read_study(ROOT / "config" / f"{name}.yaml"))
    together = pd.concat([plan.cells, plan.shared_cells])
    assert len(plan.shared_cells) > 0
    for evaluation in plan.study.evaluations:
        own = alone(plan, evaluation)
        assert len(own.shared_cells) == 0
        assert rows(together[together["evaluation"] == evaluation.name]) == rows(own.cells)


def test_shared_cells_are_trained_by_the_evaluation_that_they_name():
    plan = make_plan(check_study(full_paper(), "x"))
    trained = set(rows(plan.cells))
    named = plan.shared_cells.assign(evaluation=plan.shared_cells["trained_in"])
    assert set(rows(named)) <= trained
    assert len(set(tasks.files(plan, "train_detectors"))) == len(plan.cells) == len(trained)


def test_the_paper_trains_each_equal_cell_once():
    plan = make_plan(read_study(ROOT / "config" / "paper.yaml"))
    shared = plan.shared_cells.groupby(["evaluation", "trained_in"]).size()
    # Without a budget the private scenarios are those of augmented: 3 networks and logistic, 10 seeds.
    assert shared["private_100", "augmented"] == shared["private_15", "augmented"] == 4 * 10
    # Without noise the noised scenario is that on real windows: CNN, logistic and two rules.
    assert shared["noised", "real"] == (2 + 2) * 10
    # 15 synthetic people of cGAN and of moments, 6 models.
    assert shared["tstr", "tstr_15"] == 2 * 6 * 10
    assert "4470 runs more" in costs.describe(plan)


def evaluation(name, **keys):
    return {"name": name, "cohort": "people", "train": "real", **keys}


def plan_of(*evaluations):
    study = {
        "name": "small",
        "seed": 1,
        "seeds": 1,
        "protocol": "sound",
        "cohorts": {"people": {"kind": "simulated", "subjects": 4}, "others": {"kind": "simulated"}},
        "detectors": ["logistic"],
        "generators": ["moments"],
        "epsilons": ["inf", 1],
        "evaluations": list(evaluations),
    }
    return make_plan(check_study(study, "x"))


@pytest.mark.parametrize(
    "other",
    [
        {"cohort": "others"},
        {"test": "order_crossed"},
        {"test": "transfer", "test_cohort": "others"},
        {"train": "real+synthetic"},
        {"train": "synthetic"},
        {"input_noise": [0.5]},
        {"signals": ["temperature"]},
        {"epsilon_detector": [2]},
    ],
    ids=str,
)
def test_other_questions_are_other_cells(other):
    assert len(plan_of(evaluation("first"), evaluation("second", **other)).shared_cells) == 0


@pytest.mark.parametrize(
    "other",
    [{}, {"noise_distribution": "gaussian"}, {"noise_on": "windows"}, {"units": ["subject"]}],
    ids=str,
)
def test_what_changes_no_training_makes_no_cell_of_its_own(other):
    plan = plan_of(evaluation("first"), evaluation("second", **other))
    assert plan.shared_cells["trained_in"].tolist() == ["first"] * 2
    assert {pack.evaluation.name for pack in plan.detector_packs} == {"first"}


def test_the_order_of_evaluations_changes_who_trains_and_not_what():
    noised = evaluation("noised", input_noise=[0, 1])
    first, second = plan_of(evaluation("real"), noised), plan_of(noised, evaluation("real"))
    assert len(first.cells) == len(second.cells) == 4
    assert set(first.shared_cells["evaluation"]) == {"noised"}
    assert set(second.shared_cells["evaluation"]) == {"real"}


def test_a_pack_with_fewer_seeds_still_leaves_out_what_another_evaluation_trains():
    plan = make_plan(read_study(ROOT / "config" / "paper.yaml"))
    pack = next(p for p in plan.detector_packs if p.evaluation.name == "private_100")
    budgets = plan.privacies(replace(pack, seeds=(0,)), "cnn")
    assert [b.epsilon_detector for b in budgets] == [10, 1, 0.1]
