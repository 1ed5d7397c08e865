"""A private training of a GAN, and its ledger entry; this module imports TensorFlow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pulseveil.checkpoints import Checkpoint
from pulseveil.generators.private_gan import PrivateGAN
from pulseveil.generators.subjects import class_shares
from pulseveil.networks.adversaries import Adversaries, Trained
from pulseveil.privacy import dpgan, ledger
from pulseveil.privacy.budget import Budget
from pulseveil.privacy.mechanism import Mechanism
from pulseveil.privacy.programs import DPGAN
from pulseveil.privacy.record_windows import lay_out
from pulseveil.randomness import Stream

if TYPE_CHECKING:
    from pulseveil.privacy.ledger import Entry


def train_privately(
    adversaries: Adversaries,
    windows: NDArray[np.float32],
    condition: NDArray[np.int8],
    subject: NDArray[np.str_],
    *,
    private: PrivateGAN,
    mechanism: Mechanism,
    classes: int,
    budget: Budget,
    stream: Stream,
    checkpoint: Checkpoint | None,
    public_quantities: Sequence[str],
) -> tuple[Trained, Entry]:
    """Both networks' parameters after a training by `mechanism`, and its ledger entry.

    windows (n, ...), those of each of `subject` (n) in order of time. Raises InputError where there are more
    people than the public constants say.
    """
    population, noise = budget.known_population(), budget.noise_source()
    recipe = dpgan.Recipe(
        adversaries,
        mechanism,
        private.windows_each if budget.unit == "subject" else 1,
        private.fakes,
        private.discriminator_steps,
        tuple(class_shares(classes, population.stress_share).tolist()),
    )
    records = lay_out(windows, condition, subject, budget.unit, population)
    trained, noised = dpgan.fit(recipe, records, noise, stream, checkpoint)
    entry = ledger.settle(
        mechanism,
        steps_noised=noised,
        delta=budget.delta,
        noise=noise,
        public_quantities=public_quantities,
        program=DPGAN,
    )
    return trained, entry
