"""What a plan spends, against closed formulas; refusals before any job."""

import re

import pytest
import yaml

from pulseveil.core.errors import InputError
from pulseveil.study import audits, spending
from pulseveil.study.checks import make_plan
from pulseveil.study.reading import check_study
from tests.unit.summary.test_spent import gaussian_epsilon, mu_of
from tests.workflow.conftest import LIGHT

STUDY = LIGHT | {
    "detectors": ["logistic"],
    "evaluations": [
        {
            "name": "augmented",
            "cohort": "simulated",
            "train": "real+synthetic",
            "epsilon_generator": [8],
            "epsilon_detector": [1],
        }
    ],
}


def plan(**changes):
    return make_plan(check_study(yaml.safe_load(yaml.safe_dump(STUDY | changes)), "study.yaml"))


def test_parts_on_the_same_people_compose():
    (spend,) = spending.planned(plan())
    total = (mu_of(8) ** 2 + mu_of(1) ** 2) ** 0.5
    assert spend.epsilon == pytest.approx(gaussian_epsilon(total), rel=1e-3)


def test_one_training_among_single_queries_asks_for_the_seeds_of_trainings():
    tstr = {"name": "tstr", "cohort": "simulated", "train": "synthetic", "epsilon_generator": [8]}
    query_alone, with_training = spending.planned(plan(evaluations=[tstr, *STUDY["evaluations"]]))
    assert (query_alone.seeds_asked, with_training.seeds_asked) == (100, 5)


def test_parts_on_windows_compose_through_any_60_s():
    (spend,) = spending.planned(plan(units=["window"]))
    # A minute changes 6 windows at stride 30 (generators) and 3 at stride 60 (detectors): reach 30 s.
    total = ((6 * mu_of(8)) ** 2 + (3 * mu_of(1)) ** 2) ** 0.5
    assert spend.epsilon == pytest.approx(gaussian_epsilon(total), rel=1e-3)
    assert re.search(r"window +8 +1 +\d+(\.\d+)? \(60 s\)", spending.describe(plan(units=["window"])))


def test_parts_on_windows_of_a_fourier_resampled_recording_compose_on_the_person():
    """No number of windows bounds what 60 s change: 74 and 37 windows of a person are counted."""
    published = plan(units=["window"], protocol="paper", delta=1e-5)
    (spend,) = spending.planned(published)
    total = ((74 * mu_of(8)) ** 2 + (37 * mu_of(1)) ** 2) ** 0.5
    assert spend.epsilon == pytest.approx(gaussian_epsilon(total), rel=1e-3)
    assert re.search(r"window +8 +1 +\S+ \(person\)", spending.describe(published))


@pytest.mark.parametrize(
    ("seeds", "told"), [(99, "it takes 100 for moments"), (4, "5 for logistic"), (100, "")]
)
def test_a_dry_run_says_which_rows_have_too_few_seeds(seeds, told):
    both = [
        {"name": "tstr", "cohort": "simulated", "train": "synthetic", "epsilon_generator": [8]},
        {"name": "real", "cohort": "simulated", "train": "real", "epsilon_detector": [8]},
    ]
    text = spending.describe(plan(seeds=seeds, evaluations=both))
    assert ("too few" in text) == bool(told)
    assert told in text


@pytest.mark.parametrize("unit", ["subject", "window"])
def test_mechanisms_of_one_training_share_its_budget(unit):
    """A private TimeGAN has two; a dry run says what both spend together."""
    alone = STUDY["evaluations"][0] | {"train": "synthetic", "epsilon_generator": [8]}
    del alone["epsilon_detector"]
    (spend,) = spending.planned(plan(units=[unit], generators=["timegan"], evaluations=[alone]))
    assert [mechanism.name for mechanism in spend.generator_mechanisms] == ["embedder", "discriminator"]
    assert 0.99 * 8 < spend.epsilon <= 8


def test_the_total_is_a_limit():
    (spend,) = spending.planned(plan())
    assert spending.check(plan(epsilon_total=spend.epsilon * 1.001))
    with pytest.raises(InputError, match=r"augmented, moments and logistic: the parts spend epsilon"):
        spending.check(plan(epsilon_total=spend.epsilon * 0.999))


# The generator's windows overlap: 74 of a person every 30 s, where 37 would not.
@pytest.mark.parametrize(("unit", "records"), [("subject", 3), ("window", 3 * 74)])
def test_delta_stays_below_a_hundredth_of_the_records(unit, records):
    spending.check(plan(units=[unit], delta=0.99 / (100 * records)))
    with pytest.raises(InputError, match=rf"delta: .* is above 1 / \(100 x {records}\)"):
        spending.check(plan(units=[unit], delta=1.01 / (100 * records)))


def test_the_published_protocol_keeps_its_delta():
    paper = plan(
        protocol="paper", delta=1e-3, evaluations=[STUDY["evaluations"][0] | {"epsilon_generator": [8]}]
    )
    assert spending.check(paper)


def test_a_study_without_budgets_has_nothing_to_spend():
    assert spending.describe(make_plan(check_study(LIGHT, "light.yaml"))) == ""


BESIDE = LIGHT | {
    "detectors": [
        "logistic",
        {"name": "forest", "epsilons": ["inf"]},
        "public_signs",
        {"name": "majority", "settings": {"source": "simulated"}},
        {"name": "counted", "kind": "majority"},
    ],
    "epsilons": ["inf", 8],
    "folds": 3,
}


def test_models_without_a_budget_are_named_beside_the_totals():
    """2 seeds and 3 folds: 6 models each; rules that look at nobody are none, counted labels one, once."""
    beside = spending.unbudgeted(plan(**BESIDE))
    assert {(u.name, u.evaluations): u.models for u in beside} == {
        ("logistic", ("real",)): 6,
        ("forest", ("real",)): 6,
        ("counted", ("real",)): 6,
        ("moments", ("tstr",)): 6,
    }
    text = spending.describe(plan(**BESIDE))
    assert "24 models without a budget learn from the same people (" in text
    assert "nothing that is published of them is protected" in text
    assert "without a budget" not in spending.describe(plan())


def test_models_of_other_people_are_not_beside_the_totals():
    """Those of a cohort in which nobody has the name of a person with a budget."""
    cohorts = {"simulated": LIGHT["cohorts"]["simulated"], "wesad": {"kind": "wesad", "data": "nowhere"}}
    real = {"name": "real", "cohort": "simulated", "train": "real", "epsilon_detector": [8]}
    other = {"name": "other", "cohort": "wesad", "train": "real", "epsilon_detector": ["inf"]}
    found = spending.unbudgeted(plan(cohorts=cohorts, evaluations=[real, other]))
    # Simulated people are S1 to S4, those of WESAD S2 to S17: a name is taken for a person.
    assert [(u.name, u.evaluations) for u in found] == [("logistic", ("other",))]
    alone = {"simulated": {"kind": "simulated", "subjects": 4, "seed": 3}}
    assert spending.unbudgeted(plan(cohorts=alone, evaluations=[real])) == ()


def test_people_of_the_prior_alone_are_no_model_without_a_budget_and_not_audited():
    study = BESIDE | {
        "generators": ["posterior", {"name": "prior_only", "epsilons": ["inf"]}],
        "detectors": ["logistic"],
        "audit": {"evaluation": "tstr"},
        "evaluations": [{"name": "tstr", "cohort": "simulated", "train": "synthetic"}],
    }
    made = make_plan(check_study(study, "study.yaml"))
    assert [u.name for u in spending.unbudgeted(made)] == ["posterior"]
    assert {cell.generator for cell in audits.audited_cells(made)} == {"posterior"}
    with pytest.raises(InputError, match="prior_only: no private training at unit subject is known"):
        make_plan(check_study(study | {"generators": ["prior_only"]}, "study.yaml"))
