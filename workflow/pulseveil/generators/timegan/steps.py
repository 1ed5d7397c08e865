"""Training steps of TimeGAN's three phases: updates of its five networks.

The phases are those of the authors' program: `embedding` (embedder and recovery), `supervised` (supervisor)
and `joint` (twice generator and supervisor, then embedder and recovery; then the discriminator). Each phase
has its own averages of Adam. All random numbers are arguments.

Models side by side (`loop.side_by_side`) train in one program: states and the losses of a step then have an
axis of models, and no model reads another model's data.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal, NamedTuple

import numpy as np
import tensorflow as tf

from pulseveil.generators.timegan import networks as timegan
from pulseveil.networks import adam, loop
from pulseveil.networks.layers import Parameters

Phase = Literal["embedding", "supervised", "joint"]
# Batches of windows in a step of each phase, and the losses that the phase reports.
DRAWS: dict[Phase, int] = {"embedding": 1, "supervised": 1, "joint": 3}
LOSSES: dict[Phase, tuple[str, ...]] = {
    "embedding": ("reconstruction",),
    "supervised": ("supervised",),
    "joint": ("discriminator", "generator", "supervised", "moments", "reconstruction"),
}

_GENERATOR_UPDATES = DRAWS["joint"] - 1
_LEAST_DISCRIMINATOR_LOSS = 0.15  # below, the discriminator is not updated (authors' program)
_EPSILON = 1e-8  # Adam's, in the authors' program


class NetworkState(NamedTuple):
    """Parameters and Adam state of one network."""

    parameters: list[tf.Tensor]
    moments: adam.AdamState


class State(NamedTuple):
    """All networks of a training."""

    embedder: NetworkState
    recovery: NetworkState
    generator: NetworkState
    supervisor: NetworkState
    discriminator: NetworkState


Step = Callable[[float, State, tf.Tensor, tf.Tensor], tuple[State, tf.Tensor]]


def start(rng: np.random.Generator, *, channels: int, hidden: int, depth: int) -> State:
    """The state before the first step."""
    first = [
        timegan.start_network(rng, network, channels=channels, hidden=hidden, depth=depth)
        for network in State._fields
    ]
    tensors = [[tf.constant(value) for value in parameters] for parameters in first]
    return State(*(NetworkState(parameters, adam.start(parameters)) for parameters in tensors))


def start_phase(state: State) -> State:
    """The state with Adam's averages set to zero."""
    return State(*(NetworkState(values, tf.nest.map_structure(tf.zeros_like, own)) for values, own in state))


def embedding_step(
    rate: float, state: State, windows: tf.Tensor, noise: tf.Tensor
) -> tuple[State, tf.Tensor]:
    """One update of embedder and recovery by windows (1, time, channels, b); state, root mean square error.

    `noise` is not used.
    """
    with tf.GradientTape() as tape:
        tape.watch((state.embedder.parameters, state.recovery.parameters))
        hidden = timegan.sequence(windows[0], state.embedder.parameters)
        recovered = timegan.sequence(hidden, state.recovery.parameters)
        loss = timegan.reconstruction_loss(windows[0], recovered)
    after = _descend(rate, state, tape, loss, ("embedder", "recovery"))
    return after, _roots(timegan.mean_square(windows[0], recovered))


def supervised_step(
    rate: float, state: State, windows: tf.Tensor, noise: tf.Tensor
) -> tuple[State, tf.Tensor]:
    """One update of the supervisor by windows (1, time, channels, b); state, root of the loss.

    `noise` is not used.
    """
    # The authors' program updates the generator here as well, but this loss does not depend on the generator.
    hidden = timegan.sequence(windows[0], state.embedder.parameters)
    with tf.GradientTape() as tape:
        tape.watch(state.supervisor.parameters)
        loss = timegan.supervised_loss(hidden, timegan.sequence(hidden, state.supervisor.parameters))
    return _descend(rate, state, tape, loss, ("supervisor",)), _roots(loss)


def joint_step(rate: float, state: State, windows: tf.Tensor, noise: tf.Tensor) -> tuple[State, tf.Tensor]:
    """Two updates of all networks except the discriminator, then at most one of the discriminator.

    windows, noise: (3, time, channels, b), one batch per update.

    Returns:
        The state and the losses (5): the discriminator loss; and the means over the two updates of the
        generator loss, the root of the supervised loss, the moment loss and the root mean square error.
    """
    # A loop, not two copies: half the time of compilation.
    state, means = loop.repeat(
        partial(update_generator_and_embedder, rate),
        state,
        (windows, noise),
        _GENERATOR_UPDATES,
        no_losses(len(LOSSES["joint"]) - 1, state),
    )
    state, loss = update_discriminator(rate, state, windows[-1], noise[-1])
    return state, tf.concat([loss[tf.newaxis], means], axis=0)


def update_generator_and_embedder(
    rate: float, state: State, windows: tf.Tensor, noise: tf.Tensor
) -> tuple[State, tf.Tensor]:
    """One update of generator and supervisor, then of embedder and recovery; state and losses (4)."""
    with tf.GradientTape() as tape:
        tape.watch((state.embedder.parameters, state.recovery.parameters))
        hidden = timegan.sequence(windows, state.embedder.parameters)
        # Paused: the new parameters of the supervisor depend on `hidden`, but the embedder's loss takes them
        # as constants, as in the authors' program.
        with tape.stop_recording():
            state, losses = update_generator(rate, state, hidden, windows, noise)
        recovered = timegan.sequence(hidden, state.recovery.parameters)
        ahead = timegan.sequence(hidden, state.supervisor.parameters)
        reconstruction = timegan.reconstruction_loss(windows, recovered)
        loss = timegan.embedder_loss(reconstruction, timegan.supervised_loss(hidden, ahead))
    after = _descend(rate, state, tape, loss, ("embedder", "recovery"))
    return after, tf.concat([losses, _roots(timegan.mean_square(windows, recovered))], axis=0)


def update_generator(
    rate: float, state: State, hidden: tf.Tensor, windows: tf.Tensor, noise: tf.Tensor
) -> tuple[State, tf.Tensor]:
    """One update of generator and supervisor by `hidden` (time, h, b) of real windows; state, losses (3)."""
    with tf.GradientTape() as tape:
        tape.watch((state.generator.parameters, state.supervisor.parameters))
        raw = timegan.sequence(timegan.uniform(noise), state.generator.parameters)
        synthetic, ahead = _halves(timegan.sequence, raw, hidden, state.supervisor.parameters)
        fake, fake_raw = _halves(timegan.logits, synthetic, raw, state.discriminator.parameters)
        moments = timegan.moment_loss(timegan.sequence(synthetic, state.recovery.parameters), windows)
        supervised = timegan.supervised_loss(hidden, ahead)
        loss = timegan.generator_loss(fake, fake_raw, supervised, moments)
    after = _descend(rate, state, tape, loss, ("generator", "supervisor"))
    return after, tf.stack([loss, tf.sqrt(supervised), moments])


def update_discriminator(
    rate: float, state: State, windows: tf.Tensor, noise: tf.Tensor
) -> tuple[State, tf.Tensor]:
    """One update of the discriminator, unless its loss is small already; state and loss."""
    # Outside the tape: only the discriminator learns from this loss.
    hidden = timegan.sequence(windows, state.embedder.parameters)
    raw = timegan.sequence(timegan.uniform(noise), state.generator.parameters)
    synthetic = timegan.sequence(raw, state.supervisor.parameters)
    with tf.GradientTape() as tape:
        tape.watch(state.discriminator.parameters)
        values = timegan.logits(tf.concat([hidden, synthetic, raw], axis=-1), state.discriminator.parameters)
        loss = timegan.discriminator_loss(*tf.split(values, 3, axis=-1))
    moved = _descend(rate, state, tape, loss, ("discriminator",))
    # Models side by side share one program, so each model selects between the new and the old state.
    learns = loss > _LEAST_DISCRIMINATOR_LOSS
    after = tf.nest.map_structure(
        lambda new, old: tf.where(adam.by_model(learns, new), new, old), moved, state
    )
    return after, loss


def _descend(
    rate: float, state: State, tape: tf.GradientTape, loss: tf.Tensor, networks: tuple[str, ...]
) -> State:
    """The state after one Adam step of the named `networks` down `loss`."""
    before = [getattr(state, network) for network in networks]
    gradients = tape.gradient(loss, [network.parameters for network in before])
    after = {}
    for name, network, gradient in zip(networks, before, gradients, strict=True):
        moved = adam.update(
            network.parameters, gradient, network.moments, learning_rate=rate, epsilon=_EPSILON
        )
        after[name] = NetworkState(*moved)
    return state._replace(**after)


def _halves(
    network: Callable[[tf.Tensor, Parameters], tf.Tensor], a: tf.Tensor, b: tf.Tensor, parameters: Parameters
) -> tuple[tf.Tensor, tf.Tensor]:
    """Outputs of a network for two batches of the same size, in one pass."""
    # Records lie along the last axis, so the loop over time runs once for both batches.
    first, second = tf.split(network(tf.concat([a, b], axis=-1), parameters), 2, axis=-1)
    return first, second


def no_losses(count: int, state: State) -> tf.Tensor:
    """Zeros (count) or, for models side by side, (count, models)."""
    return tf.zeros((count, *state.embedder.moments.step.shape))


def _roots(loss: tf.Tensor) -> tf.Tensor:
    """The root of a loss, with a leading axis of losses."""
    return tf.sqrt(loss)[tf.newaxis]


STEPS: dict[Phase, Step] = {
    "embedding": embedding_step,
    "supervised": supervised_step,
    "joint": joint_step,
}
