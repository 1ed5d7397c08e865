"""A private training of a GAN, its records of known condition, and its ledger entry; imports TensorFlow."""

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
    """Both networks' parameters after a training by `mechanism`, and its ledger entry.

    The windows may have any shape (n, ...) that the networks take. Raises InputError where there are more
    people than the public constants say.
    """
    budget = training.budget
    population, noise = budget.known_population(), budget.noise_source()
    recipe = dpgan.Recipe(
        adversaries,
        mechanism,
        private.windows_each if budget.unit == "subject" else 1,
        private.fakes,
        private.discriminator_steps,
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
    """Admitted rows of values (rows, ...) as records, in public numbers.

    `subject` (rows) says whose values these are, in order of time. Result: x (n, k, ...), target (n, k,
    classes) one-hot, weight (n, k). Free places have weight 0. Weights make conditions count alike at their
    public shares; a person's are divided by the own number of windows, so that the record's loss is a mean.
    """
    rows = admitted_rows(subject, np.arange(len(subject), dtype=np.float64), population)
    shares = class_shares(classes, population.stress_share)
    weight = mean_weights(1 / (classes * shares[condition[rows]]), subject[rows], unit)
    laid = (values[rows], np.eye(classes)[condition[rows]], weight)
    return Examples(*laid_out(laid, subject[rows], unit, population))
