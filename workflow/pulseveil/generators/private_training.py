"""Private training of a GAN with its ledger entry, and the layout of labelled records. Imports TensorFlow."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pulseveil.generators import Training
from pulseveil.generators.private_settings import PrivateGAN
from pulseveil.generators.subjects import class_shares
from pulseveil.networks.adversaries import Adversaries, Trained
from pulseveil.networks.training import Examples
from pulseveil.privacy import dpgan, ledger
from pulseveil.privacy.budget import Mechanism, Population, Unit
from pulseveil.privacy.ledger import Entry
from pulseveil.privacy.programs import DPGAN
from pulseveil.privacy.records import admitted_rows, laid_out, lay_out, mean_weights


def train_privately(
    adversaries: Adversaries,
    training: Training,
    *,
    private: PrivateGAN,
    mechanism: Mechanism,
    public_quantities: Sequence[str],
) -> tuple[Trained, Entry]:
    """Train a generator and a discriminator privately by `mechanism`.

    training: its windows may have any shape (n, ...) that the networks take.

    Returns:
        The parameters of both networks, and the ledger entry.

    Raises:
        InputError: there are more people than in the public constants of the budget.
    """
    budget = training.budget
    population, noise = budget.known_population(), budget.noise_source()
    recipe = dpgan.Recipe(
        adversaries,
        mechanism,
        private.windows_each if budget.unit == "subject" else 1,
        private.fakes,
        private.discriminator_steps,
        # Labels of synthetic windows follow public shares: labels of the sampled records would reveal them.
        tuple(class_shares(training.classes, population.stress_share).tolist()),
    )
    records = lay_out(training.windows, training.condition, training.subject, budget.unit, population)
    trained, noised = dpgan.fit(recipe, records, noise, training.stream, training.checkpoint)
    entry = ledger.close(
        mechanism,
        steps_noised=noised,
        delta=budget.delta,
        noise=noise,
        public_quantities=public_quantities,
        program=DPGAN,
    )
    return trained, entry


def lay_out_labelled(
    values: NDArray[np.float32],
    condition: NDArray[np.int8],
    subject: NDArray[np.str_],
    classes: int,
    unit: Unit,
    population: Population,
) -> Examples:
    """Records of labelled rows, in the public numbers of people and windows.

    Args:
        values: (rows, ...), those of each subject in order of time.
        condition: (rows) codes.
        subject: (rows), the person of each row.

    Returns:
        x (n, k, ...), target (n, k, classes) one-hot and weight (n, k). Unused slots have weight 0. The
        weights let all conditions count equally at their public shares. At unit subject, a person's weights
        are divided by the person's number of windows, so that the loss of a record is a mean.
    """
    rows = admitted_rows(subject, np.arange(len(subject), dtype=np.float64), population)
    shares = class_shares(classes, population.stress_share)
    # Public shares, not counts: weights from counts would let one record change the gradients of others.
    weight = mean_weights(1 / (classes * shares[condition[rows]]), subject[rows], unit)
    laid = (values[rows], np.eye(classes)[condition[rows]], weight)
    return Examples(*laid_out(laid, subject[rows], unit, population))
