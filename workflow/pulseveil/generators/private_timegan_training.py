"""A private training of TimeGAN, and its ledger entries; this module imports TensorFlow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pulseveil.checkpoints import Checkpoint
from pulseveil.generators.labelled_records import lay_out
from pulseveil.generators.private_gan_training import train_privately as train_adversaries
from pulseveil.generators.private_timegan import PrivateTimeGAN
from pulseveil.generators.public_range import PUBLIC_QUANTITIES
from pulseveil.networks.private_timegan import Embedding, SequenceAdversaries, Sizes, embed
from pulseveil.networks.timegan import parameter_names
from pulseveil.privacy import dpsgd, ledger
from pulseveil.privacy.budget import Budget
from pulseveil.privacy.mechanism import Mechanism
from pulseveil.privacy.programs import DPSGD
from pulseveil.randomness import Stream, child

if TYPE_CHECKING:
    from pulseveil.privacy.ledger import Entry

Networks = dict[str, list[NDArray[np.float32]]]


def train_privately(
    sizes: Sizes,
    windows: NDArray[np.float32],
    condition: NDArray[np.int8],
    subject: NDArray[np.str_],
    *,
    private: PrivateTimeGAN,
    mechanisms: tuple[Mechanism, Mechanism],
    budget: Budget,
    stream: Stream,
    checkpoint: Checkpoint | None,
) -> tuple[dict[str, NDArray[np.float32]], tuple[Entry, ...]]:
    """Parameters of the sampling networks by name, and the ledger entry of each mechanism.

    windows (n, time, channels) in [0, 1], those of each of `subject` (n) in order of time. A training that
    was interrupted in either part goes on there. Raises InputError where there are more people than the
    public constants say.
    """
    of_embedder, of_discriminator = mechanisms
    told = np.eye(sizes.classes, dtype=np.float32)[condition]
    learnt, first = _learn_embedding(
        sizes,
        windows,
        condition,
        subject,
        private=private,
        mechanism=of_embedder,
        budget=budget,
        stream=child(stream, "embedding"),
        checkpoint=None if checkpoint is None else checkpoint.part(of_embedder.name),
    )
    adversaries = SequenceAdversaries(
        sizes, private.learning_rate, private.supervised_weight, tuple(learnt["supervisor"])
    )
    trained, second = train_adversaries(
        adversaries,
        # By the released embedder: a window's sequence tells nothing of other windows that is not released.
        embed(learnt["embedder"], windows, told),
        condition,
        subject,
        private=private.adversarial,
        mechanism=of_discriminator,
        classes=sizes.classes,
        budget=budget,
        stream=child(stream, "adversaries"),
        checkpoint=None if checkpoint is None else checkpoint.part(of_discriminator.name),
        public_quantities=PUBLIC_QUANTITIES,
    )
    generator, supervisor = adversaries.split(trained.generator)
    released = {"generator": generator, "supervisor": supervisor, "recovery": learnt["recovery"]}
    return _named(released, sizes.depth), (first, second)


def _learn_embedding(
    sizes: Sizes,
    windows: NDArray[np.float32],
    condition: NDArray[np.int8],
    subject: NDArray[np.str_],
    *,
    private: PrivateTimeGAN,
    mechanism: Mechanism,
    budget: Budget,
    stream: Stream,
    checkpoint: Checkpoint | None,
) -> tuple[Networks, Entry]:
    """Parameters of embedder, recovery and supervisor, and the ledger entry of their mechanism."""
    learner, noise = Embedding(sizes), budget.noise_source()
    examples = lay_out(windows, condition, subject, sizes.classes, budget.unit, budget.known_population())
    recipe = dpsgd.Recipe(learner, mechanism, private.embedder_rate)
    weights, noised = dpsgd.fit(recipe, examples, noise, stream, checkpoint)
    entry = ledger.settle(
        mechanism,
        steps_noised=noised,
        delta=budget.delta,
        noise=noise,
        public_quantities=PUBLIC_QUANTITIES,
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
