"""Sums of clipped records against those of jax-privacy and of Opacus, from the same weights and records."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from jax_privacy.clipping import clipped_grad
from opacus import GradSampleModule
from opacus.optimizers import DPOptimizer

from pulseveil.networks.training import Examples
from tests.unit import dpsgd_cases as cases

pytestmark = pytest.mark.foreign


def shares_above(gradients: list[np.ndarray], clip: float) -> float:
    return float(np.mean([np.linalg.norm(gradient) > clip for gradient in gradients]))


def by_jax(data: Examples, clip: float) -> np.ndarray:
    """The sum of clipped records (all parameters, flat) of the network and loss of `dpsgd_cases`, in JAX."""

    def loss(parameters: list[jax.Array], x: jax.Array, target: jax.Array, weight: jax.Array) -> jax.Array:
        kernel, bias, out_kernel, out_bias = parameters
        hidden = jax.nn.relu(x.reshape(len(x), -1) @ kernel + bias)
        logits = hidden @ out_kernel + out_bias
        # Cross-entropy of a logit z and target t: log(1 + exp(z)) - t z.
        errors = jnp.mean(jnp.logaddexp(0, logits) - target * logits, axis=1)
        return jnp.sum(weight * errors)

    parameters = [jnp.asarray(np.asarray(value)) for value in cases.start_parameters()]
    summed = clipped_grad(loss, l2_clip_norm=clip, batch_argnums=(1, 2, 3), keep_batch_dim=False)
    return cases.flat(summed(parameters, *map(jnp.asarray, data)))


def by_opacus(data: Examples, clip: float) -> np.ndarray:
    """The same sum by Opacus' per-sample gradients and its optimizer, for records of one window."""
    kernel, bias, out_kernel, out_bias = (np.asarray(value) for value in cases.start_parameters())
    layers = torch.nn.Linear(*kernel.shape), torch.nn.Linear(*out_kernel.shape)
    with torch.no_grad():
        # PyTorch keeps kernels as (outputs, inputs).
        for layer, weights in zip(layers, ((kernel, bias), (out_kernel, out_bias)), strict=True):
            layer.weight.copy_(torch.from_numpy(weights[0].T))
            layer.bias.copy_(torch.from_numpy(weights[1]))
    network = GradSampleModule(
        torch.nn.Sequential(torch.nn.Flatten(), layers[0], torch.nn.ReLU(), layers[1]), loss_reduction="sum"
    )
    optimizer = DPOptimizer(
        torch.optim.SGD(network.parameters(), lr=1.0),
        noise_multiplier=0.0,
        max_grad_norm=clip,
        expected_batch_size=1,
        loss_reduction="sum",
    )
    x, target, weight = (torch.from_numpy(value[:, 0]) for value in data)
    errors = torch.nn.functional.binary_cross_entropy_with_logits(network(x), target, reduction="none")
    (weight * errors.mean(dim=1)).sum().backward()
    optimizer.clip_and_accumulate()
    first, first_bias, second, second_bias = (value.summed_grad.numpy() for value in network.parameters())
    return cases.flat([first.T, first_bias, second.T, second_bias])


@pytest.mark.parametrize("k", [1, 3])
def test_the_released_sum_is_that_of_jax_privacy(k: int) -> None:
    data = cases.examples(30, k)
    gradients = cases.plain_gradients(data)
    run = cases.mechanism(30, clip_norm=cases.median_norm(gradients))
    assert shares_above(gradients, run.clip_norm) == pytest.approx(0.5)
    found = cases.flat(cases.released(run, data))
    cases.require_close(found, by_jax(data, run.clip_norm), "the sum by jax-privacy")


def test_the_released_sum_is_that_of_opacus() -> None:
    data = cases.examples(30)
    run = cases.mechanism(30, clip_norm=cases.median_norm(cases.plain_gradients(data)))
    found = cases.flat(cases.released(run, data))
    cases.require_close(found, by_opacus(data, run.clip_norm), "the sum by Opacus")
