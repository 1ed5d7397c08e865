"""All chance of a row hangs on its record: who else is drawn, and in which order, changes no record's part.

The accountant takes a step for a sum over records, each drawn or not: amplification by sampling holds only
if a record's part is the same whoever else is drawn. Sums are those of the compiled programs (`drawn_sums`).
"""

import math
from dataclasses import dataclass
from itertools import count
from typing import ClassVar

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from pulseveil.core import randomness
from pulseveil.networks import layers
from pulseveil.networks.classifiers import CNN
from pulseveil.networks.per_example import unnoted
from pulseveil.networks.training import Examples, Weights
from pulseveil.privacy import dpsgd, library_optimizer
from pulseveil.privacy.budget import Mechanism
from pulseveil.privacy.noise import Noise
from pulseveil.privacy.records import ABSENT, Records, drawn_rows
from tests.unit import drawn_sums

# In clip norms: float32 sums of some forty records round by a few millionths.
ROUNDING = 1e-5
WINDOW, SUBJECT = 1, 3

DETECTORS = list(drawn_sums.SMALL_DETECTORS)
DISCRIMINATORS = ["lstm", "fcn", "transformer"]


@pytest.mark.parametrize("rows", [WINDOW, SUBJECT], ids=["window", "subject"])
@pytest.mark.parametrize("name", DETECTORS)
def test_no_record_moves_what_others_add_to_a_detector(name, rows):
    network = drawn_sums.detector(name, **drawn_sums.SMALL_DETECTORS[name])
    found = drawn_sums.shifts(drawn_sums.of_learner(network, rows, others=40))
    assert found.largest < ROUNDING, found


@pytest.mark.parametrize(
    ("learner", "rows"),
    [
        (drawn_sums.autoencoder, WINDOW),
        (drawn_sums.autoencoder, SUBJECT),
        (drawn_sums.embedding, WINDOW),
        pytest.param(drawn_sums.embedding, SUBJECT, marks=pytest.mark.slow),
    ],
)
def test_no_record_moves_what_others_add_to_an_autoencoder_or_embedding(learner, rows):
    found = drawn_sums.shifts(drawn_sums.of_learner(learner(), rows, others=40))
    assert found.largest < ROUNDING, found


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("lstm", WINDOW),
        # Each is one more program to compile.
        pytest.param("fcn", WINDOW, marks=pytest.mark.slow),
        pytest.param("transformer", WINDOW, marks=pytest.mark.slow),
        *(pytest.param(name, SUBJECT, marks=pytest.mark.slow) for name in DISCRIMINATORS),
    ],
)
def test_no_record_moves_what_others_add_to_a_discriminator(name, rows):
    draws = drawn_sums.of_adversaries(drawn_sums.conditional(name), (6, 2), rows, others=20)
    found = drawn_sums.shifts(draws)
    assert found.largest < ROUNDING, found


@pytest.mark.parametrize(
    ("adversaries", "window", "rows"),
    [
        (drawn_sums.flat_adversaries, (12,), WINDOW),
        pytest.param(drawn_sums.flat_adversaries, (12,), SUBJECT, marks=pytest.mark.slow),
        pytest.param(drawn_sums.sequences, (6, 3), WINDOW, marks=pytest.mark.slow),
        pytest.param(drawn_sums.sequences, (6, 3), SUBJECT, marks=pytest.mark.slow),
    ],
)
def test_no_record_moves_what_others_add_to_dgan_or_timegan(adversaries, window, rows):
    found = drawn_sums.shifts(drawn_sums.of_adversaries(adversaries(), window, rows, others=20))
    assert found.largest < ROUNDING, found


@pytest.mark.parametrize("rows", [WINDOW, SUBJECT], ids=["window", "subject"])
def test_free_places_change_nothing(rows):
    network = drawn_sums.detector("cnn", **drawn_sums.SMALL_DETECTORS["cnn"])
    narrow, wide = (
        drawn_sums.of_learner(network, rows, others=12, capacity=capacity) for capacity in (14, 80)
    )
    for order in ([], [5], narrow.others):
        assert np.linalg.norm(narrow.sum_of(order) - wide.sum_of(order)) < ROUNDING


@pytest.mark.parametrize("backend", [dpsgd, library_optimizer], ids=["own", "tensorflow-privacy"])
def test_a_training_with_an_empty_record_in_its_draw_is_that_without_it(backend):
    """By keys under which the draws differ in record 0 alone, which has weight 0; noise is negligible."""
    network, run = CNN(6, 8, 3, (5, 4), 0.3), Mechanism("case", "window", 5, 0.5, 5, 1, 1.0, 1e-7)
    recipe = dpsgd.Recipe(network, run, learning_rate=run.expected_batch, optimizer="sgd")
    # The draws hang on the versions of what is imported: the library comes first.
    library_optimizer.optimizer(recipe, 5)
    stream = randomness.root_stream(4)
    first = network.start(randomness.generator(randomness.child(stream, "initial")))
    x, target, weight = map(np.asarray, drawn_sums.learner_examples(dpsgd.as_learner(network), 7, 1))
    data = Examples(x[2:], target[2:], weight[2:].copy())
    data.weight[0] = 0
    moved = {}
    for wanted in ((0, 1, 2, 3, 4), (1, 2, 3, 4)):
        # Anew: it names versions of packages, of which the library's are known once it is imported.
        secret = dpsgd.fingerprint(recipe, data, first)
        noise = next(noise for noise in _keys() if _drawn(recipe, noise, secret) == wanted)
        weights, _ = backend.fit(recipe, data, noise, stream)
        moved[wanted] = drawn_sums.flat(first.parameters) - drawn_sums.flat(weights.parameters)
    with_it, without_it = moved.values()
    assert np.linalg.norm(without_it) > 0.1
    assert np.linalg.norm(with_it - without_it) < ROUNDING


def test_which_windows_of_a_person_are_drawn_hangs_on_that_person():
    """By the same key, with person 0 in the draw and without."""
    records = Records(
        np.zeros((30, 1), np.float32), np.zeros(30, np.int32), np.arange(30, dtype=np.int32).reshape(3, 10)
    )
    orders = np.array([[[0, 1, 2]] * 20, [[1, 2, ABSENT]] * 20], np.int32)
    with_it, without = (drawn_rows(records, order, 4, np.random.default_rng(0)) for order in orders)
    np.testing.assert_array_equal(with_it[:, 1:], without[:, :2])
    assert len(np.unique(with_it[:, 1] % 10)) > 5
    assert np.any(with_it[:, 1] % 10 != with_it[:, 2] % 10)


def _keys():
    return (Noise(number.to_bytes(32, "big"), secret=False) for number in count())


def _drawn(recipe, noise, secret):
    (order,) = dpsgd.draw(recipe, noise, secret).order
    return tuple(sorted(order[order != ABSENT].tolist()))


@dataclass(frozen=True)
class Masks:
    """A network whose gradient at zero weights shows the masks of two dropouts, value by value."""

    signals: int
    bins: int
    dropout: float
    compiles_step: ClassVar[bool] = False

    @property
    def values(self):
        return self.signals * self.bins

    def start(self, rng):
        kernels = [np.zeros((self.values, 2), np.float32), np.zeros(2, np.float32)]
        return Weights([*kernels, *kernels], [])

    def train_logits(self, weights, x, present, drop, note=unnoted):
        flat = tf.reshape(x, (x.shape[0], self.values))
        first, second = weights.parameters[:2], weights.parameters[2:]
        return layers.dense(drop(flat, 0), first, note) + layers.dense(drop(flat, 1), second, note), []

    def score_logits(self, weights, x):
        return self.train_logits(weights, x, tf.ones(x.shape[0]), layers.keeping)[0]


RATE, MASKED, RECORDS, ROWS, STEPS = 0.3, 256, 12, 2, 2
SEEDS = ((5, 6), (6, 5))


@pytest.fixture(scope="module")
def masks():
    """Which values are kept: (seeds, steps, records, rows, places, values) of bool, through the program.

    Row r of a record holds 2^r everywhere, so that a sum of rows tells which of them kept a value.
    """
    network = Masks(1, MASKED, RATE)
    x = np.broadcast_to(2.0 ** np.arange(ROWS)[:, None, None], (RECORDS, ROWS, 1, MASKED))
    target = np.broadcast_to(np.eye(2)[0], (RECORDS, ROWS, 2))
    data = Examples(*(tf.constant(v, tf.float32) for v in (x, target, np.ones((RECORDS, ROWS)))))
    run = dpsgd.program(network, ROWS, "sgd")
    start = dpsgd.start(network.start(np.random.default_rng(0)))
    scales = dpsgd.Scales(*(tf.constant(value) for value in (1e6, 0.0, 1.0, 1.0)))
    found = np.zeros((len(SEEDS), STEPS, RECORDS, ROWS, 2, MASKED), bool)
    for s, seed in enumerate(SEEDS):
        for step in range(STEPS):
            state = start._replace(moments=start.moments._replace(step=tf.constant(step)))
            for record in range(RECORDS):
                order = drawn_sums.padded([record], RECORDS)
                chance = dpsgd.Chance(tf.constant(order[np.newaxis]), tf.constant([[7, 8]]))
                after = run(state, data, chance, tf.constant(seed), scales)
                for place in (0, 1):
                    sums = after.parameters[2 * place].numpy()[:, 0]
                    # At zero weights a row's signal is (1/2 - 1) / 2 for an output that should be 1.
                    of_rows = np.rint(sums * 4 * (1 - RATE)).astype(int)
                    np.testing.assert_allclose(sums * 4 * (1 - RATE), of_rows, atol=1e-3)
                    for row in range(ROWS):
                        found[s, step, record, row, place] = of_rows >> row & 1
    return found


def test_dropout_drops_values_at_its_rate(masks):
    """A binomial test that errs once in a million."""
    dropped = int(np.count_nonzero(~masks))
    assert stats.binomtest(dropped, masks.size, RATE).pvalue > 1e-6


def test_masks_of_records_rows_places_steps_and_seeds_have_nothing_in_common(masks):
    """The largest of all correlations of two masks, one of them shifted or with its positions' bits flipped.

    Shifts and flips, because keyed hashes of a position that share a part of their key repeat that way. Some
    ten million correlations, of which the largest passes the bound once in a million tests.
    """
    table = masks.reshape(-1, MASKED).astype(np.float64)
    table = (table - (1 - RATE)) / math.sqrt(RATE * (1 - RATE) * MASKED)
    spectra = np.fft.rfft(table)
    walsh = _walsh(table)
    largest = 0.0
    for number in range(len(table) - 1):
        shifted = np.fft.irfft(spectra[number + 1 :] * spectra[number].conj(), MASKED)
        flipped = _walsh(walsh[number + 1 :] * walsh[number]) / MASKED
        largest = max(largest, np.abs(shifted).max(), np.abs(flipped).max())
    pairs = len(table) * (len(table) - 1) / 2
    # A normal's tail, and a little for the binomial's that is heavier than it.
    bound = stats.norm.isf(1e-6 / (pairs * 2 * MASKED)) / math.sqrt(MASKED) * 1.1
    assert largest < bound


def _walsh(table):
    """Walsh-Hadamard transform along the last axis, whose products are correlations under flipped bits."""
    size, values = 1, table.copy()
    while size < table.shape[-1]:
        halves = values.reshape(*values.shape[:-1], -1, 2, size)
        values = np.stack([halves[..., 0, :] + halves[..., 1, :], halves[..., 0, :] - halves[..., 1, :]], -2)
        values = values.reshape(table.shape)
        size *= 2
    return values
