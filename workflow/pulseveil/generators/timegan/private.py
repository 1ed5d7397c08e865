"""Private training of TimeGAN: networks, losses per window, and ledger entries. Imports TensorFlow.

There is one conditional model. Each network reads its sequence and, at each step, the one-hot code of the
condition. Axes are ordered as in `layers`, whose notes give gradients of single records.

The losses differ from those of the authors' program:

- A root mean square error is that of one window. The authors' root is over the batch, which mixes records.
- The supervisor learns together with embedder and recovery and is then fixed.
- The generator has a loss for the distance of its sequences from the supervisor's predictions.
- There is no moment loss: it compares batches of real windows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import accumulate, pairwise

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from pulseveil.core.randomness import child
from pulseveil.generators import Training
from pulseveil.generators.private_settings import OF_RANGE, PrivateTimeGAN
from pulseveil.generators.private_training import lay_out_labelled
from pulseveil.generators.private_training import train_privately as train_adversaries
from pulseveil.generators.timegan import networks as timegan
from pulseveil.generators.timegan.networks import parameter_names
from pulseveil.networks import adam, layers
from pulseveil.networks.adversaries import Adversaries, Players, Real, Synthetic, start_players
from pulseveil.networks.layers import Parameters
from pulseveil.networks.learner import Learner, RowSeeds
from pulseveil.networks.per_example import Note, unnoted
from pulseveil.networks.training import Examples, Tensors, Weights
from pulseveil.privacy import dpsgd, ledger
from pulseveil.privacy.budget import Mechanism
from pulseveil.privacy.ledger import Entry
from pulseveil.privacy.programs import DPSGD

LEARNT_TOGETHER = ("embedder", "recovery", "supervisor")

# Weight of the supervisor's root mean square error. It equals the weight of the reconstruction: noise of
# equal size is added to all gradients, which should then have similar sizes.
_AHEAD_WEIGHT = timegan.RECONSTRUCTION_WEIGHT


@dataclass(frozen=True)
class Sizes:
    """Sizes of all networks.

    time, channels: shape of a window. classes: number of condition codes. hidden: units of each layer and of
    hidden sequences. depth: GRU layers per network (the supervisor has one fewer).
    """

    time: int
    channels: int
    classes: int
    hidden: int
    depth: int

    def start(self, rng: np.random.Generator, network: str) -> list[NDArray[np.float32]]:
        """Initial parameters of one of `networks.NETWORKS`."""
        sizes = {"channels": self.channels, "hidden": self.hidden, "depth": self.depth}
        return timegan.start_network(rng, network, codes=self.classes, **sizes)

    def count(self, network: str) -> int:
        """Number of parameter arrays of a network."""
        return len(timegan.parameter_names(network, self.depth))


def logits(x: tf.Tensor, codes: tf.Tensor, parameters: Parameters, note: Note = unnoted) -> tf.Tensor:
    """Output of a network before any sigmoid: x (n, time, p), codes (n, classes) one-hot -> (n, time, q)."""
    *recurrent, kernel, bias = parameters
    each_step = tf.repeat(codes[:, tf.newaxis], x.shape[1], axis=1)
    x = tf.concat([x, each_step], axis=2)
    for first in range(0, len(recurrent), timegan.GRU_ARRAYS):
        x = layers.gru(x, recurrent[first : first + timegan.GRU_ARRAYS], note)
    return layers.dense(x, (kernel, bias), note)


def sequence(x: tf.Tensor, codes: tf.Tensor, parameters: Parameters, note: Note = unnoted) -> tf.Tensor:
    """`logits` with a sigmoid, as all networks except the discriminator have it: values in (0, 1)."""
    return tf.sigmoid(logits(x, codes, parameters, note))


def mean_squares(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """Mean squared difference per row (n); both arguments have one shape (n, ...)."""
    return tf.reduce_mean(tf.square(a - b), axis=tuple(range(1, len(a.shape))))


@dataclass(frozen=True)
class Embedding(Learner):
    """Embedder, recovery and supervisor with one loss per window.

    The x of a row is a window (time, channels) in [0, 1], its target the one-hot code of the condition.
    """

    sizes: Sizes

    @property
    def compiles_step(self) -> bool:
        """The networks are small: XLA compiles the whole step."""
        return True

    @property
    def inputs(self) -> tuple[int, ...]:
        """Shape of a window: time steps and channels."""
        return self.sizes.time, self.sizes.channels

    @property
    def targets(self) -> int:
        """Length of a target: one number per condition."""
        return self.sizes.classes

    def start(self, rng: np.random.Generator) -> Weights:
        """Initial weights, network by network."""
        return Weights([value for name in LEARNT_TOGETHER for value in self.sizes.start(rng, name)], [])

    def networks(self, parameters: Tensors) -> dict[str, Tensors]:
        """The parameters of each network by its name."""
        ends = accumulate((self.sizes.count(name) for name in LEARNT_TOGETHER), initial=0)
        return {
            name: parameters[first:last]
            for name, (first, last) in zip(LEARNT_TOGETHER, pairwise(ends), strict=True)
        }

    def row_losses(
        self, weights: Weights, batch: Examples, seeds: RowSeeds, note: Note = unnoted
    ) -> tf.Tensor:
        """Root mean square errors of reconstruction and supervisor, times the weight of the row (rows)."""
        networks = self.networks(weights.parameters)
        hidden = sequence(batch.x, batch.target, networks["embedder"], note)
        recovered = sequence(hidden, batch.target, networks["recovery"], note)
        # As in the authors' first two phases, the supervisor's loss does not change the embedder.
        given = tf.stop_gradient(hidden)
        ahead = sequence(given, batch.target, networks["supervisor"], note)
        reconstruction = tf.sqrt(mean_squares(batch.x, recovered))
        supervised = tf.sqrt(mean_squares(given[:, 1:], ahead[:, :-1]))
        return batch.weight * (timegan.RECONSTRUCTION_WEIGHT * reconstruction + _AHEAD_WEIGHT * supervised)


@dataclass(frozen=True)
class SequenceAdversaries(Adversaries):
    """Generator and discriminator of hidden sequences (time, h).

    supervised_weight: weight of the root mean square distance of generated sequences from the supervisor's
    predictions. supervisor: its released parameters.
    """

    # `start` appends the supervisor's parameters to the generator's, where they never change. All other
    # methods read them from there, so adversaries with other supervisors are equal and share a program.

    sizes: Sizes
    learning_rate: float
    supervised_weight: float
    supervisor: Sequence[NDArray[np.float32]] = field(compare=False, repr=False)

    @property
    def noise_shape(self) -> tuple[int, ...]:
        """Shape (time, channels) of the normal numbers from which one sequence is synthesized."""
        return self.sizes.time, self.sizes.channels

    def start(self, rng: np.random.Generator) -> Players:
        """The players before the first step."""
        generator, discriminator = (self.sizes.start(rng, name) for name in ("generator", "discriminator"))
        return start_players([*generator, *self.supervisor], discriminator)

    def split(self, generator: Parameters) -> tuple[Parameters, Parameters]:
        """Parameters of the generator and of the supervisor, from the list of both."""
        own = self.sizes.count("generator")
        return generator[:own], generator[own:]

    def synthesize(self, generator: Parameters, noise: tf.Tensor, condition: tf.Tensor) -> tf.Tensor:
        """Synthetic sequences (m, 2, time, h): after the supervisor, and before it."""
        own, supervisor = self.split(generator)
        codes = self._codes(condition)
        raw = sequence(timegan.uniform(noise), codes, own)
        return tf.stack([sequence(raw, codes, supervisor), raw], axis=1)

    def real_losses(
        self, discriminator: Parameters, real: Real, synthetic: Synthetic, note: Note
    ) -> tf.Tensor:
        """Cross-entropy with the target "real" (m), a mean over time, which reads no synthetic sequences."""
        values = logits(real.windows, self._codes(real.condition), discriminator, note)
        return _cross_entropy(values, 1.0)

    def synthetic_losses(self, discriminator: Parameters, synthetic: Synthetic, note: Note) -> tf.Tensor:
        """Cross-entropy with the target "synthetic" (m), the sum of both kinds of sequences."""
        return self._losses_of_kinds(discriminator, synthetic.windows, synthetic.condition, 0.0, note)

    def update_discriminator(self, players: Players, gradients: Sequence[tf.Tensor]) -> Players:
        """The players after one step of the discriminator along `gradients`."""
        # In every step. The authors' program skips the update of a discriminator with a small loss, but that
        # loss reads real windows and would need noise.
        parameters, moments = adam.update(
            players.discriminator, gradients, players.discriminator_adam, learning_rate=self.learning_rate
        )
        return players._replace(discriminator=parameters, discriminator_adam=moments)

    def update_generator(self, players: Players, condition: tf.Tensor, noise: tf.Tensor) -> Players:
        """The players after one step of the generator, by the discriminator and by the fixed supervisor."""
        own, supervisor = self.split(players.generator)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(own)
            synthetic = self.synthesize([*own, *supervisor], noise, condition)
            adversarial = self._losses_of_kinds(players.discriminator, synthetic, condition, 1.0)
            supervised = tf.sqrt(mean_squares(synthetic[:, 1, 1:], synthetic[:, 0, :-1]))
            loss = tf.reduce_mean(adversarial + self.supervised_weight * supervised)
        # Zero gradients keep Adam from moving the supervisor's parameters, which share the list.
        gradients = [*tape.gradient(loss, own), *(tf.zeros_like(value) for value in supervisor)]
        parameters, moments = adam.update(
            players.generator, gradients, players.generator_adam, learning_rate=self.learning_rate
        )
        return players._replace(generator=parameters, generator_adam=moments)

    def _codes(self, condition: tf.Tensor) -> tf.Tensor:
        return tf.one_hot(condition, self.sizes.classes)

    def _losses_of_kinds(
        self,
        discriminator: Parameters,
        synthetic: tf.Tensor,
        condition: tf.Tensor,
        target: float,
        note: Note = unnoted,
    ) -> tf.Tensor:
        """Cross-entropy of synthetic sequences (m, 2, time, h) with one target, the sum of both kinds (m)."""
        # Both kinds of a row are adjacent: the notes take adjacent rows as parts of one record.
        rows = tf.reshape(synthetic, (-1, *synthetic.shape[2:]))
        values = logits(rows, tf.repeat(self._codes(condition), 2, axis=0), discriminator, note)
        of_kinds = tf.reshape(_cross_entropy(values, target), (-1, 2))
        return of_kinds[:, 0] + timegan.RAW_WEIGHT * of_kinds[:, 1]


def _cross_entropy(values: tf.Tensor, target: float) -> tf.Tensor:
    """Cross-entropy of logits (n, time, 1) with one target for all, a mean over time (n)."""
    each = tf.nn.sigmoid_cross_entropy_with_logits(target * tf.ones_like(values), values)
    return tf.reduce_mean(each, axis=(1, 2))


def embed(
    embedder: Sequence[NDArray[np.float32]], windows: NDArray[np.float32], codes: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Hidden sequences (n, time, h) of windows (n, time, channels) in [0, 1], each from its own window."""
    hidden: NDArray[np.float32] = _compiled_sequence()(windows, codes, list(embedder)).numpy()
    return hidden


@lru_cache(maxsize=1)
def _compiled_sequence() -> Callable[..., tf.Tensor]:
    compiled: Callable[..., tf.Tensor] = tf.function(sequence, autograph=False)
    return compiled


@lru_cache(maxsize=1)
def sampler() -> Callable[[Sequence[Parameters], tf.Tensor, tf.Tensor], tf.Tensor]:
    """Compiled `(parameters of networks.SAMPLING_NETWORKS, noise, codes) -> windows` in (0, 1).

    noise and windows (n, time, channels), codes (n, classes) one-hot. One compilation for all models of equal
    sizes and numbers of rows.
    """

    def run(networks: Sequence[Parameters], noise: tf.Tensor, codes: tf.Tensor) -> tf.Tensor:
        x = timegan.uniform(noise)
        for parameters in networks:
            x = sequence(x, codes, parameters)
        return x

    compiled: Callable[..., tf.Tensor] = tf.function(run, autograph=False)
    return compiled


Networks = dict[str, list[NDArray[np.float32]]]


def train_privately(
    sizes: Sizes,
    training: Training,
    *,
    private: PrivateTimeGAN,
    mechanisms: tuple[Mechanism, Mechanism],
) -> tuple[dict[str, NDArray[np.float32]], tuple[Entry, ...]]:
    """Train a conditional TimeGAN privately on windows in [0, 1].

    A training that was interrupted in either part continues in that part.

    Returns:
        The parameters of the sampling networks by name, and the ledger entry of each mechanism.

    Raises:
        InputError: there are more people than in the public constants of the budget.
    """
    of_embedder, of_discriminator = mechanisms
    codes = np.eye(sizes.classes, dtype=np.float32)[training.condition]
    embedding = _part(training, "embedding", of_embedder)
    learnt, first = _learn_embedding(sizes, embedding, private, of_embedder)
    adversaries = SequenceAdversaries(
        sizes, private.learning_rate, private.supervised_weight, tuple(learnt["supervisor"])
    )
    # By the released embedder: a sequence depends on its own window and on released parameters, so one record
    # of the second mechanism still depends on one record of the data only.
    embedded = embed(learnt["embedder"], training.windows, codes)
    trained, second = train_adversaries(
        adversaries,
        replace(_part(training, "adversaries", of_discriminator), windows=embedded),
        private=private.adversarial,
        mechanism=of_discriminator,
        public_quantities=OF_RANGE,
    )
    generator, supervisor = adversaries.split(trained.generator)
    released = {"generator": generator, "supervisor": supervisor, "recovery": learnt["recovery"]}
    return _named(released, sizes.depth), (first, second)


def _part(training: Training, name: str, mechanism: Mechanism) -> Training:
    """The part of a training that belongs to `mechanism`, with its own stream and stored state."""
    # Each mechanism counts its own noised steps and replays its own noise after an interruption.
    checkpoint = training.checkpoint and training.checkpoint.part(mechanism.name)
    return replace(training, stream=child(training.stream, name), checkpoint=checkpoint)


def _learn_embedding(
    sizes: Sizes, training: Training, private: PrivateTimeGAN, mechanism: Mechanism
) -> tuple[Networks, Entry]:
    """Train embedder, recovery and supervisor; their parameters, and the ledger entry of their mechanism."""
    budget = training.budget
    learner, noise = Embedding(sizes), budget.noise_source()
    examples = lay_out_labelled(
        training.windows,
        training.condition,
        training.subject,
        sizes.classes,
        budget.unit,
        budget.known_population(),
    )
    recipe = dpsgd.Recipe(learner, mechanism, private.embedder_rate)
    weights, noised = dpsgd.fit(recipe, examples, noise, training.stream, training.checkpoint)
    entry = ledger.close(
        mechanism,
        steps_noised=noised,
        delta=budget.delta,
        noise=noise,
        public_quantities=OF_RANGE,
        program=DPSGD,
    )
    parameters = tuple(np.asarray(value) for value in weights.parameters)
    return {name: list(values) for name, values in learner.networks(parameters).items()}, entry


def _named(networks: dict[str, Sequence[NDArray[np.float32]]], depth: int) -> dict[str, NDArray[np.float32]]:
    """The parameters of all `networks` by name."""
    return {
        name: value
        for network, values in networks.items()
        for name, value in zip(parameter_names(network, depth), values, strict=True)
    }
