import logging

import numpy as np
import pytest
import tensorflow as tf

from pulseveil.core.checkpoints import Checkpoint
from pulseveil.core.errors import InputError
from pulseveil.core.randomness import root_stream
from pulseveil.generators import Training
from pulseveil.generators.cgan import CGAN, CGANSettings, networks, steps
from pulseveil.generators.cgan.model import CGANModel
from pulseveil.generators.cgan.networks import discriminate
from pulseveil.generators.cgan.steps import ConditionalAdversaries, Objective
from pulseveil.generators.private_settings import PrivateGAN
from pulseveil.networks.adversaries import Real
from pulseveil.privacy import dpgan
from pulseveil.privacy.budget import Budget, Population
from pulseveil.privacy.noise import reproducible
from pulseveil.privacy.records import NOBODY, drawn_rows, lay_out
from pulseveil.privacy.resume import describe_device
from tests.unit.private_logs import leaks

PEOPLE, WINDOWS, SHARE = 5, 8, 0.25
POPULATION = Population(PEOPLE, WINDOWS, SHARE)
SHAPE = networks.Shape(2, 12, 2)
# One set of compiled-in settings and shapes for all trainings below: compiling takes longer than they do.
SETTINGS = {"discriminator": "fcn", "output": "linear"}


def people(seed=0, subjects=PEOPLE):
    """Windows (n, 12, 2), codes and names: level 0 for code 0, level 2 for code 1."""
    rng = np.random.default_rng(seed)
    code = np.tile(np.arange(WINDOWS) >= 6, subjects).astype(np.int8)
    windows = 2.0 * code[:, None, None] + 0.3 * rng.normal(size=(len(code), *SHAPE[1:]))
    return windows.astype(np.float32), code, np.repeat([f"S{i}" for i in range(subjects)], WINDOWS)


def budget(unit="window", epsilon=10.0, key=0, **changes):
    return Budget(epsilon, 1e-5, unit, POPULATION, reproducible(root_stream(key)), **changes)


def fit(data, allowance, checkpoint=None, private=None, **settings):
    windows, code, subject = data
    private = {"steps": 110, "batch_size": 16, "fakes": 8, "windows_each": 3} | (private or {})
    return CGANModel.fit(
        CGANSettings(**SETTINGS, **settings, private=PrivateGAN(**private)),
        Training(windows, code, subject, 2, allowance, root_stream(1), checkpoint),
    )


def parameters(model):
    return np.concatenate([value.ravel() for value in model.arrays().values()])


class Interrupted(Exception):
    pass


class Breaks(Checkpoint):
    """A checkpoint after which the machine fails, or which fails as it is written."""

    def save(self, step, arrays):
        super().save(step, arrays)
        if step:
            raise Interrupted


def interrupted(tmp_path, data, allowance):
    """The checkpoint of a training that broke after its first block."""
    path = tmp_path / "state.npz"
    with pytest.raises(Interrupted):
        fit(data, allowance, Breaks(path, "cell", 1000))
    return Checkpoint(path, "cell", 1000)


def objective(discriminator="lstm"):
    return Objective(discriminator, 1e-3, 0.5, "published", 8.0, "linear", 0.3)


def adversaries(discriminator="lstm"):
    return ConditionalAdversaries(objective(discriminator), SHAPE, 1, 0.0)


def real_losses(name, discriminator, data):
    def losses(numbers, note):
        real = Real(tf.gather(data.windows, numbers), tf.gather(data.condition, numbers))
        return adversaries(name).real_losses(discriminator, real, None, note)

    return losses


@pytest.mark.parametrize("name", ["lstm", "fcn", "transformer"])
def test_clipped_gradients_equal_a_plain_loop_over_records(name):
    windows, code, _ = people()
    data = Real(tf.constant(windows), tf.constant(code.astype(np.int32)))
    start = steps.start(np.random.default_rng(0), objective(name), SHAPE)
    rows = np.array([[3, 7, 3], [NOBODY] * 3, [39, 1, 0], [12, 13, 14]] + [[NOBODY] * 3] * 3, np.int32)
    expected = [np.zeros(value.shape) for value in start.discriminator]
    clip_norm, norms = 0.05, []
    for record in rows[rows[:, 0] != NOBODY]:
        with tf.GradientTape() as tape:
            tape.watch(start.discriminator)
            logits = discriminate(
                name, start.discriminator, tf.gather(data.windows, record), tf.gather(data.condition, record)
            )
            loss = tf.reduce_mean(tf.math.softplus(-logits))
        gradients = [tf.convert_to_tensor(g).numpy() for g in tape.gradient(loss, start.discriminator)]
        norms.append(np.sqrt(sum(np.square(g, dtype=np.float64).sum() for g in gradients)))
        for total, gradient in zip(expected, gradients, strict=True):
            total += gradient * min(1, clip_norm / norms[-1])
    assert max(norms) > clip_norm, "nothing was clipped"
    found = dpgan.clipped_gradients(
        real_losses(name, start.discriminator, data), start.discriminator, tf.constant(rows), clip_norm
    )
    for total, value in zip(expected, found, strict=True):
        np.testing.assert_allclose(value, total, rtol=2e-5, atol=1e-7)


def test_a_step_is_half_real_over_expected_batch_half_fake_mean():
    """Without noise, read off the averages of Adam after its first step: half of the gradient (beta1 .5)."""
    windows, code, _ = people()
    data = Real(tf.constant(windows), tf.constant(code.astype(np.int32)))
    start = steps.start(np.random.default_rng(0), objective(), SHAPE)
    rng = np.random.default_rng(1)
    rows = tf.constant([[0], [9], [NOBODY]], tf.int32)
    codes = tf.constant(rng.integers(2, size=(2, 4)), tf.int32)
    latent = tf.constant(rng.normal(size=(2, 4, networks.NOISE_SIZE)), tf.float32)
    batch = dpgan.Batches(rows, tf.constant([1, 2]), codes, latent, tf.zeros(4))
    expected_batch = 2.5
    scales = dpgan.Scales(*(tf.constant(value) for value in (1e9, 0.0, expected_batch)))
    after = dpgan.step(adversaries(), 5, dpgan.State(start, tf.constant(0)), data, batch, scales)
    fake = networks.generate(start.generator, latent[0], codes[0], leaky_slope=0.3, output="linear")
    with tf.GradientTape() as tape:
        tape.watch(start.discriminator)
        real = discriminate("lstm", start.discriminator, data.windows[0:10:9], data.condition[0:10:9])
        synthetic = discriminate("lstm", start.discriminator, fake, codes[0])
        loss = tf.reduce_sum(tf.math.softplus(-real)) / expected_batch
        loss = (loss + tf.reduce_mean(tf.math.softplus(synthetic))) / 2
    gradients = map(tf.convert_to_tensor, tape.gradient(loss, start.discriminator))
    for first_moment, gradient in zip(after.players.discriminator_adam.first, gradients, strict=True):
        np.testing.assert_allclose(first_moment, 0.5 * gradient, rtol=1e-4, atol=1e-8)
    assert after.noised.numpy() == 0, "no noise came, so none is counted"
    for value, before in zip(after.players.generator, start.generator, strict=True):
        np.testing.assert_array_equal(value, before)
    turn = dpgan.step(adversaries(), 1, dpgan.State(start, tf.constant(0)), data, batch, scales)
    assert any(np.any(a != b) for a, b in zip(turn.players.generator, start.generator, strict=True))


def test_a_step_without_any_record_is_noised_all_the_same():
    windows, code, _ = people()
    data = Real(tf.constant(windows), tf.constant(code.astype(np.int32)))
    start = steps.start(np.random.default_rng(0), objective("fcn"), SHAPE)
    nobody = tf.fill((3, 1), NOBODY)
    sums = dpgan.clipped_gradients(
        real_losses("fcn", start.discriminator, data), start.discriminator, nobody, 1.0
    )
    assert all(np.all(value == 0) for value in sums)
    batch = dpgan.Batches(
        nobody,
        tf.constant([1, 2]),
        tf.zeros((2, 4), tf.int32),
        tf.zeros((2, 4, networks.NOISE_SIZE)),
        tf.zeros(4),
    )
    scales = dpgan.Scales(*(tf.constant(value) for value in (1.0, 1.0, 1.0)))
    after = dpgan.step(adversaries("fcn"), 5, dpgan.State(start, tf.constant(0)), data, batch, scales)
    assert after.noised.numpy() == 1


@pytest.mark.parametrize("unit", ["window", "subject"])
def test_nothing_but_the_clipped_sums_sees_real_windows(unit, caplog):
    """With a clip norm of almost nothing, trainings on unlike data end alike: in labels and numbers, too."""
    windows, code, subject = people(subjects=4)
    unlike = windows[:-3] * 5 + 1, 1 - code[:-3], subject[:-3]
    private = {"clip_norm": 1e-12, "steps": 30}
    with caplog.at_level(logging.DEBUG, "pulseveil"):
        first, second = (fit(data, budget(unit), private=private) for data in (people(), unlike))
    assert not leaks(caplog)
    np.testing.assert_allclose(parameters(first), parameters(second), rtol=1e-4, atol=1e-6)
    third = fit(unlike, budget(unit), private={"steps": 30})
    assert np.abs(parameters(third) - parameters(second)).max() > 1e-3


def test_the_ledger_counts_the_discriminators_steps():
    model = fit(people(), budget(), private={"steps": 30})
    (entry,) = model.ledger
    assert (entry.mechanism, entry.steps_noised, entry.n) == ("discriminator", 30, PEOPLE * WINDOWS)
    assert entry.q == pytest.approx(16 / 40)
    assert entry.sampler == "poisson"
    assert 9.9 < entry.epsilon_pld <= 10
    (entry,) = fit(people(), budget("subject"), private={"steps": 30}).ledger
    assert (entry.sampler, entry.n, entry.expected_batch) == ("full batch", PEOPLE, PEOPLE)


def test_a_resumed_training_ends_in_the_same_bits(tmp_path):
    unbroken = fit(people(), budget())
    resumed = fit(people(), budget(), interrupted(tmp_path, people(), budget()))
    np.testing.assert_array_equal(parameters(resumed), parameters(unbroken))
    assert resumed.ledger == unbroken.ledger


def test_after_a_change_lost_steps_stay_spent_and_the_noise_is_new(tmp_path, monkeypatch):
    checkpoint = interrupted(tmp_path, people(), budget())
    monkeypatch.setattr(dpgan, "describe_device", lambda: ("another processor",))
    draw, attempts = dpgan._draws, []

    def watched(*arguments):
        attempts.append(draw(*arguments))
        return attempts[-1]

    monkeypatch.setattr(dpgan, "_draws", watched)
    model = fit(people(), budget(), checkpoint)
    assert model.ledger[0].steps_noised == model.ledger[0].steps_accounted == 110
    done, arrays, _ = checkpoint.load()
    assert (done, arrays["__lost__"], arrays["__attempt__"]) == (50, 50, 1)
    monkeypatch.setattr(dpgan, "describe_device", describe_device)
    fit(people(), budget())
    (_, after), (_, before) = attempts
    common = np.intersect1d(after.view("i8"), before.view("i8"))
    assert not len(common), "noise of the first attempt was used again"


def test_draws_are_of_the_record_itself_and_do_not_depend_on_others():
    windows, code, subject = people()
    kept = np.r_[0:5, 8:40]
    records = lay_out(windows[kept], code[kept], subject[kept], "subject", POPULATION)
    order = np.tile(np.arange(PEOPLE, dtype=np.int32), (400, 1))
    rows = drawn_rows(records, order, 4, np.random.default_rng(0))
    for person in range(PEOPLE):
        own = rows[:, person]
        assert set(np.unique(own)) == set(person * WINDOWS + np.arange(5 if person == 0 else 8))
        np.testing.assert_array_equal(records.windows[own[0]], windows[subject == f"S{person}"][own[0] % 8])
    # Five windows, 1,600 draws: chi-squared with 4 degrees of freedom, beyond 23.5 once in 10,000 times.
    counts = np.bincount(rows[:, 0].ravel(), minlength=5)[:5]
    assert ((counts - 320) ** 2 / 320).sum() < 23.5
    all_windows = lay_out(windows, code, subject, "subject", POPULATION)
    again = drawn_rows(all_windows, order, 4, np.random.default_rng(0))
    np.testing.assert_array_equal(again[:, 1:], rows[:, 1:])


def test_free_places_are_nobody():
    windows, code, subject = people(subjects=3)
    records = lay_out(windows, code, subject, "window", POPULATION)
    assert records.rows.shape == (PEOPLE * WINDOWS, 1)
    order = np.array([[0, 23, 24, -1]], np.int32)
    assert drawn_rows(records, order, 1, np.random.default_rng(0))[0, :, 0].tolist() == [
        0,
        23,
        NOBODY,
        NOBODY,
    ]
    records = lay_out(windows, code, subject, "subject", POPULATION)
    rows = drawn_rows(records, np.arange(PEOPLE, dtype=np.int32)[None], 2, np.random.default_rng(0))
    assert (rows[0, 3:] == NOBODY).all()
    assert (rows[0, :3] != NOBODY).all()


def test_synthetic_labels_come_from_public_shares():
    (mechanism,) = CGAN.mechanisms(CGANSettings(), budget())
    recipe = dpgan.Recipe(adversaries(), mechanism, 1, 64, 5, (0.75, 0.25))
    draws = np.zeros((50, 4, 1), np.int32), np.zeros((50, 2), np.int32)
    codes = dpgan._batches(recipe, draws, root_stream(0), 0).codes.numpy()
    assert codes.shape == (50, 2, 64)
    # 6,400 labels: 5 standard deviations of the share are .027.
    assert abs(codes.mean() - 0.25) < 0.027


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"selection": "two_sample"}, "selection last"),
        ({"average": 0.99}, "set average: 0"),
        ({"diversity": "effective"}, "diversity_bound"),
    ],
)
def test_what_looks_at_real_windows_beside_the_noise_is_refused(settings, words):
    with pytest.raises(InputError, match=words):
        CGAN.mechanisms(CGANSettings(**settings), budget())


def test_a_given_bound_is_allowed_and_the_library_backend_is_not():
    assert CGAN.mechanisms(CGANSettings(diversity="effective", diversity_bound=0.5), budget())
    with pytest.raises(InputError, match="dp_backend fast"):
        CGAN.mechanisms(CGANSettings(), budget(backend="tensorflow_privacy"))


def test_more_people_than_the_plan_says_are_refused():
    with pytest.raises(InputError, match="at most 5 people"):
        fit(people(subjects=6), budget())
