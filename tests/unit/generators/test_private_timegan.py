import logging

import numpy as np
import pytest
import tensorflow as tf

from pulseveil.core.checkpoints import Checkpoint
from pulseveil.core.errors import InputError
from pulseveil.core.randomness import root_stream
from pulseveil.generators import Training
from pulseveil.generators.private_settings import PrivateTimeGAN
from pulseveil.generators.timegan import TimeGAN, TimeGANSettings
from pulseveil.generators.timegan.model import TimeGANModel
from pulseveil.generators.timegan.private import Embedding, SequenceAdversaries, Sizes, embed
from pulseveil.networks.adversaries import Real, Synthetic
from pulseveil.networks.learner import seeds_of
from pulseveil.networks.per_example import record_gradients
from pulseveil.networks.training import Examples, Weights
from pulseveil.privacy import accounting, dpgan, dpsgd
from pulseveil.privacy.budget import Budget, Population
from pulseveil.privacy.noise import reproducible
from tests import keras_timegan
from tests.unit.private_logs import leaks
from tests.unit.summary.test_spent import gaussian_epsilon

PEOPLE, WINDOWS, SHARE = 5, 8, 0.25
POPULATION = Population(PEOPLE, WINDOWS, SHARE)
TIME, CHANNELS, CLASSES, HIDDEN, DEPTH = 6, 2, 2, 3, 2
SIZES = Sizes(TIME, CHANNELS, CLASSES, HIDDEN, DEPTH)
SHORT = {"embedder_steps": 60, "steps": 60, "batch_size": 16, "fakes": 8, "windows_each": 3}


def people(seed=0, subjects=PEOPLE):
    """Windows (n, 6, 2), codes and names: level 0 for code 0, level 2 for code 1."""
    rng = np.random.default_rng(seed)
    code = np.tile(np.arange(WINDOWS) >= 6, subjects).astype(np.int8)
    windows = 2.0 * code[:, None, None] + 0.3 * rng.normal(size=(len(code), TIME, CHANNELS))
    return windows.astype(np.float32), code, np.repeat([f"S{i}" for i in range(subjects)], WINDOWS)


def budget(unit="window", epsilon=10.0, key=0, **changes):
    return Budget(epsilon, 1e-5, unit, POPULATION, reproducible(root_stream(key)), **changes)


def settings(**private):
    return TimeGANSettings(hidden=HIDDEN, layers=DEPTH, private=PrivateTimeGAN(**SHORT | private))


def fit(data, allowance, checkpoint=None, **private):
    windows, code, subject = data
    return TimeGANModel.fit(
        settings(**private),
        Training(windows, code, subject, CLASSES, allowance, root_stream(1), checkpoint),
    )


def parameters(model):
    return np.concatenate([value.ravel() for value in model.arrays().values()])


def parts(data=None):
    """First parameters as tensors by network, windows in (0, 1), codes, and random hidden sequences."""
    rng = np.random.default_rng(0)
    networks = {
        name: [tf.constant(value) for value in SIZES.start(rng, name)]
        for name in ("embedder", "recovery", "generator", "supervisor", "discriminator")
    }
    windows = tf.constant(rng.uniform(size=(6, TIME, CHANNELS)), tf.float32)
    sequences = tf.constant(rng.uniform(size=(6, 2, TIME, HIDDEN)), tf.float32)
    return networks, windows, np.array([0, 1, 1, 0, 1, 0]), sequences


def keras_networks(networks):
    """The same networks in tf-keras, each called with a sequence (n, time, p) and codes (n)."""
    found = {}
    for name, values in networks.items():
        model = keras_timegan.network(
            name, time=TIME, channels=CHANNELS, hidden=HIDDEN, depth=DEPTH, codes=CLASSES
        )
        keras_timegan.set_weights(model, values)
        found[name] = model
    return found


def with_codes(model, x, codes):
    return model(tf.concat([x, tf.repeat(tf.one_hot(codes, CLASSES)[:, None], TIME, axis=1)], axis=2))


def keras_gradient(tape, loss, models):
    """The gradient as one vector, with both biases of each GRU one after the other."""
    weights = [weight for model in models for weight in model.trainable_weights]
    return np.concatenate([value.numpy().ravel() for value in tape.gradient(loss, weights)])


def relative_error(found, expected):
    found = np.concatenate([np.ravel(value) for value in found])
    return np.linalg.norm(found - expected) / np.linalg.norm(expected)


def test_records_gradients_of_the_embedding_equal_a_loop_over_records():
    networks, windows, codes, _ = parts()
    weight = np.array([0.5, 2, 1, 0.7, 1.3, 0], np.float32)
    batch = Examples(windows, tf.one_hot(codes, CLASSES), tf.constant(weight))
    seeds = seeds_of(tf.constant([0, 0]), tf.range(3), 2)
    names = ("embedder", "recovery", "supervisor")
    own = [value for name in names for value in networks[name]]

    def losses(note):
        return Embedding(SIZES).row_losses(Weights(own, []), batch, seeds, note)

    gradients = record_gradients(losses, own, 3)
    net = keras_networks({name: networks[name] for name in names})
    norms = []
    for record in range(3):
        rows = slice(2 * record, 2 * record + 2)
        loss = 0.0
        with tf.GradientTape() as tape:
            for row in range(rows.start, rows.stop):
                x, code = windows[row : row + 1], codes[row : row + 1]
                hidden = with_codes(net["embedder"], x, code)
                error = tf.reduce_mean((x - with_codes(net["recovery"], hidden, code)) ** 2)
                given = tf.constant(hidden.numpy())
                steps = tf.reduce_mean(
                    (given[:, 1:] - with_codes(net["supervisor"], given, code)[:, :-1]) ** 2
                )
                loss += weight[row] * 10 * (tf.sqrt(error) + tf.sqrt(steps))
        expected = keras_gradient(tape, loss, [net[name] for name in names])
        assert relative_error(gradients.weighted_sum(tf.one_hot(record, 3)), expected) < 1e-5
        norms.append(np.linalg.norm(expected))
    np.testing.assert_allclose(tf.sqrt(gradients.squared_norms()), norms, rtol=1e-5)


def adversaries(networks, supervised_weight=0.5):
    supervisor = tuple(value.numpy() for value in networks["supervisor"])
    return SequenceAdversaries(SIZES, 1e-3, supervised_weight, supervisor)


def test_records_gradients_of_the_discriminator_equal_a_loop_over_records():
    networks, _, codes, sequences = parts()
    own, net = networks["discriminator"], keras_networks(networks)["discriminator"]
    synthetic = Synthetic(sequences, tf.constant(codes, tf.int32), tf.zeros(6))
    real = Real(sequences[:, 0], synthetic.condition)
    players = adversaries(networks)
    of_real = record_gradients(lambda note: players.real_losses(own, real, synthetic, note), own, 3)
    of_synthetic = record_gradients(lambda note: players.synthetic_losses(own, synthetic, note), own, 3)
    for record in range(3):
        with tf.GradientTape(persistent=True) as tape:
            as_real = as_synthetic = 0.0
            for row in (2 * record, 2 * record + 1):
                kinds = [
                    with_codes(net, sequences[row : row + 1, kind], codes[row : row + 1]) for kind in (0, 1)
                ]
                as_real += tf.reduce_mean(tf.math.softplus(-kinds[0]))
                as_synthetic += sum(tf.reduce_mean(tf.math.softplus(values)) for values in kinds)
        for gradients, loss in ((of_real, as_real), (of_synthetic, as_synthetic)):
            expected = keras_gradient(tape, loss, [net])
            assert relative_error(gradients.weighted_sum(tf.one_hot(record, 3)), expected) < 1e-5
            norm = float(tf.sqrt(gradients.squared_norms())[record])
            assert norm == pytest.approx(np.linalg.norm(expected), rel=1e-5)


def test_the_generator_learns_from_the_discriminator_and_the_fixed_supervisor():
    """Read off Adam's first averages: a tenth of the gradient."""
    networks, _, codes, _ = parts()
    noise = tf.constant(np.random.default_rng(3).normal(size=(6, TIME, CHANNELS)), tf.float32)
    players = (
        adversaries(networks)
        .start(np.random.default_rng(0))
        ._replace(
            generator=[*networks["generator"], *networks["supervisor"]],
            discriminator=networks["discriminator"],
        )
    )
    after = adversaries(networks).update_generator(players, tf.constant(codes, tf.int32), noise)
    net = keras_networks(networks)
    with tf.GradientTape() as tape:
        raw = with_codes(net["generator"], 0.5 * (1 + tf.math.erf(noise / 2**0.5)), codes)
        synthetic = with_codes(net["supervisor"], raw, codes)
        loss = sum(
            tf.reduce_mean(tf.math.softplus(-with_codes(net["discriminator"], x, codes)))
            for x in (synthetic, raw)
        )
        left = tf.sqrt(tf.reduce_mean((raw[:, 1:] - synthetic[:, :-1]) ** 2, axis=(1, 2)))
        loss += 0.5 * tf.reduce_mean(left)
    expected = 0.1 * keras_gradient(tape, loss, [net["generator"]])
    own = len(networks["generator"])
    assert relative_error(after.generator_adam.first[:own], expected) < 1e-5
    for value, before in zip(after.generator[own:], networks["supervisor"], strict=True):
        np.testing.assert_array_equal(value, before)


def test_programs_do_not_hang_on_the_released_supervisor():
    first, second = (adversaries(parts()[0]), adversaries({"supervisor": [tf.zeros(3)]}))
    assert first == second
    assert dpgan.program(first, 1) is dpgan.program(second, 1)


@pytest.mark.parametrize("unit", ["window", "subject"])
def test_nothing_but_the_clipped_sums_sees_real_windows(unit, caplog):
    """With clip norms of almost nothing, trainings on unlike data end alike: in labels and numbers, too."""
    windows, code, subject = people(subjects=4)
    unlike = windows[:-3] * 5 + 1, 1 - code[:-3], subject[:-3]
    tiny = {"embedder_clip_norm": 1e-12, "clip_norm": 1e-12}
    with caplog.at_level(logging.DEBUG, "pulseveil"):
        first, second = (fit(data, budget(unit), **tiny) for data in (people(), unlike))
    assert not leaks(caplog)
    np.testing.assert_allclose(parameters(first), parameters(second), rtol=1e-5, atol=1e-6)
    for name in tiny:
        one_free = fit(unlike, budget(unit), **{key: value for key, value in tiny.items() if key != name})
        # Trainings that see nothing agree to 7e-6: the largest of these parameters are 0.6.
        assert np.abs(parameters(one_free) - parameters(second)).max() > 2e-5


def test_the_discriminator_sees_sequences_by_the_released_embedder(monkeypatch):
    """What makes a record of the second mechanism of a window is that window and what the first released."""
    seen = {dpsgd: [], dpgan: []}
    for module, calls in seen.items():

        def watched(*arguments, fit=module.fit, calls=calls):
            calls.append((arguments, fit(*arguments)))
            return calls[-1][1]

        monkeypatch.setattr(module, "fit", watched)
    windows, code, _ = people()
    model = fit(people(), budget())
    ((of_embedder, (released, noised)),), ((of_discriminator, _),) = seen.values()
    assert [entry.as_mechanism() for entry in model.ledger] == [
        arguments[0].mechanism for arguments in (of_embedder, of_discriminator)
    ]
    assert noised == SHORT["embedder_steps"]
    embedder = Embedding(SIZES).networks(tuple(released.parameters))["embedder"]
    unit = np.clip((windows + 3) / 8, 0, 1)
    net = keras_networks({"embedder": embedder})["embedder"]
    records = of_discriminator[1]
    np.testing.assert_allclose(records.windows, with_codes(net, unit, code), rtol=1e-5, atol=1e-6)


def test_the_ledger_has_both_mechanisms_and_they_compose_to_the_budget():
    for unit, epsilon in (("window", 10.0), ("window", 1.0), ("subject", 8.0)):
        model = fit(people(), budget(unit, epsilon))
        entries = model.ledger
        assert [entry.mechanism for entry in entries] == ["embedder", "discriminator"]
        assert [entry.steps_noised for entry in entries] == [60, 60]
        spent = accounting.epsilon_pld([entry.as_mechanism() for entry in entries], 1e-5)
        assert 0.98 * epsilon < spent <= epsilon
        assert entries[0].epsilon_pld == pytest.approx(epsilon / 2, rel=0.01)
        assert entries[1].epsilon_pld < epsilon
        assert {entry.sampler for entry in entries} == {"poisson" if unit == "window" else "full batch"}


def test_full_batches_compose_as_gaussian_mechanisms():
    """Sum of squared mu: the closed formula of Dong, Roth and Su 2022."""
    embedder, discriminator = TimeGAN.mechanisms(settings(embedder_share=0.2), budget("subject"))
    squared = sum(m.steps / m.noise_multiplier**2 for m in (embedder, discriminator))
    assert gaussian_epsilon(squared**0.5, 1e-5) == pytest.approx(10, rel=1e-4)
    assert gaussian_epsilon(60**0.5 / embedder.noise_multiplier, 1e-5) == pytest.approx(2, rel=1e-4)


class Interrupted(Exception):
    pass


class Breaks(Checkpoint):
    """A checkpoint after which the machine fails, once `part` has done 50 steps."""

    part_that_breaks = "embedder"

    def save(self, step, arrays):
        super().save(step, arrays)
        if arrays.get(f"{self.part_that_breaks}.__step__") == 50:
            raise Interrupted


class BreaksLater(Breaks):
    part_that_breaks = "discriminator"


def interrupted(tmp_path, breaks, allowance):
    path = tmp_path / "state.npz"
    with pytest.raises(Interrupted):
        fit(people(), allowance, breaks(path, "cell", 1000))
    return Checkpoint(path, "cell", 1000)


@pytest.mark.parametrize("breaks", [Breaks, BreaksLater])
def test_a_training_that_broke_in_either_part_ends_in_the_same_bits(tmp_path, breaks, monkeypatch):
    unbroken = fit(people(), budget())
    checkpoint = interrupted(tmp_path, breaks, budget())
    ran = count_steps(monkeypatch)
    resumed = fit(people(), budget(), checkpoint)
    np.testing.assert_array_equal(parameters(resumed), parameters(unbroken))
    assert resumed.ledger == unbroken.ledger
    assert ran == ([10, 60] if breaks is Breaks else [0, 10])


def count_steps(monkeypatch):
    """Steps that each mechanism runs from now on."""
    ran = [0, 0]
    for number, module in enumerate((dpsgd, dpgan)):

        def watched(*arguments, program=module.program, number=number):
            run = program(*arguments)

            def counted(state, *rest):
                after = run(state, *rest)
                ran[number] += int(after.noised) - int(state.noised)
                return after

            return counted

        monkeypatch.setattr(module, "program", watched)
    return ran


@pytest.mark.parametrize(("breaks", "lost"), [(Breaks, [10, 0]), (BreaksLater, [0, 10])])
def test_after_a_change_lost_steps_stay_spent(tmp_path, breaks, lost, monkeypatch):
    checkpoint = interrupted(tmp_path, breaks, budget())
    for module in (dpsgd, dpgan):
        monkeypatch.setattr(module, "describe_device", lambda: ("another processor",))
    model = fit(people(), budget(), checkpoint)
    assert [entry.steps_noised for entry in model.ledger] == [60, 60]
    arrays = checkpoint.load().arrays
    assert [int(arrays[f"{entry.mechanism}.__lost__"]) for entry in model.ledger] == lost


def test_a_change_before_the_first_block_of_the_discriminator_loses_it(tmp_path, monkeypatch):
    """The key is that of the embedder's part: what the first block noised is spent."""

    class BreaksBetween(Checkpoint):
        def save(self, step, arrays):
            super().save(step, arrays)
            if arrays.get("discriminator.__step__") == 0:
                raise Interrupted

    checkpoint = interrupted(tmp_path, BreaksBetween, budget())
    monkeypatch.setattr(dpgan, "describe_device", lambda: ("another processor",))
    ran = count_steps(monkeypatch)
    model = fit(people(), budget(), checkpoint)
    assert ran == [0, 10]
    assert model.ledger[1].steps_noised == 60


def test_models_come_back_from_arrays_and_make_what_is_asked_for():
    model = fit(people(), budget())
    again = TimeGANModel.from_arrays(settings(), model.arrays())
    noise = np.random.default_rng(0).normal(size=(8, model.noise_size)).astype(np.float32)
    codes = np.array([0, 1] * 4, np.int8)
    windows = model.sample(codes, noise)
    assert windows.shape == (8, TIME, CHANNELS)
    assert windows.min() >= -3
    assert windows.max() <= 5
    np.testing.assert_array_equal(again.sample(codes, noise), windows)
    assert again.ledger == ()
    other = model.sample(np.r_[1 - codes[:4], codes[4:]], noise)
    np.testing.assert_array_equal(other[4:], windows[4:])
    assert (np.abs(other[:4] - windows[:4]).max(axis=(1, 2)) > 0).all()


def test_a_hidden_sequence_is_of_its_own_window_alone():
    networks, windows, codes, _ = parts()
    embedder = [value.numpy() for value in networks["embedder"]]
    one_hot = np.eye(CLASSES, dtype=np.float32)[codes]
    hidden = embed(embedder, windows.numpy(), one_hot)
    changed = windows.numpy().copy()
    changed[0] = np.nan
    again = embed(embedder, changed, one_hot)
    np.testing.assert_array_equal(again[1:], hidden[1:])
    assert np.isnan(again[0]).any()


def test_what_a_private_training_cannot_do_is_refused():
    with pytest.raises(InputError, match="reads the condition"):
        TimeGAN.mechanisms(TimeGANSettings(training="published"), budget())
    with pytest.raises(InputError, match="dp_backend fast"):
        TimeGAN.mechanisms(TimeGANSettings(), budget(backend="tensorflow_privacy"))
    with pytest.raises(InputError, match="at most 5 people"):
        fit(people(subjects=6), budget())
    with pytest.raises(InputError, match="one for each of 2 channels, found 3"):
        fit(people(), budget(), least=(0.0, 0.0, 0.0))


def test_public_bounds_make_a_scale_without_windows():
    scale = PrivateTimeGAN(least=-3, greatest=(5.0, 1.0)).scale(2)
    np.testing.assert_array_equal(scale.to_unit(np.float32([[[-3, -1]], [[5, 1]]])), [[[0, 0.5]], [[1, 1]]])


def test_the_range_is_public_and_windows_are_cut_to_it():
    """Values beyond the bounds count as the bounds: the trainings are the same."""
    windows, code, subject = people()
    within = fit((np.clip(windows, 0, 2), code, subject), budget(), least=0.0, greatest=2.0, steps=10)
    beyond = np.where(windows > 2, 10 * windows, windows)
    cut = fit((beyond, code, subject), budget(), least=0.0, greatest=2.0, steps=10)
    np.testing.assert_array_equal(parameters(within), parameters(cut))
