"""Recurrences of LSTM and GRU with explicit gradients (back-propagation through time).

Sources: Hochreiter and Schmidhuber 1997 (LSTM); Cho et al. 2014, arXiv:1406.1078 (GRU).

Automatic differentiation of a loop stores and restacks every intermediate value of every step. Here the
backward loop does one product per step, and everything that does not depend on the next step's signal is
computed for all steps at once. On one CPU thread this halves the cost of a compiled training step.
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf


def lstm(z_input: tf.Tensor, recurrent_kernel: tf.Tensor) -> tf.Tensor:
    """Hidden states of an LSTM that starts at zero.

    z_input (time, models, n, 4 h), recurrent_kernel (models, h, 4 h) -> (time, models, n, h), with or without
    the axis of models. `z_input` is the input's part of the gates' pre-activations (x W + b), gates in the
    order i, f, c, o. The gradient with respect to `z_input` is the signal at the gates, from which all weight
    gradients follow.

    Examples:
        >>> lstm(tf.zeros((3, 2, 4)), tf.ones((1, 4))).numpy().ravel().tolist()
        [0.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    """

    # Both tensors are arguments: a tensor that the function captures would get no gradient.
    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def states(
        z: tf.Tensor, kernel: tf.Tensor
    ) -> tuple[tf.Tensor, Callable[..., tuple[tf.Tensor, tf.Tensor]]]:
        hidden, cell, gates = _lstm_forward(z, kernel)

        def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            signal = _lstm_backward(upstream, cell, gates, kernel)
            # One product over all steps: added up inside the loop, it would be one per step.
            return signal, _sum_of_products(_previous(hidden), signal)

        return hidden, gradient

    return states(z_input, recurrent_kernel)


def _lstm_forward(z: tf.Tensor, kernel: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Forward loop: hidden states and cells (time, models, n, h), activated gates (time, models, n, 4 h)."""
    steps, units = z.shape[0], kernel.shape[-2]
    zero = tf.zeros_like(z[0, ..., :units])
    # sigmoid(x) = tanh(x / 2) / 2 + 1 / 2: all four gates are one vectorised tanh, scaled at i, f and o.
    scale = tf.repeat(tf.constant([0.5, 0.5, 1, 0.5], z.dtype), units)
    offset = tf.repeat(tf.constant([0.5, 0.5, 0, 0.5], z.dtype), units)

    def step(t: tf.Tensor, hidden: tf.Tensor, cell: tf.Tensor, *kept: tf.TensorArray) -> tuple[object, ...]:
        activated = tf.tanh((z[t] + tf.linalg.matmul(hidden, kernel)) * scale) * scale + offset
        i, f, c, o = tf.split(activated, 4, axis=-1)
        cell = f * cell + i * c
        hidden = o * tf.tanh(cell)
        written = [
            array.write(t, value) for array, value in zip(kept, (hidden, cell, activated), strict=True)
        ]
        return (t + 1, hidden, cell, *written)

    _, _, _, *kept = tf.while_loop(
        lambda t, *_: t < steps,
        step,
        (tf.constant(0), zero, zero, *(_array(steps, z, width) for width in (units, units, 4 * units))),
        maximum_iterations=steps,
    )
    hidden, cell, gates = (array.stack() for array in kept)
    return hidden, cell, gates


def _lstm_backward(upstream: tf.Tensor, cell: tf.Tensor, gates: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """Signal at the gates (time, models, n, 4 h) from that at the hidden states (time, models, n, h)."""
    steps = upstream.shape[0]
    i, f, c, o = tf.split(gates, 4, axis=-1)
    # All slopes come before the loop: they do not depend on the signal. With sigmoid' = s (1 - s) and
    # tanh' = 1 - t^2 they follow from the activated gates, and no pre-activation is stored.
    tanh_cell = tf.tanh(cell)
    to_cell = o * (1 - tf.square(tanh_cell))
    to_i, to_f, to_c = c * i * (1 - i), _previous(cell) * f * (1 - f), i * (1 - tf.square(c))
    to_o = tanh_cell * o * (1 - o)
    transposed = tf.linalg.matrix_transpose(kernel)

    def step(
        t: tf.Tensor, d_hidden: tf.Tensor, d_cell: tf.Tensor, signals: tf.TensorArray
    ) -> tuple[object, ...]:
        # A state has two signals: from the loss at its own step, and from the step after it.
        d_hidden = d_hidden + upstream[t]
        d_cell = d_cell + d_hidden * to_cell[t]
        parts = [d_cell * to_i[t], d_cell * to_f[t], d_cell * to_c[t], d_hidden * to_o[t]]
        signal = tf.concat(parts, axis=-1)
        return t - 1, tf.linalg.matmul(signal, transposed), d_cell * f[t], signals.write(t, signal)

    zero = tf.zeros_like(upstream[0])
    *_, signals = tf.while_loop(
        lambda t, *_: t >= 0,
        step,
        (tf.constant(steps - 1), zero, zero, _array(steps, upstream, kernel.shape[-1])),
        maximum_iterations=steps,
    )
    return signals.stack()


def gru(z_input: tf.Tensor, z_offset: tf.Tensor, recurrent_kernel: tf.Tensor) -> tf.Tensor:
    """Hidden states of a GRU that starts at zero and whose reset gate acts on the recurrent product.

    z_input, z_offset (time, models, 3 h, n), recurrent_kernel (models, h, 3 h) -> (time, models, h, n), with
    or without the axis of models. `z_input` is the input's part of the pre-activations (x W + b) of update
    gate, reset gate and candidate. `z_offset` is the bias of the recurrent product. The gradients with
    respect to `z_input` and `z_offset` are the signals at the two products.

    Records lie along the last axis, which is the longer one in narrow networks: loops over it are vectorised.
    """

    # The bias is an argument with an axis of time: its gradient is then the signal at the recurrent product.
    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def states(
        z: tf.Tensor, offset: tf.Tensor, kernel: tf.Tensor
    ) -> tuple[tf.Tensor, Callable[..., tuple[tf.Tensor, tf.Tensor, tf.Tensor]]]:
        hidden, gates, products = _gru_forward(z, offset, kernel)

        def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            signal, recurrent_signal = _gru_backward(upstream, hidden, gates, products, kernel)
            return signal, recurrent_signal, _sum_over_records(_previous(hidden), recurrent_signal)

        return hidden, gradient

    return states(z_input, z_offset, recurrent_kernel)


def _gru_forward(
    z: tf.Tensor, offset: tf.Tensor, kernel: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Forward loop: states (time, models, h, n), gates (.., 3 h, n), recurrent products at the candidate."""
    steps, *models, _, records = z.shape
    units = kernel.shape[-2]
    transposed = tf.linalg.matrix_transpose(kernel)

    def step(t: tf.Tensor, hidden: tf.Tensor, kept: tf.TensorArray) -> tuple[object, ...]:
        product = tf.linalg.matmul(transposed, hidden) + offset[t]
        gates = tf.sigmoid(z[t, ..., : 2 * units, :] + product[..., : 2 * units, :])
        update, reset = tf.split(gates, 2, axis=-2)
        # Reset after the product (Keras' `reset_after`): one product per step serves all three gates.
        candidate = tf.tanh(z[t, ..., 2 * units :, :] + reset * product[..., 2 * units :, :])
        hidden = update * hidden + (1 - update) * candidate
        return (
            t + 1,
            hidden,
            kept.write(t, tf.concat([hidden, gates, candidate, product[..., 2 * units :, :]], axis=-2)),
        )

    # One array for all values: with an array of the hidden states alone, XLA's loop took five times as long
    # on a CPU.
    *_, kept = tf.while_loop(
        lambda t, *_: t < steps,
        step,
        (
            tf.constant(0),
            tf.zeros_like(z[0, ..., :units, :]),
            tf.TensorArray(z.dtype, steps, element_shape=(*models, 5 * units, records)),
        ),
        maximum_iterations=steps,
    )
    hidden, gates, products = tf.split(kept.stack(), (units, 3 * units, units), axis=-2)
    return hidden, gates, products


def _gru_backward(
    upstream: tf.Tensor, hidden: tf.Tensor, gates: tf.Tensor, products: tf.Tensor, kernel: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Signals at the input's and the recurrent product (time, models, 3 h, n) from those at the states."""
    steps, *models, units, records = upstream.shape
    update, reset, candidate = tf.split(gates, 3, axis=-2)
    # As in the LSTM, all slopes come before the loop and follow from the activated gates.
    to_update = (_previous(hidden) - candidate) * update * (1 - update)
    to_candidate = (1 - update) * (1 - tf.square(candidate))
    to_reset = to_candidate * products * reset * (1 - reset)
    to_products = tf.concat([to_update, to_reset, to_candidate * reset], axis=-2)

    def step(t: tf.Tensor, d_hidden: tf.Tensor, kept: tf.TensorArray) -> tuple[object, ...]:
        d_hidden = d_hidden + upstream[t]
        recurrent = tf.concat([d_hidden] * 3, axis=-2) * to_products[t]
        before = d_hidden * update[t] + tf.linalg.matmul(kernel, recurrent)
        return t - 1, before, kept.write(t, tf.concat([recurrent, d_hidden], axis=-2))

    *_, kept = tf.while_loop(
        lambda t, *_: t >= 0,
        step,
        (
            tf.constant(steps - 1),
            tf.zeros_like(upstream[0]),
            tf.TensorArray(upstream.dtype, steps, element_shape=(*models, 4 * units, records)),
        ),
        maximum_iterations=steps,
    )
    recurrent, d_hidden = tf.split(kept.stack(), (3 * units, units), axis=-2)
    # The two products have equal signals at update and reset gate. At the candidate, only the recurrent one
    # is multiplied by the reset gate.
    return tf.concat([recurrent[..., : 2 * units, :], d_hidden * to_candidate], axis=-2), recurrent


def _array(steps: int, like: tf.Tensor, width: int) -> tf.TensorArray:
    """Array of `steps` tensors, each shaped as a step of `like` but with `width` features."""
    return tf.TensorArray(like.dtype, steps, element_shape=(*like.shape[1:-1], width))


def _previous(states: tf.Tensor) -> tf.Tensor:
    """States of the previous steps, zero before the first: (time, ...) -> (time, ...)."""
    return tf.concat([tf.zeros_like(states[:1]), states[:-1]], axis=0)


def _sum_of_products(a: tf.Tensor, d: tf.Tensor) -> tf.Tensor:
    """Sum of the outer products of all rows: a (time, models, n, p), d (.., n, q) -> (models, p, q)."""
    rows, signals = (_by_model(value) for value in (a, d))
    return tf.linalg.matmul(rows, signals, transpose_a=True)


def _by_model(values: tf.Tensor) -> tf.Tensor:
    """Rows of all steps for each model: (time, models, n, p) -> (models, time n, p)."""
    _, *models, _, width = values.shape
    axes = tuple(range(1, len(models) + 1))
    last = len(models) + 1
    return tf.reshape(tf.transpose(values, (*axes, 0, last, last + 1)), (*models, -1, width))


def _sum_over_records(a: tf.Tensor, d: tf.Tensor) -> tf.Tensor:
    """`_sum_of_products` with records last: a (time, models, p, n), d (.., q, n) -> (models, p, q)."""
    rows, signals = (_features_first(value) for value in (a, d))
    return tf.linalg.matmul(rows, signals, transpose_b=True)


def _features_first(values: tf.Tensor) -> tf.Tensor:
    """Columns of all steps for each model: (time, models, p, n) -> (models, p, time n)."""
    _, *kept, _ = values.shape
    last = len(kept) + 1
    return tf.reshape(tf.transpose(values, (*range(1, last), 0, last)), (*kept, -1))
