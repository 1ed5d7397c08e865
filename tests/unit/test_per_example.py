"""Gradients of single records by book-keeping, against a plain loop over the records."""

import numpy as np
import pytest
import tensorflow as tf

from pulseveil.errors import InputError
from pulseveil.networks import initial, layers, per_example
from pulseveil.networks.convolutional import CNN, CNNLSTM, LayerNormalisedCNNLSTM
from pulseveil.networks.discriminators import discriminate, start_discriminator
from pulseveil.networks.gan import Shape
from pulseveil.networks.per_example import Product, record_gradients, unnoted
from pulseveil.networks.training import Weights
from pulseveil.networks.transformer import Transformer
from pulseveil.privacy.clipping import clipped_sum

RECORDS = 4
RNG = np.random.default_rng(0)
NETWORKS = {
    "cnn": CNN(6, 16, 5, (7, 6), 0.0),
    "cnn_lstm": LayerNormalisedCNNLSTM(6, 16, 5, (6, 5), (7, 6), 0.0),
    "transformer": Transformer(6, 16, 2, 2, 5, 4, 8, 0.0),
}
# What decides between the two forms of a product's gradient: none, the usual, all by its factors.
FORMS = {"stacked": 0, "usual": 30, "factored": 10**9}


def values(*shape):
    return tf.constant(RNG.normal(size=shape).astype(np.float32))


def fixed_batch_norm(x, parameters, note):
    return layers.batch_norm(x, parameters, tf.fill(5, 0.2), tf.fill(5, 1.5), note)


LAYERS = {
    "dense": (layers.dense, (9,), lambda: initial.dense(RNG, 9, 5)),
    "dense per step": (layers.dense, (7, 9), lambda: initial.dense(RNG, 9, 5)),
    "conv1d": (layers.conv1d, (8, 3), lambda: initial.conv1d(RNG, 3, 3, 5)),
    "conv1d, even width": (layers.conv1d, (8, 3), lambda: initial.conv1d(RNG, 4, 3, 5)),
    "conv1d_operation": (layers.conv1d_operation, (8, 3), lambda: initial.conv1d(RNG, 3, 3, 5)),
    "conv2d": (layers.conv2d, (5, 6, 2), lambda: [values(3, 2, 2, 4), values(4)]),
    "lstm": (layers.lstm, (6, 3), lambda: initial.lstm(RNG, 3, 4)),
    "gru": (layers.gru, (6, 3), lambda: initial.gru(RNG, 3, 4)),
    "layer_norm": (layers.layer_norm, (6, 5), lambda: initial.normalisation(5)),
    "batch_norm, fixed": (fixed_batch_norm, (6, 5), lambda: initial.normalisation(5)),
    "self_attention": (
        lambda x, parameters, note: layers.self_attention(x, parameters, note=note),
        (6, 5),
        lambda: initial.self_attention(RNG, 5, 2, 3),
    ),
}


def started(parameters):
    """Parameters away from their first values, of which many biases are 0."""
    return [tf.constant(value) + 0.1 * values(*value.shape) for value in parameters]


def check(loss_of_rows, parameters, k, *, compiled=False, tolerance=1e-5):
    """Compare with a gradient a record; `loss_of_rows(rows, note)` are the losses of these rows."""

    @tf.function(autograph=False)
    def plain(rows):
        with tf.GradientTape() as tape:
            tape.watch(parameters)
            loss = tf.reduce_sum(loss_of_rows(rows, unnoted))
        found = tape.gradient(loss, parameters, unconnected_gradients="zero")
        return [tf.convert_to_tensor(value) for value in found]

    @tf.function(autograph=False, jit_compile=compiled)
    def ours(weights):
        rows = tf.range(RECORDS * k)
        found = record_gradients(lambda note: loss_of_rows(rows, note), parameters, RECORDS)
        return found.squared_norms(), [found.weighted_sum(w) for w in tf.unstack(weights)]

    mixture = RNG.uniform(size=(1, RECORDS)).astype(np.float32)
    norms, sums = ours(tf.constant(np.concatenate([np.eye(RECORDS, dtype=np.float32), mixture])))
    expected = [flat(plain(tf.range(record * k, (record + 1) * k))) for record in range(RECORDS)]
    sizes = np.linalg.norm(expected, axis=1)
    for record, (found, gradient) in enumerate(zip(sums[:RECORDS], expected, strict=True)):
        assert np.linalg.norm(flat(found) - gradient) < tolerance * sizes[record]
    np.testing.assert_allclose(np.sqrt(norms), sizes, rtol=tolerance)
    together = mixture[0] @ np.array(expected)
    assert np.linalg.norm(flat(sums[RECORDS]) - together) < tolerance * (mixture[0] @ sizes)


def flat(tensors):
    return np.concatenate([np.ravel(value) for value in tensors]).astype(np.float64)


def layer_losses(layer, shape, parameters, k):
    x = values(RECORDS * k, *shape)
    # Losses that differ along all axes: a sum over them would hide a mixed-up place.
    weight = values(*layer(x, parameters, unnoted).shape)

    def losses(rows, note):
        z = layer(tf.gather(x, rows), parameters, note)
        loss = tf.square(z) * tf.gather(weight, rows)
        return tf.reduce_sum(tf.reshape(loss, (rows.shape[0], -1)), axis=1)

    return losses


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("name", LAYERS)
def test_layer(monkeypatch, name, k, form):
    monkeypatch.setattr(per_example, "_PRODUCTS_A_VALUE", FORMS[form])
    layer, shape, start = LAYERS[name]
    parameters = started(start())
    check(layer_losses(layer, shape, parameters, k), parameters, k)


@pytest.mark.parametrize("name", ["conv1d", "lstm", "gru", "self_attention"])
def test_layer_in_a_compiled_program(name):
    layer, shape, start = LAYERS[name]
    parameters = started(start())
    check(layer_losses(layer, shape, parameters, 3), parameters, 3, compiled=True)


@pytest.mark.parametrize("k", [1, 3])
def test_embedding(k):
    parameters = [values(3, 4)]
    codes = tf.constant(RNG.integers(3, size=RECORDS * k).astype(np.int32))
    weight = values(RECORDS * k, 4)

    def losses(rows, note):
        found = layers.embedding(tf.gather(codes, rows), parameters[0], note)
        return tf.reduce_sum(tf.square(found) * tf.gather(weight, rows), axis=1)

    check(losses, parameters, k)


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("name", NETWORKS)
def test_detector(name, k):
    network = NETWORKS[name]
    parameters = started(network.start(np.random.default_rng(1)).parameters)
    x, direction = values(RECORDS * k, network.signals, network.bins), values(2)

    def losses(rows, note):
        weights, present = Weights(parameters, []), tf.ones(rows.shape[0])
        logits, _ = network.train_logits(weights, tf.gather(x, rows), present, layers.keeping, note)
        return tf.linalg.matvec(tf.square(logits), direction)

    check(losses, parameters, k)


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("name", ["lstm", "fcn", "transformer"])
def test_discriminator(name, k):
    shape = Shape(2, 12, 6)
    parameters = started(start_discriminator(name, np.random.default_rng(1), shape))
    windows = values(RECORDS * k, 12, 6)
    condition = tf.constant(np.arange(RECORDS * k, dtype=np.int32) % 2)

    def losses(rows, note):
        return tf.nn.softplus(
            discriminate(name, parameters, tf.gather(windows, rows), tf.gather(condition, rows), note)
        )

    check(losses, parameters, k)


@pytest.mark.parametrize("clip_norm", [1e-3, 1.0])
def test_windows_that_cancel_each_other_do_not_escape_the_clip(clip_norm):
    """Two large windows of a person, of whose gradients rounding leaves nothing reliable."""
    random = np.random.default_rng(5)
    common = random.normal(size=(RECORDS, 1, 50)) * 10.0 ** np.arange(2, 2 + RECORDS)[:, None, None]
    x = (common + random.normal(size=(RECORDS, 2, 50))).reshape(-1, 50).astype(np.float32)
    sign = tf.constant(np.tile([1.0, -1.0], RECORDS).astype(np.float32))
    parameters = started(initial.dense(random, 50, 30))

    def losses(note):
        return sign * tf.reduce_sum(layers.dense(tf.constant(x), parameters, note), axis=1)

    for record in range(RECORDS):
        alone = clipped_sum(losses, parameters, present=tf.one_hot(record, RECORDS), clip_norm=clip_norm)
        assert np.linalg.norm(flat(alone)) <= clip_norm


def test_a_layer_that_mixes_records_is_refused():
    network = CNNLSTM(6, 16, 5, (6, 5), (7, 6), 0.0)
    weights = tf.nest.map_structure(tf.constant, network.start(np.random.default_rng(1)))
    x = values(RECORDS, 6, 16)

    def losses(note):
        logits, _ = network.train_logits(weights, x, tf.ones(RECORDS), layers.keeping, note)
        return tf.reduce_sum(logits, axis=1)

    with pytest.raises(InputError, match=r"batch normalisation mixes records.*use layer normalisation"):
        record_gradients(losses, weights.parameters, RECORDS)


def test_moments_of_the_batch_are_refused():
    def losses(note):
        mean, _ = layers.batch_moments(values(RECORDS, 3), tf.ones(RECORDS), note)
        return mean

    with pytest.raises(InputError, match=r"mixes records"):
        record_gradients(losses, [values(3)], RECORDS)


@pytest.mark.parametrize("times", [0, 2])
def test_each_weight_is_noted_once(times):
    parameters = [values(4, 3), values(3)]
    x = values(RECORDS, 4)

    def losses(note):
        z = layers.dense(x, parameters)
        for _ in range(times):
            note(z, Product((x,), (parameters[0],), parameters[1]))
        return tf.reduce_sum(z, axis=1)

    with pytest.raises(ValueError, match=rf"parameter 0 .* was noted {times} times"):
        record_gradients(losses, parameters, RECORDS)
