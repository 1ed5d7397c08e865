import math

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats
from scipy.fft import dct
from scipy.integrate import solve_ivp

from pulseveil.core import registry
from pulseveil.core.checkpoints import Checkpoint
from pulseveil.core.errors import InputError
from pulseveil.core.randomness import root_stream
from pulseveil.generators import Training
from pulseveil.generators.flow import Flow, FlowSettings, training
from pulseveil.generators.flow.coordinates import Coordinates
from pulseveil.generators.flow.model import FlowModel
from pulseveil.privacy.budget import Budget, Population
from tests.trainings import plain

STREAM = root_stream(3)
TIME, CHANNELS = 20, 3
SMALL = {"cosines": 2, "bands": 1, "width": 64, "steps": 500, "learning_rate": 5e-3}


def windows_of_two_conditions(n=300, seed=0):
    """Windows (n, 20, 3), codes and names: those of code 1 are higher, livelier, and rise instead of fall."""
    rng = np.random.default_rng(seed)
    code = (np.arange(n) % 3 == 0).astype(np.int8)
    line = np.linspace(-1, 1, TIME)[:, np.newaxis] * (2 * code - 1)[:, np.newaxis, np.newaxis]
    ripple = rng.normal(0, 0.3, (n, TIME, CHANNELS))
    lively = np.exp(0.7 * code + rng.normal(0, 0.2, n))[:, np.newaxis, np.newaxis]
    level = rng.normal(0, 0.5, (n, 1, CHANNELS)) + 1.5 * code[:, np.newaxis, np.newaxis]
    return (level + lively * (line + ripple)).astype(np.float32), code


def fit(windows, code, checkpoint=None, stream=STREAM, **settings):
    return FlowModel.fit(
        FlowSettings(**SMALL | settings), plain(windows, code, stream, checkpoint=checkpoint)
    )


@pytest.fixture(scope="module")
def fitted():
    return fit(*windows_of_two_conditions())


def drawn(model, code, n=1000, seed=1):
    noise = np.random.default_rng(seed).standard_normal((n, model.noise_size), dtype=np.float32)
    return model.sample(np.full(n, code, np.int8), noise)


def field(values=3, classes=2, width=8, depth=2, seed=0):
    """Parameters of a field away from the start, where the output layer is zero."""
    rng = np.random.default_rng(seed)
    start = training.start(rng, training.Sizes(values, classes, width, depth))
    return [value + rng.normal(0, 0.3, value.shape).astype(np.float32) for value in start]


def plain_velocity(parameters, x, t, one_hot):
    """The field at one point, in float64 and by its formula."""
    silu = lambda z: z / (1 + np.exp(-z))  # noqa: E731
    k = math.pi * np.arange(1, 5) * t
    hidden = np.concatenate([x, [2 * t - 1], np.sin(k), np.cos(k), one_hot])
    for layer in range(0, len(parameters) - 2, 2):
        z = silu(hidden @ parameters[layer] + parameters[layer + 1])
        hidden = z if layer == 0 else hidden + z
    free = (2 * t - 1) / (t**2 + (1 - t) ** 2) * x
    return free + hidden @ parameters[-2] + parameters[-1]


def check_gaussian_transport():
    """From standard normal noise to N(m, s^2), the known map is m + s x0; here of a field in closed form.

    The field of the Gaussian path is m + (t s^2 - (1 - t)) / (t^2 s^2 + (1 - t)^2) (x - t m). With m = 0 and
    s = 1 it is what an untrained network gives: noise arrives where it started.
    """
    t, x = np.linspace(0, 1, 11), np.linspace(-2, 2, 11)
    found = training.gaussian_velocity(tf.constant(x[:, np.newaxis]), tf.constant(t[:, np.newaxis])).numpy()
    m, s = 0.0, 1.0
    known = m + (t * s**2 - (1 - t)) / (t**2 * s**2 + (1 - t) ** 2) * (x - t * m)
    np.testing.assert_allclose(found[:, 0], known, rtol=1e-12)
    start = training.start(np.random.default_rng(0), training.Sizes(4, 2, 8, 2))
    noise = np.random.default_rng(1).standard_normal((50, 4)).astype(np.float32)
    arrived = training.sampler(32)(start, noise, np.eye(2, dtype=np.float32)[np.arange(50) % 2]).numpy()
    np.testing.assert_allclose(arrived, noise, atol=5e-3)


def learnt_gaussians():
    """Means and deviations of what is sampled after learning N(1, .5^2) as code 0, N(-1, 1.5^2) as code 1."""
    rng = np.random.default_rng(0)
    code = (np.arange(2000) % 2).astype(np.int8)
    rows = np.where(code, -1 + 1.5 * rng.normal(size=2000), 1 + 0.5 * rng.normal(size=2000))
    settings = FlowSettings(width=32, steps=1500, learning_rate=5e-3)
    sizes = training.Sizes(1, 2, 32, 2)
    parameters = training.train(settings, sizes, rows[:, None].astype(np.float32), code, STREAM, None)
    noise = rng.standard_normal((4000, 1)).astype(np.float32)
    ends = []
    for own in range(2):
        one_hot = np.tile(np.eye(2, dtype=np.float32)[own], (4000, 1))
        ends.append((noise, training.sampler(32)(parameters, noise, one_hot).numpy()))
    return ends


def check_learnt_transport():
    """The learnt field carries noise as the closed form says: m + s x0, whatever the condition."""
    for (noise, found), (m, s) in zip(learnt_gaussians(), [(1, 0.5), (-1, 1.5)], strict=True):
        middle = np.abs(noise) < 2
        error = np.abs(found - (m + s * noise))[middle]
        assert error.mean() < 0.15 * s, f"N({m}, {s}^2): mean error {error.mean():.3f}"


def test_an_untrained_field_is_that_of_a_gaussian_and_moves_nothing():
    check_gaussian_transport()


def test_a_learnt_field_carries_noise_to_gaussians_by_the_known_map():
    check_learnt_transport()


def test_a_velocity_is_that_of_a_plain_loop():
    parameters, rng = field(), np.random.default_rng(1)
    x, t, one_hot = rng.normal(size=(5, 3)), rng.random(5), np.eye(2)[[0, 1, 1, 0, 1]]
    arguments = (tf.constant(value, tf.float32) for value in (x, t, one_hot))
    found = training.velocity([tf.constant(value) for value in parameters], *arguments).numpy()
    expected = [plain_velocity(parameters, *row) for row in zip(x, t, one_hot, strict=True)]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_the_sampler_is_heuns_method_in_a_plain_loop_and_near_the_exact_solution():
    parameters, noise = field(), np.random.default_rng(2).normal(size=(4, 3))
    one_hot, steps = np.eye(2)[[0, 1, 0, 1]], 16
    found = training.sampler(steps)(parameters, noise.astype(np.float32), one_hot.astype(np.float32)).numpy()
    for row, start, own in zip(found, noise, one_hot, strict=True):
        x = start
        for i in range(steps):
            slope = plain_velocity(parameters, x, i / steps, own)
            end = plain_velocity(parameters, x + slope / steps, (i + 1) / steps, own)
            x = x + (slope + end) / (2 * steps)
        np.testing.assert_allclose(row, x, rtol=1e-3, atol=1e-4)
        exact = solve_ivp(
            lambda t, x, own=own: plain_velocity(parameters, x, t, own), (0, 1), start, rtol=1e-8
        )
        np.testing.assert_allclose(row, exact.y[:, -1], atol=0.05)


def test_the_loss_is_the_error_of_the_velocity_along_straight_lines():
    parameters, rng = field(), np.random.default_rng(3)
    rows, noise, t = rng.normal(size=(6, 3)), rng.normal(size=(6, 3)), rng.random(6)
    one_hot = np.eye(2)[np.arange(6) % 2]
    arguments = (tf.constant(value, tf.float32) for value in (rows, one_hot, noise, t))
    found = float(training.matching_loss([tf.constant(value) for value in parameters], *arguments))
    errors = [
        plain_velocity(parameters, (1 - s) * x0 + s * x1, s, own) - (x1 - x0)
        for x1, x0, s, own in zip(rows, noise, t, one_hot, strict=True)
    ]
    assert found == pytest.approx(np.mean(np.square(errors)), rel=1e-4)


def reversed_time(monkeypatch):
    """Of the sampler alone: a training would learn what undoes the change."""
    with monkeypatch.context() as own:
        trained = []
        train = training.train
        own.setattr(training, "train", lambda *given: trained.append(train(*given)) or trained[0])
        check_learnt_transport()
    training.sampler.cache_clear()
    monkeypatch.setattr(training, "train", lambda *_: trained[0])
    velocity = training.velocity
    monkeypatch.setattr(training, "velocity", lambda p, x, t, c: velocity(p, x, 1 - t, c))


def labels_ignored(monkeypatch):
    velocity = training.velocity
    monkeypatch.setattr(training, "velocity", lambda p, x, t, c: velocity(p, x, t, tf.zeros_like(c)))


def towards_noise(monkeypatch):
    loss = training.matching_loss
    monkeypatch.setattr(training, "matching_loss", lambda p, rows, c, noise, t: loss(p, noise, c, rows, t))


@pytest.mark.parametrize(
    ("mutate", "check"),
    [
        (reversed_time, check_learnt_transport),
        (labels_ignored, check_learnt_transport),
        (towards_noise, check_learnt_transport),
    ],
)
def test_a_broken_flow_is_noticed(mutate, check, monkeypatch):
    training.program.cache_clear()
    training.sampler.cache_clear()
    mutate(monkeypatch)
    with pytest.raises(AssertionError):
        check()
    training.program.cache_clear()
    training.sampler.cache_clear()


def test_coordinates_are_standard_normal_and_hold_level_spread_and_cosines():
    windows, _ = windows_of_two_conditions()
    found = Coordinates.fit(windows, cosines=2, bands=2)
    scores = found.of(windows)
    assert scores.shape == (300, (2 + 2 + 2) * CHANNELS)
    # Of quantiles of the same rows: nearer to normal than any sample.
    assert max(stats.kstest(own, "norm").statistic for own in scores.T) < 0.01
    flat = windows.astype(np.float64)
    shape = (flat - flat.mean(1, keepdims=True)) / flat.std(1, keepdims=True)
    own = [
        flat.mean(axis=1),
        np.log(flat.std(axis=1)),
        *np.moveaxis(dct(shape, axis=1, norm="ortho")[:, 1:3], 1, 0),
    ]
    for values, ours in zip(np.hstack(own).T, scores.T, strict=False):
        assert stats.spearmanr(values, ours).statistic > 0.999


def test_windows_come_back_from_their_coordinates():
    windows, _ = windows_of_two_conditions()
    form = Coordinates.fit(windows, cosines=TIME - 2, bands=1)
    noise = np.random.default_rng(0).standard_normal((300, form.noise_size), dtype=np.float32)
    back = form.windows(form.of(windows), noise)
    scores = form.of(windows)
    # The last cosine alone is drawn, with its energy but not its sign; outermost values are cut.
    inside = np.abs(scores).max(axis=1) < 2.5
    assert inside.sum() > 50
    shared = [
        np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(back[inside], windows[inside], strict=True)
    ]
    assert np.mean(shared) > 0.97
    np.testing.assert_allclose(back[inside].mean(axis=1), windows[inside].mean(axis=1), atol=0.02)
    np.testing.assert_allclose(back[inside].std(axis=1), windows[inside].std(axis=1), rtol=0.02)


def test_windows_are_finite_whatever_is_drawn_and_constant_channels_stay_so():
    windows, code = windows_of_two_conditions()
    windows[:, :, 1] = 4.0
    form = Coordinates.fit(windows, cosines=2, bands=1)
    for noise in (0.0, 50.0, -50.0):
        scores = np.full((2, form.learnt), noise, np.float32)
        assert np.isfinite(form.windows(scores, np.full((2, form.noise_size), noise, np.float32))).all()
    made = drawn(fit(windows, code, steps=20), 0, 50)
    np.testing.assert_allclose(made[:, :, 1], 4.0, atol=0.01)


def test_each_condition_has_its_own_level_spread_and_direction(fitted):
    windows, codes = windows_of_two_conditions()
    for code in (0, 1):
        real, made = windows[codes == code], drawn(fitted, code)
        # Real means are of at least 100 windows: five standard errors.
        assert np.abs(made.mean(axis=(0, 1)) - real.mean(axis=(0, 1))).max() < 5 * 0.5 / math.sqrt(100)
        np.testing.assert_allclose(
            np.log(made.std(axis=1)).mean(axis=0), np.log(real.std(axis=1)).mean(axis=0), atol=0.15
        )
        rises = made[:, -5:].mean(axis=1) > made[:, :5].mean(axis=1)
        assert rises.mean() > 0.9 if code else rises.mean() < 0.1


def test_other_shapes_of_windows_and_three_conditions_are_learnt():
    rng = np.random.default_rng(0)
    windows = rng.normal(size=(90, 7, 1)).astype(np.float32)
    model = FlowModel.fit(
        FlowSettings(**SMALL | {"steps": 5}), plain(windows, np.arange(90) % 3, STREAM, classes=3)
    )
    assert drawn(model, 2, 4).shape == (4, 7, 1)


def test_equal_streams_give_equal_bits_and_others_do_not(fitted):
    windows, code = windows_of_two_conditions()
    again, other = fit(windows, code), fit(windows, code, stream=root_stream(4))
    np.testing.assert_array_equal(drawn(again, 1), drawn(fitted, 1))
    assert np.abs(drawn(other, 1) - drawn(fitted, 1)).max() > 0.01


class Broken(Exception):
    pass


class Breaks(Checkpoint):
    """A checkpoint after which the machine fails."""

    def save(self, step, arrays):
        super().save(step, arrays)
        raise Broken


def test_a_resumed_training_ends_in_the_same_bits(fitted, tmp_path):
    path = tmp_path / "state.npz"
    with pytest.raises(Broken):
        fit(*windows_of_two_conditions(), Breaks(path, "cell", 150))
    resumed = fit(*windows_of_two_conditions(), Checkpoint(path, "cell", 150))
    np.testing.assert_array_equal(drawn(resumed, 0), drawn(fitted, 0))


def test_a_window_is_made_from_its_own_code_and_noise_and_survives_storing(fitted):
    noise = np.random.default_rng(2).standard_normal((6, fitted.noise_size), dtype=np.float32)
    code = np.array([0, 1, 0, 1, 0, 1], np.int8)
    windows = fitted.sample(code, noise)
    assert windows.shape == (6, TIME, CHANNELS)
    assert windows.dtype == np.float32
    changed = noise.copy()
    changed[1:] += 1
    np.testing.assert_array_equal(fitted.sample(np.r_[code[:1], 1 - code[1:]], changed)[0], windows[0])
    again = FlowModel.from_arrays(FlowSettings(**SMALL), fitted.arrays())
    np.testing.assert_array_equal(again.sample(code, noise), windows)


def test_what_cannot_be_learnt_is_refused():
    windows, code = windows_of_two_conditions(30)
    private = Budget(1.0, 1e-5, "subject", Population(1, 30, 0.3))
    with pytest.raises(InputError, match="flow: no private training is known"):
        FlowModel.fit(FlowSettings(), Training(windows, code, np.full(30, "S1"), 2, private, STREAM))
    with pytest.raises(InputError, match="epsilon inf"):
        Flow.mechanisms(FlowSettings(), private)
    with pytest.raises(InputError, match="condition 1 has no windows"):
        fit(windows, np.zeros_like(code))
    with pytest.raises(InputError, match="too short"):
        fit(windows[:, :3], code)


def test_more_steps_and_wider_layers_are_expected_to_take_longer():
    seconds = [
        registry.load("generators", "flow").expected_seconds(FlowSettings(**changed), 900, None)
        for changed in ({}, {"steps": 4000}, {"width": 512})
    ]
    assert seconds[0] < seconds[1] < seconds[2]
