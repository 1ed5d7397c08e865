import itertools
import logging
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from pulseveil.cohorts.simulated import Simulated
from pulseveil.core.checkpoints import Checkpoint
from pulseveil.core.errors import InputError, Interrupted
from pulseveil.core.randomness import child, generator, root_stream
from pulseveil.generators.timegan import TimeGANSettings, steps, training
from pulseveil.generators.timegan import networks as timegan
from pulseveil.generators.timegan.model import TimeGANModel
from pulseveil.networks import loop
from pulseveil.privacy.budget import NOT_PRIVATE
from pulseveil.windows.cutting import cut_windows
from tests import keras_timegan
from tests.trainings import plain

# One set of sizes for all compiled trainings below: compiling takes longer than they do.
SIZES = {"hidden": 6, "layers": 2, "batch_size": 16}
SHORT = TimeGANSettings(embedding_steps=60, supervised_steps=10, joint_steps=60, **SIZES)
RNG = np.random.default_rng(0)


def simulated_windows():
    """Windows (n, 20, 6) of two simulated people and their codes, 1 for stress."""
    settings = {"kind": "simulated", "subjects": 2, "seed": 3}
    settings |= {"baseline_s": 300, "stress_s": 240, "amusement_s": 60}
    windows = cut_windows(
        Simulated(Simulated.Settings.model_validate(settings)).recordings(),
        protocol="sound",
        channels="physiological",
        scaling="calibration",
        window_s=20,
        stride_s=10,
        audience="generator",
    )
    return windows.windows, windows.stress.astype(np.int8)


def fit(settings=SHORT, checkpoint=None, seed=0, budget=NOT_PRIVATE, classes=2):
    training = plain(*simulated_windows(), root_stream(seed), classes=classes, checkpoint=checkpoint)
    return TimeGANModel.fit(settings, replace(training, budget=budget))


@pytest.fixture(scope="module")
def trained():
    return fit()


def small_state(time=3, batch=4, seed=1):
    """A state of small networks with windows and noise (3, time, 2, batch) of one joint step."""
    state = steps.start(np.random.default_rng(seed), channels=2, hidden=3, depth=2)
    rng = np.random.default_rng(seed + 1)
    windows = tf.constant(rng.uniform(size=(3, time, 2, batch)), tf.float32)
    return state, windows, tf.constant(rng.normal(size=windows.shape), tf.float32)


def changed(before, after):
    """The networks whose parameters differ."""
    return {
        name
        for name in steps.State._fields
        if any(
            np.any(a != b)
            for a, b in zip(getattr(before, name).parameters, getattr(after, name).parameters, strict=True)
        )
    }


def numpy_cross_entropy(values, answer):
    likelihood = 1 / (1 + np.exp(-values))
    return -np.mean(np.log(likelihood if answer else 1 - likelihood))


def test_losses_are_those_of_the_authors_program():
    x, y = RNG.uniform(size=(2, 4, 2, 3)).astype(np.float32)
    hidden, ahead = RNG.uniform(size=(2, 4, 5, 3)).astype(np.float32)
    real, fake, raw = RNG.normal(size=(3, 4, 1, 3)).astype(np.float32)
    supervised = np.mean((hidden[1:] - ahead[:-1]) ** 2)
    moments = np.abs(np.sqrt(x.var(2) + 1e-6) - np.sqrt(y.var(2) + 1e-6)).mean()
    moments += np.abs(x.mean(2) - y.mean(2)).mean()
    reconstruction = 10 * np.sqrt(np.mean((x - y) ** 2))
    entropy = numpy_cross_entropy
    expected = {
        "supervised": (timegan.supervised_loss(hidden, ahead), supervised),
        "moments": (timegan.moment_loss(tf.constant(x), tf.constant(y)), moments),
        "reconstruction": (timegan.reconstruction_loss(x, y), reconstruction),
        "embedder": (timegan.embedder_loss(reconstruction, supervised), reconstruction + 0.1 * supervised),
        "generator": (
            timegan.generator_loss(fake, raw, supervised, moments),
            entropy(fake, 1) + entropy(raw, 1) + 100 * np.sqrt(supervised) + 100 * moments,
        ),
        "discriminator": (
            timegan.discriminator_loss(real, fake, raw),
            entropy(real, 1) + entropy(fake, 0) + entropy(raw, 0),
        ),
    }
    for name, (ours, by_hand) in expected.items():
        assert float(ours) == pytest.approx(by_hand, rel=1e-5), name


def test_each_update_moves_its_own_networks_only():
    state, windows, noise = small_state()
    hidden = timegan.sequence(windows[0], state.embedder.parameters)
    expected = {
        ("embedder", "recovery"): steps.embedding_step(1e-3, state, windows[:1], noise[:0]),
        ("supervisor",): steps.supervised_step(1e-3, state, windows[:1], noise[:0]),
        ("generator", "supervisor"): steps.update_generator(1e-3, state, hidden, windows[0], noise[0]),
        ("discriminator",): steps.update_discriminator(1e-3, state, windows[0], noise[0]),
        ("embedder", "recovery", "generator", "supervisor"): steps.update_generator_and_embedder(
            1e-3, state, windows[0], noise[0]
        ),
    }
    for networks, (after, _) in expected.items():
        assert changed(state, after) == set(networks)


def test_the_embedder_learns_with_the_supervisor_just_updated_as_a_constant():
    state, windows, noise = small_state()
    # The second update: the size of Adam's first one does not depend on the gradient.
    state, _ = steps.update_generator_and_embedder(0.1, state, windows[0], noise[0])
    after, _ = steps.update_generator_and_embedder(0.1, state, windows[1], noise[1])
    before = [state.embedder.parameters, state.recovery.parameters]
    with tf.GradientTape() as tape:
        tape.watch(before)
        hidden = timegan.sequence(windows[1], before[0])
        reconstruction = timegan.reconstruction_loss(windows[1], timegan.sequence(hidden, before[1]))
        supervised = timegan.supervised_loss(hidden, timegan.sequence(hidden, after.supervisor.parameters))
        loss = reconstruction + 0.1 * supervised
    gradients = tape.gradient(loss, before)
    for network, own in zip(("embedder", "recovery"), gradients, strict=True):
        averages = [getattr(value, network).moments.first for value in (state, after)]
        for old, new, gradient in zip(*averages, own, strict=True):
            np.testing.assert_allclose(new, 0.9 * old + 0.1 * gradient, rtol=1e-4, atol=1e-7)


def test_a_discriminator_that_is_good_already_is_left_alone():
    state, windows, noise = small_state()
    after, loss = steps.update_discriminator(1e-3, state, windows[0], noise[0])
    assert float(loss) > 0.15
    assert int(after.discriminator.moments.step) == 1
    good = with_good_discriminator(state)
    after, loss = steps.update_discriminator(1e-3, good, windows[0], noise[0])
    assert float(loss) < 0.15
    assert not changed(good, after)
    assert int(after.discriminator.moments.step) == 0


def with_good_discriminator(state):
    """The state of `small_state` with networks that are easily told apart, and are."""
    # A latent sequence of real windows near 1, and of made ones near 0, which a large kernel tells apart.
    good = state._asdict()
    for name, level in (("embedder", 20.0), ("generator", -20.0), ("supervisor", -20.0)):
        *body, kernel, bias = good[name].parameters
        good[name] = good[name]._replace(parameters=[*body, 0 * kernel, 0 * bias + level])
    parameters = [tf.zeros_like(value) for value in state.discriminator.parameters]
    for first in (0, 4):  # candidate gates that pass their input on
        parameters[first] = tf.concat([tf.zeros((3, 6)), 5 * tf.eye(3)], axis=1)
    parameters[-2], parameters[-1] = tf.fill((3, 1), 20.0), tf.constant([-12.0])
    good["discriminator"] = state.discriminator._replace(parameters=parameters)
    return steps.State(**good)


def alone_and_together():
    """Three of `small_state`, and the same side by side; the second model's discriminator is good already."""
    alone = [small_state(seed=seed) for seed in (1, 11, 21)]
    alone[1] = (with_good_discriminator(alone[1][0]), *alone[1][1:])
    states, *inputs = zip(*alone, strict=True)
    return alone, (loop.side_by_side(states), *(tf.stack(values, axis=2) for values in inputs))


UPDATES = {
    "embedding": lambda state, windows, noise: steps.embedding_step(1e-3, state, windows[:1], noise[:0]),
    "supervised": lambda state, windows, noise: steps.supervised_step(1e-3, state, windows[:1], noise[:0]),
    "makers": lambda state, windows, noise: steps.update_generator_and_embedder(
        1e-3, state, windows[0], noise[0]
    ),
    "discriminator": lambda state, windows, noise: steps.update_discriminator(
        1e-3, state, windows[0], noise[0]
    ),
}


@pytest.mark.parametrize("name", UPDATES)
def test_models_side_by_side_learn_from_their_own_windows_and_noise(name):
    alone, together = alone_and_together()
    after, losses = UPDATES[name](*together)
    for i, (own, state) in enumerate(zip(alone, loop.each(after, 3), strict=True)):
        expected, own_losses = UPDATES[name](*own)
        np.testing.assert_allclose(losses[..., i], own_losses, rtol=1e-5)
        for network, theirs in zip(state, expected, strict=True):
            assert int(network.moments.step) == int(theirs.moments.step)
            # Adam's first average is a tenth of the gradient, whose size its first step hides.
            for found, average in zip(network.moments.first, theirs.moments.first, strict=True):
                np.testing.assert_allclose(found, average, rtol=1e-3, atol=1e-5 * np.abs(average).max())


def test_each_of_models_side_by_side_decides_whether_its_discriminator_learns():
    _, (state, windows, noise) = alone_and_together()
    after, losses = steps.update_discriminator(1e-3, state, windows[0], noise[0])
    assert (losses.numpy() > 0.15).tolist() == [True, False, True]
    moved = [changed(own, new) for own, new in zip(loop.each(state, 3), loop.each(after, 3), strict=True)]
    assert moved == [{"discriminator"}, set(), {"discriminator"}]
    assert after.discriminator.moments.step.numpy().tolist() == [1, 0, 1]


def test_models_side_by_side_may_have_done_unlike_numbers_of_updates():
    (first, *inputs), *_ = alone_and_together()[0]
    windows, noise = (values[0] for values in inputs)
    second, _ = steps.update_discriminator(0.1, first, windows, noise)
    both = [tf.stack([values, values], axis=1) for values in (windows, noise)]
    after, _ = steps.update_discriminator(0.1, loop.side_by_side([first, second]), *both)
    for own, state in zip((first, second), loop.each(after, 2), strict=True):
        expected, _ = steps.update_discriminator(0.1, own, windows, noise)
        for found, value in zip(
            state.discriminator.parameters, expected.discriminator.parameters, strict=True
        ):
            np.testing.assert_allclose(found, value, rtol=1e-3, atol=1e-4)


def test_joint_steps_are_those_of_plain_keras():
    state, windows, noise = small_state()
    sizes = {"time": 3, "channels": 2, "hidden": 3, "depth": 2}
    networks = {name: keras_timegan.network(name, **sizes) for name in keras_timegan.NETWORKS}
    for name, model in networks.items():
        keras_timegan.set_weights(model, getattr(state, name).parameters)
    step = keras_timegan.Step(networks)
    state, losses = steps.joint_step(1e-3, state, windows, noise)
    # Ours are means over both updates but for the discriminator's.
    expected = step.update(*(tf.transpose(values, (0, 3, 1, 2)) for values in (windows, noise)))
    assert float(losses[0]) == pytest.approx(float(expected[0]), rel=1e-4)
    for name, model in networks.items():
        found = np.concatenate([np.ravel(value) for value in getattr(state, name).parameters])
        theirs = np.concatenate([np.ravel(value) for value in model.trainable_weights])
        assert np.abs(found - theirs).mean() < 2e-5, name


def stop_after(block):
    """Requests a stop of the training after its `block`-th block."""
    blocks = itertools.count(1)
    return lambda: next(blocks) == block


def assert_equal_arrays(model, other):
    assert model.arrays().keys() == other.arrays().keys()
    for name, value in model.arrays().items():
        np.testing.assert_array_equal(value, other.arrays()[name])


@pytest.mark.parametrize("block", [1, 4, 6])
def test_a_resumed_training_equals_an_unbroken_one_to_the_last_bit(tmp_path, trained, block):
    path = tmp_path / "state.npz"
    with pytest.raises(Interrupted, match="state stored after step"):
        fit(checkpoint=Checkpoint(path, "cell", 1000, stop_after(block)))
    assert_equal_arrays(fit(checkpoint=Checkpoint(path, "cell", 1000)), trained)


def parts():
    """Training sets of unequal numbers of windows, each with its own stream; `trained` is of the first."""
    windows, codes = simulated_windows()
    return [plain(windows[9 * i :], codes[9 * i :], root_stream(i)) for i in range(2)]


def fit_together(checkpoint=None):
    return TimeGANModel.fit_together(SHORT, parts(), checkpoint)


@pytest.fixture(scope="module")
def trained_together():
    return fit_together()


def network_parameters(model, network, code):
    names = timegan.parameter_names(network, SHORT.layers)
    return np.concatenate([np.ravel(model.arrays()[name][code]) for name in names])


def test_a_model_among_others_is_the_one_that_is_trained_alone(trained, trained_together):
    second = parts()[1]
    alone = TimeGANModel.fit(SHORT, second)
    models = zip(trained_together, (trained, alone), parts(), strict=True)
    for (model, own, part), code in itertools.product(models, (0, 1)):
        np.testing.assert_array_equal(model.arrays()["least"], own.arrays()["least"])
        rng = generator(child(part.stream, f"condition {code}", "parameters"))
        start = steps.start(rng, channels=6, hidden=SHORT.hidden, depth=SHORT.layers)
        for network in timegan.SAMPLING_NETWORKS:
            first = np.concatenate([np.ravel(value) for value in getattr(start, network).parameters])
            found, expected = (network_parameters(one, network, code) for one in (model, own))
            assert np.abs(found - expected).mean() < 1e-5 * np.abs(expected - first).mean(), network


def test_one_model_together_is_trained_as_by_fit(trained):
    (model,) = TimeGANModel.fit_together(SHORT, parts()[:1], None)
    assert_equal_arrays(model, trained)


@pytest.mark.parametrize("block", [1, 4])
def test_models_together_resume_to_the_last_bit(tmp_path, trained_together, block):
    path = tmp_path / "state.npz"
    with pytest.raises(Interrupted, match="state stored after step"):
        fit_together(Checkpoint(path, "cell", 1000, stop_after(block)))
    for model, unbroken in zip(fit_together(Checkpoint(path, "cell", 1000)), trained_together, strict=True):
        assert_equal_arrays(model, unbroken)


def test_other_seeds_give_other_models(trained):
    name = "generator_output_kernel"
    assert np.any(fit(seed=1).arrays()[name] != trained.arrays()[name])


def test_blocks_cover_the_phases_of_each_model_in_turn():
    phases = {phase: getattr(SHORT, f"{phase}_steps") for phase in steps.LOSSES}
    blocks = loop.blocks(["a", "b"], phases, 50)
    assert [(block.phase, block.first, block.last) for block in blocks if block.key == "a"] == [
        ("embedding", 0, 50),
        ("embedding", 50, 60),
        ("supervised", 0, 10),
        ("joint", 0, 50),
        ("joint", 50, 60),
    ]
    assert [block.key for block in blocks] == ["a"] * 5 + ["b"] * 5


def test_embedding_learns_to_reconstruct(caplog, monkeypatch):
    monkeypatch.setattr(loop, "_SECONDS_BETWEEN_MESSAGES", 0.0)
    with caplog.at_level(logging.INFO):
        fit(SHORT.model_copy(update={"embedding_steps": 400, "supervised_steps": 1, "joint_steps": 1}))
    errors = [
        float(record.getMessage().split()[-1])
        for record in caplog.records
        if "timegan: condition 0, embedding " in record.getMessage()
    ]
    assert len(errors) == 8
    assert errors[-1] < 0.8 * errors[0]


def samples(model, codes, seed=0):
    noise = np.random.default_rng(seed).standard_normal((len(codes), model.noise_size), dtype=np.float32)
    return model.sample(codes, noise)


def test_samples_lie_in_the_range_of_their_condition_and_differ_between_conditions(trained):
    windows, codes = simulated_windows()
    made = samples(trained, np.repeat(np.array([0, 1], np.int8), 20))
    assert made.shape == (40, 20, 6)
    assert made.dtype == np.float32
    assert np.isfinite(made).all()
    for code, part in ((0, made[:20]), (1, made[20:])):
        real = windows[codes == code]
        slack = 1e-5 * np.abs(real).max(axis=(0, 1))
        assert (part >= real.min(axis=(0, 1)) - slack).all()
        assert (part <= real.max(axis=(0, 1)) + slack).all()
    assert np.abs(made[:20].mean(axis=(0, 1)) - made[20:].mean(axis=(0, 1))).max() > 0.01


def test_a_window_depends_on_its_own_code_and_noise_only(trained):
    codes = np.zeros(40, np.int8)
    other = codes.copy()
    other[1:] = 1
    np.testing.assert_array_equal(samples(trained, codes)[0], samples(trained, other)[0])


def test_arrays_round_trip(trained):
    again = TimeGANModel.from_arrays(SHORT, trained.arrays())
    codes = (np.arange(40) % 2).astype(np.int8)
    np.testing.assert_array_equal(samples(again, codes), samples(trained, codes))


def test_published_training_has_one_model_that_saw_no_stress(trained):
    model = fit(SHORT.model_copy(update={"training": "published", "joint_steps": 1}))
    windows, codes = simulated_windows()
    np.testing.assert_array_equal(model.arrays()["least"], windows[codes == 0].min(axis=(0, 1))[np.newaxis])
    rest, stress = (samples(model, np.full(40, code, np.int8)) for code in (0, 1))
    np.testing.assert_array_equal(rest, stress)


def test_models_that_make_one_window_are_warned_of(caplog):
    state = steps.start(np.random.default_rng(1), channels=2, hidden=3, depth=2)
    windows = RNG.uniform(size=(50, 5, 2)).astype(np.float32)
    training._warn_of_collapse("condition 0", state, windows, root_stream(0))
    # Networks that were not trained make windows that are all alike.
    assert "condition 0: mode collapse" in caplog.text


def test_batches_are_fresh_and_noise_becomes_uniform():
    windows = RNG.uniform(size=(30, 5, 2)).astype(np.float32)
    first, second = (training.draw_batches(windows, root_stream(0), "joint", block, 8) for block in (0, 1))
    assert first.windows.shape == first.noise.shape == (50, 3, 8, 5, 2)
    assert np.any(first.windows != second.windows)
    numbers = np.ravel(timegan.uniform(first.noise))
    # 12,000 numbers: four standard errors of the mean and of the variance.
    assert numbers.mean() == pytest.approx(0.5, abs=0.011)
    assert numbers.var() == pytest.approx(1 / 12, abs=0.003)
    assert training.draw_batches(windows, root_stream(0), "embedding", 0, 8).noise.shape[1] == 0


def test_what_cannot_work_is_refused():
    with pytest.raises(InputError, match="condition 2 has 0 windows"):
        fit(classes=3)
    with pytest.raises(ValueError, match="greater than 1"):
        TimeGANSettings(layers=1)


def test_plans_can_read_the_settings_without_tensorflow():
    code = "import sys, pulseveil.generators.timegan; print('tensorflow' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"
