import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from pulseveil.core.checkpoints import Checkpoint
from pulseveil.core.errors import InputError
from pulseveil.core.randomness import child, generator, root_stream
from pulseveil.generators.cgan import CGANSettings, networks, steps, training
from pulseveil.generators.cgan.model import CGANModel
from pulseveil.generators.cgan.networks import GENERATOR_PARAMETERS
from pulseveil.generators.cgan.training import Data, draw_batches, objective_of
from pulseveil.generators.examples import shuffled_rows, typical_diversity
from pulseveil.generators.subjects import synthetic_subjects
from pulseveil.networks.loop import side_by_side
from tests import keras_cgan
from tests.trainings import plain

SHAPE = networks.Shape(2, 60, 6)
# One set of compiled-in settings for all trainings below: compiling takes longer than they do.
SHORT = {"discriminator": "fcn", "learning_rate": 1e-3}
NAMES = ("lstm", "fcn", "transformer")
# One weight of the past for all tests of the average, for the same reason.
AVERAGE = 0.5


def size(parameters):
    return sum(value.size for value in parameters)


def two_levels(n=200):
    """Windows around the level .3 for code 0 and .8 for code 1, which differ by .1 from window to window."""
    rng = np.random.default_rng(0)
    codes = (np.arange(n) % 2).astype(np.int8)
    level = np.where(codes == 1, 0.8, 0.3) + 0.1 * rng.normal(size=n)
    windows = level[:, np.newaxis, np.newaxis] + 0.02 * rng.normal(size=(n, 60, 6))
    return windows.clip(0, 1).astype(np.float32), codes


def fit(steps, checkpoint=None, n=200, seed=0, **settings):
    windows, codes = two_levels(n)
    return CGANModel.fit(
        CGANSettings(steps=steps, **SHORT, **settings),
        plain(windows, codes, root_stream(seed), checkpoint=checkpoint),
    )


def batch(n=8, seed=0):
    """Windows, codes and noise (2, n, 60) of one step; both halves hold pairs of equal and unequal codes."""
    rng = np.random.default_rng(seed)
    windows = tf.constant(rng.uniform(size=(n, 60, 6)), tf.float32)
    codes = tf.constant([0, 1, 0, 1, 0, 1, 1, 0][:n], tf.int32)
    return windows, codes, tf.constant(rng.normal(size=(2, n, 60)), tf.float32)


def flat(values):
    return np.concatenate([np.ravel(tf.convert_to_tensor(value)) for value in values])


@pytest.mark.parametrize(("classes", "parameters"), [(2, 67_870), (3, 67_935)])
def test_the_generator_has_the_published_number_of_parameters(classes, parameters):
    shape = networks.Shape(classes, 60, 6)
    assert size(networks.start_generator(np.random.default_rng(0), shape)) == parameters
    assert keras_cgan.generator(classes).count_params() == parameters


@pytest.mark.parametrize(("name", "parameters"), [("lstm", 45_605), ("fcn", 18_777), ("transformer", 36_865)])
def test_discriminators_have_the_published_numbers_of_parameters(name, parameters):
    assert size(networks.start_discriminator(name, np.random.default_rng(0), SHAPE)) == parameters
    assert size(w.numpy() for w in keras_cgan.weights(keras_cgan.discriminator(name, 2))) == parameters


@pytest.mark.parametrize("name", NAMES)
def test_discriminator_loss_and_gradients_are_those_of_keras(name):
    real, codes, noise = batch()
    fake = tf.abs(noise[0][:, :, tf.newaxis] * tf.ones(6))
    ours = networks.start_discriminator(name, np.random.default_rng(1), SHAPE)
    ours = [tf.constant(value) for value in ours]
    theirs = keras_cgan.discriminator(name, 2)
    keras_cgan.set_weights(theirs, ours)
    objective = objective_of(CGANSettings(discriminator=name))
    with tf.GradientTape() as tape:
        tape.watch(ours)
        loss = steps.discriminator_loss(objective, ours, real, fake, codes)
    with tf.GradientTape() as keras_tape:
        logits = theirs([tf.concat([real, fake], 0), tf.concat([codes, codes], 0)[:, tf.newaxis]])
        target = tf.concat([tf.ones((8, 1)), tf.zeros((8, 1))], 0)
        expected = keras_cgan.keras.losses.BinaryCrossentropy(from_logits=True)(target, logits)
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    found = flat(tape.gradient(loss, ours))
    gradients = flat(keras_tape.gradient(expected, keras_cgan.weights(theirs)))
    np.testing.assert_allclose(found, gradients, atol=1e-5 * np.abs(gradients).max(), rtol=1e-3)


@pytest.mark.parametrize("discriminator_rate", [1e-3, 4e-3], ids=["equal rates", "unequal rates"])
def test_training_steps_are_those_of_plain_keras(discriminator_rate):
    objective = objective_of(CGANSettings(**SHORT))
    state = steps.start(np.random.default_rng(2), objective, SHAPE)
    generator, discriminator = keras_cgan.generator(2), keras_cgan.discriminator("fcn", 2)
    keras_cgan.set_weights(generator, state.generator)
    keras_cgan.set_weights(discriminator, state.discriminator)
    step = keras_cgan.Step(generator, discriminator, rates=(SHORT["learning_rate"], discriminator_rate))
    data = Data(*two_levels(), root_stream(0))
    batches = draw_batches(data._replace(condition=data.condition.astype(np.int32)), 0, 8)
    program = training.program(objective, discriminator_rate, 0.0)
    state = training.Averaged(state, [])
    for i in range(2):
        own = training.Batches(*(values[i : i + 1] for values in batches))
        state, losses = program(state, own, tf.constant(1.0), tf.constant(1))
        noise = tf.stack([batches.discriminator_noise[i], batches.generator_noise[i]])
        expected = step.update(batches.windows[i], batches.condition[i][:, tf.newaxis], noise)
        np.testing.assert_allclose(losses, expected, rtol=2e-4)
    # A step of Adam has the rate's size even where the gradient is all rounding: bound the mean.
    players = state.players
    for ours, theirs in ((players.generator, generator), (players.discriminator, discriminator)):
        difference = np.abs(flat(ours) - flat(keras_cgan.weights(theirs)))
        assert difference.mean() < 1e-3 * SHORT["learning_rate"]


def diversity_and_gradient(kind, bound, fake, codes, noise):
    """The diversity term of windows, and its gradient with respect to them."""
    with tf.GradientTape() as tape:
        tape.watch(fake)
        term = steps.diversity(kind, tf.constant(bound), fake, codes, noise)
    return float(term), tape.gradient(term, fake)


def pair_ratios():
    """Windows, codes and noise of a batch, and |x - x'| / |z - z'| of its pairs of one condition."""
    _, codes, noise = batch()
    fake = tf.constant(np.random.default_rng(5).normal(size=(8, 60, 6)), tf.float32)
    x, z = fake.numpy(), noise[1].numpy()
    pairs = [(i, i + 4) for i in range(4) if codes[i] == codes[i + 4]]
    assert 0 < len(pairs) < 4
    ratios = np.array([np.abs(x[i] - x[j]).mean() / np.abs(z[i] - z[j]).mean() for i, j in pairs])
    return fake, codes, noise[1], ratios, pairs


def test_the_published_diversity_term_is_a_constant():
    fake, codes, noise, _, _ = pair_ratios()
    term, gradient = diversity_and_gradient("published", 1.0, fake, codes, noise)
    halves = np.abs(fake[:4] - fake[4:]).mean() / np.abs(noise[:4] - noise[4:]).mean()
    assert term == pytest.approx(halves, rel=1e-5)
    assert gradient is None


def test_the_effective_diversity_term_parts_windows_of_one_condition_up_to_the_bound():
    fake, codes, noise, ratios, pairs = pair_ratios()
    term, gradient = diversity_and_gradient("effective", 100.0, fake, codes, noise)
    assert term == pytest.approx(ratios.mean(), rel=1e-5)
    moved = np.abs(gradient).max(axis=(1, 2)) > 0
    assert np.flatnonzero(moved).tolist() == sorted(np.ravel(pairs))
    term, gradient = diversity_and_gradient("effective", 0.5, fake, codes, noise)
    assert term == pytest.approx(0.5)
    assert not np.any(gradient)


@pytest.mark.parametrize("kind", ["published", "effective"])
def test_only_the_effective_diversity_term_changes_a_step(kind):
    parameters = {}
    for weight in (0, 8):
        settings = CGANSettings(discriminator="fcn", diversity=kind, diversity_weight=weight)
        state = steps.start(np.random.default_rng(2), objective_of(settings), SHAPE)
        windows, codes, noise = batch()
        state, _ = steps.step(objective_of(settings), 2e-4, tf.constant(1.0), state, windows, codes, *noise)
        parameters[weight] = flat(state.generator)
    assert np.array_equal(parameters[0], parameters[8]) == (kind == "published")


def test_the_bound_is_the_diversity_of_the_training_windows():
    rng = np.random.default_rng(0)
    codes = np.arange(400, dtype=np.int32) % 2
    windows = (10.0 * codes[:, np.newaxis, np.newaxis] + rng.normal(size=(400, 60, 6))).astype(np.float32)
    # Within a condition the windows are standard normal, as the noise is.
    assert typical_diversity(windows, codes, root_stream(0)) == pytest.approx(1, abs=0.01)


def test_the_discriminators_rate_is_the_generators_unless_given():
    plain, equal, unequal = (
        fit(3, **rates)
        for rates in ({}, {"discriminator_learning_rate": 1e-3}, {"discriminator_learning_rate": 1e-2})
    )
    assert_equal_arrays(plain, equal)
    assert any(np.any(value != unequal.arrays()[name]) for name, value in plain.arrays().items())


def plain_average(values, weight):
    """The average of a sequence of arrays step by step: a slow loop over the steps, in double precision."""
    average = values[0].astype(np.float64)
    for done, value in enumerate(values[1:]):
        kept = min(weight, (1 + done) / (10 + done))
        average = kept * average + (1 - kept) * value
    return average


def test_the_kept_generator_is_the_average_over_the_steps():
    settings = CGANSettings(**SHORT)
    first = steps.start(generator(child(root_stream(0), "parameters")), objective_of(settings), SHAPE)
    path = [flat(first.generator)] + [flat(fit(count).arrays().values()) for count in range(1, 16)]
    # In the first 8 steps the memory is shorter than the weight says.
    for count in (6, 15):
        averaged = flat(fit(count, average=AVERAGE).arrays().values())
        np.testing.assert_allclose(averaged, plain_average(path[: count + 1], AVERAGE), atol=1e-5)
        assert np.abs(averaged - path[count]).max() > 1e-4


class Interrupted(Exception):
    pass


class Failing(Checkpoint):
    """A checkpoint after whose first saving the process is cut off."""

    def save(self, step, arrays):
        super().save(step, arrays)
        raise Interrupted


def assert_equal_arrays(model, other):
    assert model.arrays().keys() == other.arrays().keys()
    for name, value in model.arrays().items():
        np.testing.assert_array_equal(value, other.arrays()[name])


@pytest.mark.parametrize("kept", [{"selection": "two_sample"}, {"average": AVERAGE}], ids=["best", "average"])
def test_a_resumed_training_equals_an_unbroken_one_to_the_last_bit(kept, tmp_path):
    path = tmp_path / "state.npz"
    with pytest.raises(Interrupted):
        fit(260, Failing(path, "cell", 250), **kept)
    resumed = fit(260, Checkpoint(path, "cell", 250), **kept)
    assert_equal_arrays(resumed, fit(260, **kept))


def test_a_state_from_within_a_block_is_not_gone_on_from(tmp_path):
    path = tmp_path / "state.npz"
    fit(100, Checkpoint(path, "cell", 100))
    assert_equal_arrays(fit(260, Checkpoint(path, "cell", 1000)), fit(260))


def test_folds_of_any_size_share_one_compilation():
    program = training.program(objective_of(CGANSettings(**SHORT)), SHORT["learning_rate"], 0.0)
    fit(2, n=180)
    before = program.experimental_get_tracing_count()
    fit(3, n=193, seed=1)
    assert program.experimental_get_tracing_count() == before


MODELS = 3


def alone_and_together(objective):
    """States of three models and the inputs of a step of each, and the same side by side."""
    starts = [steps.start(np.random.default_rng(i), objective, SHAPE) for i in range(MODELS)]
    alone = [batch(seed=i) for i in range(MODELS)]
    windows, codes, noise = zip(*alone, strict=True)
    together = (tf.stack(windows), tf.stack(codes), tf.stack(noise, axis=1))
    return starts, alone, side_by_side(starts), together


@pytest.mark.parametrize("name", NAMES)
def test_discriminators_of_models_side_by_side_see_their_own_windows(name):
    objective = objective_of(CGANSettings(discriminator=name))
    starts, alone, state, (windows, codes, _) = alone_and_together(objective)
    with tf.GradientTape() as tape:
        tape.watch(state.discriminator)
        losses = steps.discriminator_loss(
            objective, state.discriminator, windows, tf.reverse(windows, [2]), codes
        )
    gradients = tape.gradient(losses, state.discriminator)
    for i, (own, (real, code, _)) in enumerate(zip(starts, alone, strict=True)):
        with tf.GradientTape() as tape:
            tape.watch(own.discriminator)
            loss = steps.discriminator_loss(objective, own.discriminator, real, tf.reverse(real, [1]), code)
        np.testing.assert_allclose(losses[i], loss, rtol=1e-6)
        expected = flat(tape.gradient(loss, own.discriminator))
        found = flat([gradient[i] for gradient in gradients])
        np.testing.assert_allclose(found, expected, atol=1e-6 * np.abs(expected).max(), rtol=1e-4)


def test_models_side_by_side_have_diversity_bounds_of_their_own():
    objective = objective_of(CGANSettings(discriminator="fcn", diversity="effective"))
    starts, alone, state, together = alone_and_together(objective)
    bounds = [0.001, 0.002, 100.0]
    bound = tf.constant(bounds)
    after, losses = steps.update_generator(objective, state, bound, together[1], together[2][1])
    assert losses.shape == (2, MODELS)
    np.testing.assert_allclose(losses[1, :2], 8 * np.array(bounds[:2]), rtol=1e-3)
    for i, (own, (_, codes, noise)) in enumerate(zip(starts, alone, strict=True)):
        inputs = (tf.constant(bounds[i]), codes, noise[1])
        alone_after, alone_losses = steps.update_generator(objective, own, *inputs)
        np.testing.assert_allclose(losses[:, i], alone_losses, rtol=1e-5)
        # Adam's first average is a tenth of the gradient or so, whatever its size.
        found = flat([value[i] for value in after.generator_adam.first])
        expected = flat(alone_after.generator_adam.first)
        np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max(), rtol=1e-3)


def parts(count=MODELS):
    """Training sets of unequal numbers of windows, each with its own stream."""
    sets = []
    for seed, n in list(enumerate((150, 180, 193)))[:count]:
        windows, codes = two_levels(n)
        sets.append(plain(windows, codes, root_stream(seed)))
    return sets


def fit_together(steps, checkpoint=None, count=MODELS, **settings):
    settings = CGANSettings(steps=steps, **SHORT, **settings)
    return CGANModel.fit_together(settings, parts(count), checkpoint)


@pytest.mark.parametrize("average", [0, AVERAGE])
def test_a_model_among_others_is_the_one_that_is_trained_alone(average):
    for seed, (model, part) in enumerate(zip(fit_together(20, average=average), parts(), strict=True)):
        start = flat(
            steps.start(
                generator(child(root_stream(seed), "parameters")), objective_of(CGANSettings(**SHORT)), SHAPE
            ).generator
        )
        alone = flat(fit(20, n=len(part.windows), seed=seed, average=average).arrays().values())
        difference = np.abs(flat(model.arrays().values()) - alone)
        assert difference.mean() < 1e-4 * np.abs(alone - start).mean()


def test_one_model_together_is_trained_by_the_program_of_one_alone():
    (model,) = fit_together(20, count=1)
    assert_equal_arrays(model, fit(20, n=150))


def test_models_together_resume_to_the_last_bit(tmp_path):
    path = tmp_path / "state.npz"
    with pytest.raises(Interrupted):
        fit_together(260, Failing(path, "cell", 250), selection="two_sample")
    resumed = fit_together(260, Checkpoint(path, "cell", 250), selection="two_sample")
    unbroken = fit_together(260, selection="two_sample")
    for model, other in zip(resumed, unbroken, strict=True):
        assert_equal_arrays(model, other)


def test_each_model_keeps_its_own_best(tmp_path):
    path = tmp_path / "state.npz"
    fit_together(250, Checkpoint(path, "cell", 250), selection="two_sample")
    checkpoint = Checkpoint(path, "cell", 250)
    stored = checkpoint.load()
    # The second model's generator at this time is perfect, the others' have failed.
    arrays = dict(stored.arrays)
    of_each = 1 + len(GENERATOR_PARAMETERS)
    best = sorted(arrays)[-MODELS * of_each :]
    for name, score in zip(best[::of_each], (2.0, 0.5, 2.0), strict=True):
        assert arrays[name].shape == ()
        arrays[name] = np.array(score)
    checkpoint.save(stored.step, arrays)
    models = fit_together(260, Checkpoint(path, "cell", 1000), selection="two_sample")
    first = [arrays[name] for name in best[of_each - 1 :: of_each]]
    kept = [
        np.array_equal(model.arrays()["output_bias"], bias) for model, bias in zip(models, first, strict=True)
    ]
    assert kept == [False, True, False]


def test_every_pass_over_the_windows_is_a_fresh_order_and_blocks_continue_it():
    rows = shuffled_rows(30, 0, 95, root_stream(3))
    assert sorted(rows[:30]) == sorted(rows[30:60]) == list(range(30))
    assert rows[:30].tolist() != rows[30:60].tolist()
    np.testing.assert_array_equal(shuffled_rows(30, 40, 50, root_stream(3)), rows[40:90])


def test_blocks_of_steps_have_noise_and_windows_of_their_own():
    windows, codes = two_levels()
    first, second = (draw_batches(Data(windows, codes, root_stream(0)), block, 8) for block in (0, 1))
    noise = np.stack([[block.discriminator_noise, block.generator_noise] for block in (first, second)])
    # 240,000 draws in each: five standard errors of the mean and of the correlation.
    assert abs(noise.mean()) < 0.01 > abs(np.corrcoef(noise[0].ravel(), noise[1].ravel())[0, 1])
    assert noise.std() == pytest.approx(1, abs=0.01)
    assert not np.array_equal(first.windows, second.windows)


@pytest.fixture(scope="module")
def trained():
    return fit(500)


def test_a_short_training_learns_the_level_of_each_condition(trained):
    codes = (np.arange(200) % 2).astype(np.int8)
    noise = np.random.default_rng(0).standard_normal((200, 60), dtype=np.float32)
    level = trained.sample(codes, noise).mean(axis=(1, 2))
    assert level[codes == 0].mean() == pytest.approx(0.3, abs=0.15)
    assert level[codes == 1].mean() == pytest.approx(0.8, abs=0.15)


def test_arrays_round_trip_and_fewer_subjects_are_the_first_of_more(trained):
    again = CGANModel.from_arrays(CGANSettings(**SHORT), trained.arrays())
    few = synthetic_subjects(again, subjects=3, classes=2, stream=root_stream(0)).windows
    sampler = networks.sampler(0.3, "relu")
    before = sampler.experimental_get_tracing_count()
    many = synthetic_subjects(trained, subjects=20, classes=2, stream=root_stream(0)).windows
    assert sampler.experimental_get_tracing_count() == before
    assert few.dtype == np.float32
    np.testing.assert_array_equal(few, many[: len(few)])


def test_mode_collapse_is_warned_of(caplog):
    # A generator that was hardly trained makes windows that are all alike.
    fit(1)
    assert "cgan: condition 0: mode collapse" in caplog.text
    assert "cgan: condition 1: mode collapse" in caplog.text


def test_what_cannot_work_is_refused_before_training():
    windows, codes = two_levels()
    with pytest.raises(InputError, match="set output: linear"):
        CGANModel.fit(CGANSettings(), plain(windows - 1, codes, root_stream(0)))
    with pytest.raises(ValueError, match="multiple of 2"):
        CGANSettings(batch_size=7)


def test_plans_can_read_the_settings_without_tensorflow():
    code = "import sys, pulseveil.generators.cgan; print('tensorflow' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"
