"""Rows of cells that an earlier evaluation trained."""

import pandas as pd
import pytest

from pulseveil.core.errors import InputError
from pulseveil.summary.results import RUN, collect, with_shared
from tests.unit.summary_cases import scores, write

WRONG = {"S2": 1, "S3": 2}
TRAINED = {"evaluation": "real", "detector": "majority"}


def run(seed, **changed):
    """A row of `Plan.shared_cells`, whose numbers are words of paths."""
    keys = {**TRAINED, "evaluation": "tstr", "generator": "none", "unit": "subject", "subjects": 0}
    words = {"epsilon_generator": "inf", "epsilon_detector": "inf", "noise": "0", "signals": "all"}
    return {**keys, **words, "seed": seed, "trained_in": "real", **changed}


def collected(folder):
    keys = {**TRAINED, "generator": "none", "subjects": 0}
    return collect(write(folder, [scores(WRONG, **keys, seed=seed) for seed in (0, 1)]))


def test_an_evaluation_has_the_rows_that_another_one_trained(tmp_path):
    before = collected(tmp_path)
    after = with_shared(before, [run(0), run(1)])
    assert after.digest == before.digest
    for then, now in ((before.per_subject, after.per_subject), (before.pooled, after.pooled)):
        assert len(now) == 2 * len(then)
        for evaluation in ("real", "tstr"):
            own = now[now["evaluation"] == evaluation].assign(evaluation="real")
            pd.testing.assert_frame_equal(own.reset_index(drop=True), then)
        assert set(now["trained_in"]) == {"real"}


def test_a_study_without_shared_cells_keeps_its_rows(tmp_path):
    before = collected(tmp_path)
    pd.testing.assert_frame_equal(with_shared(before, []).pooled, before.pooled)


@pytest.mark.parametrize("missing", [run(2), run(0, detector="public_signs"), run(0, trained_in="other")])
def test_rows_whose_scores_are_missing_are_refused(tmp_path, missing):
    with pytest.raises(
        InputError, match=f"scores of {missing['trained_in']}, detector {missing['detector']}"
    ):
        with_shared(collected(tmp_path), [run(0), missing])


def test_the_keys_are_those_of_runs():
    assert set(run(0)) == {*RUN, "trained_in"}
