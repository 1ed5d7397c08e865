"""Training of TimeGAN: steps of a phase in one compiled program, phases and checkpoints.

The phases, as in the authors' program, each with Adam's averages of its own: `embedding` (embedder and
recovery), `supervised` (supervisor) and `joint` (twice generator and supervisor, then embedder and recovery;
then the discriminator). All random numbers come in as arguments.

Several models train in one program where they are set side by side: states, and the losses of a step, then
have an axis of models, and no model meets another's data.

Each model has its own windows and random numbers, which do not depend on the models beside it. This module
imports TensorFlow, so `timegan` imports it only where it trains.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache, partial
from typing import Literal, NamedTuple, get_args

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from pulseveil.core.checkpoints import Checkpoint
from pulseveil.core.randomness import Stream, child, generator
from pulseveil.generators.examples import ROWS, shuffled_rows, warn_of_collapse
from pulseveil.generators.timegan import TimeGANSettings
from pulseveil.generators.timegan import networks as timegan
from pulseveil.networks import adam
from pulseveil.networks.adam import from_arrays, to_arrays
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


logger = logging.getLogger(__name__)

NamedWeights = dict[str, NDArray[np.float32]]

_BLOCK_STEPS = 50  # steps in one call of the compiled program, and in one draw of random numbers
_PROGRESS_LINES = 20  # in each phase


class Data(NamedTuple):
    """A model's name, its windows (n, time, channels) in [0, 1], and its stream of random numbers."""

    name: str
    windows: NDArray[np.float32]
    stream: Stream


class Block(NamedTuple):
    """The `number`-th block of a phase: steps `first`..`last` - 1; then `done` are done in all.

    model: the key of those that train side by side, which may be a single one.
    """

    model: str
    phase: Phase
    number: int
    first: int
    last: int
    done: int


def train(
    settings: TimeGANSettings, models: Mapping[str, Sequence[Data]], checkpoint: Checkpoint | None
) -> list[NamedWeights]:
    """Parameters of each model's sampling networks by name.

    The models of one value of `models` train side by side, one value after the other. Continues from
    `checkpoint` where it holds a state. All random numbers are keyed by phase and step in a model's stream,
    so interruptions change nothing.
    """
    starts = {
        key: side_by_side([_start(settings, model) for model in together]) for key, together in models.items()
    }
    done, states = _restored(starts, checkpoint)
    for block in _blocks(settings, models):
        if block.done <= done:
            continue
        before, done = done, block.done
        states[block.model] = _run(block, settings, states[block.model], models[block.model])
        if checkpoint is not None:
            checkpoint.keep(before, done, partial(to_arrays, states))
    trained = []
    for key, together in models.items():
        for model, state in zip(together, each(states[key], len(together)), strict=True):
            _look_at_diversity(model.name, state, model.windows, child(model.stream, "diversity"))
            trained.append(_sampling_parameters(settings, state))
    return trained


def _start(settings: TimeGANSettings, model: Data) -> State:
    """The state of a model before its first step."""
    rng, channels = generator(child(model.stream, "parameters")), model.windows.shape[2]
    return start(rng, channels=channels, hidden=settings.hidden, depth=settings.layers)


def _blocks(settings: TimeGANSettings, models: Iterable[str]) -> Iterator[Block]:
    """All blocks of a training in order: key by key of `models`, phase by phase."""
    done = 0
    for model in models:
        for phase in get_args(Phase):
            steps = getattr(settings, f"{phase}_steps")
            for number, first in enumerate(range(0, steps, _BLOCK_STEPS)):
                last = min(first + _BLOCK_STEPS, steps)
                done += last - first
                yield Block(model, phase, number, first, last, done)


def _run(block: Block, settings: TimeGANSettings, state: State, models: Sequence[Data]) -> State:
    """The state of `models` after the steps of a block."""
    if block.first == 0:
        state = start_phase(state)
    drawn = [
        draw_batches(
            model.windows, child(model.stream, block.phase), block.phase, block.number, settings.batch_size
        )
        for model in models
    ]
    batches = batches_side_by_side(drawn)
    run = program(block.phase, settings.learning_rate)
    state, losses = run(state, batches, tf.constant(block.last - block.first))
    _report(block, getattr(settings, f"{block.phase}_steps"), losses, models)
    return state


def draw_batches(
    windows: NDArray[np.float32], stream: Stream, phase: Phase, block: int, batch_size: int
) -> Batches:
    """Inputs of a block's steps: windows in passes over freshly shuffled rows, and the phase's noise."""
    draws = DRAWS[phase]
    count = _BLOCK_STEPS * draws * batch_size
    rows = shuffled_rows(len(windows), block * count, count, stream)
    drawn = windows[rows].reshape(_BLOCK_STEPS, draws, batch_size, *windows.shape[1:])
    shape = (_BLOCK_STEPS, draws if phase == "joint" else 0, *drawn.shape[2:])
    noise = generator(child(stream, "noise", block)).standard_normal(shape, dtype=np.float32)
    return Batches(tf.constant(drawn), tf.constant(noise))


def _restored(states: dict[str, State], checkpoint: Checkpoint | None) -> tuple[int, dict[str, State]]:
    stored = checkpoint.load() if checkpoint is not None else None
    if stored is None:
        return 0, states
    logger.info("timegan: continue after step %d of all phases and models", stored.step)
    return stored.step, from_arrays(states, stored.arrays)


def _report(block: Block, steps: int, losses: tf.Tensor, models: Sequence[Data]) -> None:
    """Log each model's mean losses of a block some twenty times a phase."""
    if block.last * _PROGRESS_LINES // steps == block.first * _PROGRESS_LINES // steps:
        return
    for model, own in zip(models, losses.numpy().reshape(len(losses), -1).T, strict=True):
        values = zip(LOSSES[block.phase], own, strict=True)
        named = ", ".join(f"{name} {value:.3f}" for name, value in values)
        logger.info(
            "timegan: %s, %s step %d of %d, losses: %s", model.name, block.phase, block.last, steps, named
        )


def _look_at_diversity(name: str, state: State, windows: NDArray[np.float32], stream: Stream) -> None:
    """Warn where a model's windows are all nearly the same one."""
    shape = (ROWS, *windows.shape[1:])
    noise = generator(child(stream, "noise")).standard_normal(shape, dtype=np.float32)
    networks = [getattr(state, network).parameters for network in timegan.SAMPLING_NETWORKS]
    made = timegan.sampler()(networks, noise).numpy()
    warn_of_collapse(f"timegan: {name}", made, windows, stream)


def _sampling_parameters(settings: TimeGANSettings, state: State) -> NamedWeights:
    return {
        name: getattr(state, network).parameters[i].numpy()
        for network in timegan.SAMPLING_NETWORKS
        for i, name in enumerate(timegan.parameter_names(network, settings.layers))
    }
