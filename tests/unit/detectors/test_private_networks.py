"""Private neural detectors: records, ledgers, and what they must not look at."""

import logging
from dataclasses import replace

import numpy as np
import pytest

from pulseveil.core import registry
from pulseveil.core.checkpoints import Checkpoint
from pulseveil.core.errors import InputError, Interrupted
from pulseveil.core.randomness import root_stream
from pulseveil.detectors import Training
from pulseveil.detectors.private_neural import lay_out
from pulseveil.privacy.budget import Budget, Population
from pulseveil.privacy.noise import reproducible
from tests.unit.detectors.test_private_simple import features
from tests.unit.private_logs import leaks

POPULATION = Population(5, 12, 0.25)
SMALL = {
    "cnn": {"filters": 4, "dense_units": (6, 5)},
    "cnn_lstm": {"filters": 4, "lstm_units": (6, 5), "dense_units": (6, 5)},
    "transformer": {"blocks": 1, "heads": 2, "head_size": 4, "dense_units": 6},
}
TRAINING = {"steps": 3, "batch_size": 20}


def rows():
    """Spectra of 8 bins whose first one tells stress."""
    given = features()
    spectra = np.random.default_rng(0).normal(size=(len(given), 6, 8)).astype(np.float32)
    spectra[:, :, 0] += 3 * given.stress[:, np.newaxis]
    return replace(given, features=spectra)


def fit(name, given, epsilon=8.0, unit="subject", backend="fast", checkpoint=None, **training):
    kind = registry.load("detectors", name)
    known = {key: value for key, value in SMALL[name].items() if key in kind.Settings.model_fields}
    settings = kind.Settings.model_validate({**known, "private": TRAINING | training})
    budget = Budget(epsilon, 1e-5, unit, POPULATION, reproducible(root_stream(1)), backend)
    training = Training(given, budget, root_stream(2), checkpoint)
    return registry.model("detectors", name).fit(settings, training)


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("cnn", "window"),
        ("cnn_lstm", "subject"),
        ("transformer", "window"),
        # The other halves: each is one more program to compile, and `test_per_example` has its gradients.
        pytest.param("cnn", "subject", marks=pytest.mark.slow),
        pytest.param("cnn_lstm", "window", marks=pytest.mark.slow),
        pytest.param("transformer", "subject", marks=pytest.mark.slow),
    ],
)
def test_a_private_network_leaves_its_ledger(name, unit, caplog):
    with caplog.at_level(logging.DEBUG, "pulseveil"):
        # One of the three by plain descent.
        fitted = fit(name, rows(), unit=unit, optimizer="sgd" if name == "transformer" else "adam")
    assert not leaks(caplog)
    (entry,) = fitted.ledger
    assert (entry.mechanism, entry.unit, entry.steps_noised) == (name, unit, 3)
    assert entry.sampler == ("full batch" if unit == "subject" else "poisson")
    assert entry.epsilon_pld == pytest.approx(8, rel=5e-3)
    assert not entry.is_private  # the noise of this test is reproducible
    assert np.isfinite(fitted.score(rows()).score).all()


def test_with_hardly_any_noise_a_private_network_learns():
    fitted = fit("cnn", rows(), epsilon=1e6, unit="window", steps=60, batch_size=60, learning_rate=0.02)
    assert np.mean(fitted.score(rows()).predicted == rows().stress) > 0.9


def test_the_library_gives_the_same_ledger():
    ours, theirs = (
        fit("cnn", rows(), unit="window", backend=backend) for backend in ("fast", "tensorflow_privacy")
    )
    fields = ("n", "q", "noise_multiplier", "steps_noised", "epsilon_pld")
    assert [getattr(ours.ledger[0], f) for f in fields] == [getattr(theirs.ledger[0], f) for f in fields]
    with pytest.raises(InputError, match=r"use dp_backend fast for unit subject"):
        fit("cnn", rows(), backend="tensorflow_privacy")


def test_a_person_is_one_record_with_the_mean_of_the_own_windows():
    given = rows()
    laid = lay_out(given, "subject", POPULATION)
    assert laid.x.shape == (5, 12, 6, 8)
    own = given.stress[given.subject == "S2"]
    expected = np.where(own, (1 - 0.25) / 0.25, 1.0) / len(own)
    np.testing.assert_allclose(laid.weight[2], expected, rtol=1e-6)


def test_records_and_weights_do_not_depend_on_other_people():
    given = rows()
    fewer = given.take(given.subject != "S4")
    turned = replace(given, stress=np.where(given.subject == "S4", ~given.stress, given.stress))
    for other in (fewer, turned):
        for unit, kept in (("subject", 4), ("window", 48)):
            before, after = (lay_out(r, unit, POPULATION) for r in (given, other))
            assert before.x.shape == after.x.shape
            for value, same in zip(before, after, strict=True):
                np.testing.assert_array_equal(value[:kept], same[:kept])


def test_an_interrupted_training_replays_its_noise_or_counts_what_was_lost(tmp_path):
    given, training = rows(), {"unit": "window", "steps": 130}

    def interrupted(path):
        with pytest.raises(Interrupted, match="after step 50"):
            fit("cnn", given, checkpoint=Checkpoint(path, "cell", 1000, lambda: True), **training)
        return Checkpoint(path, "cell", 1000)

    resumed = fit("cnn", given, checkpoint=interrupted(tmp_path / "same.npz"), **training)
    unbroken = fit("cnn", given, **training)
    np.testing.assert_array_equal(resumed.score(given).score, unbroken.score(given).score)
    assert resumed.ledger == unbroken.ledger
    changed = replace(given, features=given.features + np.float32(0.01))
    checkpoint = interrupted(tmp_path / "changed.npz")
    other = fit("cnn", changed, checkpoint=checkpoint, **training)
    assert other.ledger[0].steps_noised == other.ledger[0].steps_accounted == 130
    step, arrays, _ = checkpoint.load()
    assert (step, arrays["__lost__"], arrays["__attempt__"]) == (50, 50, 1)
