"""Training of TimeGAN: many steps of a phase in one compiled program, as a pure function of the state.

The phases, as in the authors' program, each with Adam's averages of its own: `embedding` (embedder and
recovery), `supervised` (supervisor) and `joint` (twice generator and supervisor, then embedder and recovery;
then the discriminator). All random numbers come in as arguments.

Several models train in one program where they are set side by side: states, and the losses of a step, then
have an axis of models, and no model meets another's data.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np
import tensorflow as tf

from pulseveil.networks import adam, timegan
from pulseveil.networks.layers import Parameters

Phase = Literal["embedding", "supervised", "joint"]
# Batches of windows in a step of each phase, and the losses that it reports.
DRAWS: dict[Phase, int] = {"embedding": 1, "supervised": 1, "joint": 3}
LOSSES: dict[Phase, tuple[str, ...]] = {
    "embedding": ("reconstruction",),
    "supervised": ("supervised",),
    "joint": ("discriminator", "generator", "supervised", "moments", "reconstruction"),
}

_GENERATOR_UPDATES = DRAWS["joint"] - 1
_LEAST_DISCRIMINATOR_LOSS = 0.15  # a better discriminator is left alone
_EPSILON = 1e-8  # Adam's, in the authors' program


class Trained(NamedTuple):
    """One network's parameters and Adam state."""

    parameters: list[tf.Tensor]
    moments: adam.AdamState


class State(NamedTuple):
    """All networks of a training."""

    embedder: Trained
    recovery: Trained
    generator: Trained
    supervisor: Trained
    discriminator: Trained


class Batches(NamedTuple):
    """Inputs of a number of steps: windows in [0, 1] and standard normal noise.

    windows (steps, draws, b, time, channels) float32 with `DRAWS` of the phase; noise of that shape in the
    joint phase, without draws in the others. Models come after the draws.
    """

    windows: tf.Tensor
    noise: tf.Tensor


Program = Callable[[State, Batches, tf.Tensor], tuple[State, tf.Tensor]]
Step = Callable[[float, State, tf.Tensor, tf.Tensor], tuple[State, tf.Tensor]]


def start(rng: np.random.Generator, *, channels: int, hidden: int, depth: int) -> State:
    """The state before the first step."""
    first = [
        timegan.start_network(rng, network, channels=channels, hidden=hidden, depth=depth)
        for network in State._fields
    ]
    tensors = [[tf.constant(value) for value in parameters] for parameters in first]
    return State(*(Trained(parameters, adam.start(parameters)) for parameters in tensors))


def start_phase(state: State) -> State:
    """The state with Adam's averages forgotten."""
    return State(*(Trained(values, tf.nest.map_structure(tf.zeros_like, own)) for values, own in state))


def side_by_side(states: Sequence[State]) -> State:
    """States of several models as one; that of a single model as it is."""
    return states[0] if len(states) == 1 else tf.nest.map_structure(lambda *own: tf.stack(own), *states)


def each(state: State, models: int) -> list[State]:
    """The states of all `models` whose `side_by_side` this is."""
    if models == 1:
        return [state]
    return [tf.nest.map_structure(lambda values, i=i: values[i], state) for i in range(models)]


def batches_side_by_side(batches: Sequence[Batches]) -> Batches:
    """The batches of several models, equally many and large, as one; those of a single model as they are."""
    if len(batches) == 1:
        return batches[0]
    return Batches(*(tf.stack(values, axis=2) for values in zip(*batches, strict=True)))


@lru_cache(maxsize=12)
def program(phase: Phase, learning_rate: float) -> Program:
    """Compiled `(state, batches, count) -> (state, mean LOSSES of the phase)`: the first `count` steps.

    Losses of several models are (losses, models). Trainings whose batches have equal shapes share one
    compilation.
    """
    step: Step = {"embedding": embedding_step, "supervised": supervised_step, "joint": joint_step}[phase]

    @tf.function(jit_compile=True, autograph=False)  # type: ignore[untyped-decorator]
    def run(state: State, batches: Batches, count: tf.Tensor) -> tuple[State, tf.Tensor]:
        def body(i: tf.Tensor, state: State, total: tf.Tensor) -> tuple[tf.Tensor, State, tf.Tensor]:
            state, losses = step(learning_rate, state, *(timegan.inward(values[i]) for values in batches))
            return i + 1, state, total + losses

        first = (tf.constant(0), state, _no_losses(len(LOSSES[phase]), state))
        _, state, total = tf.while_loop(lambda i, *_: i < count, body, first)
        return state, total / tf.cast(count, tf.float32)

    return run  # type: ignore[no-any-return]


def embedding_step(
    rate: float, state: State, windows: tf.Tensor, noise: tf.Tensor
) -> tuple[State, tf.Tensor]:
    """One update of embedder and recovery by windows (1, time, channels, b); the root mean square error."""
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
    """One update of the supervisor by windows (1, time, channels, b); the root of its loss.

    The authors' program lists the generator too, on which this loss does not depend.
    """
    hidden = timegan.sequence(windows[0], state.embedder.parameters)
    with tf.GradientTape() as tape:
        tape.watch(state.supervisor.parameters)
        loss = timegan.supervised_loss(hidden, timegan.sequence(hidden, state.supervisor.parameters))
    return _descend(rate, state, tape, loss, ("supervisor",)), _roots(loss)


def joint_step(rate: float, state: State, windows: tf.Tensor, noise: tf.Tensor) -> tuple[State, tf.Tensor]:
    """Two updates of all networks but the discriminator, then at most one of that.

    windows and noise (3, time, channels, b). Losses (5): the discriminator's; and means of both updates, of
    the generator's loss, the root of the supervised loss, the moment loss and the root mean square error.
    """

    def body(i: tf.Tensor, state: State, total: tf.Tensor) -> tuple[tf.Tensor, State, tf.Tensor]:
        state, losses = update_makers(rate, state, windows[i], noise[i])
        return i + 1, state, total + losses

    first = (tf.constant(0), state, _no_losses(len(LOSSES["joint"]) - 1, state))
    # A loop, not two copies: half the time of compilation.
    _, state, total = tf.while_loop(lambda i, *_: i < _GENERATOR_UPDATES, body, first)
    state, loss = update_discriminator(rate, state, windows[-1], noise[-1])
    return state, tf.concat([loss[tf.newaxis], total / _GENERATOR_UPDATES], axis=0)


def update_makers(rate: float, state: State, windows: tf.Tensor, noise: tf.Tensor) -> tuple[State, tf.Tensor]:
    """One update of generator and supervisor, then of embedder and recovery, by one batch; losses (4)."""
    with tf.GradientTape() as tape:
        tape.watch((state.embedder.parameters, state.recovery.parameters))
        hidden = timegan.sequence(windows, state.embedder.parameters)
        # The supervisor's new parameters are constants here, though this tape's variables made them.
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
    """One update of generator and supervisor by `hidden` (time, h, b), of real windows; losses (3)."""
    with tf.GradientTape() as tape:
        tape.watch((state.generator.parameters, state.supervisor.parameters))
        raw = timegan.sequence(timegan.uniform(noise), state.generator.parameters)
        made, ahead = _halves(timegan.sequence, raw, hidden, state.supervisor.parameters)
        fake, fake_raw = _halves(timegan.logits, made, raw, state.discriminator.parameters)
        moments = timegan.moment_loss(timegan.sequence(made, state.recovery.parameters), windows)
        supervised = timegan.supervised_loss(hidden, ahead)
        loss = timegan.generator_loss(fake, fake_raw, supervised, moments)
    after = _descend(rate, state, tape, loss, ("generator", "supervisor"))
    return after, tf.stack([loss, tf.sqrt(supervised), moments])


def update_discriminator(
    rate: float, state: State, windows: tf.Tensor, noise: tf.Tensor
) -> tuple[State, tf.Tensor]:
    """One update of the discriminator unless its loss is small already, for each model; that loss."""
    hidden = timegan.sequence(windows, state.embedder.parameters)
    raw = timegan.sequence(timegan.uniform(noise), state.generator.parameters)
    made = timegan.sequence(raw, state.supervisor.parameters)
    with tf.GradientTape() as tape:
        tape.watch(state.discriminator.parameters)
        values = timegan.logits(tf.concat([hidden, made, raw], axis=-1), state.discriminator.parameters)
        loss = timegan.discriminator_loss(*tf.split(values, 3, axis=-1))
    moved = _descend(rate, state, tape, loss, ("discriminator",))
    learns = loss > _LEAST_DISCRIMINATOR_LOSS
    after = tf.nest.map_structure(
        lambda new, old: tf.where(adam.by_model(learns, new), new, old), moved, state
    )
    return after, loss


def _descend(
    rate: float, state: State, tape: tf.GradientTape, loss: tf.Tensor, networks: tuple[str, ...]
) -> State:
    """The state after one step of Adam down `loss` with the named networks."""
    before = [getattr(state, network) for network in networks]
    gradients = tape.gradient(loss, [network.parameters for network in before])
    after = {}
    for name, network, gradient in zip(networks, before, gradients, strict=True):
        moved = adam.update(
            network.parameters, gradient, network.moments, learning_rate=rate, epsilon=_EPSILON
        )
        after[name] = Trained(*moved)
    return state._replace(**after)


def _halves(
    network: Callable[[tf.Tensor, Parameters], tf.Tensor], a: tf.Tensor, b: tf.Tensor, parameters: Parameters
) -> tuple[tf.Tensor, tf.Tensor]:
    """What a network makes of two batches of one size, in one pass."""
    first, second = tf.split(network(tf.concat([a, b], axis=-1), parameters), 2, axis=-1)
    return first, second


def _no_losses(count: int, state: State) -> tf.Tensor:
    """Zero for each of so many losses, and for each model of the state."""
    return tf.zeros((count, *state.embedder.moments.step.shape))


def _roots(loss: tf.Tensor) -> tf.Tensor:
    return tf.sqrt(loss)[tf.newaxis]
