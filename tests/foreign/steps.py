"""Training steps against those that a user would write in PyTorch, Opacus and jax-privacy, in one run.

    make foreign                                    # makes an environment with these libraries
    .venv-foreign/bin/python tests/foreign/steps.py [--networks lstm cnn] [--rounds 3]

Rows (windows) per CPU second after the first step, one thread, batches of 64, the programs in turns: the LSTM
discriminator on windows of 60 s, CNN and transformer on spectra of 210 bins (--bins), with dropout. A private
step clips each row, adds noise and moves by Adam. The networks have equal numbers of parameters, which is
checked; the label's embedding of the discriminator (some 200 of 45,000 numbers) is left out there.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path

# Before JAX is imported.
os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"

import jax
import jax.numpy as jnp
import numpy as np
import optax
import tensorflow as tf
import torch
from jax_privacy.clipping import clipped_grad
from opacus import GradSampleModule
from opacus.layers import DPLSTM
from opacus.optimizers import DPOptimizer
from torch import nn

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.benchmarks import private

Run = Callable[[int], object]
BATCH = private.BATCH
HIDDEN = 60
STEPS = {"lstm": 10, "cnn": 2, "transformer_detector": 2}


class Convolutions(nn.Module):
    """The CNN on spectra (n, signals, bins): convolutions over the bins of each signal."""

    def __init__(self, bins: int) -> None:
        super().__init__()
        channels = (1, 64, 64, 64, 64)
        self.convolutions = nn.ModuleList(
            nn.Conv2d(p, q, (1, 3), padding=(0, 1)) for p, q in pairwise(channels)
        )
        self.pool, self.drop = nn.MaxPool2d((1, 2)), nn.Dropout(0.3)
        sizes = (64 * private.SIGNALS * (bins // 4), 128, 64, 2)
        self.dense = nn.ModuleList(nn.Linear(p, q) for p, q in pairwise(sizes))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x[:, None]
        for i, convolution in enumerate(self.convolutions):
            x = self.drop(torch.relu(convolution(x)))
            if i >= 2:
                x = self.drop(self.pool(x))
        x = x.flatten(1)
        for dense in self.dense[:-1]:
            x = self.drop(torch.relu(dense(x)))
        return self.dense[-1](x)


class Block(nn.Module):
    """Encoder block of the transformer: attention of 4 heads of 256, then two dense layers."""

    def __init__(self, bins: int) -> None:
        super().__init__()
        self.before, self.between = nn.LayerNorm(bins), nn.LayerNorm(bins)
        self.query, self.key, self.value = (nn.Linear(bins, 1024) for _ in range(3))
        self.out, self.narrow, self.widen = nn.Linear(1024, bins), nn.Linear(bins, 4), nn.Linear(4, bins)
        self.drop = nn.Dropout(0.25)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        normal = self.before(x)
        query, key, value = (
            layer(normal).unflatten(-1, (4, 256)).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        weights = self.drop(torch.softmax(query @ key.transpose(-1, -2) / 16, dim=-1))
        x = x + self.drop(self.out((weights @ value).transpose(1, 2).flatten(2)))
        return x + self.widen(self.drop(torch.relu(self.narrow(self.between(x)))))


class Transformer(nn.Module):
    """The transformer on spectra (n, signals, bins)."""

    def __init__(self, bins: int) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*(Block(bins) for _ in range(8)))
        self.hidden, self.out, self.drop = (
            nn.Linear(private.SIGNALS, 128),
            nn.Linear(128, 2),
            nn.Dropout(0.25),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(self.drop(torch.relu(self.hidden(self.blocks(x).mean(2)))))


class Recurrent(nn.Module):
    """The LSTM discriminator on windows (n, time, signals + 1)."""

    def __init__(self, kind: type[nn.Module]) -> None:
        super().__init__()
        self.first = kind(private.SIGNALS + 1, HIDDEN, batch_first=True)
        self.second, self.out = kind(HIDDEN, HIDDEN, batch_first=True), nn.Linear(HIDDEN, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        states, _ = self.second(self.first(x)[0])
        return self.out(states.mean(1))


def torch_network(name: str, bins: int, *, is_private: bool) -> nn.Module:
    """The network in PyTorch."""
    if name == "lstm":
        return Recurrent(DPLSTM if is_private else nn.LSTM)
    return Convolutions(bins) if name == "cnn" else Transformer(bins)


def rows_of(name: str, bins: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows and targets of a network."""
    random = np.random.default_rng(0)
    shape = (private.SHAPE.time, private.SIGNALS + 1) if name == "lstm" else (private.SIGNALS, bins)
    outputs = 1 if name == "lstm" else 2
    return (
        random.normal(size=(BATCH, *shape)).astype(np.float32),
        random.integers(0, 2, size=(BATCH, outputs)).astype(np.float32),
    )


def by_torch(name: str, bins: int) -> Run:
    """PyTorch's steps, not private."""
    network = torch_network(name, bins, is_private=False)
    return _torch_steps(network, torch.optim.Adam(network.parameters(), private.LEARNING_RATE), name, bins)


def by_opacus(name: str, bins: int) -> Run:
    """Opacus' private steps."""
    network = GradSampleModule(torch_network(name, bins, is_private=True))
    optimizer = DPOptimizer(
        torch.optim.Adam(network.parameters(), private.LEARNING_RATE),
        noise_multiplier=private.NOISE_MULTIPLIER,
        max_grad_norm=private.CLIP_NORM,
        expected_batch_size=BATCH,
    )
    return _torch_steps(network, optimizer, name, bins)


def _torch_steps(network: nn.Module, optimizer: torch.optim.Optimizer, name: str, bins: int) -> Run:
    x, target = map(torch.from_numpy, rows_of(name, bins))

    def run(steps: int) -> None:
        for _ in range(steps):
            optimizer.zero_grad()
            nn.functional.binary_cross_entropy_with_logits(network(x), target).backward()
            optimizer.step()

    return run


def by_jax_privacy() -> Run:
    """jax-privacy's private steps of the LSTM discriminator."""
    random = np.random.default_rng(0)

    def layer(inputs: int) -> tuple[np.ndarray, ...]:
        shapes = ((inputs, 4 * HIDDEN), (HIDDEN, 4 * HIDDEN), (4 * HIDDEN,))
        return tuple(random.normal(size=shape).astype(np.float32) / 10 for shape in shapes)

    parameters = (
        layer(private.SIGNALS + 1),
        layer(HIDDEN),
        np.zeros((HIDDEN, 1), np.float32),
        np.zeros(1, np.float32),
    )

    def lstm(x, kernel, recurrent, bias):  # type: ignore[no-untyped-def]
        def step(carry, z):  # type: ignore[no-untyped-def]
            hidden, memory = carry
            i, f, c, o = jnp.split(z + hidden @ recurrent, 4, axis=-1)
            memory = jax.nn.sigmoid(f) * memory + jax.nn.sigmoid(i) * jnp.tanh(c)
            hidden = jax.nn.sigmoid(o) * jnp.tanh(memory)
            return (hidden, memory), hidden

        zero = jnp.zeros(HIDDEN)
        return jax.lax.scan(step, (zero, zero), x @ kernel + bias)[1]

    def loss(parameters, x, target):  # type: ignore[no-untyped-def]
        first, second, kernel, bias = parameters
        logit = (lstm(lstm(x, *first), *second).mean(0) @ kernel + bias)[0]
        return jnp.logaddexp(0, logit) - target[0] * logit

    clipped = clipped_grad(loss, l2_clip_norm=private.CLIP_NORM, batch_argnums=(1, 2), keep_batch_dim=False)
    optimizer = optax.adam(private.LEARNING_RATE)
    x, target = map(jnp.asarray, rows_of("lstm", 0))

    @jax.jit
    def step(parameters, state, key):  # type: ignore[no-untyped-def]
        sums = clipped(parameters, x, target)
        leaves, tree = jax.tree.flatten(sums)
        keys = jax.random.split(key, len(leaves))
        scale = private.NOISE_MULTIPLIER * private.CLIP_NORM
        noised = [
            (v + scale * jax.random.normal(k, v.shape)) / BATCH for v, k in zip(leaves, keys, strict=True)
        ]
        updates, state = optimizer.update(jax.tree.unflatten(tree, noised), state)
        return optax.apply_updates(parameters, updates), state

    parameters = jax.tree.map(jnp.asarray, parameters)
    state = optimizer.init(parameters)

    def run(steps: int) -> None:
        nonlocal parameters, state
        for i in range(steps):
            parameters, state = step(parameters, state, jax.random.key(i))
        jax.block_until_ready(parameters)

    return run


def programs(name: str, bins: int) -> Mapping[str, Run]:
    """All programs of a network, ours first."""
    if name == "lstm":
        problem = private.discriminator(name)
        ours = private.private_discriminator(problem).run
    else:
        problem = private.detector(name, bins)
        ours = private.private_detector(name, problem).run
    found = {
        "private": ours,
        "not private": private.not_private(problem, BATCH if name == "lstm" else 16).run,
        "PyTorch": by_torch(name, bins),
        "Opacus": by_opacus(name, bins),
    }
    own = sum(int(np.prod(value.shape)) for value in problem.start)
    theirs = sum(value.numel() for value in torch_network(name, bins, is_private=True).parameters())
    # PyTorch's LSTM has a second bias; ours has the label's embedding.
    if abs(own - theirs) > 0.02 * own:
        raise SystemExit(f"{name}: {own} parameters here, {theirs} in PyTorch: not the same network")
    return {**found, "jax-privacy": by_jax_privacy()} if name == "lstm" else found


def compare(name: str, bins: int, rounds: int) -> None:
    """Print the rates of all programs of a network."""
    runs = programs(name, bins)
    seconds: dict[str, list[float]] = {label: [] for label in runs}
    for run in runs.values():
        run(1)
    for _ in range(rounds):
        for label, run in runs.items():
            start = time.process_time()
            run(STEPS[name])
            seconds[label].append((time.process_time() - start) / (STEPS[name] * BATCH))
    rate = {label: 1 / float(np.median(values)) for label, values in seconds.items()}
    for label, value in rate.items():
        print(
            f"{name:22}{label:14}{value:9.0f} rows/CPU s{1000 / value:9.2f} ms per row"
            f"   private is {rate['private'] / value:6.2f} times as fast",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--networks", nargs="+", choices=STEPS, default=list(STEPS))
    parser.add_argument("--bins", type=int, default=private.BINS)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    torch.set_num_threads(1)
    for name in options.networks:
        compare(name, options.bins, options.rounds)


if __name__ == "__main__":
    main()
