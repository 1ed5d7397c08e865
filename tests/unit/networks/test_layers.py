import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from pulseveil.networks import adam, draws, initial, layers

RNG = np.random.default_rng(3)
ROWS = 5


def values(*shape):
    return tf.constant(RNG.normal(size=shape), tf.float32)


def with_gradients(function, tensors):
    """Output of `function()`, and the gradients of a fixed random functional of it."""
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        output = function()
        direction = np.random.default_rng(0).normal(size=output.shape).astype(np.float32)
        total = tf.reduce_sum(output * direction)
    return [output, *tape.gradient(total, tensors)]


def assert_same_layer(ours, theirs, x, parameters):
    """Equal outputs and gradients, where `theirs` is a Keras layer that takes over `parameters`."""
    theirs(x)
    for variable, value in zip(theirs.trainable_weights, parameters, strict=True):
        variable.assign(value)
    expected = with_gradients(lambda: theirs(x), [x, *theirs.trainable_weights])
    # Some gradients are zero but for rounding (of a key's bias, for one).
    scale = max(np.abs(value).max() for value in expected)
    for compiled in (False, True):
        function = tf.function(ours, jit_compile=compiled)
        found = with_gradients(lambda function=function: function(x, parameters), [x, *parameters])
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5 * scale)


def test_dense():
    parameters = [values(7, 4), values(4)]
    assert_same_layer(layers.dense, keras.layers.Dense(4), values(ROWS, 3, 7), parameters)


@pytest.mark.parametrize("width", [1, 2, 3, 8])
def test_convolution_as_a_matrix_product(width):
    parameters = [values(width, 6, 4), values(4)]
    theirs = keras.layers.Conv1D(4, width, padding="same")
    assert_same_layer(layers.conv1d, theirs, values(ROWS, 11, 6), parameters)


@pytest.mark.parametrize("width", [2, 3])
def test_both_convolutions_agree(width):
    x, kernel = values(ROWS, 11, 6), values(width, 6, 4)
    expected = layers.conv1d(x, [kernel, tf.zeros(4)])
    np.testing.assert_allclose(
        layers.conv1d_operation(x, [kernel, tf.zeros(4)]), expected, rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize("time", [8, 9])
def test_max_pooling_cuts_the_rest_off(time):
    # Few distinct values, so that most pools hold a tie.
    x = tf.constant(RNG.integers(0, 2, (ROWS, time, 3)), tf.float32)
    assert_same_layer(lambda x, _: layers.max_pool(x, 2), keras.layers.MaxPooling1D(2), x, [])


def test_lstm():
    parameters = [values(4, 12), values(3, 12), values(12)]
    theirs = keras.layers.LSTM(3, return_sequences=True)
    assert_same_layer(layers.lstm, theirs, values(ROWS, 9, 4), parameters)


def test_layer_norm():
    theirs = keras.layers.LayerNormalization(epsilon=1e-6)
    assert_same_layer(layers.layer_norm, theirs, values(ROWS, 6, 10), [values(10), values(10)])


def test_self_attention():
    kernels = [value for _ in range(3) for value in (values(10, 2, 5), values(2, 5))]
    parameters = [*kernels, values(2, 5, 10), values(10)]
    attention = keras.layers.MultiHeadAttention(2, 5)

    class SelfAttention(keras.layers.Layer):
        def call(self, x):
            return attention(x, x)

    attention(tf.zeros((1, 6, 10)), tf.zeros((1, 6, 10)))
    theirs = SelfAttention()
    theirs.attention = attention
    assert_same_layer(layers.self_attention, theirs, values(ROWS, 6, 10), parameters)


def bfloat16(value):
    """Values rounded to bfloat16, as float64."""
    return np.asarray(value).astype(tf.bfloat16.as_numpy_dtype).astype(np.float64)


def test_products_with_rounded_kernels_are_those_of_rounded_factors():
    x, kernel, bias = values(ROWS, 8, 7), values(3, 7, 4), values(4)
    dense = layers.rounded([kernel[1], bias], tf.bfloat16)
    convolution = layers.rounded([kernel, bias], tf.bfloat16)
    padded = np.pad(bfloat16(x), ((0, 0), (1, 1), (0, 0)))
    of_offsets = [padded[:, i : i + 8] @ bfloat16(kernel)[i] for i in range(3)]
    for found, exact in (
        (layers.dense(x, dense), of_offsets[1]),
        (layers.conv1d(x, convolution), sum(of_offsets)),
        (layers.conv1d_operation(x, convolution) + bias, sum(of_offsets)),
    ):
        assert found.dtype == tf.float32
        # bfloat16 keeps 8 bits: rounding moves a sum by at most 2^-9 of itself. Twice that is allowed.
        np.testing.assert_allclose(found - bias, exact, rtol=2**-8, atol=1e-6)
    product = layers.dense(x, [dense[0], tf.zeros(4)])
    np.testing.assert_array_equal(product, bfloat16(product))


def test_attention_with_rounded_kernels_follows_that_of_whole_ones():
    kernels = [value for _ in range(3) for value in (values(10, 2, 5), values(2, 5))]
    parameters, x = [*kernels, values(2, 5, 10), values(10)], values(ROWS, 6, 10)
    whole, rounded = (
        with_gradients(lambda p=p: layers.self_attention(x, p), [x, *p])
        for p in (parameters, layers.rounded(parameters, tf.bfloat16))
    )
    for found, expected in zip(rounded, whole, strict=True):
        off = np.linalg.norm(np.asarray(found, np.float32) - expected)
        assert off < 0.05 * np.linalg.norm(np.concatenate([np.ravel(value) for value in whole[1:]]))
    assert not np.array_equal(rounded[0], whole[0])


def test_embedding_looks_rows_up():
    table = values(3, 4)
    np.testing.assert_array_equal(layers.embedding(tf.constant([2, 0, 2]), table), table.numpy()[[2, 0, 2]])


def test_batch_norm_in_training():
    def ours(x, parameters):
        return layers.batch_norm(x, parameters, *layers.batch_moments(x, tf.ones(ROWS)))

    class Training(keras.layers.BatchNormalization):
        def call(self, x):
            return super().call(x, training=True)

    assert_same_layer(ours, Training(), values(ROWS, 6, 10), [values(10), values(10)])


def test_batch_norm_keeps_running_statistics():
    theirs = keras.layers.BatchNormalization()
    running = tuple(tf.constant(value) for value in initial.running_moments(3))
    for _ in range(4):
        x = values(200, 3) * 2 + 1
        theirs(x, training=True)
        running = layers.running_moments(running, layers.batch_moments(x, tf.ones(200)))
    np.testing.assert_allclose(running[0], theirs.moving_mean, rtol=1e-4)
    np.testing.assert_allclose(running[1], theirs.moving_variance, rtol=1e-4)
    found = layers.batch_norm(x, [tf.ones(3), tf.zeros(3)], *running)
    np.testing.assert_allclose(found, theirs(x, training=False), rtol=1e-3, atol=1e-3)


def test_absent_rows_do_not_enter_batch_moments():
    x = values(6, 4, 3)
    present = tf.constant([1.0, 1, 0, 1, 0, 1])
    kept = x.numpy()[[0, 1, 3, 5]].reshape(-1, 3)
    mean, variance = layers.batch_moments(x, present)
    np.testing.assert_allclose(mean, kept.mean(0), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(variance, kept.var(0), rtol=1e-5)


@pytest.mark.parametrize("compiled", [False, True])
def test_dropout_keeps_the_mean_and_the_asked_share(compiled):
    drop = tf.function(lambda x, seed: layers.dropout(x, 0.3, seed), jit_compile=compiled)
    x = drop(tf.ones((400, 500)), tf.constant([1, 2])).numpy()
    assert set(np.unique(x)) == {np.float32(0), np.float32(1 / 0.7)}
    # 200,000 events: five standard errors.
    assert abs((x == 0).mean() - 0.3) < 5 * np.sqrt(0.3 * 0.7 / x.size)


def test_dropout_masks_are_independent_across_rows_columns_and_seeds():
    def mask(seed):
        return draws.happens(0.3, (300, 64), seed).numpy().ravel().astype(float)

    base = tf.constant([11, 12])
    masks = [mask(draws.child_seed(base, i)) for i in range(8)]
    masks += [mask(draws.child_seed(draws.child_seed(base, 100 + i), 0)) for i in range(8)]
    pairs = [np.corrcoef(a, b)[0, 1] for i, a in enumerate(masks) for b in masks[:i]]
    shifts = [np.corrcoef(m[:-lag], m[lag:])[0, 1] for m in masks for lag in (1, 2, 32, 64, 128)]
    # Standard error 1 / sqrt(19,200) each; 200 correlations, so five of them are never reached by chance.
    assert np.abs([*pairs, *shifts]).max() < 5 / np.sqrt(300 * 64)


def test_masks_are_equal_in_both_kinds_of_program():
    plain, compiled = (
        tf.function(lambda s: draws.happens(0.4, (3, 50), draws.child_seed(s, 4)), jit_compile=jit)
        for jit in (False, True)
    )
    seed = tf.constant([5, -6])
    np.testing.assert_array_equal(plain(seed), compiled(seed))


@pytest.mark.parametrize("compiled", [False, True])
def test_rows_with_seeds_of_their_own_drop_the_same_values_in_any_batch(compiled):
    base = tf.constant([7, -9])

    def of_rows(numbers):
        seeds = draws.child_seed(draws.child_seed(base, tf.constant(numbers)), 2)
        # Four parts per row, as the signals of a window are.
        return draws.happens(0.3, (4 * len(numbers), 5, 3), seeds)

    run = tf.function(of_rows, jit_compile=compiled)
    together = run(list(range(50))).numpy().reshape(50, -1)
    np.testing.assert_array_equal(run([31, 4]).numpy().reshape(2, -1), together[[31, 4]])
    for row in (0, 49):
        alone = draws.happens(0.3, (4, 5, 3), draws.child_seed(draws.child_seed(base, row), 2))
        np.testing.assert_array_equal(np.ravel(alone), together[row])


def test_masks_of_rows_with_seeds_of_their_own_are_independent():
    """Pairs of rows, and of layers and steps of one row: each correlation errs once in a hundred thousand."""
    numbers = tf.range(300)
    masks = []
    for step, place in ((0, 0), (0, 1), (1, 0)):
        seeds = draws.child_seed(
            draws.child_seed(draws.child_seed(tf.constant([3, 5]), step), numbers), place
        )
        masks.append(draws.happens(0.3, (300, 64), seeds).numpy().astype(float) - 0.3)
    first = masks[0]
    pairs = [(first, masks[1]), (first, masks[2]), (first[1:], first[:-1]), (first[:, 1:], first[:, :-1])]
    for left, right in pairs:
        assert abs(np.mean(left * right)) < 4.4 * 0.21 / np.sqrt(left.size)
    assert abs(first.mean()) < 4.4 * np.sqrt(0.21 / first.size)


def test_child_seeds_do_not_repeat():
    base = tf.constant([5, -6])
    first = [draws.child_seed(base, i) for i in range(60)]
    second = [draws.child_seed(seed, i) for seed in first for i in range(20)]
    assert len({tuple(seed.numpy()) for seed in (base, *first, *second)}) == 1 + 60 + 1200


def test_adam_follows_keras():
    start = [values(4, 3), values(3)]
    theirs = keras.optimizers.Adam(0.02)
    variables = [tf.Variable(value) for value in start]
    parameters, state = start, adam.start(start)
    for _ in range(5):
        gradients = [values(4, 3), values(3)]
        theirs.apply_gradients(zip(gradients, variables, strict=True))
        parameters, state = adam.update(parameters, gradients, state, learning_rate=0.02)
    for found, expected in zip(parameters, variables, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("shape", [(30, 20), (3, 8, 16), (10, 4, 6)])
def test_glorot_uniform_has_the_spread_of_keras(shape):
    ours = initial.glorot_uniform(np.random.default_rng(0), *shape)
    theirs = keras.initializers.GlorotUniform(seed=0)(shape).numpy()
    assert np.abs(ours).max() == pytest.approx(np.abs(theirs).max(), rel=0.05)
    assert ours.std() == pytest.approx(theirs.std(), rel=0.2)


@pytest.mark.parametrize("shape", [(8, 32), (32, 8)])
def test_orthogonal_kernels_are_orthonormal(shape):
    q = initial.orthogonal(np.random.default_rng(0), *shape)
    small = q @ q.T if shape[0] < shape[1] else q.T @ q
    np.testing.assert_allclose(small, np.eye(8), atol=1e-6)


def test_lstm_starts_with_the_forget_gate_open():
    kernel, recurrent_kernel, bias = initial.lstm(np.random.default_rng(0), 5, 3)
    theirs = keras.layers.LSTM(3)
    theirs(tf.zeros((1, 2, 5)))
    expected = theirs.get_weights()
    assert [kernel.shape, recurrent_kernel.shape] == [expected[0].shape, expected[1].shape]
    np.testing.assert_array_equal(bias, expected[2])
