"""Per-record gradients by book-keeping: their norms and weighted sums from one backward pass.

Each layer notes the rows `a` to which its weights are applied, and the result `z`. One call of automatic
differentiation, of the summed losses with respect to all `z`, gives the signals `d = dL/dz`. A record's
gradient follows from its own rows of `a` and `d`: a clipped sum needs neither one gradient per record nor a
second backward pass (Goodfellow 2015, arXiv:1510.01799; Bu et al. 2023, arXiv:2210.00038).

A record is one or more rows of the batch: a window, or all windows of a subject. All records have equally
many rows, next to each other. The rows of a record are summed before anything is squared. So are the uses of
a kernel that is applied once more, transposed, in a loss that holds a gradient with respect to the input.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import tensorflow as tf

from pulseveil.core.errors import InputError

Tensors = tuple[tf.Tensor, ...]
Factors = tuple[tf.Tensor, tf.Tensor]

# Writing and reading one gradient per record costs some thirty products per value (one CPU thread).
_PRODUCTS_PER_VALUE = 30
_ROUNDOFF = 2.0**-24
# Tolerated likely rounding error of a squared norm, relative to it. A record may add half of that, 1e-5, too
# much.
_TOLERANCE = 2e-5
# Up to so many values (8 MB), the patches of all records of a pass stay in a core's cache.
_VALUES_AT_ONCE = 2**21


# No equality of uses (`eq=False`): tensors compare element by element, and have no single truth value.
@dataclass(frozen=True, eq=False)
class Product:
    """Product of inputs and kernels, `z = a_1 W_1 + a_2 W_2 + ... + b` at each position.

    Shapes: a_i (rows, ..., p_i), z (rows, ..., q), b (q). A kernel holds p_i * q values in this order, in any
    shape.

    Args:
        unfold: computes a_i from an input, such as the patches of a convolution. It is called only where
            gradients are computed.
        one_by_one: whether many patches are unfolded record by record, to stay in a core's cache. For plain
            graphs only.
    """

    inputs: Tensors
    kernels: Tensors
    bias: tf.Tensor | None = None
    unfold: Callable[[tf.Tensor], tf.Tensor] = tf.identity
    one_by_one: bool = False


@dataclass(frozen=True, eq=False)
class ScaleAndShift:
    """Scaled and shifted features, `z = gamma x + beta`: x and z (rows, ..., c), gamma and beta (c)."""

    x: tf.Tensor
    gamma: tf.Tensor
    beta: tf.Tensor


@dataclass(frozen=True, eq=False)
class TransposedProduct:
    """Product with a transposed kernel, `z = u W^T` at each position.

    Shapes: u (rows, ..., q), kernel W (p, q), z (rows, ..., p). The gradient of W is `sum_t d_t u_t^T`: that
    of a `Product` with inputs d and signals u.
    """

    u: tf.Tensor
    kernel: tf.Tensor


@dataclass(frozen=True)
class MixesRecords:
    """Layer in which one record changes the contribution of another; `cure` says what to use instead."""

    layer: str
    cure: str


WeightUse = Product | TransposedProduct | ScaleAndShift
Use = WeightUse | MixesRecords


class Note(Protocol):
    """Function by which a layer notes that `z` is the result of `use`."""

    def __call__(self, z: tf.Tensor, use: Use) -> tf.Tensor:
        """Note the use, and return `z` unchanged."""
        ...


def unnoted(z: tf.Tensor, use: Use) -> tf.Tensor:
    """Note nothing: for scoring, and for trainings without per-record gradients."""
    return z


class _Part(Protocol):
    """Per-record gradients of some of the parameters."""

    @property
    def parameters(self) -> Tensors:
        """Parameters in the order of `weighted_sum`."""
        ...

    def squared_norms(self) -> tf.Tensor:
        """Squared L2 norm of each record's gradient (records)."""
        ...

    def weighted_sum(self, weights: tf.Tensor) -> Tensors:
        """Sum over records of weight times gradient, weights (records): one tensor per parameter."""
        ...

    def without(self, kept: tf.Tensor) -> _Part:
        """Gradients with zero for each record that is not `kept` (records) bool."""
        ...


@dataclass(frozen=True, eq=False)
class RecordGradients:
    """Gradients of all records of a batch, as norms and weighted sums."""

    parts: tuple[_Part, ...]
    parameters: Tensors

    def squared_norms(self) -> tf.Tensor:
        """Squared L2 norm of each record's gradient, over all parameters (records).

        If the terms of a norm nearly cancel, a bound of their rounding error is added to it.
        """
        return tf.add_n([part.squared_norms() for part in self.parts])

    def weighted_sum(self, weights: tf.Tensor) -> list[tf.Tensor]:
        """Sum over records of weight times gradient, weights (records): shaped as the parameters."""
        # By reference: tensors have no hash.
        found = {
            parameter.ref(): tf.reshape(value, parameter.shape)
            for part in self.parts
            for parameter, value in zip(part.parameters, part.weighted_sum(weights), strict=True)
        }
        return [found[parameter.ref()] for parameter in self.parameters]

    def without(self, kept: tf.Tensor) -> RecordGradients:
        """Gradients with zero for each record that is not `kept` (records) bool, even if it is not finite."""
        return RecordGradients(tuple(part.without(kept) for part in self.parts), self.parameters)


def record_gradients(
    losses: Callable[[Note], tf.Tensor], parameters: Sequence[tf.Tensor], records: int
) -> RecordGradients:
    """Gradients of the records of a batch with respect to `parameters`.

    Args:
        losses: runs the network with a note, on `records` * k rows, and returns one loss per row. The loss of
            a record is the sum over its k rows. Shapes must be static.
        parameters: each noted once. The kernel of a product may be noted transposed too, any number of times.

    Raises:
        InputError: a layer mixes records.
        ValueError: a parameter was not noted exactly once.

    Examples:
        >>> from pulseveil.networks import layers
        >>> x, kernel, bias = (tf.constant(value) for value in ([[3.0], [4.0]], [[1.0]], [0.0]))
        >>> gradients = record_gradients(
        ...     lambda note: layers.dense(x, [kernel, bias], note)[:, 0], [kernel, bias], records=2
        ... )
        >>> gradients.squared_norms().numpy().tolist()
        [10.0, 17.0]
        >>> [value.numpy().tolist() for value in gradients.weighted_sum(tf.constant([1.0, 0.5]))]
        [[[5.0]], [1.5]]
    """
    noted: list[tuple[tf.Tensor, WeightUse]] = []
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        # Each z depends on a parameter, so that the tape holds the whole way from the products to the losses.
        tape.watch(parameters)

        def note(z: tf.Tensor, use: Use) -> tf.Tensor:
            if isinstance(use, MixesRecords):
                raise InputError(
                    f"{use.layer} mixes records, so that no record's contribution is bounded; {use.cure}"
                )
            noted.append((z, use))
            return z

        # No other record's loss depends on a record's z: the sum has the gradient of its own loss there.
        total = tf.reduce_sum(losses(note))
    signals = tape.gradient(total, [z for z, _ in noted])
    uses = [(use, _by_record(d, records)) for (_, use), d in zip(noted, signals, strict=True)]
    parts = tuple(_parts(uses, records))
    # A gradient of two parts is a sum, whose squared norm is not the sum of the parts' squared norms: a
    # clip by that sum would bound nothing. A parameter of no part would stay out of norm and sum.
    _require_each_once(parts, parameters)
    return RecordGradients(parts, tuple(parameters))


def _require_each_once(parts: Sequence[_Part], parameters: Sequence[tf.Tensor]) -> None:
    noted = [parameter.ref() for part in parts for parameter in part.parameters]
    for number, parameter in enumerate(parameters):
        times = noted.count(parameter.ref())
        if times != 1:
            raise ValueError(
                f"parameter {number} {tuple(parameter.shape)} was noted {times} times, expected once: "
                "use each parameter in one layer of `networks.layers`, with its `note`"
            )


def _parts(uses: Sequence[tuple[WeightUse, tf.Tensor]], records: int) -> list[_Part]:
    """Gradients by uses and their signals (records, positions, ...), all uses of a kernel in one part."""
    transposed: dict[Any, list[Factors]] = {}
    for use, d in uses:
        if isinstance(use, TransposedProduct):
            transposed.setdefault(use.kernel.ref(), []).append((d, _by_record(use.u, records)))
    parts: list[_Part] = []
    for use, d in uses:
        if isinstance(use, ScaleAndShift):
            x = _by_record(use.x, records)
            gradients = (tf.reduce_sum(d * x, axis=1), tf.reduce_sum(d, axis=1))
            parts.append(_Stacked((use.gamma, use.beta), gradients))
        elif isinstance(use, Product):
            # A kernel beside others in one product leaves its transposed uses in a part of their own:
            # `_require_each_once` then refuses it.
            more = transposed.pop(use.kernels[0].ref(), []) if len(use.kernels) == 1 else []
            parts += _of_kernel_and_bias(use, d, more) if more else [_of_product(use, d)]
    return [*parts, *(_of_kernel(kernel.deref(), factors) for kernel, factors in transposed.items())]


def _of_product(use: Product, d: tf.Tensor) -> _Part:
    """Gradients of a product's kernels and bias, in the cheaper of two forms; d (records, positions, q)."""
    records, positions, q = d.shape
    p = sum(math.prod(kernel.shape) for kernel in use.kernels) // q
    if _has_few(positions, p, q):
        a = tuple(_by_record(use.unfold(value), records) for value in use.inputs)
        return _Factored(use.kernels, use.bias, a, d)
    gradients = tuple(_sums_of_products(use, value, d) for value in use.inputs)
    if use.bias is None:
        return _Stacked(use.kernels, gradients)
    return _Stacked((*use.kernels, use.bias), (*gradients, tf.reduce_sum(d, axis=1)))


def _of_kernel_and_bias(use: Product, d: tf.Tensor, transposed: Sequence[Factors]) -> list[_Part]:
    """Gradients of kernel and bias of a product whose kernel is also in products `transposed`.

    The bias is a part of its own: the transposed products do not contain it.
    """
    (kernel,), (x,) = use.kernels, use.inputs
    of_kernel = _of_kernel(kernel, [(_by_record(use.unfold(x), d.shape[0]), d), *transposed])
    if use.bias is None:
        return [of_kernel]
    return [of_kernel, _Stacked((use.bias,), (tf.reduce_sum(d, axis=1),))]


def _of_kernel(kernel: tf.Tensor, factors: Sequence[Factors]) -> _Part:
    """Gradients of a kernel by the factors of all its uses: (records, positions, p), (records, positions, q).

    The gradient is the sum over the uses: each use counts as further positions of the record.
    """
    a, d = (tf.concat(values, axis=1) for values in zip(*factors, strict=True))
    if _has_few(d.shape[1], a.shape[2], d.shape[2]):
        return _Factored((kernel,), None, (a,), d)
    return _Stacked((kernel,), (_flat(tf.linalg.matmul(a, d, transpose_a=True)),))


def _has_few(positions: int, p: int, q: int) -> bool:
    """Whether the factors of a record with so many positions are cheaper than its gradient (p, q)."""
    return positions**2 * (p + q) < _PRODUCTS_PER_VALUE * p * q


def _sums_of_products(use: Product, x: tf.Tensor, d: tf.Tensor) -> tf.Tensor:
    """`sum_t a_t d_t^T` of each record, with a unfolded from x.

    x (rows, ...), d (records, positions, q) -> (records, p q).
    """
    records, positions, q = d.shape
    unfolded = records * positions * math.prod(use.kernels[0].shape) // q
    if not use.one_by_one or unfolded <= _VALUES_AT_ONCE:
        return _flat(tf.linalg.matmul(_by_record(use.unfold(x), d.shape[0]), d, transpose_a=True))

    # Patches repeat each value `width` times: those of all records would not fit into a core's cache.
    def of_record(rows_and_signal: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        rows, signal = rows_and_signal
        a = use.unfold(rows)
        return tf.linalg.matmul(tf.reshape(a, (-1, a.shape[-1])), signal, transpose_a=True)

    rows = tf.reshape(x, (d.shape[0], -1, *x.shape[1:]))
    return _flat(tf.map_fn(of_record, (rows, d), fn_output_signature=d.dtype))


@dataclass(frozen=True, eq=False)
class _Stacked:
    """Stored gradients: one (records, values of the parameter) per parameter."""

    parameters: Tensors
    gradients: Tensors

    def squared_norms(self) -> tf.Tensor:
        """Squared L2 norm of each record's gradient (records)."""
        return tf.add_n([tf.reduce_sum(tf.square(g), axis=1) for g in self.gradients])

    def weighted_sum(self, weights: tf.Tensor) -> Tensors:
        """Sum over records of weight times gradient, weights (records): one (values) per parameter."""
        return tuple(_weighted(weights, g) for g in self.gradients)

    def without(self, kept: tf.Tensor) -> _Part:
        """Gradients with zero for each record that is not `kept` (records) bool."""
        return _Stacked(self.parameters, tuple(kept_rows(kept, g) for g in self.gradients))


@dataclass(frozen=True, eq=False)
class _Factored:
    """Gradients of a product as factors: inputs (records, positions, p_i), signal (records, positions, q).

    `|sum_t a_t d_t^T|^2 = sum_{t,s} <a_t, a_s> <d_t, d_s>` is cheap if a record has few positions. The bias
    is the weight of one more input, which is 1 at each position.
    """

    kernels: Tensors
    bias: tf.Tensor | None
    inputs: Tensors
    signal: tf.Tensor

    @property
    def parameters(self) -> Tensors:
        """Kernels, and the bias if there is one."""
        return self.kernels if self.bias is None else (*self.kernels, self.bias)

    def squared_norms(self) -> tf.Tensor:
        """Squared L2 norm of each record's gradient (records)."""
        alike = tf.add_n([_scalar_products(a) for a in self.inputs])
        if self.bias is not None:
            alike = alike + 1
        of_signal = _scalar_products(self.signal)
        squared = tf.reduce_sum(alike * of_signal, axis=(1, 2))
        # One position: a product of two squared norms, in which nothing cancels.
        if self.signal.shape[1] == 1:
            return squared
        # If positions nearly cancel, the squared norm is a small difference of large float32 numbers.
        # Rounding can make it too small or negative, and the record would not be clipped. The rounding error
        # is bounded by the number of terms times the unit roundoff times `uncancelled` (Higham 2002,
        # "Accuracy and stability of numerical algorithms", 3.1). Its likely size grows with the root of the
        # terms only. If that exceeds the tolerance, twice the bound is added: the record counts for less.
        terms = sum(a.shape[2] for a in self.inputs) + self.signal.shape[2] + self.signal.shape[1]
        sizes = tf.sqrt(tf.linalg.diag_part(alike) * tf.linalg.diag_part(of_signal))
        uncancelled = tf.square(tf.reduce_sum(sizes, axis=1))
        likely = math.sqrt(terms) * _ROUNDOFF * uncancelled
        return squared + tf.where(likely > _TOLERANCE * squared, 2 * terms * _ROUNDOFF * uncancelled, 0.0)

    def weighted_sum(self, weights: tf.Tensor) -> Tensors:
        """Sum over records of weight times gradient, weights (records): kernels (p_i, q), then bias (q)."""
        # With the weights on one factor, one product sums over records and positions. The narrower factor: it
        # is the shorter pass over memory.
        narrow_inputs = sum(a.shape[2] for a in self.inputs) < self.signal.shape[2]
        inputs = [_rows(a, weights if narrow_inputs else None) for a in self.inputs]
        signal = _rows(self.signal, None if narrow_inputs else weights)
        sums = tuple(tf.linalg.matmul(a, signal, transpose_a=True) for a in inputs)
        if self.bias is None:
            return sums
        # Positions first, weights then: as one weighted sum over all rows it took XLA ten times as long.
        return (*sums, _weighted(weights, tf.reduce_sum(self.signal, axis=1)))

    def without(self, kept: tf.Tensor) -> _Part:
        """Gradients with zero for each record that is not `kept` (records) bool."""
        # Both factors: a zero signal times an infinite input would not be zero.
        inputs = tuple(kept_rows(kept, a) for a in self.inputs)
        return _Factored(self.kernels, self.bias, inputs, kept_rows(kept, self.signal))


def _by_record(x: tf.Tensor, records: int) -> tf.Tensor:
    """Positions of all rows of each record: (rows, ..., c) -> (records, positions, c)."""
    return tf.reshape(x, (records, math.prod(x.shape[:-1]) // records, x.shape[-1]))


def _scalar_products(x: tf.Tensor) -> tf.Tensor:
    """Gram matrix of each record's positions: (records, positions, c) -> (records, positions, positions)."""
    if x.shape[1] == 1:
        return tf.reduce_sum(tf.square(x), axis=2, keepdims=True)
    return tf.linalg.matmul(x, x, transpose_b=True)


def _weighted(weights: tf.Tensor, gradients: tf.Tensor) -> tf.Tensor:
    """Weighted sum over records: weights (records), gradients (records, values) -> (values)."""
    return tf.reduce_sum(weights[:, tf.newaxis] * gradients, axis=0)


def _rows(x: tf.Tensor, weights: tf.Tensor | None) -> tf.Tensor:
    """Positions of all records, times the weights of the records: (records, positions, c) -> (rows, c)."""
    weighted = x if weights is None else x * weights[:, tf.newaxis, tf.newaxis]
    return tf.reshape(weighted, (-1, x.shape[2]))


def _flat(x: tf.Tensor) -> tf.Tensor:
    return tf.reshape(x, (x.shape[0], -1))


def kept_rows(kept: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
    """Set to zero the rows of `x` (records, ...) that are not `kept` (records) bool.

    Examples:
        >>> kept_rows(tf.constant([True, False]), tf.constant([[1.0], [math.inf]])).numpy().tolist()
        [[1.0], [0.0]]
    """
    # A choice and not a product: zero times infinity is not zero.
    return tf.where(tf.reshape(kept, (-1, *(1 for _ in x.shape[1:]))), x, tf.zeros_like(x))
