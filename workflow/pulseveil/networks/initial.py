"""Initial parameters of the layers, by the rules of Keras (one: of PyTorch) and from NumPy generators.

NumPy's numbers make first parameters independent of TensorFlow's version and device.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


def glorot_uniform(rng: np.random.Generator, *shape: int) -> Array:
    """Uniform numbers of absolute value up to sqrt(6 / (fan in + fan out)) (Glorot and Bengio 2010).

    The last two axes are inputs and outputs. The product of the axes before them multiplies both fans.
    """
    # Keras' rule, for attention kernels too, although their axes are (inputs, heads, size).
    field = math.prod(shape[:-2])
    limit = math.sqrt(6 / (field * (shape[-2] + shape[-1])))
    return rng.uniform(-limit, limit, shape).astype(np.float32)


def orthogonal(rng: np.random.Generator, rows: int, columns: int) -> Array:
    """Random matrix (rows, columns) with orthonormal rows or columns (Saxe et al. 2014, arXiv:1312.6120)."""
    normal = rng.normal(size=(max(rows, columns), min(rows, columns)))
    q, r = np.linalg.qr(normal)
    # With any signs on r's diagonal, q would not be uniform among orthogonal matrices (Mezzadri 2007,
    # arXiv:math-ph/0609050).
    q *= np.sign(np.diag(r))
    return (q if rows >= columns else q.T).astype(np.float32)


def fan_in_uniform(rng: np.random.Generator, fan_in: int, *shape: int) -> Array:
    """Uniform numbers of absolute value up to 1 / sqrt(fan_in): PyTorch's rule for dense layers.

    For LSTMs `fan_in` is the number of units.
    """
    limit = 1 / math.sqrt(fan_in)
    return rng.uniform(-limit, limit, shape).astype(np.float32)


def dense(rng: np.random.Generator, inputs: int, outputs: int) -> list[Array]:
    """Dense layer: [kernel (inputs, outputs), bias (outputs)].

    Examples:
        >>> kernel, bias = dense(np.random.default_rng(0), inputs=3, outputs=2)
        >>> kernel.shape, bias.tolist()
        ((3, 2), [0.0, 0.0])
    """
    return [glorot_uniform(rng, inputs, outputs), np.zeros(outputs, np.float32)]


def conv1d(rng: np.random.Generator, width: int, channels: int, filters: int) -> list[Array]:
    """Convolution over time: [kernel (width, channels, filters), bias (filters)]."""
    return [glorot_uniform(rng, width, channels, filters), np.zeros(filters, np.float32)]


def lstm(rng: np.random.Generator, inputs: int, units: int) -> list[Array]:
    """LSTM: [kernel (inputs, 4 units), recurrent kernel (units, 4 units), bias (4 units)]."""
    bias = np.zeros((4, units), np.float32)
    # The forget gate starts open, as in Keras (Jozefowicz, Zaremba and Sutskever 2015).
    bias[1] = 1
    return [glorot_uniform(rng, inputs, 4 * units), orthogonal(rng, units, 4 * units), bias.reshape(-1)]


def gru(rng: np.random.Generator, inputs: int, units: int) -> list[Array]:
    """GRU: [kernel (inputs, 3 units), recurrent kernel (units, 3 units), bias, recurrent bias (3 units)]."""
    biases = [np.zeros(3 * units, np.float32) for _ in range(2)]
    return [glorot_uniform(rng, inputs, 3 * units), orthogonal(rng, units, 3 * units), *biases]


def normalisation(features: int) -> list[Array]:
    """Batch or layer normalisation: [gamma (features), beta (features)]."""
    return [np.ones(features, np.float32), np.zeros(features, np.float32)]


def running_moments(features: int) -> list[Array]:
    """Statistics of batch normalisation before the first batch: [mean (features), variance (features)]."""
    return [np.zeros(features, np.float32), np.ones(features, np.float32)]


def self_attention(rng: np.random.Generator, features: int, heads: int, size: int) -> list[Array]:
    """Self-attention: [kernel (features, heads, size), bias (heads, size)] of query, key and value.

    Then come kernel (heads, size, features) and bias (features) of the output.
    """
    parameters: list[Array] = []
    for _ in range(3):
        parameters += [glorot_uniform(rng, features, heads, size), np.zeros((heads, size), np.float32)]
    return [*parameters, glorot_uniform(rng, heads, size, features), np.zeros(features, np.float32)]


def embedding(rng: np.random.Generator, codes: int, features: int) -> Array:
    """Embedding table (codes, features) of uniform numbers of absolute value up to 0.05, as in Keras."""
    return rng.uniform(-0.05, 0.05, (codes, features)).astype(np.float32)
