"""TimeGAN's private training: networks, losses of single windows, and ledger entries; imports TensorFlow.

There is one conditional model. Each network reads the one-hot code of the condition at each step, beside its
sequence. Layouts are those of `layers`, whose notes give gradients of single records. The losses are the
authors', with these differences: roots are of a window's own mean square, where theirs are of the batch's and
mix records; the supervisor learns beside embedder and recovery and is then fixed; generated sequences are
pulled towards its steps; and the moment loss, which compares batches of real windows, is left out.
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

# Weight of a root mean square error of one step ahead: that of the reconstruction's, so that noise of equal
# size meets gradients of similar size.
_AHEAD_WEIGHT = timegan.RECONSTRUCTION_WEIGHT


@dataclass(frozen=True)
class Sizes:
    """Sizes of all networks: windows of `time` steps and `channels`, `classes` condition codes."""

    time: int
    channels: int
    classes: int
    hidden: int
    depth: int

    def start(self, rng: np.random.Generator, network: str) -> list[NDArray[np.float32]]:
        """First parameters of one of `networks.NETWORKS`."""
        sizes = {"channels": self.channels, "hidden": self.hidden, "depth": self.depth}
        return timegan.start_network(rng, network, codes=self.classes, **sizes)

    def count(self, network: str) -> int:
        """How many parameter arrays a network has."""
        return len(timegan.parameter_names(network, self.depth))


def logits(x: tf.Tensor, codes: tf.Tensor, parameters: Parameters, note: Note = unnoted) -> tf.Tensor:
    """A network's output before any sigmoid: x (n, time, p), codes (n, classes) one-hot -> (n, time, q)."""
    *recurrent, kernel, bias = parameters
    each_step = tf.repeat(codes[:, tf.newaxis], x.shape[1], axis=1)
    x = tf.concat([x, each_step], axis=2)
    for first in range(0, len(recurrent), timegan.GRU_ARRAYS):
        x = layers.gru(x, recurrent[first : first + timegan.GRU_ARRAYS], note)
    return layers.dense(x, (kernel, bias), note)


def sequence(x: tf.Tensor, codes: tf.Tensor, parameters: Parameters, note: Note = unnoted) -> tf.Tensor:
    """The same with values in (0, 1): every network but the discriminator."""
    return tf.sigmoid(logits(x, codes, parameters, note))


def mean_squares(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """Mean squared difference of each row (n), both arguments of one shape (n, ...)."""
    return tf.reduce_mean(tf.square(a - b), axis=tuple(range(1, len(a.shape))))


@dataclass(frozen=True)
class Embedding(Learner):
    """Embedder, recovery and supervisor with a loss of single windows.

    A row's x is a window (time, channels) in [0, 1], its target the one-hot code of the condition.
    """

    sizes: Sizes

    @property
    def compiles_step(self) -> bool:
        """The networks are small: XLA compiles the whole step."""
        return True

    @property
    def inputs(self) -> tuple[int, ...]:
        """Steps and channels of a window."""
        return self.sizes.time, self.sizes.channels

    @property
    def targets(self) -> int:
        """One value per condition."""
        return self.sizes.classes

    def start(self, rng: np.random.Generator) -> Weights:
        """Initial weights, network by network."""
        return Weights([value for name in LEARNT_TOGETHER for value in self.sizes.start(rng, name)], [])

    def networks(self, parameters: Tensors) -> dict[str, Tensors]:
        """The parameters of each network."""
        ends = accumulate((self.sizes.count(name) for name in LEARNT_TOGETHER), initial=0)
        return {
            name: parameters[first:last]
            for name, (first, last) in zip(LEARNT_TOGETHER, pairwise(ends), strict=True)
        }

    def row_losses(
        self, weights: Weights, batch: Examples, seeds: RowSeeds, note: Note = unnoted
    ) -> tf.Tensor:
        """Root mean square errors of a window's reconstruction and of its supervisor, times weights (rows).

        As in the authors' first two phases, the supervisor takes the hidden sequence as it is.
        """
        networks = self.networks(weights.parameters)
        hidden = sequence(batch.x, batch.target, networks["embedder"], note)
        recovered = sequence(hidden, batch.target, networks["recovery"], note)
        given = tf.stop_gradient(hidden)
        ahead = sequence(given, batch.target, networks["supervisor"], note)
        reconstruction = tf.sqrt(mean_squares(batch.x, recovered))
        supervised = tf.sqrt(mean_squares(given[:, 1:], ahead[:, :-1]))
        return batch.weight * (timegan.RECONSTRUCTION_WEIGHT * reconstruction + _AHEAD_WEIGHT * supervised)


@dataclass(frozen=True)
class SequenceAdversaries(Adversaries):
    """Generator and discriminator of hidden sequences.

    supervised_weight: of the root mean square by which generated sequences leave the supervisor's steps.
    supervisor: released parameters. All but the players' start take them from the generator's list, where
    they come last and never move: so trainings with unlike supervisors are equal, and share a program.
    """

    sizes: Sizes
    learning_rate: float
    supervised_weight: float
    supervisor: Sequence[NDArray[np.float32]] = field(compare=False, repr=False)

    @property
    def noise_shape(self) -> tuple[int, ...]:
        """One normal number for each value of a window."""
        return self.sizes.time, self.sizes.channels

    def start(self, rng: np.random.Generator) -> Players:
        """The players before the first step."""
        generator, discriminator = (self.sizes.start(rng, name) for name in ("generator", "discriminator"))
        return start_players([*generator, *self.supervisor], discriminator)

    def split(self, generator: Parameters) -> tuple[Parameters, Parameters]:
        """Parameters of the generator, and of the supervisor."""
        own = self.sizes.count("generator")
        return generator[:own], generator[own:]

    def synthesize(self, generator: Parameters, noise: tf.Tensor, condition: tf.Tensor) -> tf.Tensor:
        """Both kinds of synthetic sequences (m, 2, time, h): after the supervisor, and before it."""
        own, supervisor = self.split(generator)
        codes = self._codes(condition)
        raw = sequence(timegan.uniform(noise), codes, own)
        return tf.stack([sequence(raw, codes, supervisor), raw], axis=1)

    def real_losses(
        self, discriminator: Parameters, real: Real, synthetic: Synthetic, note: Note
    ) -> tf.Tensor:
        """Cross-entropy with the answer "real", a mean over time, whatever the synthetic sequences are."""
        values = logits(real.windows, self._codes(real.condition), discriminator, note)
        return _cross_entropy(values, 1.0)

    def synthetic_losses(self, discriminator: Parameters, synthetic: Synthetic, note: Note) -> tf.Tensor:
        """Cross-entropy of both kinds with the answer "synthetic"."""
        return self._answered(discriminator, synthetic.windows, synthetic.condition, 0.0, note)

    def update_discriminator(self, players: Players, gradients: Sequence[tf.Tensor]) -> Players:
        """The players after a step of the discriminator along `gradients`, however good it is already.

        The authors leave a good one alone: its loss of real windows would have to be known for that.
        """
        parameters, moments = adam.update(
            players.discriminator, gradients, players.discriminator_adam, learning_rate=self.learning_rate
        )
        return players._replace(discriminator=parameters, discriminator_adam=moments)

    def update_generator(self, players: Players, condition: tf.Tensor, noise: tf.Tensor) -> Players:
        """The players after a step of the generator: by the discriminator, and by the fixed supervisor."""
        own, supervisor = self.split(players.generator)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(own)
            synthetic = self.synthesize([*own, *supervisor], noise, condition)
            answers = self._answered(players.discriminator, synthetic, condition, 1.0)
            left = tf.sqrt(mean_squares(synthetic[:, 1, 1:], synthetic[:, 0, :-1]))
            loss = tf.reduce_mean(answers + self.supervised_weight * left)
        gradients = [*tape.gradient(loss, own), *(tf.zeros_like(value) for value in supervisor)]
        parameters, moments = adam.update(
            players.generator, gradients, players.generator_adam, learning_rate=self.learning_rate
        )
        return players._replace(generator=parameters, generator_adam=moments)

    def _codes(self, condition: tf.Tensor) -> tf.Tensor:
        return tf.one_hot(condition, self.sizes.classes)

    def _answered(
        self,
        discriminator: Parameters,
        synthetic: tf.Tensor,
        condition: tf.Tensor,
        answer: float,
        note: Note = unnoted,
    ) -> tf.Tensor:
        """Cross-entropy of synthetic sequences (m, 2, time, h) with one answer, the sum of both kinds (m)."""
        # Both kinds of a row stay next to each other, as parts of one record.
        rows = tf.reshape(synthetic, (-1, *synthetic.shape[2:]))
        values = logits(rows, tf.repeat(self._codes(condition), 2, axis=0), discriminator, note)
        of_kinds = tf.reshape(_cross_entropy(values, answer), (-1, 2))
        return of_kinds[:, 0] + timegan.RAW_WEIGHT * of_kinds[:, 1]


def _cross_entropy(values: tf.Tensor, answer: float) -> tf.Tensor:
    """Cross-entropy of logits (n, time, 1) with one answer for all, a mean over time (n)."""
    each = tf.nn.sigmoid_cross_entropy_with_logits(answer * tf.ones_like(values), values)
    return tf.reduce_mean(each, axis=(1, 2))


def embed(
    embedder: Sequence[NDArray[np.float32]], windows: NDArray[np.float32], codes: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Hidden sequences (n, time, h) of windows (n, time, channels) in [0, 1], each of its own window."""
    hidden: NDArray[np.float32] = _compiled_sequence()(windows, codes, list(embedder)).numpy()
    return hidden


@lru_cache(maxsize=1)
def _compiled_sequence() -> Callable[..., tf.Tensor]:
    compiled: Callable[..., tf.Tensor] = tf.function(sequence, autograph=False)
    return compiled


@lru_cache(maxsize=1)
def sampler() -> Callable[[Sequence[Parameters], tf.Tensor, tf.Tensor], tf.Tensor]:
    """Compiled: parameters of `networks.SAMPLING_NETWORKS`, noise (n, time, channels), codes (n, classes).

    The windows are in (0, 1) and as large as the noise. One compilation for models of equal sizes and rows.
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
    """Parameters of the sampling networks by name, and the ledger entry of each mechanism.

    The windows are in [0, 1]. A training that was interrupted in either part goes on there. Raises InputError
    where there are more people than the public constants say.
    """
    of_embedder, of_discriminator = mechanisms
    codes = np.eye(sizes.classes, dtype=np.float32)[training.condition]
    embedding = _part(training, "embedding", of_embedder)
    learnt, first = _learn_embedding(sizes, embedding, private, of_embedder)
    adversaries = SequenceAdversaries(
        sizes, private.learning_rate, private.supervised_weight, tuple(learnt["supervisor"])
    )
    # By the released embedder: beside its own window, a sequence depends on released parameters alone.
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
    """The training's part of a mechanism, with random numbers and a stored state of its own."""
    checkpoint = training.checkpoint and training.checkpoint.part(mechanism.name)
    return replace(training, stream=child(training.stream, name), checkpoint=checkpoint)


def _learn_embedding(
    sizes: Sizes, training: Training, private: PrivateTimeGAN, mechanism: Mechanism
) -> tuple[Networks, Entry]:
    """Parameters of embedder, recovery and supervisor, and the ledger entry of their mechanism."""
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
    """The networks' parameters by name."""
    return {
        name: value
        for network, values in networks.items()
        for name, value in zip(parameter_names(network, depth), values, strict=True)
    }
