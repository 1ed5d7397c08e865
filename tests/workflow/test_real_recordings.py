"""From real recordings to a table by one call of Snakemake."""

import pandas as pd
import pytest

from tests.official_layout import write_official_layout
from tests.workflow.conftest import LIGHT

pytestmark = [pytest.mark.workflow, pytest.mark.real]

SUBJECTS = ("S2", "S3", "S4", "S5")


def test_wesad_and_stress_predict_go_from_files_to_one_table(runner, recordings):
    for subject in SUBJECTS:
        write_official_layout(recordings / "wesad_raw" / f"{subject}.npz", runner.directory / "WESAD")
    folder = recordings / "stress_predict"
    study = LIGHT | {
        "cohorts": {
            "wesad": {"kind": "wesad", "data": "WESAD"},
            "stress_predict": {
                "kind": "empatica",
                "data": str(folder.resolve()),
                "labels": str((folder / "labels.csv").resolve()),
            },
        },
        "seeds": 1,
        "evaluations": [
            {"name": "crossed", "cohort": "wesad", "train": "real", "test": "order_crossed"},
            {"name": "augmented", "cohort": "wesad", "train": "real+synthetic", "synthetic_subjects": [2]},
            {
                "name": "moved",
                "cohort": "wesad",
                "test_cohort": "stress_predict",
                "train": "real",
                "test": "transfer",
            },
        ],
    }
    runner.snakemake(study=study)
    table = pd.read_csv(runner.result("tables/main.csv")).set_index(["evaluation", "detector"])
    assert set(table.index) == {(e["name"], d) for e in study["evaluations"] for d in study["detectors"]}
    assert (table.loc[["crossed", "augmented"], "n_subjects"] == len(SUBJECTS)).all()
    assert (table.loc["moved", "n_subjects"] == 5).all()
    assert table.loc[("augmented", "logistic"), "accuracy"] > 0.8
    # The repairs of the real files reach the report.
    assert "S01" in runner.result("report.html").read_text()
