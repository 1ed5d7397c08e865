import logging
import math

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from pulseveil import detectors
from pulseveil.cohorts.simulated import Simulated
from pulseveil.core.checkpoints import Checkpoint
from pulseveil.core.errors import InputError
from pulseveil.core.randomness import child, root_stream, stateless_seed
from pulseveil.detectors.logistic import Logistic, LogisticSettings
from pulseveil.evaluation.metrics import auroc
from pulseveil.generators import Training
from pulseveil.generators.autoencoder import Autoencoder, AutoencoderSettings
from pulseveil.generators.autoencoder import training as autoencoder
from pulseveil.generators.autoencoder.model import AutoencoderModel
from pulseveil.generators.private_moments import WindowValues
from pulseveil.generators.private_settings import PrivateAutoencoder
from pulseveil.generators.private_training import lay_out_labelled
from pulseveil.generators.subjects import synthetic_subjects
from pulseveil.networks import draws
from pulseveil.networks.learner import seeds_of
from pulseveil.networks.training import Examples, Weights
from pulseveil.privacy import dpsgd
from pulseveil.privacy.budget import NOT_PRIVATE, Budget, Mechanism, Population
from pulseveil.privacy.noise import reproducible
from pulseveil.privacy.resume import describe_device
from pulseveil.quality.classifiers import logistic
from pulseveil.quality.samples import Pair, Sample
from pulseveil.windows.cutting import cut_windows
from pulseveil.windows.features import extract_features
from tests.synthetic_sets import as_set
from tests.unit import dpsgd_cases as cases
from tests.unit.dpsgd_cases import STREAM, flat
from tests.unit.privacy import test_dpsgd_mutations as mutations
from tests.unit.private_logs import leaks

PEOPLE, WINDOWS, SHARE = 6, 10, 0.3
POPULATION = Population(PEOPLE, WINDOWS, SHARE)
TIME, CHANNELS = 20, 3
# One network for all trainings below: compiling takes longer than they do.
SMALL = {"coefficients": 2, "hidden": 5, "latent": 2}
NETWORK = autoencoder.Autoencoder(values=9, classes=2, hidden=5, latent=2, kl_weight=1.0)


def people(count=PEOPLE, seed=0):
    """Windows (n, 20, 3), codes and names; three of ten windows are stress, one and a half units higher."""
    rng = np.random.default_rng(seed)
    code = np.tile(np.arange(WINDOWS) >= 7, count).astype(np.int8)
    level = rng.normal(0, 0.5, size=(len(code), 1, CHANNELS)) + 1.5 * code[:, None, None]
    ripple = rng.normal(0, 0.2 + 0.4 * code[:, None, None], size=(len(code), TIME, CHANNELS))
    return (level + ripple).astype(np.float32), code, np.repeat([f"S{i}" for i in range(count)], WINDOWS)


def budget(unit="window", epsilon=10.0, *, key=0, **changes):
    return Budget(epsilon, 1e-5, unit, POPULATION, reproducible(root_stream(key)), **changes)


def fit(data, allowance=NOT_PRIVATE, checkpoint=None, private=None, **settings):
    windows, code, subject = data
    private = PrivateAutoencoder(**({"steps": 110, "batch_size": 20} | (private or {})))
    return AutoencoderModel.fit(
        AutoencoderSettings(**SMALL | {"steps": 250} | settings, private=private),
        Training(windows, code, subject, 2, allowance, root_stream(1), checkpoint),
    )


def parameters(model):
    return np.concatenate([value.ravel() for value in model.arrays().values()])


def drawn(model, code, n=2000):
    noise = np.random.default_rng(1).standard_normal((n, model.noise_size), dtype=np.float32)
    return model.sample(np.full(n, code, np.int8), noise)


def examples(n=8, k=1):
    """n records of k rows."""
    rng = np.random.default_rng(0)
    code = rng.integers(2, size=(n, k))
    x = rng.normal(size=(n, k, NETWORK.values)) + code[..., np.newaxis]
    values = x, np.eye(2)[code], np.where(code, 2.0, 1.0)
    return Examples(*(value.astype(np.float32) for value in values))


@pytest.fixture
def moved(monkeypatch):
    """Trainings that begin away from the start, where the decoder does not look at its latent values."""
    start = autoencoder.Autoencoder.start

    def begin(self, rng):
        weights = start(self, rng)
        noisy = [v + rng.normal(0, 0.3, v.shape).astype(np.float32) for v in weights.parameters]
        return weights._replace(parameters=noisy)

    monkeypatch.setattr(autoencoder.Autoencoder, "start", begin)


def normals(numbers, step):
    """The latent noise of rows of these numbers in a step of the training `STREAM`."""
    seed = tf.constant(stateless_seed(child(STREAM, "dropout")))
    return draws.normals(tf.constant(numbers, tf.int32), NETWORK.latent, draws.child_seed(seed, step)).numpy()


def negative_elbo(weights, x, target, weight, normal):
    """The loss of a record by the formulas of Kingma and Welling (2014)."""
    encoder_in, bias_in, encoder_out, bias_out, decoder_in, decoder_bias, outputs, means, logs = weights
    inner = tf.tanh(tf.concat([x, target], 1) @ encoder_in + bias_in) @ encoder_out + bias_out
    mu, variance = inner[:, :2], tf.exp(inner[:, 2:])
    z = mu + tf.sqrt(variance) * normal
    expected = tf.tanh(z @ decoder_in + decoder_bias) @ outputs + target @ means
    sd = tf.exp(target @ logs)
    # Without the constant log(2 pi) / 2 of a normal density.
    log_density = -tf.math.log(sd) - tf.square(x - expected) / (2 * tf.square(sd))
    kl = 0.5 * tf.reduce_sum(variance + mu**2 - 1 - tf.math.log(variance), 1)
    return tf.reduce_sum(weight * (kl - tf.reduce_sum(log_density, 1)) / NETWORK.values)


def plain_gradients(data):
    """A gradient a record, flat, each of its own loss alone, at the first step of a training."""
    k = data.x.shape[1]
    weights = [tf.constant(value) for value in cases.start_parameters(NETWORK)]
    found = []
    for record, rows in enumerate(zip(*data, strict=True)):
        normal = normals(record * k + np.arange(k), 0)
        with tf.GradientTape() as tape:
            tape.watch(weights)
            loss = negative_elbo(weights, *map(tf.constant, rows), normal)
        found.append(flat(tape.gradient(loss, weights)))
    return found


@pytest.mark.parametrize("k", [1, 3], ids=["windows", "subjects"])
def test_a_step_is_the_sum_of_clipped_records_of_a_plain_loop(moved, k):
    data = examples(k=k)
    gradients = plain_gradients(data)
    run = cases.mechanism(8, clip_norm=cases.median_norm(gradients))
    expected = cases.plain_clipped_sum(gradients, run.clip_norm)
    cases.require_close(flat(cases.released(run, data, NETWORK)), expected, "the sum of clipped records")


def test_the_loss_is_the_negative_evidence_lower_bound():
    """Against densities of scipy, at first weights that hold no latent part in the decoder."""
    data = Examples(*(value[:, 0] for value in examples()))
    start = cases.start_parameters(NETWORK)
    found = NETWORK.row_losses(
        Weights([tf.constant(value) for value in start], []),
        Examples(*map(tf.constant, data)),
        seeds_of(tf.constant([0, 0]), tf.range(8), 1),
    ).numpy()
    hidden = np.tanh(np.hstack([data.x, data.target]) @ start[0] + start[1])
    mu, log_variance = np.split(hidden @ start[2] + start[3], 2, axis=1)
    kl = (np.square(mu) + np.exp(log_variance) - log_variance - 1).sum(axis=1) / 2
    density = stats.norm.logpdf(data.x, 0, autoencoder.START_DEVIATION) + math.log(2 * math.pi) / 2
    expected = data.weight * (kl - density.sum(axis=1)) / NETWORK.values
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def check_sensitivity(clip=0.2):
    """A record of huge values moves the released sum by no more than the clip norm."""
    run, data = cases.mechanism(8, clip_norm=clip), examples()
    x, weight = data.x.copy(), data.weight.copy()
    x[3] *= 100
    weight[3] = 0
    totals = [flat(cases.released(run, data._replace(x=x, weight=w), NETWORK)) for w in (data.weight, weight)]
    moved = np.linalg.norm(totals[0] - totals[1])
    assert moved <= clip * (1 + 1e-3), f"one record moves the sum by {moved / clip:.3f} clip norms"
    assert moved > 0.9 * clip, "the record was to be clipped"


def check_noise():
    """Steps without any gradient release normals of the accounted deviation."""
    data, steps = examples(), 3
    run = cases.mechanism(8, steps=steps, noise_multiplier=2.0, clip_norm=0.1)
    released = flat(cases.released(run, data._replace(weight=np.zeros_like(data.weight)), NETWORK))
    below = stats.chi2.cdf(np.square(released / (math.sqrt(steps) * 0.2)).sum(), released.size)
    # The key is fixed; of other keys two in a million would fail it.
    assert 1e-6 < below < 1 - 1e-6, "noise has not the accounted deviation"


def test_one_record_moves_a_step_by_at_most_the_clip_norm():
    check_sensitivity()


def test_steps_without_gradients_release_noise_alone():
    check_noise()


@pytest.mark.parametrize(
    ("mutate", "check"),
    [
        (mutations.without_clipping, check_sensitivity),
        (mutations.without_noise, check_noise),
        (mutations.without_deviation, check_noise),
        (mutations.with_one_noise_for_all_steps, check_noise),
    ],
)
def test_a_broken_engine_is_stopped(mutate, check, monkeypatch):
    mutate(monkeypatch)
    with pytest.raises(AssertionError):
        check()


def test_latent_noise_is_of_the_row_and_the_step_whatever_else_is_drawn():
    every, some = normals(np.arange(40), 5), normals([7, -1, 31], 5)
    np.testing.assert_array_equal(some[[0, 2]], every[[7, 31]])
    assert np.abs(normals([7], 6) - every[7]).min() > 1e-6
    many = np.stack([normals(np.arange(500), step) for step in range(30)])
    # Each of four tests errs once in a hundred thousand; the seed is fixed.
    assert stats.kstest(many.ravel(), "norm").pvalue > 1e-5
    for left, right in (
        (many[1:], many[:-1]),
        (many[:, 1:], many[:, :-1]),
        (many[..., 1:], many[..., :-1]),
    ):
        assert abs(np.mean(left * right)) < 4.4 / math.sqrt(left.size)


def test_a_rows_loss_is_the_same_in_any_batch():
    data = Examples(*(value[:, 0] for value in examples()))
    rng = np.random.default_rng(3)
    weights = [tf.constant(v + rng.normal(0, 0.3, v.shape), tf.float32) for v in NETWORK.start(rng)[0]]

    def losses(rows):
        batch = Examples(*(tf.constant(value[rows]) for value in data))
        seeds = seeds_of(tf.constant([4, 2]), tf.constant(rows), 1)
        return NETWORK.row_losses(Weights(weights, []), batch, seeds)

    np.testing.assert_allclose(losses([6, 1, 3]), losses(list(range(8))).numpy()[[6, 1, 3]], rtol=1e-5)


@pytest.mark.parametrize("unit", ["window", "subject"])
def test_nothing_but_the_clipped_sums_sees_windows(unit, caplog):
    """With a clip norm of almost nothing, trainings on unlike data end alike."""
    windows, code, subject = people(4)
    unlike = windows[:-3] * 3 + 1, 1 - code[:-3], subject[:-3]
    noiseless = {"clip_norm": 1e-12, "steps": 30}
    with caplog.at_level(logging.DEBUG, "pulseveil"):
        first, second = (fit(data, budget(unit), private=noiseless) for data in (people(), unlike))
    assert not leaks(caplog)
    np.testing.assert_allclose(parameters(first), parameters(second), atol=1e-6)
    third = fit(unlike, budget(unit), private=noiseless | {"clip_norm": 1.0})
    assert np.abs(parameters(third) - parameters(second)).max() > 1e-3


@pytest.mark.parametrize(
    "spoilt", [np.nan, np.inf, 1e30], ids=["not a number", "infinite", "beyond any range"]
)
def test_one_persons_values_reach_nobody_else(spoilt):
    """A person whose sensor failed changes one contribution; artefacts are cut to the public range."""
    windows, code, subject = people()
    windows[subject == "S2"] = spoilt
    model = fit((windows, code, subject), budget("subject"))
    assert np.isfinite(parameters(model)).all()
    assert np.isfinite(drawn(model, 1, 50)).all()


@pytest.mark.parametrize("unit", ["window", "subject"])
def test_the_ledger_counts_the_steps_of_the_plan(unit):
    allowance = budget(unit)
    (entry,) = fit(people(), allowance).ledger
    private = PrivateAutoencoder(steps=110, batch_size=20)
    (planned,) = Autoencoder.mechanisms(AutoencoderSettings(private=private), allowance)
    assert entry.as_mechanism() == planned
    assert (entry.mechanism, entry.steps_noised) == ("autoencoder", 110)
    assert 9.9 < entry.epsilon_pld <= 10
    expected = ("full batch", PEOPLE, 1.0) if unit == "subject" else ("poisson", PEOPLE * WINDOWS, 1 / 3)
    assert (entry.sampler, entry.n, entry.q) == pytest.approx(expected)
    assert entry.expected_batch == pytest.approx(entry.n * entry.q)


def test_records_are_public_numbers_of_windows_with_public_weights():
    windows, code, subject = people(4)
    # Fewer windows of stress than the public share says.
    code[7] = 0
    values = WindowValues(TIME, CHANNELS, 2, 0.0, 1.0).of(windows)
    longer = [np.concatenate([part, part[:2]]) for part in (values, code, subject)]
    rows = lay_out_labelled(*longer, NETWORK.classes, "window", POPULATION)
    assert rows.x.shape == (PEOPLE * WINDOWS, 1, 9)
    assert (rows.weight[40:] == 0).all()
    np.testing.assert_array_equal(rows.x[:40, 0], values)
    np.testing.assert_allclose(rows.weight[:10, 0], [1 / 1.4] * 8 + [1 / 0.6] * 2, rtol=1e-6)
    of_people = lay_out_labelled(*longer, NETWORK.classes, "subject", POPULATION)
    assert of_people.x.shape == (PEOPLE, WINDOWS, 9)
    np.testing.assert_allclose(of_people.weight[1:4].sum(axis=1), 1.0, rtol=1e-6)


def test_without_noise_and_clipping_the_private_training_is_the_other_one(monkeypatch):
    """Full batches of people with equally many windows, shares of the conditions as the public ones."""
    steps = {"steps": 60, "learning_rate": 0.01}
    silent = Mechanism("autoencoder", "subject", PEOPLE, 1.0, PEOPLE, 60, 1e6, 1e-15)
    monkeypatch.setattr(Autoencoder, "mechanisms", lambda settings, budget: (silent,))
    monkeypatch.setattr(autoencoder.ledger, "close", lambda *_, **__: None)
    found = fit(people(), budget("subject"), private=steps)
    expected = fit(people(), steps=60, learning_rate=0.01, batch_size=PEOPLE * WINDOWS)
    np.testing.assert_allclose(parameters(found), parameters(expected), atol=2e-3)
    start = fit(people(), steps=1, learning_rate=1e-9)
    assert np.abs(parameters(start) - parameters(expected)).max() > 0.1


@pytest.mark.parametrize("allowance", [NOT_PRIVATE, budget(), budget("subject")], ids=["inf", "10", "person"])
def test_a_resumed_training_ends_in_the_same_bits(tmp_path, allowance):
    unbroken = fit(people(), allowance)
    path = tmp_path / "state.npz"
    with pytest.raises(Broken):
        fit(people(), allowance, Breaks(path, "cell", 50))
    resumed = fit(people(), allowance, Checkpoint(path, "cell", 50))
    np.testing.assert_array_equal(parameters(resumed), parameters(unbroken))
    assert resumed.ledger == unbroken.ledger


class Broken(Exception):
    pass


class Breaks(Checkpoint):
    """A checkpoint after which the machine fails."""

    def save(self, step, arrays):
        super().save(step, arrays)
        if step:
            raise Broken


def test_after_a_change_lost_steps_stay_spent(tmp_path, monkeypatch):
    path = tmp_path / "state.npz"
    with pytest.raises(Broken):
        fit(people(), budget(), Breaks(path, "cell", 50))
    monkeypatch.setattr(dpsgd, "describe_device", lambda: ("another processor",))
    (entry,) = fit(people(), budget(), Checkpoint(path, "cell", 50)).ledger
    assert entry.steps_noised == entry.steps_accounted == 110
    done, arrays, _ = Checkpoint(path, "cell", 50).load()
    assert (done, arrays["__lost__"], arrays["__attempt__"]) == (50, 50, 1)
    assert dpsgd.describe_device() != describe_device()


def test_equal_streams_and_keys_give_equal_models_and_others_do_not():
    first, again, other = (parameters(fit(people(), budget(key=key))) for key in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).mean() > 0.9


def test_a_window_is_made_from_its_own_code_and_noise_and_survives_storing():
    model = fit(people())
    noise = np.random.default_rng(2).standard_normal((6, model.noise_size), dtype=np.float32)
    code = np.array([0, 1, 0, 1, 0, 1], np.int8)
    windows = model.sample(code, noise)
    assert windows.shape == (6, TIME, CHANNELS)
    assert windows.dtype == np.float32
    changed = noise.copy()
    changed[1:] += 1
    np.testing.assert_array_equal(model.sample(code, changed)[0], windows[0])
    settings = AutoencoderSettings(**SMALL)
    again = AutoencoderModel.from_arrays(settings, model.arrays())
    np.testing.assert_array_equal(again.sample(code, noise), windows)
    assert again.ledger == model.ledger == ()


def test_values_and_windows_are_exchanged():
    form = WindowValues(time=60, channels=2, coefficients=3, centre=0.5, unit=0.25)
    rng = np.random.default_rng(0)
    values = rng.uniform(-1, 1, (4000, form.size)).astype(np.float32)
    silent = form.windows(values, np.zeros((4000, form.noise_size), np.float32))
    np.testing.assert_allclose(form.of(silent)[:, :6], values[:, :6], atol=1e-5)
    level = (silent[:, :, 1].mean(axis=1) - 0.5) / 0.25
    np.testing.assert_allclose(level, values[:, 3], atol=1e-5)
    noise = rng.standard_normal((4000, form.noise_size), dtype=np.float32)
    energy = np.square((form.windows(values, noise) - silent) / 0.25).mean(axis=1)
    expected = np.exp(2 * (values[:, 6:] - 1.2))
    # A ratio's relative error is below 1 (some ten cosines): 4,000 of them, five standard errors.
    assert np.abs((energy / expected).mean(axis=0) - 1).max() < 5 / math.sqrt(4000)
    wild = form.windows(np.full((1, form.size), 1e9, np.float32), noise[:1])
    assert np.isfinite(wild).all()


def test_windows_have_level_and_deviation_of_their_condition():
    data = people(40)
    model = fit(data, steps=600)
    for code in (0, 1):
        real, made = data[0][data[1] == code].astype(float), drawn(model, code).astype(float)
        # Real means come from at least 120 windows: five standard errors.
        difference = made.mean(axis=(0, 1)) - real.mean(axis=(0, 1))
        assert np.abs(difference).max() < 5 * 0.5 / math.sqrt(120)
        np.testing.assert_allclose(made.mean(axis=1).std(axis=0), real.mean(axis=1).std(axis=0), rtol=0.2)
        np.testing.assert_allclose(made.std(axis=1).mean(), real.std(axis=1).mean(), rtol=0.15)


def cohort(seed, stride_s, audience):
    return cut_windows(
        Simulated(Simulated.Settings(subjects=15, seed=seed)).recordings(),
        protocol="sound",
        channels="physiological",
        scaling="calibration",
        window_s=60,
        stride_s=stride_s,
        audience=audience,
    )


def test_trained_windows_teach_stress_and_are_more_like_real_ones():
    """Without privacy, and within epsilon 10 of a window, against an untrained network."""
    real = cohort(301, 30, "generator")
    test = extract_features(cohort(302, 60, "detector"), protocol="sound", pairing="intended")

    def scores(allowance, **settings):
        model = AutoencoderModel.fit(
            AutoencoderSettings(**settings),
            Training(real.windows, real.stress.astype(np.int8), real.subject, 2, allowance, root_stream(0)),
        )
        made = synthetic_subjects(model, subjects=20, classes=2, stream=root_stream(4))
        synthetic = as_set(made, real, generator="autoencoder", unit="window", epsilon=10.0)
        train = extract_features(synthetic, protocol="sound", pairing="intended")
        fitted = Logistic.fit(LogisticSettings(), detectors.Training(train, NOT_PRIVATE, root_stream(0)))
        # Of stress alone: the mean over both conditions is about right before anything is learnt.
        sides = (
            Sample(side.windows, side.stress, side.subject).take(side.stress) for side in (real, synthetic)
        )
        two = logistic(Pair(*sides), root_stream(0)).correct.mean()
        return auroc(test.stress, fitted.score(test).score), two

    untrained = scores(NOT_PRIVATE, steps=1, learning_rate=1e-6)
    private = Budget(10.0, 1e-5, "window", Population(15, 41, 0.29), reproducible(root_stream(3)))
    for name, found in {"trained": scores(NOT_PRIVATE), "private": scores(private)}.items():
        assert found[0] > 0.9, f"{name}: AUROC {found[0]:.3f}"
        assert found[0] > untrained[0] + 0.1, f"{name} {found[0]:.3f}, untrained {untrained[0]:.3f}"
        assert found[1] < untrained[1] - 0.1, f"{name} {found[1]:.3f}, {untrained[1]:.3f}"


def test_what_cannot_be_learnt_is_refused():
    windows, code, subject = people()
    with pytest.raises(InputError, match="at most 6 people, found 7"):
        fit(people(7), budget())
    with pytest.raises(InputError, match="condition 1 has no windows"):
        fit((windows, np.zeros_like(code), subject))
    with pytest.raises(InputError, match="fewer coefficients"):
        fit((windows[:, :2], code, subject))
    with pytest.raises(InputError, match="dp_backend fast"):
        Autoencoder.mechanisms(AutoencoderSettings(), budget(backend="tensorflow_privacy"))


def test_a_missing_condition_is_not_looked_for_in_private():
    windows, code, subject = people()
    assert np.isfinite(parameters(fit((windows, np.zeros_like(code), subject), budget()))).all()
