"""A study of noise on real windows, from recordings to its figure."""

import pandas as pd
import pytest

from tests.workflow.conftest import LIGHT

pytestmark = pytest.mark.workflow

NOISED = {
    "name": "noised",
    "cohort": "simulated",
    "train": "real",
    "input_noise": [0, 5],
    "noise_on": "windows",
    "noise_distribution": "gaussian",
}


def test_noised_windows_train_detectors_and_are_attacked(runner):
    study = LIGHT | {"generators": [], "seeds": 1, "evaluations": [NOISED], "audit": {"evaluation": "noised"}}
    runner.snakemake(study=study)
    attacks = pd.read_csv(runner.result("tables/audit.csv"))
    assert attacks["part"].unique().tolist() == ["noised"]
    assert attacks["input_noise"].tolist() == [0, 0, 5, 5]
    main = pd.read_csv(runner.result("tables/main.csv"))
    assert sorted(main.loc[main["detector"] == "logistic", "noise"]) == [0, 5]
    assert runner.result("figures/noise.svg").exists()
    assert "The noise gives no guarantee" in runner.result("report.html").read_text()
    # No audit has trained a model: logistic regression at two levels and the rule, for each person.
    assert len(runner.trained()) == 3 * 4
