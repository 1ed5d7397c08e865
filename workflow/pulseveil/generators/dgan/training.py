"""Training of DGAN: passes over the windows in one compiled program, checkpoints, private losses.

A step is one update of the discriminator, then one of the generator by the same made windows. All random
numbers come in as arguments.

Several models train in one program where they are set side by side: parameters, rows, draws and losses then
have an axis of models in front of the shapes below, and no model meets another's data. All have equally many
rows, as the last batch of a pass has what they leave.

Each model has its own windows and random numbers, which do not depend on the models beside it. This module
imports TensorFlow, so `dgan` imports it only where it trains.

In a private training a record's loss is the score of a made window less that of its own, plus the gradient
penalty on the line between the two, which is told the record's own code. All of it is inside the record's
clip: the window is protected there, and the code with it. The made window is paired with the record because
only the difference of scores says anything: clipped apart, the real half shrinks by its penalty, and what is
left of the other one moves all scores, and then all made values, the same way.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from pulseveil.core.checkpoints import Checkpoint
from pulseveil.core.randomness import Stream, child, generator
from pulseveil.generators.dgan import DGANSettings, networks
from pulseveil.generators.dgan.networks import GENERATOR_PARAMETERS, Penalty, Shape
from pulseveil.generators.examples import shuffled_rows
from pulseveil.networks import adam
from pulseveil.networks.adam import from_arrays, to_arrays
from pulseveil.networks.adversaries import Adversaries, Made, Players, Real, side_by_side, start_players
from pulseveil.networks.layers import Parameters
from pulseveil.networks.per_example import Note

LOSSES = ("discriminator", "penalty", "generator")
_EPSILON = 1e-8  # Adam's, in the published program


class Objective(NamedTuple):
    """What a training minimises and how; each has its own compiled program."""

    learning_rate: float
    beta1: float
    penalty: Penalty
    penalty_weight: float


class Rows(NamedTuple):
    """All training windows: flat in [0, 1], windows (n, steps * values), and their codes (n, k), float32."""

    windows: tf.Tensor
    codes: tf.Tensor


class Draws(NamedTuple):
    """Random numbers of a number of passes over n windows.

    order (passes, n) int32: the rows in their order in each pass; noise (passes, n, steps, p): standard
    normal; place (passes, n): uniform on [0, 1), where between a made and a real window the penalty looks.
    Models come after the passes.
    """

    order: tf.Tensor
    noise: tf.Tensor
    place: tf.Tensor


Program = Callable[[Players, Rows, Draws, tf.Tensor, tf.Tensor], tuple[Players, tf.Tensor]]


def start(rng: np.random.Generator, shape: Shape) -> Players:
    """The state before the first step."""
    return start_players(networks.start_generator(rng, shape), networks.start_discriminator(rng, shape))


def rows_side_by_side(rows: Sequence[Rows]) -> Rows:
    """The rows of several models, equally many, as one; those of a single model as they are."""
    return rows[0] if len(rows) == 1 else Rows(*map(tf.stack, zip(*rows, strict=True)))


def draws_side_by_side(draws: Sequence[Draws]) -> Draws:
    """The draws of several models for equally many rows as one; those of a single model as they are."""
    if len(draws) == 1:
        return draws[0]
    return Draws(*(tf.stack(values, axis=1) for values in zip(*draws, strict=True)))


@lru_cache(maxsize=16)
def program(objective: Objective, batch_size: int) -> Program:
    """Compiled `(state, rows, draws, first, last) -> (state, mean LOSSES)`: the passes first..last - 1.

    A pass that does not end with a full batch ends with a smaller one: the program holds a step of each size
    and is compiled for each number of rows, rather than filling the last batch up. Losses of several models
    are (3, models).
    """

    @tf.function(jit_compile=True, autograph=False)  # type: ignore[untyped-decorator]
    def run(
        state: Players, rows: Rows, draws: Draws, first: tf.Tensor, last: tf.Tensor
    ) -> tuple[Players, tf.Tensor]:
        def body(i: tf.Tensor, state: Players, total: tf.Tensor) -> tuple[tf.Tensor, Players, tf.Tensor]:
            own = Draws(*(values[i] for values in draws))
            state, losses = one_pass(objective, batch_size, state, rows, own)
            return i + 1, state, total + losses

        _, *models, _ = draws.order.shape
        begin = (first, state, tf.zeros((len(LOSSES), *models)))
        _, state, total = tf.while_loop(lambda i, *_: i < last, body, begin)
        return state, total / tf.cast(last - first, tf.float32)

    return run  # type: ignore[no-any-return]


def one_pass(
    objective: Objective, batch_size: int, state: Players, rows: Rows, draws: Draws
) -> tuple[Players, tf.Tensor]:
    """The state after a pass over all rows in batches, by `draws` of one pass; mean LOSSES of its steps."""
    *models, n = draws.order.shape
    full, rest = divmod(n, batch_size)
    batches = Draws(*(_in_batches(values, models, full, batch_size) for values in draws))

    def body(i: tf.Tensor, state: Players, total: tf.Tensor) -> tuple[tf.Tensor, Players, tf.Tensor]:
        state, losses = _batch(objective, state, rows, Draws(*(values[i] for values in batches)))
        return i + 1, state, total + losses

    begin = (tf.constant(0), state, tf.zeros((len(LOSSES), *models)))
    _, state, total = tf.while_loop(lambda i, *_: i < full, body, begin)
    if rest:
        left = Draws(*(_taken(values, models, slice(-rest, None)) for values in draws))
        state, losses = _batch(objective, state, rows, left)
        total += losses
    return state, total / (full + (rest > 0))


def step(
    objective: Objective, state: Players, rows: Rows, noise: tf.Tensor, place: tf.Tensor
) -> tuple[Players, tf.Tensor]:
    """One update of each network by a batch of rows, noise (b, steps, p) and place (b); LOSSES (3)."""
    with tf.GradientTape() as tape:
        tape.watch(state.generator)
        made = networks.generate(state.generator, noise, rows.codes)
        with tape.stop_recording():
            state, losses = update_discriminator(objective, state, rows, made, place)
        loss = _generator_loss(state.discriminator, made, rows.codes)
    after = _descend_generator(objective, state, tape.gradient(loss, state.generator))
    return after, tf.concat([losses, loss[tf.newaxis]], axis=0)


def update_generator(objective: Objective, state: Players, noise: tf.Tensor, codes: tf.Tensor) -> Players:
    """One update of the generator alone, by noise (b, steps, p) and codes (b, k)."""
    with tf.GradientTape() as tape:
        tape.watch(state.generator)
        made = networks.generate(state.generator, noise, codes)
        loss = _generator_loss(state.discriminator, made, codes)
    return _descend_generator(objective, state, tape.gradient(loss, state.generator))


def update_discriminator(
    objective: Objective, state: Players, rows: Rows, made: tf.Tensor, place: tf.Tensor
) -> tuple[Players, tf.Tensor]:
    """One update of the discriminator by real and made windows (b, d); its loss and the penalty in it (2)."""
    between = points_between(rows.windows, made, place)
    real, fake, mixed = (tf.concat([x, rows.codes], axis=-1) for x in (rows.windows, made, between))
    with tf.GradientTape() as tape:
        tape.watch(state.discriminator)
        scores = networks.criticise(tf.concat([real, fake], axis=-2), state.discriminator)
        # A code is told, not made: the penalty looks at the window's part of the gradient.
        gradients = networks.input_gradients(mixed, state.discriminator)[..., : made.shape[-1]]
        penalty = objective.penalty_weight * networks.gradient_penalty(objective.penalty, gradients)
        loss = networks.discriminator_loss(*tf.split(scores, 2, axis=-1)) + penalty
    changes = tape.gradient(loss, state.discriminator, unconnected_gradients=tf.UnconnectedGradients.ZERO)
    return descend_discriminator(objective, state, changes), tf.stack([loss, penalty])


def points_between(real: tf.Tensor, made: tf.Tensor, place: tf.Tensor) -> tf.Tensor:
    """Where the penalty looks, (n, d): on the lines from made to real windows, at place (n)."""
    return made + place[..., tf.newaxis] * (real - made)


def descend_discriminator(objective: Objective, state: Players, gradients: Sequence[tf.Tensor]) -> Players:
    """The state after Adam's step of the discriminator along `gradients`."""
    discriminator, moments = _descend(objective, state.discriminator, gradients, state.discriminator_adam)
    return state._replace(discriminator=discriminator, discriminator_adam=moments)


def _descend_generator(objective: Objective, state: Players, gradients: Sequence[tf.Tensor]) -> Players:
    generator, moments = _descend(objective, state.generator, gradients, state.generator_adam)
    return state._replace(generator=generator, generator_adam=moments)


def _generator_loss(discriminator: Parameters, made: tf.Tensor, codes: tf.Tensor) -> tf.Tensor:
    return networks.generator_loss(networks.criticise(tf.concat([made, codes], axis=-1), discriminator))


def _batch(objective: Objective, state: Players, rows: Rows, draws: Draws) -> tuple[Players, tf.Tensor]:
    """The step of one batch, whose draws these are."""
    models = len(draws.order.shape) - 1
    own = Rows(*(tf.gather(values, draws.order, batch_dims=models) for values in rows))
    return step(objective, state, own, draws.noise, draws.place)


def _in_batches(values: tf.Tensor, models: Sequence[int], batches: int, batch_size: int) -> tf.Tensor:
    """The first rows of values (n, ...) as (batches, batch_size, ...); models come after the batches."""
    first = _taken(values, models, slice(batches * batch_size))
    parted = tf.reshape(first, (*models, batches, batch_size, *values.shape[len(models) + 1 :]))
    return tf.transpose(parted, (1, 0, *range(2, len(parted.shape)))) if models else parted


def _taken(values: tf.Tensor, models: Sequence[int], rows: slice) -> tf.Tensor:
    """Some rows of values (n, ...)."""
    return values[:, rows] if models else values[rows]


def _descend(
    objective: Objective, parameters: Parameters, gradients: Sequence[tf.Tensor], moments: adam.AdamState
) -> tuple[list[tf.Tensor], adam.AdamState]:
    return adam.update(
        parameters,
        gradients,
        moments,
        learning_rate=objective.learning_rate,
        beta1=objective.beta1,
        epsilon=_EPSILON,
    )


@dataclass(frozen=True)
class DGANAdversaries(Adversaries):
    """Windows are flat, (m, steps * values) in [0, 1]; the penalty is that of each window."""

    objective: Objective
    shape: Shape

    @property
    def pairs(self) -> bool:
        """The made window's loss is in that of the real one."""
        return True

    @property
    def noise_shape(self) -> tuple[int, ...]:
        """Normal numbers of a window: those of each step of the LSTM."""
        return (self.shape.steps, self.shape.noise)

    def start(self, rng: np.random.Generator) -> Players:
        """The players before the first step."""
        return start(rng, self.shape)

    def make(self, generator: Parameters, made_from: tf.Tensor, condition: tf.Tensor) -> tf.Tensor:
        """Flat windows (m, steps * values) from normal numbers (m, steps, p)."""
        return networks.generate(generator, made_from, self._told(condition))

    def real_losses(self, discriminator: Parameters, real: Real, made: Made, note: Note) -> tf.Tensor:
        """Score of the made window less that of the real one, plus the weighted penalty between the two."""
        between = points_between(real.windows, made.windows, made.place)
        codes = self._told(real.condition)
        own, mixed = (tf.concat([x, codes], axis=1) for x in (real.windows, between))
        # In one product: a kernel meets the data once.
        both = tf.stack([own, tf.concat([made.windows, self._told(made.condition)], axis=1)], axis=1)
        scores = networks.criticise(both, discriminator, note)
        # A code is told, not made: the penalty looks at the window's part of the gradient.
        gradients = networks.input_gradients(mixed, discriminator, note)[:, : real.windows.shape[1]]
        penalties = self.objective.penalty_weight * networks.window_penalties(gradients)
        return scores[:, 1] - scores[:, 0] + penalties

    def update_discriminator(self, players: Players, gradients: Sequence[tf.Tensor]) -> Players:
        """The players after a step of the discriminator along `gradients`."""
        return descend_discriminator(self.objective, players, gradients)

    def update_generator(self, players: Players, condition: tf.Tensor, made_from: tf.Tensor) -> Players:
        """The players after a step of the generator by the scores of its windows."""
        return update_generator(self.objective, players, made_from, self._told(condition))

    def _told(self, condition: tf.Tensor) -> tf.Tensor:
        """Numbers (m, k) that tell both networks the condition (m); none where it is one of the signals."""
        return tf.one_hot(condition, self.shape.codes)


logger = logging.getLogger(__name__)

NamedWeights = dict[str, NDArray[np.float32]]

_BLOCK_PASSES = 50  # passes in one call of the compiled program, and in one draw of random numbers
_PROGRESS_LINES = 20


class Examples(NamedTuple):
    """What a training sees: signals (n, time, signals) in [0, 1] and codes (n, k) that networks are told."""

    signals: NDArray[np.float32]
    codes: NDArray[np.float32]


class Data(NamedTuple):
    """What a model learns, and its training's stream of random numbers."""

    examples: Examples
    stream: Stream


class _Group(NamedTuple):
    """Models with equally many windows, which train side by side: their places among all, and all rows."""

    places: list[int]
    models: list[Data]
    rows: Rows


def train(
    settings: DGANSettings, models: Sequence[Data], checkpoint: Checkpoint | None
) -> list[NamedWeights]:
    """The trained generators' parameters by name, one a model; continues from `checkpoint` where it can.

    Models with equally many windows train side by side, and one such group after the other. A step of
    `checkpoint` is a pass of a group over its windows. All random numbers are keyed by the pass of the
    model's own training, so interruptions change nothing.
    """
    groups = _groups(models)
    starts = [_start(settings, group.models) for group in groups]
    done, states = _restored(starts, settings.epochs, checkpoint)
    while done < len(groups) * settings.epochs:
        number, first = divmod(done, settings.epochs)
        states[number], last = _train_block(settings, groups[number], states[number], first)
        before, done = done, number * settings.epochs + last
        if checkpoint is not None:
            checkpoint.keep(before, done, partial(to_arrays, _kept(states, number)))
    trained = {
        place: parameters
        for group, state in zip(groups, states, strict=True)
        for place, parameters in zip(group.places, _each(state, len(group.places)), strict=True)
    }
    return [trained[place] for place in range(len(models))]


def _groups(models: Sequence[Data]) -> list[_Group]:
    sizes = [len(model.examples.signals) for model in models]
    groups = []
    for size in dict.fromkeys(sizes):
        places = [place for place, other in enumerate(sizes) if other == size]
        own = [models[place] for place in places]
        groups.append(_Group(places, own, rows_side_by_side([_rows(model.examples) for model in own])))
    return groups


def _rows(examples: Examples) -> Rows:
    n = len(examples.signals)
    return Rows(tf.constant(examples.signals.reshape(n, -1)), tf.constant(examples.codes))


def _start(settings: DGANSettings, models: Sequence[Data]) -> Players:
    """The state of models side by side before their first step."""
    return side_by_side(
        [
            start(generator(child(stream, "parameters")), shape_of(settings, examples))
            for examples, stream in models
        ]
    )


def _train_block(settings: DGANSettings, group: _Group, state: Players, first: int) -> tuple[Players, int]:
    """The state after the passes from `first` to the end of its block, and how many passes are then done."""
    n, shape = len(group.models[0].examples.signals), shape_of(settings, group.models[0].examples)
    run = program(objective_of(settings), min(settings.batch_size, n))
    block = first // _BLOCK_PASSES
    draws = draws_side_by_side([draw_passes(n, shape, block, model.stream) for model in group.models])
    last = min((block + 1) * _BLOCK_PASSES, settings.epochs)
    begin, end = (tf.constant(number - block * _BLOCK_PASSES) for number in (first, last))
    state, losses = run(state, group.rows, draws, begin, end)
    _report(first, last, settings.epochs, losses)
    return state, last


def _each(state: Players, models: int) -> list[NamedWeights]:
    """The generator's parameters of each model by name."""
    values = [value.numpy() for value in state.generator]
    each = [values] if models == 1 else zip(*values, strict=True)
    return [dict(zip(GENERATOR_PARAMETERS, own, strict=True)) for own in each]


def objective_of(settings: DGANSettings) -> Objective:
    """The part of the settings that is compiled into the program."""
    return Objective(**{name: getattr(settings, name) for name in Objective._fields})


def private_adversaries(settings: DGANSettings, examples: Examples) -> DGANAdversaries:
    """The networks and losses of a private training on such examples."""
    private, shape = settings.private, shape_of(settings, examples)
    return DGANAdversaries(
        objective_of(settings)._replace(learning_rate=private.learning_rate),
        shape._replace(discriminator_units=max(1, shape.discriminator_units // private.width_divisor)),
    )


def shape_of(settings: DGANSettings, examples: Examples) -> Shape:
    """The sizes of networks that learn these examples."""
    _, time, signals = examples.signals.shape
    length = settings.sample_length or time
    return Shape(
        steps=time // length,
        values=length * signals,
        codes=examples.codes.shape[1],
        noise=settings.noise,
        units=settings.units,
        discriminator_units=settings.discriminator_units,
        discriminator_layers=settings.discriminator_layers,
    )


def draw_passes(n: int, shape: Shape, block: int, stream: Stream) -> Draws:
    """Random numbers of a block of passes over n windows."""
    order = shuffled_rows(n, block * _BLOCK_PASSES * n, _BLOCK_PASSES * n, stream)
    size = (_BLOCK_PASSES, n)
    noise = generator(child(stream, "noise", block))
    place = generator(child(stream, "place", block))
    return Draws(
        tf.constant(order.reshape(size), tf.int32),
        tf.constant(noise.standard_normal((*size, shape.steps, shape.noise), dtype=np.float32)),
        tf.constant(place.random(size, dtype=np.float32)),
    )


def _kept(states: Sequence[Players], number: int) -> tuple[list[list[tf.Tensor]], Players]:
    """What a checkpoint keeps while group `number` trains: its state, and earlier groups' generators."""
    return [state.generator for state in states[:number]], states[number]


def _restored(states: list[Players], epochs: int, checkpoint: Checkpoint | None) -> tuple[int, list[Players]]:
    """Passes done by all groups together, and their states."""
    stored = checkpoint.load() if checkpoint is not None else None
    if stored is None:
        return 0, states
    logger.info("dgan: continue after pass %d", stored.step)
    number = min((stored.step - 1) // epochs, len(states) - 1)
    generators, state = from_arrays(_kept(states, number), stored.arrays)
    finished = [own._replace(generator=values) for own, values in zip(states, generators, strict=False)]
    return stored.step, [*finished, state, *states[number + 1 :]]


def _report(before: int, done: int, epochs: int, losses: tf.Tensor) -> None:
    """Log each model's mean losses in a block some twenty times a training."""
    if done * _PROGRESS_LINES // epochs > before * _PROGRESS_LINES // epochs:
        for values in losses.numpy().reshape(len(LOSSES), -1).T:
            named = ", ".join(f"{name} {value:.3f}" for name, value in zip(LOSSES, values, strict=True))
            logger.info("dgan: pass %d of %d, losses: %s", done, epochs, named)
