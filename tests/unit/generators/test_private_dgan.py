"""DGAN's private training: the penalty inside the clip, records that never meet, nothing else of the data."""

import itertools
import logging

import numpy as np
import pytest
import tensorflow as tf
from pydantic import ValidationError

from pulseveil.core.checkpoints import Checkpoint
from pulseveil.core.errors import InputError
from pulseveil.core.randomness import root_stream
from pulseveil.generators import Training
from pulseveil.generators.dgan import DGAN, DGANSettings, networks, steps
from pulseveil.generators.dgan.model import DGANModel
from pulseveil.generators.dgan.steps import DGANAdversaries
from pulseveil.generators.private_settings import PrivateDGAN, in_range
from pulseveil.networks.adversaries import Real, Synthetic
from pulseveil.networks.per_example import record_gradients
from pulseveil.privacy import dpgan
from pulseveil.privacy.budget import Budget, Population
from pulseveil.privacy.noise import reproducible
from pulseveil.privacy.records import NOBODY
from tests.unit.private_logs import leaks

PEOPLE, WINDOWS = 5, 8
POPULATION = Population(PEOPLE, WINDOWS, 0.25)
OBJECTIVE = steps.Objective(1e-3, 0.5, "each_window", 10.0)
# The narrow one keeps a gradient a record, the wide one its factors.
SHAPES = {
    "narrow, told": networks.Shape(2, 6, 2, 3, 5, 4, 2),
    "wide, not told": networks.Shape(1, 40, 0, 3, 5, 60, 3),
}
SYNTHETIC = 4
# One set of compiled-in settings and shapes for all trainings below: compiling takes longer than they do.
SIZES = {"units": 6, "noise": 3, "discriminator_units": 12, "discriminator_layers": 2, "candidates": 4}
PRIVATE = {"steps": 60, "batch_size": 16, "fakes": 8, "windows_each": 3, "width_divisor": 2}
PRIVATE |= {"discriminator_steps": 1, "learning_rate": 1e-3}


def started(shape):
    """A discriminator whose biases are not alike, and a generator."""
    rng = np.random.default_rng(0)
    return DGANAdversaries(OBJECTIVE, shape), DGANAdversaries(OBJECTIVE, shape).start(rng)


def rows(shape, n=12, seed=1):
    """Real windows and as many synthetic ones, of other codes."""
    rng = np.random.default_rng(seed)
    real, synthetic = (
        tf.constant(rng.uniform(size=(n, shape.steps * shape.values)), tf.float32) for _ in "rm"
    )
    codes = tf.constant(rng.integers(2, size=(2, n)), tf.int32)
    return Real(real, codes[0]), Synthetic(synthetic, codes[1], tf.constant(rng.uniform(size=n), tf.float32))


def with_code(window, code, shape):
    return tf.concat([tf.cast(window, tf.float64), tf.one_hot(code, shape.codes, dtype=tf.float64)], axis=0)


def plain_score(x, parameters):
    """The discriminator's score of one row."""
    *hidden, (kernel, bias) = zip(parameters[::2], parameters[1::2], strict=True)
    for weights, offset in hidden:
        x = tf.maximum(tf.linalg.matvec(weights, x, transpose_a=True) + offset, 0)
    return (tf.linalg.matvec(kernel, x, transpose_a=True) + bias)[0]


def plain_gradient(parameters, loss):
    """The gradient of `loss(parameters)` in double precision, flat."""
    double = [tf.cast(value, tf.float64) for value in parameters]
    with tf.GradientTape() as tape:
        tape.watch(double)
        value = loss(double)
    return flat(tape.gradient(value, double, unconnected_gradients="zero"))


def flat(values):
    return np.concatenate([np.ravel(tf.convert_to_tensor(value)) for value in values])


def plain_gradient_of_pair(parameters, shape, real, other):
    """Gradient of a pair's loss: difference of scores, plus the penalty by a tape inside a tape."""

    (window, code), (synthetic, synthetic_code, interpolation) = real, other

    def loss(double):
        size = shape.steps * shape.values
        point = with_code(synthetic + interpolation * (window - synthetic), code, shape)
        with tf.GradientTape() as tape:
            tape.watch(point)
            score = plain_score(point, double)
        gradient = tape.gradient(score, point)[:size]
        norm = tf.sqrt(tf.reduce_sum(tf.square(gradient)) + 1e-8)
        scores = [
            plain_score(with_code(*own, shape), double)
            for own in ((window, code), (synthetic, synthetic_code))
        ]
        return scores[1] - scores[0] + 10 * tf.square(norm - 1)

    return plain_gradient(parameters, loss)


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("k", [1, 3])
def test_gradients_of_records_equal_a_plain_loop_with_second_derivatives(name, k):
    shape = SHAPES[name]
    adversaries, players = started(shape)
    parameters, (real, synthetic) = players.discriminator, rows(shape)
    count = len(real.condition) // k
    pairs = zip(zip(*real, strict=True), zip(*synthetic, strict=True), strict=True)
    of_rows = [plain_gradient_of_pair(parameters, shape, *pair) for pair in pairs]
    expected = [sum(of_rows[record * k : (record + 1) * k]) for record in range(count)]
    found = record_gradients(
        lambda note: adversaries.real_losses(parameters, real, synthetic, note), parameters, count
    )
    for record in range(count):
        ends = np.cumsum([0, *(np.size(value) for value in parameters)])
        alone = flat(found.weighted_sum(tf.one_hot(record, count)))
        norm = np.linalg.norm(expected[record])
        # Layer by layer, so that a large one does not hide a small one; the last bias has no gradient at all.
        for first, last in itertools.pairwise(ends):
            error = np.linalg.norm(alone[first:last] - expected[record][first:last])
            assert error < 1e-5 * np.linalg.norm(expected[record][first:last]) + 1e-7 * norm
        assert np.sqrt(found.squared_norms()[record]) == pytest.approx(norm, rel=1e-5)


def step_gradient(shape, drawn, clip_norm, divisor=2.5, discriminator_steps=5):
    """The move of Adam's averages in a step without noise; its data, synthetic windows and players."""
    adversaries, players = started(shape)
    data, _ = rows(shape, n=11)
    rng = np.random.default_rng(3)
    codes = tf.constant(rng.integers(2, size=(2, SYNTHETIC)), tf.int32)
    latent = tf.constant(rng.normal(size=(2, SYNTHETIC, *adversaries.noise_shape)), tf.float32)
    interpolation = tf.constant(rng.uniform(size=SYNTHETIC), tf.float32)
    batch = dpgan.Batches(tf.constant(drawn, tf.int32), tf.constant([1, 2]), codes, latent, interpolation)
    scales = dpgan.Scales(*(tf.constant(value) for value in (clip_norm, 0.0, divisor)))
    state = dpgan.State(players, tf.constant(0))
    after = dpgan.step(adversaries, discriminator_steps, state, data, batch, scales)
    synthetic = Synthetic(
        adversaries.synthesize(players.generator, latent[0], codes[0]), codes[0], interpolation
    )
    # The first step's average of gradients is half of the gradient (beta1 .5).
    return 2 * flat(after.players.discriminator_adam.first), data, synthetic, players


def clipped(gradient, clip_norm):
    return gradient * min(1, clip_norm / np.linalg.norm(gradient))


def plain_record(parameters, shape, data, synthetic, numbers, clip_norm):
    """The clipped gradient of a record of real windows, each paired with the synthetic one of its number."""
    own = [
        plain_gradient_of_pair(
            parameters,
            shape,
            [values[number] for values in data],
            [values[number % SYNTHETIC] for values in synthetic],
        )
        for number in numbers
    ]
    return clipped(np.mean(own, axis=0), clip_norm)


@pytest.mark.parametrize("drawn", [[[9], [2], [NOBODY]], [[9, 2, 2], [4, 5, 6], [NOBODY] * 3]])
def test_a_step_is_the_sum_of_clipped_pairs_with_their_penalty_over_the_expected_batch(drawn):
    shape, clip_norm, divisor = SHAPES["narrow, told"], 0.5, 2.5
    found, data, synthetic, players = step_gradient(shape, drawn, clip_norm)
    parameters = players.discriminator
    records = [
        plain_record(parameters, shape, data, synthetic, numbers, clip_norm)
        for numbers in drawn
        if numbers[0] != NOBODY
    ]
    expected = sum(records) / divisor
    assert min(map(np.linalg.norm, records)) > 0.99 * clip_norm, "nothing was clipped"
    assert np.linalg.norm(found - expected) < 1e-5 * np.linalg.norm(expected)


@pytest.mark.parametrize("absent", [0, 1, 2])
def test_a_record_that_is_missing_takes_away_its_own_clipped_gradient_and_nothing_else(absent):
    """Others meet the synthetic windows that they would have met, wherever they now stand in the batch."""
    shape, clip_norm, divisor = SHAPES["wide, not told"], 0.3, 2.5
    drawn = [[9], [2], [7]]
    rest = [numbers for position, numbers in enumerate(drawn) if position != absent] + [[NOBODY]]
    with_it, data, synthetic, players = step_gradient(shape, drawn, clip_norm)
    without_it, *_ = step_gradient(shape, rest, clip_norm)
    lost = (with_it - without_it) * divisor
    own = plain_record(players.discriminator, shape, data, synthetic, drawn[absent], clip_norm)
    assert np.linalg.norm(lost) < clip_norm * (1 + 1e-5)
    assert np.linalg.norm(lost - own) < 1e-4 * clip_norm


def test_the_generator_learns_from_the_discriminator_as_without_privacy():
    shape = SHAPES["narrow, told"]
    adversaries, players = started(shape)
    real, synthetic = rows(shape)
    rng = np.random.default_rng(2)
    noise = tf.constant(rng.normal(size=(12, *adversaries.noise_shape)), tf.float32)
    codes = tf.one_hot(real.condition, shape.codes)
    plain, _ = steps.step(OBJECTIVE, players, steps.Rows(real.windows, codes), noise, synthetic.interpolation)
    same_discriminator = players._replace(
        discriminator=plain.discriminator, discriminator_adam=plain.discriminator_adam
    )
    private = adversaries.update_generator(same_discriminator, real.condition, noise)
    np.testing.assert_allclose(flat(private.generator), flat(plain.generator), rtol=1e-5, atol=1e-7)
    assert np.abs(flat(private.generator) - flat(players.generator)).max() > 1e-4
    np.testing.assert_array_equal(flat(private.discriminator), flat(plain.discriminator))


def people(seed=0, subjects=PEOPLE):
    """Windows (n, 6, 2), codes and names: level 0 for code 0, level 2 for code 1."""
    rng = np.random.default_rng(seed)
    code = np.tile(np.arange(WINDOWS) >= 6, subjects).astype(np.int8)
    windows = 2.0 * code[:, None, None] + 0.3 * rng.normal(size=(len(code), 6, 2))
    return windows.astype(np.float32), code, np.repeat([f"S{i}" for i in range(subjects)], WINDOWS)


def budget(unit="window", epsilon=10.0, **changes):
    return Budget(epsilon, 1e-5, unit, POPULATION, reproducible(root_stream(0)), **changes)


def settings(private=None, **changes):
    return DGANSettings(**SIZES | changes, private=PrivateDGAN(**PRIVATE | (private or {})))


def fit(data, allowance, checkpoint=None, private=None, **changes):
    windows, code, subject = data
    return DGANModel.fit(
        settings(private, **changes),
        Training(windows, code, subject, 2, allowance, root_stream(1), checkpoint),
    )


def parameters_of(model):
    return flat(list(model.arrays().values()))


LABELS_AND_UNIT = [("channel", "window"), ("conditional", "subject")]


@pytest.mark.parametrize(("labels", "unit"), LABELS_AND_UNIT)
def test_nothing_but_the_clipped_sums_sees_real_windows(labels, unit, caplog):
    """With a clip norm of almost nothing, trainings on unlike data end alike: in labels and numbers, too."""
    windows, code, subject = people(subjects=4)
    unlike = windows[:-3] * 5 + 1, 0 * code[:-3], subject[:-3]
    nothing = {"clip_norm": 1e-12, "steps": 30}
    with caplog.at_level(logging.DEBUG, "pulseveil"):
        first, second = (fit(data, budget(unit), None, nothing, labels=labels) for data in (people(), unlike))
    np.testing.assert_allclose(parameters_of(first), parameters_of(second), rtol=1e-4, atol=1e-6)
    third = fit(unlike, budget(unit), None, {"steps": 30}, labels=labels)
    assert np.abs(parameters_of(third) - parameters_of(second)).max() > 1e-3
    assert not leaks(caplog)


@pytest.mark.parametrize(("labels", "unit"), LABELS_AND_UNIT)
def test_the_ledger_counts_the_discriminators_steps(labels, unit):
    model = fit(people(), budget(unit), None, {"steps": 30}, labels=labels)
    (entry,) = model.ledger
    assert (entry.mechanism, entry.steps_noised, entry.steps_accounted) == ("discriminator", 30, 30)
    assert (entry.unit, entry.n) == (unit, PEOPLE * WINDOWS if unit == "window" else PEOPLE)
    assert entry.q == (pytest.approx(0.4) if unit == "window" else 1)
    assert 9.9 < entry.epsilon_pld <= 10
    assert "range of the channels" in entry.public_quantities
    again = DGANModel.from_arrays(settings(labels=labels), model.arrays())
    noise = np.random.default_rng(0).standard_normal((6, model.noise_size), dtype=np.float32)
    codes = (np.arange(6) % 2).astype(np.int8)
    np.testing.assert_array_equal(again.sample(codes, noise), model.sample(codes, noise))
    assert np.isfinite(model.sample(codes, noise)).all()
    assert again.ledger == ()


class Interrupted(Exception):
    pass


class Breaks(Checkpoint):
    """A checkpoint after which the machine fails."""

    def save(self, step, arrays):
        super().save(step, arrays)
        if step:
            raise Interrupted


def test_a_resumed_training_ends_in_the_same_bits(tmp_path):
    path = tmp_path / "state.npz"
    unbroken = fit(people(), budget())
    with pytest.raises(Interrupted):
        fit(people(), budget(), Breaks(path, "cell", 1000))
    resumed = fit(people(), budget(), Checkpoint(path, "cell", 1000))
    np.testing.assert_array_equal(parameters_of(resumed), parameters_of(unbroken))
    assert resumed.ledger == unbroken.ledger


def test_windows_are_scaled_by_the_public_range_and_cut_to_it():
    windows, code, subject = people()
    private = {"steps": 30, "least": [-1.0, -2.0], "greatest": 3.0}
    far, farther = (np.where(windows > 2, value, windows).astype(np.float32) for value in (3, 300))
    first, second = (fit((data, code, subject), budget(), None, private) for data in (far, farther))
    np.testing.assert_array_equal(parameters_of(first), parameters_of(second))
    arrays = first.arrays()
    np.testing.assert_array_equal(arrays["least"], [-1, -2])
    np.testing.assert_array_equal(arrays["span"], [4, 5])
    scale = PrivateDGAN(**private).scale(2)
    unit = in_range(scale, np.array([[[-1, -2], [3, 3], [1, 0.5], [-9, 9]]], np.float32))
    np.testing.assert_allclose(unit, [[[0, 0], [1, 1], [0.5, 0.5], [0, 1]]], atol=1e-6)


def test_what_has_no_bound_is_refused():
    with pytest.raises(InputError, match=r"penalty published adds up .* all windows.*penalty each_window"):
        DGAN.mechanisms(settings(penalty="published"), budget())
    with pytest.raises(InputError, match="dp_backend fast"):
        DGAN.mechanisms(settings(), budget(backend="tensorflow_privacy"))
    with pytest.raises(InputError, match="at most 5 people"):
        fit(people(subjects=6), budget())
    with pytest.raises(InputError, match="sample_length 4 does not divide a window's 6 values"):
        fit(people(), budget(), sample_length=4)
    with pytest.raises(InputError, match=r"private\.least: .* one for each of 2 channels, found 3"):
        fit(people(), budget(), None, {"least": [0, 0, 0]})


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"least": 5.0}, "is not above least"),
        ({"least": [0, 2], "greatest": [1, 1]}, "is not above least"),
        ({"least": [0, 0], "greatest": [1, 1, 1]}, "unlike numbers of channels"),
    ],
)
def test_a_range_that_is_none_is_refused_with_the_study(keys, words):
    with pytest.raises(ValidationError, match=words):
        PrivateDGAN(**keys)


def test_the_discriminators_width_is_divided():
    from pulseveil.generators.dgan.training import Examples, private_adversaries

    examples = Examples(np.zeros((2, 6, 3), np.float32), np.zeros((2, 0), np.float32))
    for divisor, units in ((1, 12), (5, 2), (100, 1)):
        adversaries = private_adversaries(settings({"width_divisor": divisor}), examples)
        assert adversaries.shape.discriminator_units == units
        assert adversaries.shape.units == 6
