"""Whether a record's part in a step hangs on who else is drawn, and what that costs: shifts and delta.

    python tests/benchmarks/private_chance.py [--shifts] [--delta] [--small]

Without options, both.

`--shifts`  Norm, in clip norms C, by which the sum of 50 others moves in the compiled step of each private
            network, at published sizes (--small: at small ones) and both units: by a record that adds nothing
            (of weight 0; not finite) drawn before them, and by their order. See tests/unit/drawn_sums.py.
`--delta`   Delta at epsilon 3, 5 and 10 of the private CNN's mechanism (unit window, q .0965, noise .8413 C,
            110 steps: epsilon 10 at delta 1e-5), by Monte Carlo on data that were made for the purpose.

What the delta is of. Record 0 is the one in question: in one data set it adds its gradient, in the other it
adds zero, and is drawn alike in both. The next 24 records are alike, and record 0 has their window with the
other label; all others have weight 0. So a step's sum hangs on two numbers alone: whether record 0 is drawn,
and how many of the 24 are (binomial). The sums of all these cases come from the compiled step of the library,
for each of the 110 steps, with gradients at the first weights: weights do not move (an attacker who sees all
steps would have those at the moved weights). A step's release is then a mixture of normals in the few
dimensions that the sums span, so the likelihood ratio of a training is exact. Trainings are drawn from one
data set, steps with record 0 more often than in truth and weighted back, and delta is the mean of
max(0, 1 - exp(epsilon - log ratio)); both directions.

The same program first runs on a mechanism whose others add nothing, where the accountant's delta is exact.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from scipy import special, stats

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.unit import drawn_sums

from pulseveil.core import registry
from pulseveil.networks.training import Examples
from pulseveil.privacy import accounting, dpsgd
from pulseveil.privacy.budget import Mechanism

Array = NDArray[np.float64]

OTHERS, BINS = 50, 210
# Of the spectra of protocol `sound`, whose private CNN has this mechanism.
SOUND_BINS = 16
SUBJECT_ROWS = 3
MECHANISM = Mechanism("cnn", "window", 518, 0.0965, 518, 110, 1.0, 0.8413)
ALIKE = 24
EPSILONS = (3.0, 5.0, 10.0)
# How often record 0 is in a step of the simulated trainings: rare trainings are what delta is made of.
DRAWN = 0.2


class Case(NamedTuple):
    """Sums (steps, cases, dimensions) in clip norms, of both data sets; chances (cases), true and drawn."""

    with_it: Array
    without: Array
    truth: Array
    drawn: Array


def shifts(small: bool) -> None:
    """Print the shifts of all networks."""
    sizes = drawn_sums.SMALL_DETECTORS if small else drawn_sums.PUBLISHED_DETECTORS
    bins = 8 if small else BINS
    kinds: dict[str, Callable[[int], drawn_sums.Draws]] = {
        **{
            name: lambda rows, name=name: drawn_sums.of_learner(
                drawn_sums.detector(name, bins, **sizes[name]), rows, OTHERS
            )
            for name in sizes
        },
        "autoencoder": lambda rows: drawn_sums.of_learner(
            drawn_sums.autoencoder() if small else drawn_sums.autoencoder(96, 32, 8), rows, OTHERS
        ),
        "timegan embedding": lambda rows: drawn_sums.of_learner(
            drawn_sums.embedding() if small else drawn_sums.embedding(60, 6, 24), rows, OTHERS
        ),
        **{
            f"cgan {name}": lambda rows, name=name: drawn_sums.of_adversaries(
                drawn_sums.conditional(name, *((6, 2, 8) if small else (60, 6, 1))),
                (6, 2) if small else (60, 6),
                rows,
                OTHERS,
            )
            for name in ("lstm", "fcn", "transformer")
        },
        "dgan": lambda rows: drawn_sums.of_adversaries(
            drawn_sums.flat_adversaries()
            if small
            else drawn_sums.flat_adversaries(steps=6, values=60, units=100, discriminator=20),
            (12,) if small else (360,),
            rows,
            OTHERS,
        ),
        "timegan sequences": lambda rows: drawn_sums.of_adversaries(
            drawn_sums.sequences() if small else drawn_sums.sequences(60, 24),
            (6, 3) if small else (60, 24),
            rows,
            OTHERS,
        ),
    }
    for name, kind in kinds.items():
        for unit, rows in (("window", 1), ("subject", SUBJECT_ROWS)):
            found = drawn_sums.shifts(kind(rows))
            print(
                f"{name:20} {unit:8} weight 0 {found.empty:9.2g} C   not finite {found.not_finite:9.2g} C   "
                f"permuted {found.permuted:9.2g} C   against single draws {found.alone:9.2g} C",
                flush=True,
            )


def in_step(small: bool) -> Case:
    """The sums of the CNN's steps on the data of the module's documentation."""
    settings = {"filters": 4, "dense_units": (6, 5)} if small else {}
    kind, model = registry.load("detectors", "cnn"), registry.model("detectors", "cnn")
    own = kind.Settings.model_validate(settings)
    network = model.private_network(own, 6, 8 if small else SOUND_BINS)
    rng = np.random.default_rng(0)
    records = ALIKE + 1
    window = rng.normal(size=(1, 1, network.signals, network.bins))
    target = np.tile(np.eye(2)[0], (records, 1, 1))
    target[0] = np.eye(2)[1]
    x, weight = np.repeat(window, records, axis=0), np.ones((2, records, 1))
    weight[1, 0] = 0
    run = dpsgd.program(network, 1, "sgd")
    first = network.start(np.random.default_rng(1))
    start = dpsgd.start(first)
    clip = drawn_sums.CLIP_NORM
    scales = dpsgd.Scales(*(tf.constant(value) for value in (clip, 0.0, 1.0, 1 / clip)))
    counts = np.arange(ALIKE + 1)
    found: list[list[Array]] = []
    for step in range(MECHANISM.steps):
        state = start._replace(moments=start.moments._replace(step=tf.constant(step)))

        def sum_of(data: Examples, order: list[int], state: dpsgd.State = state) -> Array:
            places = drawn_sums.padded(order, records)[np.newaxis]
            chance = dpsgd.Chance(tf.constant(places), tf.constant([[7, 8]]))
            after = run(state, data, chance, tf.constant(drawn_sums.SEED), scales)
            return drawn_sums.flat(first.parameters) - drawn_sums.flat(after.parameters)

        data, zeroed = (Examples(*(tf.constant(v, tf.float32) for v in (x, target, own))) for own in weight)
        alone = [sum_of(data, list(range(1, 1 + count))) for count in counts]
        beside = [[sum_of(own, list(range(1 + count))) for count in counts] for own in (data, zeroed)]
        found.append(_in_few_dimensions([alone + beside[0], alone + beside[1]]))
        print(f"\rsums of step {step + 1} of {MECHANISM.steps}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    of_count = stats.binom.pmf(counts, ALIKE, MECHANISM.q)
    return Case(*np.array(found).transpose(1, 0, 2, 3), *_chances(of_count))


def without_others() -> Case:
    """The mechanism as it is accounted: the others' sum does not move."""
    sums = np.zeros((2, MECHANISM.steps, 2, 1))
    sums[0, :, 1] = 1.0
    return Case(*sums, *_chances(np.ones(1)))


def _chances(of_count: Array) -> tuple[Array, Array]:
    """Of the cases without and with record 0, in truth and in the simulated trainings."""
    return tuple(np.concatenate([(1 - q) * of_count, q * of_count]) for q in (MECHANISM.q, DRAWN))


def _in_few_dimensions(sums: list[list[Array]]) -> Array:
    """The same sums (2, cases, dimensions) in an orthonormal basis of what they span."""
    rows = np.array([value for of_set in sums for value in of_set])
    squared, directions = np.linalg.eigh(rows @ rows.T)
    # Rows are directions times roots times basis, so that coordinates need no basis. The largest are enough:
    # each of the places 0 to ALIKE has one gradient of the records that are alike, and record 0 has its own.
    coordinates = (directions * np.sqrt(np.maximum(squared, 0)))[:, -(ALIKE + 2) :]
    return coordinates.reshape(2, len(sums[0]), -1)


def deltas(case: Case, trainings: int, seed: int = 0) -> dict[str, list[tuple[float, float]]]:
    """Delta and its standard error at each of EPSILONS, by direction."""
    found = {}
    pairs = {"with it against without": (case.with_it, case.without)}
    pairs["without against with it"] = (case.without, case.with_it)
    for name, (own, other) in pairs.items():
        rng = np.random.default_rng(seed)
        ratio, weight = np.zeros(trainings), np.zeros(trainings)
        for ours, theirs in zip(own, other, strict=True):
            drawn = rng.choice(len(case.drawn), size=trainings, p=case.drawn)
            weight += np.log(case.truth[drawn] / case.drawn[drawn])
            noise = MECHANISM.noise_multiplier * rng.standard_normal((trainings, ours.shape[1]))
            release = ours[drawn] + noise
            ratio += _log_density(release, ours, case.truth) - _log_density(release, theirs, case.truth)
        found[name] = []
        for epsilon in EPSILONS:
            values = np.exp(weight) * np.maximum(0, -np.expm1(np.minimum(epsilon - ratio, 0)))
            found[name].append((float(values.mean()), float(values.std() / math.sqrt(trainings))))
    return found


def _log_density(release: Array, sums: Array, chances: Array) -> Array:
    """Of releases (trainings, dimensions) under the mixture, up to what all mixtures share."""
    inner = release @ sums.T - np.sum(np.square(sums), axis=1) / 2
    return special.logsumexp(inner / MECHANISM.noise_multiplier**2 + np.log(chances), axis=1)


def _delta_accounted(epsilon: float) -> float:
    """The accountant's delta at epsilon, from its epsilon at delta."""
    low, high = -16.0, -1e-3
    for _ in range(40):
        middle = (low + high) / 2
        if accounting.epsilon_pld([MECHANISM], 10**middle) > epsilon:
            low = middle
        else:
            high = middle
    return 10**high


def report(name: str, case: Case, trainings: int) -> None:
    for direction, values in deltas(case, trainings).items():
        told = "   ".join(
            f"epsilon {epsilon:g}: {value:.2e} +- {error:.1e}"
            for epsilon, (value, error) in zip(EPSILONS, values, strict=True)
        )
        print(f"{name:28} {direction:24} {told}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--shifts", action="store_true")
    parser.add_argument("--delta", action="store_true")
    parser.add_argument("--small", action="store_true", help="small networks: a rehearsal")
    parser.add_argument("--trainings", type=int, default=100_000)
    arguments = parser.parse_args()
    both = not (arguments.shifts or arguments.delta)
    if arguments.delta or both:
        accounted = "   ".join(f"epsilon {e:g}: {_delta_accounted(e):.2e}" for e in EPSILONS)
        print(f"{'accounted':53} {accounted}", flush=True)
        report("simulated, others add nothing", without_others(), 10 * arguments.trainings)
        report("simulated, the CNN's steps", in_step(arguments.small), arguments.trainings)
    if arguments.shifts or both:
        shifts(arguments.small)


if __name__ == "__main__":
    main()
