"""Gradients of single records by book-keeping, against a plain loop over the records."""

import numpy as np
import pytest
import tensorflow as tf

from pulseveil.core.errors import InputError
from pulseveil.generators.cgan.networks import Shape, discriminate, start_discriminator
from pulseveil.networks import initial, layers, per_example
from pulseveil.networks.classifiers import CNN, CNNLSTM, LayerNormalisedCNNLSTM, Transformer
from pulseveil.networks.per_example import record_gradients, unnoted
from pulseveil.networks.training import Weights

RECORDS = 4
# Records of one row and of three: windows, and the windows of a subject.
ROWS = 3 * RECORDS
RNG = np.random.default_rng(0)
NETWORKS = {
    "cnn": CNN(6, 16, 5, (7, 6), 0.0),
    "cnn_lstm": LayerNormalisedCNNLSTM(6, 16, 5, (6, 5), (7, 6), 0.0),
    "transformer": Transformer(6, 16, 2, 2, 5, 4, 8, 0.0),
}


def values(*shape):
    return tf.constant(RNG.normal(size=shape).astype(np.float32))


LAYERS = {
    "dense": (layers.dense, (9,), lambda: initial.dense(RNG, 9, 5)),
    "dense per step": (layers.dense, (7, 9), lambda: initial.dense(RNG, 9, 5)),
    # Few positions and wide inputs: the Gram form of the norm.
    "dense, wide": (layers.dense, (2, 150), lambda: initial.dense(RNG, 150, 90)),
    "conv1d": (layers.conv1d, (8, 3), lambda: initial.conv1d(RNG, 3, 3, 5)),
    "conv1d_operation": (
        lambda x, parameters, note: layers.conv1d_operation(x, parameters, note) + parameters[1],
        (20, 3),
        lambda: initial.conv1d(RNG, 3, 3, 5),
    ),
    "conv2d": (layers.conv2d, (5, 6, 2), lambda: [values(3, 3, 2, 4), values(4)]),
    "lstm": (layers.lstm, (6, 3), lambda: initial.lstm(RNG, 3, 4)),
    "gru": (layers.gru, (6, 3), lambda: initial.gru(RNG, 3, 4)),
    "layer_norm": (layers.layer_norm, (6, 5), lambda: initial.normalisation(5)),
    "self_attention": (
        lambda x, parameters, note: layers.self_attention(x, parameters, note=note),
        (6, 5),
        lambda: initial.self_attention(RNG, 5, 2, 3),
    ),
}


def started(parameters):
    """Parameters away from their first values, of which many biases are 0."""
    return [tf.constant(value) + 0.1 * values(*value.shape) for value in parameters]


def check(loss_of_rows, parameters, ks=(1, 3), tolerance=1e-5):
    """Compare with a gradient a row; `loss_of_rows(rows, note)` are the losses of these rows.

    A record of k rows has the sum of their losses, so its gradient is the sum of theirs.
    """

    # In a graph: eagerly, a network compiles its fused chains again for each row.
    @tf.function(autograph=False)
    def gradient(rows):
        with tf.GradientTape() as tape:
            tape.watch(parameters)
            loss = tf.reduce_sum(loss_of_rows(rows, unnoted))
        gradients = tape.gradient(loss, parameters, unconnected_gradients="zero")
        return [tf.convert_to_tensor(g) for g in gradients]

    of_rows = [gradient(tf.constant([row])) for row in range(RECORDS * max(ks))]
    for k in ks:
        by_record = [of_rows[record * k : (record + 1) * k] for record in range(RECORDS)]
        expected = [[sum(parts) for parts in zip(*own, strict=True)] for own in by_record]
        check_records(loss_of_rows, parameters, k, expected, tolerance)


def check_records(loss_of_rows, parameters, k, expected, tolerance):
    found = record_gradients(lambda note: loss_of_rows(np.arange(RECORDS * k), note), parameters, RECORDS)
    norms = found.squared_norms().numpy()
    for record, own in enumerate(expected):
        size = np.sqrt(sum(np.sum(np.square(g)) for g in own))
        alone = found.weighted_sum(tf.one_hot(record, RECORDS))
        error = np.sqrt(sum(np.sum(np.square(a - e)) for a, e in zip(alone, own, strict=True)))
        assert error < tolerance * size
        # A bound of what rounding can hide is added to norms whose terms cancel: never less, hardly more.
        assert (1 - tolerance) * size <= np.sqrt(norms[record]) <= (1 + max(tolerance, 1e-4)) * size
    weights = tf.constant(RNG.uniform(size=RECORDS).astype(np.float32))
    together = found.weighted_sum(weights)
    apart = [found.weighted_sum(weights * tf.one_hot(record, RECORDS)) for record in range(RECORDS)]
    for value, parts in zip(together, zip(*apart, strict=True), strict=True):
        np.testing.assert_allclose(value, sum(parts), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", LAYERS)
def test_layer(name):
    layer, shape, start = LAYERS[name]
    parameters = started(start())
    x = values(ROWS, *shape)
    # Losses that differ along all axes: a sum over them would hide a mixed-up place.
    weight = values(*layer(x, parameters, unnoted).shape)

    def losses(rows, note):
        z = layer(tf.gather(x, rows), parameters, note)
        loss = tf.square(z) * tf.gather(weight, rows)
        return tf.reduce_sum(tf.reshape(loss, (rows.shape[0], -1)), axis=1)

    check(losses, parameters)


@pytest.mark.parametrize("values_at_once", [0, ROWS * 20 * 9])
def test_patches_of_all_records_at_once_or_of_one_at_a_time(values_at_once, monkeypatch):
    made, patches = [], layers.patches
    monkeypatch.setattr(layers, "patches", lambda x, width: made.append(x.shape[0]) or patches(x, width))
    monkeypatch.setattr(per_example, "_VALUES_AT_ONCE", values_at_once)
    test_layer("conv1d_operation")
    assert set(made) == ({ROWS, RECORDS} if values_at_once else {1, ROWS // RECORDS})


def test_embedding():
    parameters = [values(3, 4)]
    codes = tf.constant(RNG.integers(3, size=ROWS).astype(np.int32))
    weight = values(ROWS, 4)

    def losses(rows, note):
        found = layers.embedding(tf.gather(codes, rows), parameters[0], note)
        return tf.reduce_sum(tf.square(found) * tf.gather(weight, rows), axis=1)

    check(losses, parameters)


def transposed_losses(p, q, positions, uses):
    """Losses with a kernel (p, q) that is applied as a dense layer's and, `uses` times, transposed."""
    parameters = [values(p, q), values(q)]
    x, u, weight = values(ROWS, positions, p), values(2, ROWS, positions, q), values(ROWS, positions, p)

    def losses(rows, note):
        z = layers.dense(tf.gather(x, rows), parameters, note)
        # The inputs of the transposed kernel depend on the kernel, as a gradient does.
        own = [tf.sin(z) * tf.gather(u[i], rows) for i in range(uses)]
        back = [layers.transposed(value, parameters[0], note) for value in own]
        total = tf.add_n([tf.square(value) for value in back]) * tf.gather(weight, rows)
        return tf.reduce_sum(tf.square(z), axis=(1, 2)) + tf.reduce_sum(total, axis=(1, 2))

    return losses, parameters


# Few positions and wide sides: factors are kept; many and narrow ones: a gradient a record.
@pytest.mark.parametrize(("p", "q", "positions"), [(40, 30, 1), (4, 3, 5)])
@pytest.mark.parametrize("uses", [1, 2])
def test_a_kernel_that_is_met_again_transposed(p, q, positions, uses):
    losses, parameters = transposed_losses(p, q, positions, uses)
    check(losses, parameters)


def test_a_kernel_that_is_met_transposed_only():
    kernel, u, weight = values(5, 4), values(ROWS, 4), values(ROWS, 5)

    def losses(rows, note):
        z = layers.transposed(tf.gather(u, rows), kernel, note)
        return tf.reduce_sum(tf.square(z) * tf.gather(weight, rows), axis=1)

    check(losses, [kernel])


def test_a_kernel_of_two_layers_is_refused_beside_a_transposed_use_as_well():
    parameters = [values(3, 3), values(3)]

    def losses(note):
        x = layers.dense(layers.dense(values(RECORDS, 3), parameters, note), parameters, note)
        return tf.reduce_sum(layers.transposed(x, parameters[0], note), axis=1)

    with pytest.raises(ValueError, match=r"parameter 0 .* was noted 2 times"):
        record_gradients(losses, parameters, RECORDS)


@pytest.mark.parametrize(
    ("name", "ks"),
    [
        ("cnn", (1,)),
        ("cnn_lstm", (3,)),
        ("transformer", (1, 3)),
        # The same convolutions once more, which compile for seconds.
        pytest.param("cnn", (3,), marks=pytest.mark.slow),
        pytest.param("cnn_lstm", (1,), marks=pytest.mark.slow),
    ],
)
def test_detector(name, ks):
    network = NETWORKS[name]
    parameters = started(network.start(np.random.default_rng(1)).parameters)
    x, direction = values(ROWS, network.signals, network.bins), values(2)

    def losses(rows, note):
        weights = Weights(parameters, [])
        logits, _ = network.train_logits(
            weights, tf.gather(x, rows), tf.ones(rows.shape[0]), layers.keeping, note
        )
        return tf.linalg.matvec(tf.square(logits), direction)

    check(losses, parameters, ks)


@pytest.mark.parametrize("name", ["lstm", "fcn", "transformer"])
def test_discriminator(name):
    shape = Shape(2, 12, 6)
    parameters = started(start_discriminator(name, np.random.default_rng(1), shape))
    windows = values(ROWS, 12, 6)
    condition = tf.constant(np.arange(ROWS, dtype=np.int32) % 2)

    def losses(rows, note):
        return tf.nn.softplus(
            discriminate(name, parameters, tf.gather(windows, rows), tf.gather(condition, rows), note)
        )

    check(losses, parameters)


def test_a_layer_that_mixes_records_is_refused():
    network = CNNLSTM(6, 16, 5, (6, 5), (7, 6), 0.0)
    weights = tf.nest.map_structure(tf.constant, network.start(np.random.default_rng(1)))
    x = values(RECORDS, 6, 16)

    def losses(note):
        logits, _ = network.train_logits(weights, x, tf.ones(RECORDS), layers.keeping, note)
        return tf.reduce_sum(logits, axis=1)

    with pytest.raises(InputError, match=r"mixes records"):
        record_gradients(losses, weights.parameters, RECORDS)


def test_a_weight_that_nobody_noted_is_refused():
    parameters = [values(4, 3), values(3)]

    def losses(note):
        return tf.reduce_sum(layers.dense(values(RECORDS, 4), parameters), axis=1)

    with pytest.raises(ValueError, match=r"parameter 0 .* was noted 0 times"):
        record_gradients(losses, parameters, RECORDS)
