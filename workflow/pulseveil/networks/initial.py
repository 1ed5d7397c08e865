"""Initial parameters of the layers, drawn as Keras (one: PyTorch) draws them but from NumPy generators."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


def glorot_uniform(rng: np.random.Generator, *shape: int) -> Array:
    """Uniform within sqrt(6 / (fan in + fan out)) (Glorot and Bengio 2010).

    The last two axes are inputs and outputs, the product of those before multiplies both fans: Keras' rule,
    for its three-axis attention kernels too.
    """
    field = math.prod(shape[:-2])
    limit = math.sqrt(6 / (field * (shape[-2] + shape[-1])))
    return rng.uniform(-limit, limit, shape).astype(np.float32)


def orthogonal(rng: np.random.Generator, rows: int, columns: int) -> Array:
    """A (rows, columns) matrix with orthonormal rows or columns (Saxe et al. 2014)."""
    normal = rng.normal(size=(max(rows, columns), min(rows, columns)))
    q, r = np.linalg.qr(normal)
    q *= np.sign(np.diag(r))
    return (q if rows >= columns else q.T).astype(np.float32)


def fan_in_uniform(rng: np.random.Generator, fan_in: int, *shape: int) -> Array:
    """Uniform within 1 / sqrt(fan_in): PyTorch's rule for dense layers and, by their units, LSTMs."""
    limit = 1 / math.sqrt(fan_in)
    return rng.uniform(-limit, limit, shape).astype(np.float32)


def dense(rng: np.random.Generator, inputs: int, outputs: int) -> list[Array]:
    """[kernel (inputs, outputs), bias (outputs)]."""
    return [glorot_uniform(rng, inputs, outputs), np.zeros(outputs, np.float32)]


def conv1d(rng: np.random.Generator, width: int, channels: int, filters: int) -> list[Array]:
    """[kernel (width, channels, filters), bias (filters)]."""
    return [glorot_uniform(rng, width, channels, filters), np.zeros(filters, np.float32)]


def lstm(rng: np.random.Generator, inputs: int, units: int) -> list[Array]:
    """[kernel (inputs, 4 units), recurrent kernel (units, 4 units), bias (4 units)], forget gate's bias 1."""
    bias = np.zeros((4, units), np.float32)
    bias[1] = 1
    return [glorot_uniform(rng, inputs, 4 * units), orthogonal(rng, units, 4 * units), bias.reshape(-1)]


def gru(rng: np.random.Generator, inputs: int, units: int) -> list[Array]:
    """[kernel (inputs, 3 units), recurrent kernel (units, 3 units), bias and recurrent bias (3 units)]."""
    biases = [np.zeros(3 * units, np.float32) for _ in range(2)]
    return [glorot_uniform(rng, inputs, 3 * units), orthogonal(rng, units, 3 * units), *biases]


def normalisation(features: int) -> list[Array]:
    """[gamma (features), beta (features)] of a batch or layer normalisation."""
    return [np.ones(features, np.float32), np.zeros(features, np.float32)]


def running_moments(features: int) -> list[Array]:
    """[mean (features), variance (features)] of a batch normalisation before the first batch."""
    return [np.zeros(features, np.float32), np.ones(features, np.float32)]


def self_attention(rng: np.random.Generator, features: int, heads: int, size: int) -> list[Array]:
    """Query, key and value [kernel (features, heads, size), bias (heads, size)] each; output's two."""
    parameters: list[Array] = []
    for _ in range(3):
        parameters += [glorot_uniform(rng, features, heads, size), np.zeros((heads, size), np.float32)]
    return [*parameters, glorot_uniform(rng, heads, size, features), np.zeros(features, np.float32)]


def embedding(rng: np.random.Generator, codes: int, features: int) -> Array:
    """Table (codes, features), uniform within 0.05."""
    return rng.uniform(-0.05, 0.05, (codes, features)).astype(np.float32)
