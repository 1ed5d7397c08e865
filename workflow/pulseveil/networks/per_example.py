"""Gradients of single records by book-keeping: their norms and weighted sums from one backward pass.

A layer notes where its weights meet the data: the rows `a` that met them and the result `z`. One call of
automatic differentiation, of the summed losses with respect to all `z`, gives the signals `d = dL/dz`. The
gradient of a record follows from its own rows of `a` and `d`, so a clipped sum needs no gradient a record and
no second backward pass (Goodfellow 2015, arXiv:1510.01799; Bu et al. 2023, arXiv:2210.00038).

A record is one or more rows of the batch, equally many for all and next to each other: a window, or all
windows of a subject. The rows of a record are summed before anything is squared. So are the uses of a kernel
that meets the data once more, transposed, where a loss holds a gradient with respect to the input.
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

# Reading and writing a gradient a record costs some thirty products of its elements (one CPU thread).
_PRODUCTS_A_VALUE = 30
_ROUNDOFF = 2.0**-24
# Relative rounding of a squared norm that is left as it is: a record may count for half as much more, 1e-5.
_UNSEEN = 2e-5
# So many unfolded values (8 MB) stay near enough to a core to be made for all records of a pass at once.
_VALUES_AT_ONCE = 2**21


@dataclass(frozen=True, eq=False)
class Product:
    """`z = a_1 W_1 + a_2 W_2 + ... + b` at each position: a_i (rows, ..., p_i), z (rows, ..., q).

    `unfold` makes the a_i of `inputs` (patches of a convolution): only where gradients are asked for. Kernels
    hold p_i * q values in this order, in whatever shape; the bias, where there is one, q. `one_by_one`: where
    there are many, a record's patches are made at a time, to stay in a core's cache: for plain graphs only.
    """

    inputs: Tensors
    kernels: Tensors
    bias: tf.Tensor | None = None
    unfold: Callable[[tf.Tensor], tf.Tensor] = tf.identity
    one_by_one: bool = False


@dataclass(frozen=True, eq=False)
class ScaleAndShift:
    """`z = gamma x + beta`, feature by feature: x and z (rows, ..., c)."""

    x: tf.Tensor
    gamma: tf.Tensor
    beta: tf.Tensor


@dataclass(frozen=True, eq=False)
class TransposedProduct:
    """`z = u W^T` at each position: u (rows, ..., q), kernel W (p, q), z (rows, ..., p).

    The gradient of W is `sum_t d_t u_t^T`: a product's, whose rows are the signals d and whose signals are u.
    """

    u: tf.Tensor
    kernel: tf.Tensor


@dataclass(frozen=True)
class MixesRecords:
    """A layer in which one record changes what another one contributes."""

    layer: str
    cure: str


Met = Product | TransposedProduct | ScaleAndShift
Use = Met | MixesRecords


class Note(Protocol):
    """Takes note that `z` was made by `use`."""

    def __call__(self, z: tf.Tensor, use: Use) -> tf.Tensor:
        """`z`, unchanged."""
        ...


def unnoted(z: tf.Tensor, use: Use) -> tf.Tensor:
    """Keeps no book: for scoring, and for trainings that need no gradients of single records."""
    return z


class _Part(Protocol):
    """The gradients of some parameters, for all records."""

    @property
    def parameters(self) -> Tensors:
        """The parameters, in the order of `weighted_sum`."""
        ...

    def squared_norms(self) -> tf.Tensor:
        """Squared L2 norm of each record's gradient (records)."""
        ...

    def weighted_sum(self, weights: tf.Tensor) -> Tensors:
        """Sum of the gradients, times weights (records): one tensor a parameter."""
        ...

    def without(self, kept: tf.Tensor) -> _Part:
        """The same, with zero for records that are not kept (records) bool."""
        ...


@dataclass(frozen=True, eq=False)
class RecordGradients:
    """What is known of the gradients of all records of a batch."""

    parts: tuple[_Part, ...]
    parameters: Tensors

    def squared_norms(self) -> tf.Tensor:
        """Squared L2 norm over all parameters (records)."""
        return tf.add_n([part.squared_norms() for part in self.parts])

    def weighted_sum(self, weights: tf.Tensor) -> list[tf.Tensor]:
        """Sum over records of weight times gradient, weights (records): shaped as the parameters."""
        found = {
            parameter.ref(): tf.reshape(value, parameter.shape)
            for part in self.parts
            for parameter, value in zip(part.parameters, part.weighted_sum(weights), strict=True)
        }
        return [found[parameter.ref()] for parameter in self.parameters]

    def without(self, kept: tf.Tensor) -> RecordGradients:
        """The same, with zero for records that are not kept: even where a value of theirs is not finite."""
        return RecordGradients(tuple(part.without(kept) for part in self.parts), self.parameters)


def record_gradients(
    losses: Callable[[Note], tf.Tensor], parameters: Sequence[tf.Tensor], records: int
) -> RecordGradients:
    """Gradients of the records of a batch, where `losses(note)` runs the network on `records` * k rows.

    Its result is one loss a row; the loss of a record is the sum over its k rows. Raises InputError for a
    layer that mixes records, ValueError where a parameter is not noted exactly once; the kernel of a product
    may be noted transposed as well, any number of times.
    """
    book: list[tuple[tf.Tensor, Met]] = []
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(parameters)

        def note(z: tf.Tensor, use: Use) -> tf.Tensor:
            if isinstance(use, MixesRecords):
                raise InputError(
                    f"{use.layer} mixes records: no single record's part can be bounded; {use.cure}"
                )
            book.append((z, use))
            return z

        total = tf.reduce_sum(losses(note))
    signals = tape.gradient(total, [z for z, _ in book])
    noted = [(use, _by_record(d, records)) for (_, use), d in zip(book, signals, strict=True)]
    parts = tuple(_parts(noted, records))
    _require_each_once(parts, parameters)
    return RecordGradients(parts, tuple(parameters))


def _require_each_once(parts: Sequence[_Part], parameters: Sequence[tf.Tensor]) -> None:
    noted = [parameter.ref() for part in parts for parameter in part.parameters]
    for number, parameter in enumerate(parameters):
        times = noted.count(parameter.ref())
        if times != 1:
            raise ValueError(
                f"parameter {number} {tuple(parameter.shape)} was noted {times} times: "
                "use each parameter in one of the layers of `networks.layers`, with its `note`"
            )


def _parts(noted: Sequence[tuple[Met, tf.Tensor]], records: int) -> list[_Part]:
    """What is known by uses and their signals (records, positions, ...): all uses of a kernel together."""
    transposed: dict[Any, list[Factors]] = {}
    for use, d in noted:
        if isinstance(use, TransposedProduct):
            transposed.setdefault(use.kernel.ref(), []).append((d, _by_record(use.u, records)))
    parts: list[_Part] = []
    for use, d in noted:
        if isinstance(use, ScaleAndShift):
            x = _by_record(use.x, records)
            gradients = (tf.reduce_sum(d * x, axis=1), tf.reduce_sum(d, axis=1))
            parts.append(_Stacked((use.gamma, use.beta), gradients))
        elif isinstance(use, Product):
            more = transposed.pop(use.kernels[0].ref(), []) if len(use.kernels) == 1 else []
            parts += _of_kernel_and_bias(use, d, more) if more else [_of_product(use, d)]
    return [*parts, *(_of_kernel(kernel.deref(), factors) for kernel, factors in transposed.items())]


def _of_product(use: Product, d: tf.Tensor) -> _Part:
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
    """Of a product whose one kernel also is in products `transposed`; its bias is in none of these."""
    (kernel,), (x,) = use.kernels, use.inputs
    of_kernel = _of_kernel(kernel, [(_by_record(use.unfold(x), d.shape[0]), d), *transposed])
    if use.bias is None:
        return [of_kernel]
    return [of_kernel, _Stacked((use.bias,), (tf.reduce_sum(d, axis=1),))]


def _of_kernel(kernel: tf.Tensor, factors: Sequence[Factors]) -> _Part:
    """Of all uses of a kernel: factors (records, positions, p) and (records, positions, q) of each."""
    a, d = (tf.concat(values, axis=1) for values in zip(*factors, strict=True))
    if _has_few(d.shape[1], a.shape[2], d.shape[2]):
        return _Factored((kernel,), None, (a,), d)
    return _Stacked((kernel,), (_flat(tf.linalg.matmul(a, d, transpose_a=True)),))


def _has_few(positions: int, p: int, q: int) -> bool:
    """Whether a record has so few positions that its factors are cheaper than its gradient (p, q)."""
    return positions**2 * (p + q) < _PRODUCTS_A_VALUE * p * q


def _sums_of_products(use: Product, x: tf.Tensor, d: tf.Tensor) -> tf.Tensor:
    """`sum_t a_t d_t^T` a record, where `unfold` makes a of x.

    x (rows, ...), d (records, positions, q) -> (records, p q).
    """
    records, positions, q = d.shape
    unfolded = records * positions * math.prod(use.kernels[0].shape) // q
    if not use.one_by_one or unfolded <= _VALUES_AT_ONCE:
        return _flat(tf.linalg.matmul(_by_record(use.unfold(x), d.shape[0]), d, transpose_a=True))

    def of_record(rows_and_signal: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        rows, signal = rows_and_signal
        a = use.unfold(rows)
        return tf.linalg.matmul(tf.reshape(a, (-1, a.shape[-1])), signal, transpose_a=True)

    rows = tf.reshape(x, (d.shape[0], -1, *x.shape[1:]))
    return _flat(tf.map_fn(of_record, (rows, d), fn_output_signature=d.dtype))


@dataclass(frozen=True, eq=False)
class _Stacked:
    """One gradient a record: each (records, values of the parameter)."""

    parameters: Tensors
    gradients: Tensors

    def squared_norms(self) -> tf.Tensor:
        """Squared L2 norm of each record's gradient (records)."""
        return tf.add_n([tf.reduce_sum(tf.square(g), axis=1) for g in self.gradients])

    def weighted_sum(self, weights: tf.Tensor) -> Tensors:
        """Sum of the gradients, times weights (records): (1, values) a parameter."""
        return tuple(tf.linalg.matmul(weights[tf.newaxis], g) for g in self.gradients)

    def without(self, kept: tf.Tensor) -> _Part:
        """The same, with zero for records that are not kept (records) bool."""
        return _Stacked(self.parameters, tuple(kept_rows(kept, g) for g in self.gradients))


@dataclass(frozen=True, eq=False)
class _Factored:
    """Gradients of a product as their factors: inputs (records, positions, p_i), signal (.., .., q).

    `|sum_t a_t d_t^T|^2 = sum_{t,s} <a_t, a_s> <d_t, d_s>`: cheap where a record has few positions. The bias
    is the weight of one more input, which is 1 everywhere.
    """

    kernels: Tensors
    bias: tf.Tensor | None
    inputs: Tensors
    signal: tf.Tensor

    @property
    def parameters(self) -> Tensors:
        """The kernels and, where there is one, the bias."""
        return self.kernels if self.bias is None else (*self.kernels, self.bias)

    def squared_norms(self) -> tf.Tensor:
        """Squared L2 norm of each record's gradient (records)."""
        alike = tf.add_n([_scalar_products(a) for a in self.inputs])
        if self.bias is not None:
            alike = alike + 1
        of_signal = _scalar_products(self.signal)
        squared = tf.reduce_sum(alike * of_signal, axis=(1, 2))
        if self.signal.shape[1] == 1:
            return squared
        # Where positions nearly cancel, the squared norm is a small difference of large float32 numbers: it
        # comes out too small, or negative, and the record would not be clipped. Rounding is bounded by the
        # number of terms times the unit roundoff times `uncancelled` (Higham 2002, "Accuracy and stability of
        # numerical algorithms", 3.1); where even its likely size, which grows with the root of the terms, can
        # be seen in the norm, the bound is added: such a record counts for less, never for more.
        terms = sum(a.shape[2] for a in self.inputs) + self.signal.shape[2] + self.signal.shape[1]
        sizes = tf.sqrt(tf.linalg.diag_part(alike) * tf.linalg.diag_part(of_signal))
        uncancelled = tf.square(tf.reduce_sum(sizes, axis=1))
        likely = math.sqrt(terms) * _ROUNDOFF * uncancelled
        return squared + tf.where(likely > _UNSEEN * squared, 2 * terms * _ROUNDOFF * uncancelled, 0.0)

    def weighted_sum(self, weights: tf.Tensor) -> Tensors:
        """Sum of the gradients, times weights (records): (p_i, q) a kernel, (q) the bias."""
        signal = self.signal * weights[:, tf.newaxis, tf.newaxis]
        rows = tf.reshape(signal, (-1, signal.shape[2]))
        sums = tuple(
            tf.linalg.matmul(tf.reshape(a, (-1, a.shape[2])), rows, transpose_a=True) for a in self.inputs
        )
        return sums if self.bias is None else (*sums, tf.reduce_sum(rows, axis=0))

    def without(self, kept: tf.Tensor) -> _Part:
        """The same, with zero for records that are not kept (records) bool."""
        inputs = tuple(kept_rows(kept, a) for a in self.inputs)
        return _Factored(self.kernels, self.bias, inputs, kept_rows(kept, self.signal))


def _by_record(x: tf.Tensor, records: int) -> tf.Tensor:
    """(rows, ..., c) -> (records, positions, c): the positions of all rows of a record."""
    return tf.reshape(x, (records, math.prod(x.shape[:-1]) // records, x.shape[-1]))


def _scalar_products(x: tf.Tensor) -> tf.Tensor:
    """Scalar products of a record's positions: (records, positions, c) -> (records, positions, positions)."""
    if x.shape[1] == 1:
        return tf.reduce_sum(tf.square(x), axis=2, keepdims=True)
    return tf.linalg.matmul(x, x, transpose_b=True)


def _flat(x: tf.Tensor) -> tf.Tensor:
    return tf.reshape(x, (x.shape[0], -1))


def kept_rows(kept: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
    """x (records, ...) with zero for records that are not kept (records) bool, whatever their values are."""
    return tf.where(tf.reshape(kept, (-1, *(1 for _ in x.shape[1:]))), x, tf.zeros_like(x))
