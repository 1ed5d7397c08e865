import numpy as np
import pytest

from pulseveil.core.errors import InputError
from pulseveil.core.randomness import root_stream
from pulseveil.generators.posterior import Posterior, PosteriorSettings
from pulseveil.generators.prior_only import PriorOnly, PriorSettings
from pulseveil.generators.public_prior import NAMES, literature_prior, statistics_of
from pulseveil.generators.subjects import synthetic_subjects
from pulseveil.privacy.budget import NOT_PRIVATE
from tests.unit.generators.test_posterior import budget, training, windows_of_people

PRIOR = literature_prior()


def prior_only(data=None, allowance=NOT_PRIVATE, **form):
    return PriorOnly.fit(PriorSettings(), training(data or windows_of_people(), allowance, **form))


def test_no_value_of_a_window_is_read():
    windows, code, subject = windows_of_people()
    unknown = np.full_like(windows, np.nan), np.zeros_like(code), subject
    found, expected = prior_only(unknown).arrays(), prior_only().arrays()
    assert found.keys() == expected.keys()
    for name, values in found.items():
        np.testing.assert_array_equal(values, expected[name])


def test_people_differ_from_the_literature_as_the_prior_says():
    arrays = prior_only().arrays()
    np.testing.assert_allclose(arrays["difference"], PRIOR.stress - PRIOR.rest)
    np.testing.assert_allclose(arrays["midpoint"], (PRIOR.stress + PRIOR.rest) / 2)
    for name in ("difference_sd", "midpoint_sd"):
        np.testing.assert_allclose(arrays[name], 1.5 * 0.8 * PRIOR.unit)


def test_a_query_of_which_noise_leaves_nothing_gives_the_people_of_the_prior():
    told = Posterior.fit(PosteriorSettings(), training(windows_of_people(), budget(1e-3))).arrays()
    for name, values in prior_only().arrays().items():
        np.testing.assert_allclose(told[name], values, atol=2e-2)


def test_synthetic_people_have_the_differences_of_the_prior():
    people = synthetic_subjects(prior_only(), subjects=200, classes=2, stream=root_stream(3))
    statistics, s = statistics_of(people.windows, 1.0), NAMES.index("heart_rate_mean")
    stress = people.condition == 1
    # The mean over 200 people has an SD of 1.2 / sqrt(200) = .085: wrong by chance once in 10,000 calls.
    found = statistics[stress, s].mean() - statistics[~stress, s].mean()
    assert found == pytest.approx(PRIOR.stress[s] - PRIOR.rest[s], abs=3.9 * 0.09)


def test_a_budget_has_no_use():
    with pytest.raises(InputError, match="prior_only"):
        prior_only(allowance=budget())
    with pytest.raises(InputError, match="expected channels physiological and scaling calibration"):
        prior_only(scaling="min-max")
