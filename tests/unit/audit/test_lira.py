import math

import numpy as np
import pytest
from scipy import stats

from pulseveil.audit.bounds import AttackCounts
from pulseveil.audit.membership import (
    attack_records,
    label_confidence,
    leave_one_out,
    margins,
    pooled,
    random_halves,
    record_means,
    train_design,
)
from pulseveil.core.errors import InputError
from pulseveil.core.randomness import generator, root_stream
from tests.unit.detectors.test_simple_detectors import features


def gaussian_trainings(random, shift, people=4, each=10):
    """Scores of `each` trainings with and without every person, farther up by `shift` where one was in."""
    members = np.repeat([[True], [False]], each, axis=0) & np.ones(people, bool)
    return random.normal(size=(2 * each, people)) + shift * members, members


def plain_ratio(scores, members, row, person):
    """The log likelihood ratio of one training against all others, and the gap of their means."""
    others = [i for i in range(len(scores)) if i != row and not np.isnan(scores[i, person])]
    seen = [scores[i, person] for i in others if members[i, person]]
    unseen = [scores[i, person] for i in others if not members[i, person]]
    squares = sum((s - np.mean(seen)) ** 2 for s in seen) + sum((s - np.mean(unseen)) ** 2 for s in unseen)
    deviation = math.sqrt(squares / (len(seen) + len(unseen) - 2))
    own = scores[row, person]
    known = stats.norm.logpdf(own, np.mean(seen), deviation)
    unknown = stats.norm.logpdf(own, np.mean(unseen), deviation)
    return known - unknown, (np.mean(seen) - np.mean(unseen)) / deviation


def test_margins_are_likelihood_ratios_that_leave_the_judged_training_out():
    scores, members = gaussian_trainings(np.random.default_rng(1), 0.7, people=3, each=5)
    scores[2, 1] = scores[8, 0] = np.nan
    found = margins(scores, members)
    for row in range(10):
        for person in range(3):
            if not np.isnan(scores[row, person]):
                ratio, gap = plain_ratio(scores, members, row, person)
                assert found[row, person] * abs(gap) == pytest.approx(ratio)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(scores))


def test_units_of_the_scores_do_not_matter():
    scores, members = gaussian_trainings(np.random.default_rng(2), 1.0)
    np.testing.assert_allclose(margins(50 + 7 * scores, members), margins(scores, members), rtol=1e-8)


def test_a_model_that_is_less_sure_of_what_it_saw_is_caught_as_well():
    scores, members = gaussian_trainings(np.random.default_rng(7), -8.0, people=2)
    for attack in attack_records(scores, members, ["S2", "S3"]):
        assert attack.auc == 0
        assert attack.counts == attack.counts.flawless


def test_an_attack_on_nothing_bounds_nothing():
    """A judged training that is not left out would make hits of chance; 15 + 15 equal trainings, 400 people.

    A true claim of epsilon 0 may be refuted in 2.5 % of people: 26 of 400 or more has p < 1e-4.
    """
    scores, members = gaussian_trainings(np.random.default_rng(3), 0.0, people=400, each=15)
    attacks = attack_records(scores, members, [str(i) for i in range(400)])
    assert sum(a.counts.epsilon_lower_bound(0.0) > 0 for a in attacks) < 26
    # Standard errors of both means are about .006; five of them.
    assert np.mean([a.auc for a in attacks]) == pytest.approx(0.5, abs=0.03)
    assert np.mean([a.counts.hits for a in attacks]) / 15 == pytest.approx(0.5, abs=0.03)
    assert pooled(scores, members).auc == pytest.approx(0.5, abs=0.03)


def test_the_error_rate_holds_for_a_mechanism_of_known_mu():
    """As above, for trainings whose scores are a Gaussian mechanism of mu 1: the refuted mu is too high."""
    scores, members = gaussian_trainings(np.random.default_rng(4), 1.0, people=400, each=15)
    attacks = attack_records(scores, members, [str(i) for i in range(400)])
    assert sum(a.counts.mu_lower_bound() > 1.0 for a in attacks) < 26
    power = stats.norm.cdf(0.5)
    assert np.mean([a.counts.hits for a in attacks]) / 15 == pytest.approx(power, abs=0.03)
    assert np.mean([a.auc for a in attacks]) == pytest.approx(stats.norm.cdf(1 / math.sqrt(2)), abs=0.03)


def test_trainings_that_repeat_themselves_are_told_apart_without_error():
    members = np.repeat([[True], [False]], 15, axis=0)
    scores = np.where(members, 2.5, 2.4)
    (attack,) = attack_records(scores, members, ["S2"])
    assert attack.counts == attack.strictest == AttackCounts(15, 15, 15, 0)
    assert attack.auc == 1
    (same,) = attack_records(np.full((30, 1), 2.5), members, ["S2"])
    assert same.auc == 0.5
    assert same.counts.epsilon_lower_bound(0.0) == 0


def test_each_training_counts_once_whatever_its_windows():
    scores, members = gaussian_trainings(np.random.default_rng(5), 3.0, people=2, each=6)
    scores[0, 0] = np.nan
    first, second = attack_records(scores, members, ["S2", "S3"])
    assert (first.counts.members, first.counts.non_members) == (5, 6)
    assert (second.counts.members, second.counts.non_members) == (6, 6)
    together = pooled(scores, members)
    assert together.counts.members == 11
    assert "descriptive" in together.record


def test_too_few_trainings_are_refused():
    scores, members = gaussian_trainings(np.random.default_rng(6), 0.0, each=2)
    with pytest.raises(InputError, match="at least 3"):
        margins(scores, members)


def test_confidence_is_the_logit_of_the_true_label():
    score, stress = np.array([0.9, 0.9, 0.2]), np.array([True, False, False])
    np.testing.assert_allclose(label_confidence(score, stress), np.log([9, 1 / 9, 4]))
    certain = label_confidence(np.array([1.0, 0.0]), np.array([True, True]))
    assert np.isfinite(certain).all()
    assert certain[0] > 15
    assert certain[1] < -15


def test_means_are_those_of_each_record():
    means = record_means(np.array([1.0, 5.0, 3.0]), np.array(["S2", "S10", "S2"]))
    np.testing.assert_array_equal(means, [5.0, 2.0])  # sorted: S10, S2


def test_leaving_people_out_compares_neighbours_only():
    design = leave_one_out(3, 4)
    assert design.members.shape == (16, 3)
    assert design.members[:4].all()
    assert design.compared[:4].all()
    for row in range(4, 16):
        lacked = np.flatnonzero(~design.members[row])
        assert len(lacked) == 1
        np.testing.assert_array_equal(design.compared[row], ~design.members[row])


def test_random_halves_are_balanced_and_independent_of_each_other():
    design = random_halves(2000, 10, np.random.default_rng(0))
    np.testing.assert_array_equal(design.members.sum(axis=0), 10)
    assert design.compared.all()
    # Two records agree in half of the models on average: the standard error is about .0018, five of it.
    agree = (design.members[:, ::2] == design.members[:, 1::2]).mean()
    assert agree == pytest.approx(0.5, abs=0.01)


def test_models_see_their_members_and_nobody_else():
    rows = features(80, subjects=4)
    seen = []

    def train(given, stream):
        seen.append((set(given.subject), len(given), float(generator(stream).random())))
        return lambda asked: np.full(len(asked), float(len(given)))

    design = leave_one_out(4, 3)
    scores = train_design(train, rows, rows.subject, design, root_stream(1))
    for (subjects, length, _), members in zip(seen, design.members, strict=True):
        assert subjects == {f"S{i}" for i in np.flatnonzero(members)}
        assert length == 20 * members.sum()
    assert len({draw for _, _, draw in seen}) == len(seen)
    np.testing.assert_array_equal(np.isnan(scores), ~design.compared)
    assert np.nanmax(scores) == 80
