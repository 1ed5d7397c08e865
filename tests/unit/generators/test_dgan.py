import itertools
import logging
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from pulseveil.core.checkpoints import Checkpoint
from pulseveil.core.errors import InputError, Interrupted
from pulseveil.core.randomness import child, generator, root_stream
from pulseveil.generators import FitsTogether
from pulseveil.generators.dgan import DGAN, DGANSettings, steps, training
from pulseveil.generators.dgan import networks as dgan
from pulseveil.generators.dgan.model import DGANModel
from pulseveil.generators.examples import first_fitting, label_signals, label_values
from pulseveil.networks import loop
from pulseveil.networks.loop import side_by_side
from pulseveil.quality.classifiers import two_sample_score
from tests import keras_dgan
from tests.trainings import plain

# One set of sizes for all compiled trainings below: compiling takes longer than they do.
SIZES = {"units": 32, "noise": 8, "discriminator_units": 48, "discriminator_layers": 2, "candidates": 16}
SHORT = DGANSettings(epochs=120, batch_size=64, learning_rate=5e-4, **SIZES)
LONG = SHORT.model_copy(update={"epochs": 1500})
SHAPE = dgan.Shape(2, 6, 0, 3, 5, 7, 3)
OBJECTIVE = steps.Objective(1e-3, 0.5, "each_window", 10.0)


def waves(n=150, seed=5):
    """Windows (n, 12, 2) of two conditions, with other levels and slopes in each, and their codes."""
    rng = np.random.default_rng(seed)
    codes = (np.arange(n) % 3 == 0).astype(np.int8)
    time = np.linspace(0, 1, 12)[:, np.newaxis]
    level = rng.normal(size=(n, 1, 2)) + 3 * codes[:, np.newaxis, np.newaxis] * np.array([1, -1])
    slope = rng.normal(size=(n, 1, 2))
    return (level + slope * time).astype(np.float32), codes


def fit(settings=SHORT, checkpoint=None, seed=0, classes=2, data=None):
    windows, codes = waves() if data is None else data
    stream = root_stream(seed)
    return DGANModel.fit(settings, plain(windows, codes, stream, classes=classes, checkpoint=checkpoint))


@pytest.fixture(scope="module")
def trained():
    return fit()


@pytest.fixture(scope="module")
def trained_long():
    return fit(LONG)


def flat(values):
    return np.concatenate([np.ravel(value) for value in values])


def samples(model, codes, seed=0):
    noise = np.random.default_rng(seed).standard_normal((len(codes), model.noise_size), dtype=np.float32)
    return model.sample(codes, noise)


def small_batch(b=9, shape=SHAPE, seed=1):
    """A state, rows, noise and interpolation of one step."""
    rng = np.random.default_rng(seed)
    state = steps.start(rng, shape)
    windows = tf.constant(rng.uniform(size=(b, shape.steps * shape.values)), tf.float32)
    codes = tf.one_hot(np.arange(b) % max(shape.codes, 1), shape.codes)
    noise = tf.constant(rng.normal(size=(b, shape.steps, shape.noise)), tf.float32)
    return state, steps.Rows(windows, codes), noise, tf.constant(rng.uniform(size=b), tf.float32)


def numpy_score(x, parameters):
    """The discriminator's score of one row, in plain NumPy and double precision."""
    *hidden, (kernel, bias) = [
        (np.asarray(parameters[i], np.float64), np.asarray(parameters[i + 1], np.float64))
        for i in range(0, len(parameters), 2)
    ]
    for weights, offset in hidden:
        x = np.maximum(x @ weights + offset, 0)
    return (x @ kernel + bias)[0]


def finite_difference_gradient(x, parameters, width=1e-6):
    shifts = width * np.eye(len(x))
    return np.array(
        [(numpy_score(x + s, parameters) - numpy_score(x - s, parameters)) / (2 * width) for s in shifts]
    )


def test_the_gradient_penalty_is_that_of_a_loop_over_windows_with_finite_differences():
    state, rows, noise, interpolation = small_batch()
    made = dgan.generate(state.generator, noise, rows.codes).numpy().astype(np.float64)
    between = made + interpolation.numpy()[:, np.newaxis] * (rows.windows.numpy() - made)
    gradients = [finite_difference_gradient(x, state.discriminator) for x in between]
    each = np.mean([(np.sqrt(g @ g) - 1) ** 2 for g in gradients])
    together = (np.sqrt(sum(g @ g for g in gradients)) - 1) ** 2
    for kind, expected in (("each_window", each), ("published", together)):
        objective = OBJECTIVE._replace(penalty=kind)
        _, (_, penalty) = steps.update_discriminator(
            objective, state, rows, tf.constant(made, tf.float32), interpolation
        )
        assert float(penalty) == pytest.approx(10 * expected, rel=1e-4), kind


def test_losses_are_those_of_wgan_gp_in_plain_numpy():
    state, rows, noise, interpolation = small_batch()
    made = dgan.generate(state.generator, noise, rows.codes)
    real, fake = (
        np.mean([numpy_score(x, state.discriminator) for x in np.asarray(w, np.float64)])
        for w in (rows.windows, made)
    )
    after, (loss, penalty) = steps.update_discriminator(OBJECTIVE, state, rows, made, interpolation)
    assert float(loss - penalty) == pytest.approx(fake - real, abs=1e-5)
    # The generator's loss is by the discriminator just updated, for the same made windows.
    _, losses = steps.step(OBJECTIVE, state, rows, noise, interpolation)
    expected = -np.mean([numpy_score(x, after.discriminator) for x in made.numpy().astype(np.float64)])
    assert float(losses[2]) == pytest.approx(expected, abs=1e-5)


def test_a_told_condition_is_no_part_of_the_penalty():
    shape = SHAPE._replace(codes=2)
    state, rows, noise, interpolation = small_batch(shape=shape)
    made = dgan.generate(state.generator, noise, rows.codes)
    _, (_, before) = steps.update_discriminator(OBJECTIVE, state, rows, made, interpolation)
    # With dead codes in the first layer the penalty is another one; with live ones their part is left out.
    points = np.concatenate([made + interpolation[:, None] * (rows.windows - made), rows.codes], axis=1)
    norms = [
        np.linalg.norm(finite_difference_gradient(x, state.discriminator)[:12])
        for x in points.astype(np.float64)
    ]
    assert float(before) == pytest.approx(10 * np.mean((np.array(norms) - 1) ** 2), rel=1e-4)


@pytest.mark.parametrize("penalty", ["each_window", "published"])
def test_steps_are_those_of_plain_keras(penalty):
    state, rows, _, _ = small_batch()
    networks = (
        keras_dgan.generator(steps=2, noise=3, units=5, values=6),
        keras_dgan.discriminator(inputs=12, units=7, layers=3),
    )
    for model, ours in zip(networks, (state.generator, state.discriminator), strict=True):
        keras_dgan.set_weights(model, ours)
    plain = keras_dgan.Step(*networks, penalty=penalty, learning_rate=1e-3)
    rng = np.random.default_rng(3)
    for _ in range(3):
        noise = tf.constant(rng.normal(size=(9, 2, 3)), tf.float32)
        interpolation = tf.constant(rng.uniform(size=9), tf.float32)
        state, losses = steps.step(OBJECTIVE._replace(penalty=penalty), state, rows, noise, interpolation)
        theirs = plain.update(rows.windows, noise, interpolation)
        np.testing.assert_allclose(losses[:2], theirs[:2], rtol=1e-4)
        # The last bias moves all scores alike: its gradient is rounding, which Adam makes a step of.
        assert float(losses[2]) == pytest.approx(float(theirs[2]), abs=3 * 1e-3)
    for model, ours in zip(networks, (state.generator, state.discriminator[:-1]), strict=True):
        for found, expected in zip(ours, model.trainable_weights, strict=False):
            assert np.abs(found - expected).mean() < 2e-5


def test_a_pass_takes_each_row_once_and_ends_with_a_smaller_batch():
    state, rows, _, _ = small_batch(b=10)
    rng = np.random.default_rng(4)
    order = rng.permutation(10)
    noise, interpolation = rng.normal(size=(10, 2, 3)), rng.uniform(size=10)
    draws = training.Draws(
        *map(tf.constant, (order, noise.astype(np.float32), interpolation.astype(np.float32)))
    )
    found, _ = training.one_pass(OBJECTIVE, 4, state, rows, draws)
    for part in (slice(0, 4), slice(4, 8), slice(8, 10)):
        own = steps.Rows(*(tf.gather(values, order[part]) for values in rows))
        state, _ = steps.step(OBJECTIVE, state, own, draws.noise[part], draws.interpolation[part])
    for ours, expected in zip(tf.nest.flatten(found), tf.nest.flatten(state), strict=True):
        np.testing.assert_allclose(ours, expected, atol=1e-6)


def test_the_published_networks_have_the_published_sizes():
    examples = training.Examples(np.zeros((2, 60, 7), np.float32), np.zeros((2, 0), np.float32))
    shape = training.shape_of(DGANSettings(), examples)
    rng = np.random.default_rng(0)
    counts = [
        sum(value.size for value in start(rng, shape))
        for start in (dgan.start_generator, dgan.start_discriminator)
    ]
    # The published LSTM has its biases twice.
    assert counts == [87_220 - 400, 245_201]


def stop_after(block):
    """Requests a stop of the training after its `block`-th block."""
    blocks = itertools.count(1)
    return lambda: next(blocks) == block


def assert_equal_arrays(model, other):
    assert model.arrays().keys() == other.arrays().keys()
    for name, value in model.arrays().items():
        np.testing.assert_array_equal(value, other.arrays()[name])


@pytest.mark.parametrize("block", [1, 2])
def test_a_resumed_training_equals_an_unbroken_one_to_the_last_bit(tmp_path, trained, block):
    path = tmp_path / "state.npz"
    with pytest.raises(Interrupted, match=f"state stored after step {50 * block}"):
        fit(checkpoint=Checkpoint(path, "cell", 1000, stop_after(block)))
    assert_equal_arrays(fit(checkpoint=Checkpoint(path, "cell", 1000)), trained)


def test_a_training_prolonged_from_within_a_block_equals_one_long_training(tmp_path, trained):
    path = tmp_path / "state.npz"
    fit(SHORT.model_copy(update={"epochs": 70}), Checkpoint(path, "cell", 70))
    assert_equal_arrays(fit(checkpoint=Checkpoint(path, "cell", 1000)), trained)


MODELS = 3


def pass_inputs(seed, n=10):
    """A state, and rows and draws of one pass over them."""
    state, rows, noise, interpolation = small_batch(n, SHAPE._replace(codes=2), seed)
    order = np.random.default_rng(seed).permutation(n).astype(np.int32)
    return (
        state,
        rows,
        training.Draws(*(tf.constant(values)[tf.newaxis] for values in (order, noise, interpolation))),
    )


@pytest.mark.parametrize("penalty", ["each_window", "published"])
def test_models_side_by_side_learn_from_their_own_windows_and_numbers(penalty):
    objective = OBJECTIVE._replace(penalty=penalty)
    states, rows, draws = zip(*(pass_inputs(seed) for seed in range(MODELS)), strict=True)
    state, losses = training.one_pass(
        objective,
        4,
        side_by_side(states),
        side_by_side(rows),
        training.Draws(*(values[0] for values in side_by_side(draws, axis=1))),
    )
    assert losses.shape == (3, MODELS)
    for i, (own, of_model, drawn) in enumerate(zip(states, rows, draws, strict=True)):
        first = training.Draws(*(values[0] for values in drawn))
        alone, expected = training.one_pass(objective, 4, own, of_model, first)
        np.testing.assert_allclose(losses[:, i], expected, atol=1e-5)
        # Adam's averages have the size of the gradients, its steps have not.
        for moments, theirs in (
            (state.generator_adam, alone.generator_adam),
            (state.discriminator_adam, alone.discriminator_adam),
        ):
            found, wanted = flat(value[i] for value in moments.first), flat(theirs.first)
            np.testing.assert_allclose(found, wanted, atol=1e-5 * np.abs(wanted).max())


def parts():
    """Training sets, each with its own windows and stream: the first and the last have equally many."""
    return [plain(*waves(n, seed=5 + i), root_stream(i)) for i, n in enumerate((150, 60, 150))]


def fit_together(settings=SHORT, checkpoint=None, count=MODELS):
    return DGANModel.fit_together(settings, parts()[:count], checkpoint)


@pytest.fixture(scope="module")
def together():
    return fit_together()


def test_a_model_among_others_is_the_one_that_is_trained_alone():
    assert issubclass(DGAN, FitsTogether)
    settings = SHORT.model_copy(update={"epochs": 10})
    shape = dgan.Shape(1, 12 * 3, 0, 8, 32, 48, 2)
    for i, (model, part) in enumerate(zip(fit_together(settings), parts(), strict=True)):
        start = flat(dgan.start_generator(generator(child(part.stream, "parameters")), shape))
        alone = fit(settings, seed=i, data=(part.windows, part.condition))
        found, expected = (
            flat(arrays[name] for name in dgan.GENERATOR_PARAMETERS)
            for arrays in (model.arrays(), alone.arrays())
        )
        # Rounding alone, or a hundredth once it has turned a ReLU or made a step of Adam; others' noise: all.
        assert np.abs(found - expected).mean() < 2e-2 * np.abs(expected - start).mean()
        np.testing.assert_array_equal(model.arrays()["span"], alone.arrays()["span"])


def test_a_model_without_company_is_trained_by_the_program_of_one_alone(trained, together):
    assert_equal_arrays(fit_together(count=1)[0], trained)
    assert_equal_arrays(together[1], fit(seed=1, data=(parts()[1].windows, parts()[1].condition)))


@pytest.mark.parametrize(("block", "step"), [(2, 100), (3, 120), (4, 170)])
def test_models_together_resume_to_the_last_bit(tmp_path, together, block, step):
    path = tmp_path / "state.npz"
    # 120 passes of the two models of 150 windows come before those of the one of 60.
    with pytest.raises(Interrupted, match=f"state stored after step {step}"):
        fit_together(checkpoint=Checkpoint(path, "cell", 1000, stop_after(block)))
    for model, other in zip(fit_together(checkpoint=Checkpoint(path, "cell", 1000)), together, strict=True):
        assert_equal_arrays(model, other)


def test_other_seeds_give_other_models(trained):
    name = "output_kernel"
    assert np.any(fit(seed=1).arrays()[name] != trained.arrays()[name])


def test_passes_are_fresh_orders_with_noise_of_their_own():
    first, second = (training.draw_passes(30, SHAPE, block, root_stream(0)) for block in (0, 1))
    orders = np.concatenate([first.order, second.order])
    assert (np.sort(orders, axis=1) == np.arange(30)).all()
    assert len({tuple(order) for order in orders.tolist()}) == 100
    noise = np.ravel(np.stack([first.noise, second.noise]))
    # 18,000 normal and 3,000 uniform numbers: four standard errors of mean and deviation.
    assert abs(noise.mean()) < 0.03
    assert noise.std() == pytest.approx(1, abs=0.022)
    assert np.mean([first.interpolation, second.interpolation]) == pytest.approx(0.5, abs=0.022)
    assert not np.array_equal(first.noise, second.noise)


@pytest.mark.parametrize("labels", ["channel", "conditional"])
def test_asked_conditions_are_delivered(trained_long, labels):
    model = trained_long if labels == "channel" else fit(LONG.model_copy(update={"labels": labels}))
    codes = np.repeat(np.array([0, 1], np.int8), 100)
    made = samples(model, codes)
    assert made.shape == (200, 12, 2)
    assert made.dtype == np.float32
    # The first signal starts at 0 without stress and at 3 with it, with deviation 1: 93 % are told apart.
    assert np.mean((made[:, 0, 0] > 1.5) == codes) > 0.8


def test_a_window_depends_on_its_own_code_and_noise_only(trained):
    codes = np.zeros(40, np.int8)
    other = codes.copy()
    other[1:] = 1
    noise = np.random.default_rng(0).standard_normal((40, trained.noise_size), dtype=np.float32)
    changed = noise.copy()
    changed[1:] += 1
    np.testing.assert_array_equal(trained.sample(codes, noise)[0], trained.sample(other, changed)[0])


def test_windows_are_the_first_candidates_of_their_condition(trained_long):
    noise = np.random.default_rng(1).standard_normal((30, trained_long.noise_size), dtype=np.float32)
    codes = (np.arange(30) % 2).astype(np.int8)
    # Each candidate on its own, by a loop: its window, and the threshold at its first second's label.
    parameters = [trained_long.arrays()[name] for name in dgan.GENERATOR_PARAMETERS]
    for row, window in enumerate(trained_long.sample(codes, noise)):
        candidates = noise[row].reshape(SHORT.candidates, 1, SHORT.noise)
        made = dgan.generate(parameters, candidates, np.zeros((SHORT.candidates, 0), np.float32))
        made = made.numpy().reshape(-1, 12, 3)
        first = next(w for w in made if (w[0, 2] > 0.5) == codes[row])
        arrays = trained_long.arrays()
        np.testing.assert_allclose(window, first[:, :2] * arrays["span"] + arrays["least"], atol=1e-5)


def test_labels_as_signals_and_back():
    codes = np.array([0, 1, 2, 1], np.int8)
    signals = label_signals(codes, 3, 5)
    assert signals.shape == (4, 5, 2)
    np.testing.assert_array_equal(label_values(signals).argmax(axis=1), codes)
    np.testing.assert_array_equal(label_signals(codes % 2, 2, 3)[:, :, 0], [[0] * 3, [1] * 3] * 2)
    # The first second decides.
    assert label_values(np.array([[[0.9], [0.1]]], np.float32)).argmax() == 1
    # One row, three candidates of two classes: no stress, stress, more stress.
    values = label_values(np.array([[[[0.2]], [[0.6]], [[0.9]]]], np.float32))
    for code, wanted in ((0, 0), (1, 1)):
        chosen, fits = first_fitting(values, np.array([code], np.int8))
        assert (chosen[0], fits[0]) == (wanted, True)
    # Where no candidate is asked-for, the nearest.
    chosen, fits = first_fitting(values[:, 1:], np.array([0], np.int8))
    assert (chosen[0], fits[0]) == (0, False)


def test_three_conditions_and_several_steps_of_the_lstm():
    windows, codes = waves(90)
    codes = (np.arange(90) % 3).astype(np.int8)
    settings = SHORT.model_copy(update={"epochs": 2, "batch_size": 90, "sample_length": 4})
    model = fit(settings, data=(windows, codes), classes=3)
    assert model.noise_size == 16 * 3 * 8
    assert samples(model, codes).shape == (90, 12, 2)
    again = DGANModel.from_arrays(settings, model.arrays())
    np.testing.assert_array_equal(samples(again, codes), samples(model, codes))


def test_samples_lie_in_the_range_of_the_training_windows(trained):
    windows, codes = waves()
    made = samples(trained, codes)
    assert np.isfinite(made).all()
    assert (made >= windows.min(axis=(0, 1)) - 1e-5).all()
    assert (made <= windows.max(axis=(0, 1)) + 1e-5).all()


def test_training_brings_windows_nearer_to_real_ones(trained_long):
    windows, codes = waves()
    untrained = fit(SHORT.model_copy(update={"epochs": 1}))
    # By their mean levels: a few numbers make a whole window, so nearest neighbours tell those of 24 apart.
    before, after = (
        two_sample_score(windows.mean(axis=1), samples(model, codes).mean(axis=1), root_stream(2))
        for model in (untrained, trained_long)
    )
    # 300 decisions: two standard errors are .06.
    assert before > 0.95
    assert after < 0.7


def test_mode_collapse_is_warned_of(caplog):
    # A generator that was hardly trained makes windows that are all alike.
    fit(SHORT.model_copy(update={"epochs": 1}))
    assert "dgan: condition 0: mode collapse" in caplog.text
    assert "dgan: condition 1: mode collapse" in caplog.text


def test_a_condition_that_is_not_made_is_warned_of(caplog, trained_long):
    bias = trained_long.arrays()["output_bias"].copy()
    bias[2::3] = -1000  # the label, in each second
    model = DGANModel.from_arrays(LONG, {**trained_long.arrays(), "output_bias": bias})
    model._warn_of_bad_samples(plain(*waves(), root_stream(0)))
    assert "dgan: condition 1: for 100 % of the requested windows, none of 16 candidates" in caplog.text
    assert "dgan: condition 0: for" not in caplog.text


def test_a_training_that_goes_well_is_not_warned_of(caplog, monkeypatch):
    monkeypatch.setattr(loop, "_SECONDS_BETWEEN_MESSAGES", 0.0)
    with caplog.at_level(logging.INFO):
        fit(LONG)
    assert "collapse" not in caplog.text
    assert "requested windows" not in caplog.text
    lines = [r.getMessage() for r in caplog.records if "discriminator" in r.getMessage()]
    assert len(lines) == 1500 / 50
    assert lines[-1].startswith("dgan: 150 windows, pass 1500 of 1500, discriminator ")


def test_what_cannot_work_is_refused():
    with pytest.raises(InputError, match="condition 2 has 0 windows"):
        fit(classes=3)
    with pytest.raises(InputError, match="sample_length 5 does not divide a window's 12 values"):
        fit(SHORT.model_copy(update={"sample_length": 5}))


def test_plans_can_read_the_settings_without_tensorflow():
    code = "import sys, pulseveil.generators.dgan; print('tensorflow' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"
