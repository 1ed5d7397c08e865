"""What private cells spent, against closed formulas of the Gaussian mechanism."""

import math
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import brentq
from scipy.stats import norm

from pulseveil.core.errors import InputError
from pulseveil.privacy import ledger
from pulseveil.privacy.models import Setting
from pulseveil.summary.description import StudyDescription
from pulseveil.summary.results import CELL
from pulseveil.summary.spent import privacy_table, read_ledgers, spending_table
from tests.unit.summary_cases import KEYS, WESAD, description, ledger_of, write_generator

STUDY = StudyDescription.model_validate(description())
TSTR = {"evaluation": "tstr", "generator": "cgan", "subjects": 15}


def gaussian_epsilon(mu, delta=1e-5):
    """Balle and Wang 2018, theorem 8, by a root finder."""

    def excess(epsilon):
        other = np.exp(epsilon + norm.logcdf(-mu / 2 - epsilon / mu))
        return norm.cdf(mu / 2 - epsilon / mu) - other - delta

    return brentq(excess, 0, mu**2 + 20 * mu)


def mu_of(epsilon, delta=1e-5):
    return brentq(lambda mu: gaussian_epsilon(mu, delta) - epsilon, 1e-3, 20)


def frame(*cells):
    numbers = ("epsilon_generator", "epsilon_detector", "noise")
    rows = [{**KEYS, **cell} for cell in cells]
    rows = [{"trained_in": row["evaluation"], **row} for row in rows]
    return pd.DataFrame(
        [{k: float(r[k]) if k in numbers else r[k] for k in (*CELL, "trained_in")} for r in rows]
    )


def spent(*cells, models=(), secret=True, **changed):
    keys = frame(*cells)
    texts = [
        text for cell in cells for text in ledger_of({**KEYS, **cell}, "epsilon_detector", secret=secret)
    ]
    study = StudyDescription.model_validate(description(models=models, **changed))
    return privacy_table(keys, read_ledgers(texts, map(Path, models)), study)


def test_a_cell_without_budget_has_no_epsilon():
    row = spent({}).iloc[0]
    assert row.drop("secret").isna().all()
    assert row["secret"] == ""


def test_a_person_level_cell_protects_windows_no_worse():
    row = spent({"epsilon_detector": 8}).iloc[0]
    units = ["epsilon_pld", "epsilon_subject", "epsilon_window", "epsilon_60_s", "epsilon_unamplified"]
    assert row[units].tolist() == pytest.approx([8] * 5, rel=1e-3)
    assert row["mu"] == pytest.approx(mu_of(8), rel=1e-3)
    assert row["epsilon_rdp"] > 8
    assert row["epsilon_replace_one"] == pytest.approx(gaussian_epsilon(2 * mu_of(8)), rel=1e-3)


def test_a_window_level_cell_is_also_seen_as_protecting_a_person():
    row = spent({"epsilon_detector": 1, "unit": "window"}).iloc[0]
    mu = mu_of(1)
    assert row["epsilon_window"] == pytest.approx(1, rel=1e-3)
    assert row["epsilon_60_s"] == pytest.approx(gaussian_epsilon(3 * mu), rel=1e-3)
    assert row["epsilon_subject"] == pytest.approx(gaussian_epsilon(37 * mu), rel=1e-3)


def test_generator_and_detector_on_the_same_people_compose(tmp_path):
    models = (write_generator(tmp_path, epsilon_generator=10),)
    row = spent({**TSTR, "epsilon_generator": 10, "epsilon_detector": 1}, models=models).iloc[0]
    assert row["epsilon_pld"] == pytest.approx(gaussian_epsilon(np.hypot(mu_of(10), mu_of(1))), rel=1e-3)


def test_parts_of_different_strides_compose_through_any_60_s_only(tmp_path):
    models = (write_generator(tmp_path, epsilon_generator=1, unit="window"),)
    cell = {**TSTR, "unit": "window", "epsilon_generator": 1, "epsilon_detector": 1}
    row = spent(cell, models=models).iloc[0]
    mu = mu_of(1)
    assert row["epsilon_pld"] == row["epsilon_60_s"]
    assert row["epsilon_60_s"] == pytest.approx(gaussian_epsilon(np.hypot(6 * mu, 3 * mu)), rel=1e-3)
    assert np.isnan(row["epsilon_window"])


def test_where_a_second_changes_the_whole_recording_parts_compose_on_the_person(tmp_path):
    models = (write_generator(tmp_path, epsilon_generator=1, unit="window"),)
    both = {**TSTR, "unit": "window", "epsilon_generator": 1, "epsilon_detector": 1}
    cells = [both, {"unit": "window", "epsilon_detector": 1}]
    table = spent(*cells, models=models, privacy=Setting(reach_s=math.inf))
    assert table["epsilon_60_s"].isna().all()
    assert table["epsilon_pld"][0] == table["epsilon_subject"][0]
    assert table["epsilon_pld"][1] == table["epsilon_window"][1] == pytest.approx(1, rel=1e-3)


def every_fold_and_seed(text):
    """The entry for each left-out person and each of three seeds."""
    entry = ledger.from_json(text)
    for seed in range(3):
        for out in WESAD:
            inputs = {"seed": seed, "fold": out, "people": [name for name in WESAD if name != out]}
            yield ledger.to_json(replace(entry, inputs={**entry.inputs, **inputs}))


def test_publishing_every_fold_and_seed_composes_all_of_them():
    cells = ({"epsilon_detector": 1}, {"epsilon_detector": 10})
    texts = [
        changed
        for cell in cells
        for text in ledger_of({**KEYS, **cell}, "epsilon_detector")
        for changed in every_fold_and_seed(text)
    ]
    study = StudyDescription.model_validate(description(seeds=3))
    table = spending_table(frame(*cells), read_ledgers(texts, ()), study).set_index("scope")
    total = np.sqrt(14 * 3) * np.hypot(mu_of(1), mu_of(10))
    assert table.loc["real", "models"] == 2 * 14 * 3
    assert table.loc["all of this study", "epsilon_subject"] == pytest.approx(
        gaussian_epsilon(total), rel=1e-3
    )


def test_models_without_a_budget_are_counted_beside():
    texts = ledger_of({**KEYS, "epsilon_detector": 1}, "epsilon_detector")
    beside = [
        {"name": "forest", "evaluations": ["real"], "models": 30},
        {"name": "cgan", "evaluations": ["tstr", "augmented"], "models": 4},
    ]
    study = StudyDescription.model_validate(description(unbudgeted=beside))
    table = spending_table(frame({"epsilon_detector": 1}), read_ledgers(texts, ()), study)
    assert table["models_without_budget"].tolist() == [30, 34]
    assert table["models"].tolist() == [1, 1]


def test_reproducible_noise_is_marked():
    assert spent({"epsilon_detector": 1}, secret=False)["secret"].tolist() == ["no"]


@pytest.mark.parametrize("cell", [{"epsilon_detector": 1}, {**TSTR, "epsilon_generator": 1}])
def test_a_private_cell_without_its_ledger_is_refused(cell):
    with pytest.raises(InputError, match=r"no ledger shows epsilon .* train this cell again"):
        privacy_table(frame(cell), read_ledgers((), ()), STUDY)


def test_an_unnoised_step_cannot_be_written_into_a_ledger():
    (text,) = ledger_of({**KEYS, "epsilon_detector": 1}, "epsilon_detector")
    entry = ledger.from_json(text)
    with pytest.raises(ValueError, match="1 steps are accounted, but 0 were noised"):
        replace(entry, steps_noised=0)
    assert asdict(entry)["secret_noise"]


def test_a_detector_of_real_windows_is_not_private_for_its_generators_sake(tmp_path):
    models = (write_generator(tmp_path, epsilon_generator=1),)
    mixed = {**TSTR, "evaluation": "augmented", "epsilon_generator": 1}
    assert np.isnan(spent(mixed, models=models).iloc[0]["epsilon_pld"])


def test_a_cell_that_another_evaluation_trained_has_spent_what_that_one_spent():
    trained = {"evaluation": "real", "epsilon_detector": 8}
    study, texts = (
        StudyDescription.model_validate(description()),
        ledger_of({**KEYS, **trained}, "epsilon_detector"),
    )
    keys = frame(trained, {**trained, "evaluation": "augmented", "trained_in": "real"})
    ledgers = read_ledgers(texts, ())
    first, second = privacy_table(keys, ledgers, study)["epsilon_pld"]
    assert first == second == pytest.approx(8, rel=1e-3)
    spending = spending_table(keys, ledgers, study)
    # Each table shows the detector, and the study has spent on it once.
    assert spending["scope"].tolist() == ["real", "augmented", "all of this study"]
    assert len(set(spending["epsilon_subject"])) == 1
