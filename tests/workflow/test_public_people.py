"""A study whose private people have a public cohort as the prior, by one call of Snakemake."""

import json

import pandas as pd
import pytest

from tests.workflow.conftest import LIGHT

pytestmark = pytest.mark.workflow

PEOPLE = {"kind": "simulated", "subjects": 3}
STUDY = LIGHT | {
    "cohorts": {"simulated": PEOPLE | {"seed": 3}, "others": PEOPLE | {"seed": 4}},
    "public_cohorts": ["others"],
    "generators": [{"name": "pooled", "kind": "posterior", "settings": {"prior": "pool"}}, "posterior"],
    "detectors": ["logistic"],
    "epsilons": [10],
    "seeds": 1,
    "folds": 1,
    "evaluations": [{"name": "tstr", "cohort": "simulated", "train": "synthetic", "synthetic_subjects": [5]}],
}


def test_every_table_the_ledger_and_the_statement_name_the_public_cohort(runner):
    runner.snakemake(study=STUDY)
    for name in ("main", "quality"):
        table = pd.read_csv(runner.result(f"tables/{name}.csv"), keep_default_na=False)
        named = table.groupby("generator")["public_cohorts"].unique().map(list).to_dict()
        assert named == {"pooled": ["others"], "posterior": [""]}
    differences = pd.read_csv(runner.result("tables/differences.csv"), keep_default_na=False)
    sides = differences[["generator", "public_cohorts", "reference_generator", "reference_public_cohorts"]]
    assert sides.drop_duplicates().to_numpy().tolist() == [["posterior", "", "pooled", "others"]]
    entries = json.loads(runner.result("ledger.json").read_text())
    public = {e["inputs"]["generator"]: "recordings of others" in e["public_quantities"] for e in entries}
    assert public == {"pooled": True, "posterior": False}
    assert "recordings of others" in runner.result("statement.txt").read_text()
