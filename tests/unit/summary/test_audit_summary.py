"""Which audit stands beside which cell of the main table."""

import math

import numpy as np
import pandas as pd
import pytest

from pulseveil.core.errors import InputError
from pulseveil.summary.column import keys_of
from pulseveil.summary.description import StudyDescription
from pulseveil.summary.main_columns import AUDITED
from pulseveil.summary.tables import audit_table, audited_columns
from tests.unit.summary_cases import description

INF = math.inf
STUDY = StudyDescription.model_validate(description())


def audit(part, low, ceiling, **keys):
    """Two rows of an audit: a bound with its ceiling, and an attack without a bound."""
    named = {
        "cohort": "wesad",
        "part": part,
        "generator": "none",
        "detector": "none",
        "unit": "subject",
        "epsilon_generator": INF,
        "epsilon_detector": INF,
        **keys,
    }
    return pd.DataFrame(
        [
            {**named, "attack": "canaries", "epsilon_low": low, "epsilon_ceiling": ceiling},
            {**named, "attack": "missing person", "epsilon_low": np.nan, "epsilon_ceiling": np.nan},
        ]
    )


GENERATOR = {"generator": "moments", "epsilon_generator": 8.0}
BOTH = {**GENERATOR, "detector": "logistic", "epsilon_detector": 8.0}
AUDITS = pd.concat(
    [
        audit("generator", 1.0, 3.0, **GENERATOR),
        audit("generator", 2.5, 3.5, generator="moments"),
        audit("detector", 0.5, 2.0, detector="logistic", epsilon_detector=8.0),
        audit("detector", 1.5, 2.0, **BOTH),
        audit("detector", 4.0, 5.0, **{**BOTH, "epsilon_detector": INF}),
    ]
)


def shown(audits=AUDITS, **cell):
    keys = {
        "evaluation": "augmented",
        "generator": "moments",
        "detector": "logistic",
        "unit": "subject",
        "epsilon_generator": 8.0,
        "epsilon_detector": 8.0,
        "role": "model",
        "signals": "all",
        **cell,
    }
    return tuple(audited_columns(pd.DataFrame([keys], index=[7]), audits, STUDY).loc[7, keys_of(AUDITED)])


def test_of_two_audited_parts_the_one_that_gave_more_away_is_shown_with_its_own_ceiling():
    assert shown() == ("detector", 1.5, 2.0)
    worse = pd.concat([AUDITS, audit("generator", 1.6, 1.7, **GENERATOR)])
    assert shown(worse) == ("generator", 1.6, 3.0)


def test_a_detector_of_real_windows_has_its_own_audit():
    real = {"evaluation": "real", "generator": "none", "epsilon_generator": INF}
    assert shown(**real) == ("detector", 0.5, 2.0)


def test_a_detector_of_synthetic_windows_has_its_generators_audit():
    assert shown(evaluation="tstr", epsilon_detector=INF) == ("generator", 1.0, 3.0)
    bare = shown(evaluation="tstr", epsilon_generator=INF, epsilon_detector=INF)
    assert bare == ("generator", 2.5, 3.5)


def test_a_part_without_a_budget_stands_for_a_cell_only_where_no_part_has_one():
    assert shown(epsilon_detector=INF) == ("generator", 1.0, 3.0)


@pytest.mark.parametrize(
    "other", [{"unit": "window"}, {"epsilon_generator": 1.0}, {"generator": "cgan"}, {"detector": "cnn"}]
)
def test_no_bound_is_shown_for_another_model_unit_or_epsilon(other):
    part, low, ceiling = shown(**other)
    if "detector" in other:  # the generator is the same one
        assert (part, low, ceiling) == ("generator", 1.0, 3.0)
    else:
        assert part == ""
        assert np.isnan([low, ceiling]).all()


def test_a_detector_that_reads_some_signals_has_the_audit_of_its_generator_alone():
    assert shown(signals="EDA") == ("generator", 1.0, 3.0)
    assert shown(signals="EDA", evaluation="real", generator="none", epsilon_generator=INF)[0] == ""


def test_another_epsilon_of_the_detector_leaves_the_generators_audit():
    assert shown(epsilon_detector=1.0) == ("generator", 1.0, 3.0)


def test_rules_that_read_no_window_have_no_audit():
    assert shown(detector="majority", role="majority", generator="none", epsilon_generator=INF)[0] == ""


def test_without_audits_the_columns_are_empty():
    assert shown(audit_table([]))[0] == ""


def test_a_file_that_is_no_table_is_named(tmp_path):
    with pytest.raises(InputError, match=r"gone\.csv: no such file; rerun audit"):
        audit_table([tmp_path / "gone.csv"])


def test_attacks_on_noised_windows_alone_stand_beside_no_cell():
    noised = AUDITS.drop(columns=["epsilon_low", "epsilon_ceiling"]).assign(part="noised", generator="none")
    assert shown(noised)[0] == ""
