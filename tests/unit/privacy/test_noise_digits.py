"""Whether the digits of what a private training releases tell more than its epsilon.

An attacker who knows all records but one, first weights and program decides 600 times whether that record
was in; a fair coin has put it in or left it out. The noise is that of a claimed epsilon of 1.063 at delta
1e-5, by which the best test of all is right with probability Phi(mu / 2). Attacks on digits meet a record so
small against the noise that a guess is as good. A fair coin decides ties.

Losses are linear in the weights, so that gradients are the same in each step, and the attacker knows the sums
without noise by running the program without noise.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray
from scipy import special, stats

from pulseveil.networks import layers
from pulseveil.networks.learner import Learner
from pulseveil.networks.per_example import unnoted
from pulseveil.networks.training import Examples, Weights
from pulseveil.privacy import accounting, dpsgd
from pulseveil.privacy.budget import Budget
from pulseveil.privacy.clipping import add_noise
from pulseveil.privacy.records import ABSENT

Array = NDArray[np.float64]
Optimizer = Literal["sgd", "adam"]

DECISIONS = 600
EPSILON, DELTA = 1.063, 1e-5
# Each count below is outside its interval once in 50,000 tests.
ERROR_RATE = 2e-5
OTHERS, CLIP_NORM = 20, 1.0
TINY, FULL = 0.01, 1.0
RATE, DIVISOR = 0.05, 20.0
INPUTS, OUTPUTS = 16, 31
SEED = tf.constant([1, 2])


@dataclass(frozen=True)
class Linear(Learner):
    """A row's loss is the product of its target with a dense layer's output: its gradient never changes.

    First weights are zero, as biases are, or `spread` for the kernel.
    """

    spread: float = 0.0

    @property
    def compiles_step(self) -> bool:
        return True

    @property
    def inputs(self) -> tuple[int, ...]:
        return (INPUTS,)

    @property
    def targets(self) -> int:
        return OUTPUTS

    def start(self, rng):
        kernel = self.spread * rng.normal(size=(INPUTS, OUTPUTS))
        return Weights([kernel.astype(np.float32), np.zeros(OUTPUTS, np.float32)], [])

    def row_losses(self, weights, batch, seeds, note=unnoted):
        outputs = layers.dense(batch.x, weights.parameters, note)
        return batch.weight * tf.reduce_sum(batch.target * outputs, axis=1)


@dataclass(frozen=True)
class View:
    """What the attacker gets of a training, and how the noised sums follow from what is seen.

    optimizer, rate and divisor of its steps, spread of the first weights. of: the values that are seen of the
    state. undone: the sum over the steps of their noised sums, from what is seen, the first weights and the
    number of steps. decay: what the weight of a step in that sum falls by with each step after it.
    """

    optimizer: Optimizer
    rate: float
    divisor: float
    spread: float
    of: Callable[[dpsgd.State], Sequence[tf.Tensor]]
    undone: Callable[[Array, Array, int], Array]
    decay: float = 1.0


def _parameters(state: dpsgd.State) -> Sequence[tf.Tensor]:
    return state.parameters


def _averages(state: dpsgd.State) -> Sequence[tf.Tensor]:
    return state.moments.first


def _undone_adam(seen: Array, first: Array, steps: int) -> Array:
    """By how far Adam moved the weights: only the last digits of its first step hold the gradient's size."""
    moved = seen - first
    if steps > 1:
        return -moved * DIVISOR / RATE
    ratio = np.minimum(np.abs(moved) / RATE, 1 - 2.0**-24)
    return -np.sign(moved) * DIVISOR * 1e-7 / math.sqrt(1e-3) * ratio / (1 - ratio)


VIEWS = {
    "noised sum": View("sgd", 1.0, 1.0, 0.0, _parameters, lambda seen, first, _: first - seen),
    "weights, SGD": View(
        "sgd", RATE, DIVISOR, 0.1, _parameters, lambda seen, first, _: (first - seen) * DIVISOR / RATE
    ),
    "weights, Adam": View("adam", RATE, DIVISOR, 0.1, _parameters, _undone_adam),
    "Adam's averages": View(
        "adam", RATE, DIVISOR, 0.1, _averages, lambda seen, *_: seen * DIVISOR / 0.1, decay=0.9
    ),
}


@dataclass(frozen=True)
class Game:
    """600 trainings: what was released of each, and what the attacker knows.

    sums (decisions, coordinates): the noised sums as far as the release tells them, added up over the steps.
    candidates (2, coordinates): the same without noise, without the record and with it. deviation: of the
    noise in it. free (coordinates): where the first weight is zero, so that nothing rounds digits away.
    """

    included: NDArray[np.bool_]
    sums: Array
    candidates: Array
    deviation: float
    free: NDArray[np.bool_]

    @property
    def mu(self) -> float:
        """How far the record moves the sum, in standard deviations of the noise."""
        return float(np.linalg.norm(self.candidates[1] - self.candidates[0])) / self.deviation


def flat(values: Sequence[tf.Tensor]) -> Array:
    return np.concatenate([np.ravel(value) for value in values]).astype(np.float64)


@lru_cache(maxsize=16)
def play(name: str, steps: int, size: float, key: int = 0) -> Game:
    """The game of a view with a record whose gradient is `size` clip norms long; `key` of the noise."""
    view, rng = VIEWS[name], np.random.default_rng(0)
    included = rng.random(DECISIONS) < 0.5
    data = _records(rng, size)
    learner = Linear(view.spread)
    first = learner.start(rng)
    deviation = _noise_multiplier(steps) * CLIP_NORM
    scales = _scales(deviation, view.divisor, view.rate)
    run, state = dpsgd.program(learner, 1, view.optimizer), dpsgd.start(first)
    seeds = np.random.default_rng([1, key]).integers(-(2**31), 2**31, size=(DECISIONS, steps, 2))
    seen = [
        flat(view.of(run(state, data, _chance(here, own), SEED, scales)))
        for here, own in zip(included, seeds.astype(np.int32), strict=True)
    ]
    plain, zero = dpsgd.program(Linear(), 1, "sgd"), dpsgd.start(Linear().start(rng))
    candidates = [
        -flat(plain(zero, data, _chance(here, np.zeros((1, 2), np.int32)), SEED, _scales(0, 1, 1)).parameters)
        for here in (False, True)
    ]
    weights = view.decay ** np.arange(steps)
    start = flat(first.parameters)
    return Game(
        included,
        view.undone(np.array(seen), start, steps),
        weights.sum() * np.array(candidates),
        deviation * float(np.linalg.norm(weights)),
        start == 0,
    )


def _records(rng: np.random.Generator, size: float) -> Examples:
    """Records whose gradients are clipped, and one, the last, of `size` clip norms."""
    x = rng.normal(size=(OTHERS + 1, 1, INPUTS)).astype(np.float32)
    target = rng.normal(size=(OTHERS + 1, 1, OUTPUTS)).astype(np.float32)
    weight = np.ones((OTHERS + 1, 1), np.float32)
    norm = np.linalg.norm(target[-1]) * math.sqrt(1 + float(np.sum(np.square(x[-1]))))
    weight[-1] = size * CLIP_NORM / norm
    return Examples(*map(tf.constant, (x, target, weight)))


def _chance(included: bool, seeds: NDArray[np.int32]) -> dpsgd.Chance:
    """All others in each step, and the record or none."""
    order = np.arange(OTHERS + 1, dtype=np.int32)
    order[-1] = OTHERS if included else ABSENT
    return dpsgd.Chance(tf.constant(np.tile(order, (len(seeds), 1))), tf.constant(seeds))


def _scales(deviation: float, divisor: float, rate: float) -> dpsgd.Scales:
    return dpsgd.Scales(*(tf.constant(v, tf.float32) for v in (CLIP_NORM, deviation, divisor, rate)))


def _noise_multiplier(steps: int) -> float:
    budget, records = Budget(EPSILON, DELTA, "window"), OTHERS + 1
    return accounting.calibrate(
        budget, name="x", n=records, q=1.0, capacity=records, steps=steps, clip_norm=CLIP_NORM
    ).noise_multiplier


@lru_cache(maxsize=1)
def coarse_normals() -> NDArray[np.float32]:
    """All 2^23 values of normals that are quantiles of middles of equal parts, in order."""
    compiled = tf.function(
        lambda part: math.sqrt(2) * tf.math.erfinv((part + 0.5) * 2**-22 - 1), jit_compile=True
    )
    return compiled(tf.cast(tf.range(2**23), tf.float32)).numpy()


def quantile_membership(game: Game) -> Array:
    """For more coordinates the release less one sum is one of 2^23 quantiles than less the other."""
    table = coarse_normals()
    sums = game.sums[:, game.free]
    spacing = np.spacing(np.abs(sums).astype(np.float32)).astype(np.float64)

    def hits(candidate: Array) -> Array:
        left = (sums - candidate[game.free]) / game.deviation
        nearest = np.clip(np.searchsorted(table, left), 1, len(table) - 1)
        distance = np.minimum(np.abs(table[nearest] - left), np.abs(table[nearest - 1] - left))
        return np.sum(distance * game.deviation <= spacing, axis=1)

    return hits(game.candidates[1]) - hits(game.candidates[0])


def quantile_levels(game: Game) -> Array:
    """The same for all numbers of quantiles from 2^10 to 2^33, wherever in its cell a value may sit."""

    def lengths(candidate: Array) -> Array:
        left = (game.sums - candidate)[:, _some(game)] / game.deviation
        below = special.ndtr(-np.abs(left))
        return np.array([_length(below, cells) for cells in 2.0 ** np.arange(10, 34)])

    return _clearest(lengths(game.candidates[1]) - lengths(game.candidates[0]))


def grid_membership(game: Game) -> Array:
    """The same for grids of values: steps of a power of two, or of that times the noise's deviation.

    What is known of the sums is taken as it is, and rounded to the grid.
    """

    def lengths(candidate: Array) -> Array:
        found = []
        for unit in (1.0, game.deviation):
            values, known = (each[..., _some(game)] / unit for each in (game.sums, candidate))
            for cells in 2.0 ** np.arange(6, 32):
                found.append(_length(values - known, cells))
                found.append(_length(values - np.rint(known * cells) / cells, cells))
        return np.array(found)

    return _clearest(lengths(game.candidates[1]) - lengths(game.candidates[0]))


def _some(game: Game) -> NDArray[np.intp]:
    """Up to 150 coordinates with all their digits: more take time and find no more."""
    return np.flatnonzero(game.free)[:150]


def _length(values: Array, cells: float) -> Array:
    """Length of the mean phase (decisions) in a grid of so many cells a unit.

    1 where all values sit at one place of their cells, about the root of 1 / coordinates where anywhere.
    """
    phase = 2 * math.pi * np.mod(values * cells, 1)
    return np.hypot(np.cos(phase).mean(axis=1), np.sin(phase).mean(axis=1))


def _clearest(differences: Array) -> Array:
    """Of differences (grids, decisions) the largest in size, decision by decision."""
    return np.take_along_axis(differences, np.abs(differences).argmax(axis=0)[np.newaxis], axis=0)[0]


def low_bits(game: Game) -> Array:
    """For which sum the lowest bits of what is left are less uniform (chi-square over 64 patterns)."""

    def unevenness(candidate: Array) -> Array:
        left = (game.sums - candidate)[:, game.free].astype(np.float32)
        patterns = left.view(np.uint32) & 63
        counts = np.array([np.bincount(row, minlength=64) for row in patterns])
        return np.sum(np.square(counts - patterns.shape[1] / 64), axis=1)

    return unevenness(game.candidates[1]) - unevenness(game.candidates[0])


def trailing_zeros(game: Game) -> Array:
    """For which sum what is left ends in more zero bits: a sum of numbers of few bits has few bits."""

    def zeros(candidate: Array) -> Array:
        left = (game.sums - candidate)[:, game.free].astype(np.float32).view(np.uint32)
        lowest = left & -left.astype(np.int64).astype(np.uint32)
        return np.mean(np.log2(np.maximum(lowest, 1)), axis=1)

    return zeros(game.candidates[1]) - zeros(game.candidates[0])


def no_noise(game: Game) -> Array:
    """For which sum more coordinates are just as they would be without noise."""

    def equal(candidate: Array) -> Array:
        return np.sum(game.sums.astype(np.float32) == candidate.astype(np.float32), axis=1)

    return (equal(game.candidates[1]) - equal(game.candidates[0])).astype(np.float64)


def out_of_reach(game: Game) -> Array:
    """For which sum fewer coordinates lie beyond the last of 2^23 quantiles."""
    reach = float(coarse_normals()[-1]) * (1 + 1e-6) * game.deviation

    def beyond(candidate: Array) -> Array:
        return np.sum(np.abs(game.sums - candidate) > reach, axis=1)

    return (beyond(game.candidates[0]) - beyond(game.candidates[1])).astype(np.float64)


def likelihood_ratio(game: Game) -> Array:
    """The best test of one Gaussian sum against another."""
    move = game.candidates[1] - game.candidates[0]
    return (game.sums - game.candidates.mean(axis=0)) @ move


def signs(game: Game) -> Array:
    """The best test by signs alone, which is all that the first step of Adam leaves of most gradients."""
    without, with_it = (special.log_ndtr(np.sign(game.sums) * s / game.deviation) for s in game.candidates)
    return np.sum(with_it - without, axis=1)


ON_DIGITS = [
    quantile_membership,
    quantile_levels,
    grid_membership,
    low_bits,
    trailing_zeros,
    no_noise,
    out_of_reach,
]


def right(attack: Callable[[Game], Array], game: Game) -> int:
    """How many of the decisions are right."""
    score = attack(game)
    coin = np.random.default_rng(9).random(len(score)) < 0.5
    return int(np.sum(np.where(score == 0, coin, score > 0) == game.included))


def chance(probability: float, decisions: int = DECISIONS) -> tuple[int, int]:
    """The interval of right decisions of an attacker who is right with this probability."""
    low, high = stats.binom.interval(1 - ERROR_RATE, decisions, probability)
    return int(low), int(high)


def best(game: Game) -> float:
    """How often the best test is right, by the noise that is claimed."""
    return float(stats.norm.cdf(game.mu / 2))


@pytest.mark.parametrize("steps", [1, 50])
@pytest.mark.parametrize("view", list(VIEWS))
def test_no_digits_tell_whether_a_record_was_in(view, steps):
    """Seven tests, each of which errs at most once in 50,000."""
    game = play(view, steps, TINY)
    found = {attack.__name__: right(attack, game) for attack in ON_DIGITS}
    low, high = chance(best(game))
    assert all(low <= count <= high for count in found.values()), f"{found}, at chance: {low} to {high}"


@pytest.mark.parametrize("steps", [1, 50])
@pytest.mark.parametrize("view", ["noised sum", "weights, SGD"])
def test_the_best_test_is_right_as_often_as_epsilon_says(view, steps):
    """A record at full clip norm: the attacker gets what is claimed, no more and no less."""
    game = play(view, steps, FULL)
    assert game.mu == pytest.approx(1 / _noise_multiplier(1), rel=1e-3)
    low, high = chance(best(game))
    assert low <= right(likelihood_ratio, game) <= high


def test_adam_tells_no_more_than_the_sum():
    game = play("weights, Adam", 1, FULL)
    assert right(signs, game) <= chance(best(game))[1]


@pytest.mark.slow
def test_no_digits_of_fifty_sums_that_are_all_seen_tell_whether_a_record_was_in():
    """Each of a training's noised sums is seen, as accounting assumes: the scores of 50 steps add up."""
    total: dict[str, Array] = {}
    for key in range(50):
        game = play.__wrapped__("noised sum", 1, TINY, key)
        for attack in ON_DIGITS:
            total[attack.__name__] = total.get(attack.__name__, 0) + attack(game)
    found = {name: right(lambda _, score=score: score, game) for name, score in total.items()}
    low, high = chance(0.5)
    assert all(low <= count <= high for count in found.values()), f"{found}, at chance: {low} to {high}"


def coarse_quantiles(sums: Array, deviation: float, rng: np.random.Generator) -> Array:
    normals = rng.choice(coarse_normals(), sums.shape)
    return (sums + deviation * normals).astype(np.float32)


def sum_off_the_grid(sums: Array, deviation: float, rng: np.random.Generator) -> Array:
    step = deviation * 2.0**-18
    return sums + step * np.rint(deviation * rng.normal(size=sums.shape) / step)


def sum_on_a_finer_grid(sums: Array, deviation: float, rng: np.random.Generator) -> Array:
    noise = np.rint(deviation * rng.normal(size=sums.shape) * 2.0**10) / 2.0**10
    return np.rint(sums * 2.0**20) / 2.0**20 + noise


def places_without_noise(sums: Array, deviation: float, rng: np.random.Generator) -> Array:
    noise = deviation * rng.normal(size=sums.shape)
    return np.where(np.arange(sums.shape[1]) % 50 == 0, sums, sums + noise)


def one_grid_for_all(sums: Array, deviation: float, rng: np.random.Generator) -> Array:
    step = deviation * 2.0**-22
    noise = np.rint(deviation * rng.normal(size=sums.shape) / step)
    return (step * (np.rint(sums / step) + noise)).astype(np.float32)


@pytest.mark.parametrize(
    ("noised", "attacks"),
    [
        (coarse_quantiles, [quantile_membership, quantile_levels]),
        (sum_off_the_grid, [grid_membership]),
        (sum_on_a_finer_grid, [grid_membership, low_bits, trailing_zeros]),
        (places_without_noise, [no_noise]),
        (one_grid_for_all, []),
    ],
)
def test_attacks_break_what_they_are_meant_for_and_nothing_else(noised, attacks):
    """On noise that is broken on purpose, and on that of one grid, which leaves them at chance."""
    rng = np.random.default_rng(5)
    included = rng.random(DECISIONS) < 0.5
    candidates = rng.normal(scale=0.2, size=(2, 500)).astype(np.float32).astype(np.float64)
    candidates[1] = candidates[0] + 1e-3 * rng.normal(size=500)
    sums = noised(candidates[included.astype(int)], 3.5, rng).astype(np.float64)
    game = Game(included, sums, candidates, 3.5, np.ones(500, np.bool_))
    found = {attack.__name__: right(attack, game) for attack in ON_DIGITS}
    low, high = chance(best(game))
    for attack in attacks:
        assert found[attack.__name__] > 0.99 * DECISIONS, found
    if not attacks:
        assert all(low <= count <= high for count in found.values()), f"{found}, chance: {low} to {high}"


@pytest.mark.parametrize("clip_norm", [1e-4, 1.0, 1e4])
@pytest.mark.parametrize("multiplier", [1e-3, 0.5, 1e3])
def test_large_sums_and_noise_of_any_size_are_neither_cut_nor_wrapped(clip_norm, multiplier):
    """600 records that are alike add up, and all other coordinates hold noise of the deviation.

    One of 527 normals is beyond 6 deviations once in a million tests; their variance errs as often as stated.
    """
    records, scale = 600, 10.0
    x = np.zeros((records, 1, INPUTS), np.float32)
    target, weight = np.zeros((records, 1, OUTPUTS), np.float32), np.ones((records, 1), np.float32)
    x[..., 0], target[..., 0] = scale, 1
    weight *= np.float32(10 * clip_norm)
    deviation = multiplier * clip_norm
    scales = _scales(deviation, 1.0, 1.0)._replace(clip_norm=tf.constant(clip_norm, tf.float32))
    order = np.arange(records, dtype=np.int32)[np.newaxis]
    chance = dpsgd.Chance(tf.constant(order), tf.constant([[7, 8]]))
    run = dpsgd.program(Linear(), 1, "sgd")
    start = dpsgd.start(Linear().start(np.random.default_rng(0)))
    data = Examples(*map(tf.constant, (x, target, weight)))
    after = run(start, data, chance, SEED, scales)
    found = -flat(after.parameters)
    expected = np.zeros(found.size)
    # The kernel's first value and the bias' first one.
    expected[[0, INPUTS * OUTPUTS]] = np.array([scale, 1]) * records * clip_norm / math.hypot(scale, 1)
    off = found - expected
    assert np.all(np.abs(off) <= 6 * deviation + 1e-5 * np.abs(expected))
    noise = np.delete(off, [0, INPUTS * OUTPUTS]) / deviation
    below = stats.chi2.cdf(np.sum(np.square(noise)), noise.size)
    assert ERROR_RATE < below < 1 - ERROR_RATE


def test_noise_reaches_as_far_as_a_normal():
    """A record on one coordinate must not give values that are impossible without it.

    Counts of 157 million values beyond each bound are Poisson; each of them errs once in 50,000. Noised sums
    may lie on a public grid, which moves a bound by half a step.
    """
    values, draws = 2**18, 600
    bounds = (3.0, 4.0, 4.5, 5.0, 5.2, 5.2948, 5.5)

    @tf.function(jit_compile=True, autograph=False)
    def beyond(seeds: tf.Tensor) -> tf.Tensor:
        def body(i: tf.Tensor, counts: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            ((noise,), _) = add_noise([tf.zeros(values)], seeds[i], tf.constant(1.0))
            return i + 1, counts + tf.stack([tf.math.count_nonzero(tf.abs(noise) > b) for b in bounds])

        start = (tf.constant(0), tf.zeros(len(bounds), tf.int64))
        return tf.while_loop(lambda i, _: i < draws, body, start)[1]

    seeds = np.random.default_rng(0).integers(-(2**31), 2**31, size=(draws, 2)).astype(np.int32)
    found = beyond(tf.constant(seeds)).numpy()
    fewest, most = (values * draws * 2 * stats.norm.sf(np.array(bounds) + by) for by in (1 / 128, -1 / 128))
    low, high = stats.poisson.ppf(ERROR_RATE / 2, fewest), stats.poisson.isf(ERROR_RATE / 2, most)
    assert np.all((low <= found) & (found <= high)), f"{found}, expected {fewest} to {most}"
