"""Privacy accounting by dp-accounting: the epsilon of mechanisms, and the least noise for a budget.

Functions take all mechanisms that work on the same people, and compose them. Generator and detector of one
cell are `(*generator, *detector)`. All fold models of a table are `mechanisms * (models with a person)`, with
14 such models per seed for 15 left-out people. Equal mechanisms are counted and composed once.
"""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pulseveil.core.errors import InputError
from pulseveil.privacy.budget import Budget, Mechanism

Group = tuple[Mechanism, float]

_FINEST_GRID = 1e-4
# Points of a loss distribution. On one fixed grid, the wide losses of whole people in many models would take
# gigabytes.
_SAMPLED_POINTS, _GAUSSIAN_POINTS = 5e3, 1e5
# dp-accounting drops exp(-50) of the noise's probability: all beyond ten standard deviations.
_TAIL = 10
# Numbers come from ledgers of other people, too: beyond these, accountants overflow or never end.
_RANGES = {
    "n": (1, 1e9),
    "q": (1e-9, 1),
    "capacity": (1, 1e9),
    "steps": (1, 1e5),
    "noise_multiplier": (1e-3, 1e9),
    "delta": (1e-15, 1),
}


class _Steps(NamedTuple):
    """`times` equal steps on sampled records, of which `group` records change together."""

    n: int
    q: float
    capacity: int
    noise_multiplier: float
    group: int
    times: int


class _Composition(NamedTuple):
    """The full-batch steps, as one Gaussian mechanism of `mu`, and the sampled steps."""

    mu: float
    sampled: tuple[_Steps, ...]


def calibrate(
    budget: Budget,
    *,
    name: str,
    n: int,
    q: float,
    capacity: int,
    steps: int,
    clip_norm: float,
    beside: Sequence[Mechanism] = (),
) -> Mechanism:
    """Calibrate noise: the mechanism with the least noise multiplier that keeps to a private budget.

    The epsilon of all mechanisms together is at most the budget's, and at least 99.5 % of it. Full batches
    are solved exactly.

    Args:
        beside: mechanisms of the same training, on the same people, that share the budget.

    Raises:
        ValueError: the budget is not private, or `beside` leaves nothing of it.
        InputError: a number is outside of the accountants' range.

    Guarantee:
        Steps that run as the mechanism says, together with `beside`, are (epsilon, delta)-differentially
        private at the budget's unit, for zero-out neighbours. Noise and draws must be secret, and q, n and
        clip norm public. Other trainings on the same people, and a choice of settings by their results, are
        not covered.

    Examples:
        >>> from pulseveil.privacy.budget import Budget
        >>> budget = Budget(epsilon=1.0, delta=1e-5, unit="subject")
        >>> query = calibrate(budget, name="means", n=14, q=1, capacity=14, steps=1, clip_norm=1.0)
        >>> print(f"{query.noise_multiplier:.3f}, epsilon {epsilon_pld([query], delta=1e-5):.3f}")
        3.731, epsilon 1.000
    """
    if not budget.is_private:
        raise ValueError(f"mechanism {name}: epsilon {budget.epsilon} needs no noise; expected a finite one")
    check_ranges({"n": n, "q": q, "capacity": capacity, "steps": steps}, f"mechanism {name}")
    others = _compose(_ones(beside))
    if _epsilon(others, "REPLACE_SPECIAL", budget.delta) >= budget.epsilon:
        raise ValueError(f"mechanism {name}: the mechanisms beside it spend all of epsilon {budget.epsilon}")
    multiplier = _least_noise(budget.epsilon, budget.delta, n, q, capacity, steps, others)
    return Mechanism(name, budget.unit, n, q, capacity, steps, clip_norm, multiplier)


def check_ranges(values: Mapping[str, float], source: str) -> None:
    """Refuse numbers of a mechanism for which the accountants overflow or never end.

    Raises:
        InputError: a value is outside of its range; the message names `source`.
    """
    for name, value in values.items():
        least, most = _RANGES[name]
        if not least <= value <= most:
            raise InputError(f"{source}: {name} {value:g} is out of range; expected {least:g} to {most:g}")


def epsilon_pld(mechanisms: Sequence[Mechanism], delta: float) -> float:
    """Epsilon by privacy loss distributions; exact if all batches are full, otherwise an upper bound.

    Guarantee:
        The mechanisms together are (epsilon, delta)-differentially private for zero-out neighbours: one
        record's contribution is zero in one of them. A draw cut to its capacity counts with the record that
        the cut admits instead. Draws must be secret, and noise exactly Gaussian in real arithmetic. Several
        records of one person need `epsilon_of_groups`.

    Raises:
        ValueError: the mechanisms have different units.

    Source: Koskela et al. 2020; Doroshenko et al. 2022; for cut draws arXiv:2508.15089.

    Examples:
        >>> step = Mechanism("cnn", "window", 495, 64 / 495, 495, 160, clip_norm=1.0, noise_multiplier=4.34)
        >>> [round(epsilon_pld([step] * models, delta=1e-3), 2) for models in (1, 2)]
        [1.0, 1.5]
    """
    return _epsilon(_compose(_ones(mechanisms)), "REPLACE_SPECIAL", delta)


def epsilon_replace_one(mechanisms: Sequence[Mechanism], delta: float) -> float:
    """Epsilon for replace-one neighbours, which exchange one record for any other.

    Guarantee:
        As `epsilon_pld`, but the clipped sum may move by twice the clip norm. Exact if all batches are full,
        otherwise an upper bound by privacy loss distributions.

    Raises:
        ValueError: the mechanisms have different units.
    """
    return _epsilon(_compose(_ones(mechanisms)), "REPLACE_ONE", delta)


def epsilon_rdp(mechanisms: Sequence[Mechanism], delta: float) -> float:
    """Epsilon by Renyi differential privacy: an independent check of `epsilon_pld`.

    The value is looser than `epsilon_pld`, except for draws that are cut often: there the library's privacy
    loss distribution is looser.

    Guarantee:
        An upper bound under the assumptions and neighbours of `epsilon_pld`.

    Raises:
        ValueError: the mechanisms have different units.

    Source: Mironov, Talwar and Zhang 2019, converted as in Canonne, Kamath and Steinke 2020.
    """
    renyi = _library().rdp
    composition = _compose(_ones(mechanisms))
    orders = renyi.RdpAccountant().orders
    curve = orders * composition.mu**2 / 2
    for steps in composition.sampled:
        curve = curve + steps.times * _renyi_curve(steps)
    return float(renyi.compute_epsilon(orders, curve, delta)[0])


def epsilon_unamplified(mechanisms: Sequence[Mechanism], delta: float) -> float:
    """Epsilon without amplification by sampling, as if each record were in every step.

    Guarantee:
        As `epsilon_pld`, even if the draws become known.

    Raises:
        ValueError: the mechanisms have different units.
    """
    return epsilon_pld([replace(mechanism, q=1, capacity=mechanism.n) for mechanism in mechanisms], delta)


def gaussian_mu(mechanisms: Sequence[Mechanism]) -> float | None:
    """Mu of Gaussian differential privacy (Dong, Roth and Su 2022); None unless all batches are full.

    Raises:
        ValueError: the mechanisms have different units.
    """
    composition = _compose(_ones(mechanisms))
    return None if composition.sampled else composition.mu


def epsilon_of_groups(groups: Sequence[Group], delta: float) -> float:
    """Group privacy: epsilon when k records of one person change together, with one k per mechanism.

    Full batches give k times mu, exactly. Poisson draws include a binomial number of the k records, so that a
    step is a mixture of Gaussians. If the others leave too little capacity for the group, each record of the
    group that is drawn may push out another one, and the sum moves by at most twice their number.

    Guarantee:
        An upper bound when the contributions of these k records are zero in one of two neighbours. Mechanisms
        of different units compose here, each with its own k. An infinite k, of a person whose number of
        records has no bound, gives an infinite epsilon.

    Source: Choquette-Choo et al. 2024 (arXiv:2310.15526) for the mixture.

    Examples:
        >>> query = Mechanism("means", "window", 495, 1, 495, 1, clip_norm=1.0, noise_multiplier=2.575)
        >>> [round(epsilon_of_groups([(query, k)], delta=1e-3), 2) for k in (1, 2, 4)]
        [1.0, 2.3, 5.46]
    """
    if any(math.isinf(k) for _, k in groups):
        return math.inf
    return _epsilon(_compose(groups), "REPLACE_SPECIAL", delta)


def _ones(mechanisms: Sequence[Mechanism]) -> list[Group]:
    """Groups of one record per mechanism; raises ValueError for mechanisms of different units."""
    if len({mechanism.unit for mechanism in mechanisms}) > 1:
        raise ValueError("mechanisms of different units compose only by epsilon_of_groups")
    return [(mechanism, 1) for mechanism in mechanisms]


def _compose(groups: Iterable[Group]) -> _Composition:
    """Sum up full batches, and count equal sampled steps."""
    squared_mu = 0.0
    sampled: Counter[_Steps] = Counter()
    for mechanism, k in groups:
        if mechanism.sampler == "full batch":
            squared_mu += mechanism.steps * (k / mechanism.noise_multiplier) ** 2
        else:
            # Beyond n both change nothing; cut to n, steps that are equal in effect share a cached result.
            capacity, group = min(mechanism.capacity, mechanism.n), int(min(k, mechanism.n))
            one = _Steps(mechanism.n, mechanism.q, capacity, mechanism.noise_multiplier, group, times=1)
            sampled[one] += mechanism.steps
    counted = sorted(one._replace(times=times) for one, times in sampled.items())
    return _Composition(math.sqrt(squared_mu), tuple(counted))


@lru_cache(maxsize=1024)
def _epsilon(composition: _Composition, relation: str, delta: float) -> float:
    moves = 2 if relation == "REPLACE_ONE" else 1
    # The whole group in each step is exact for full batches, and an upper bound for sampled ones.
    reaches = [_reach(steps) * math.sqrt(steps.times) for steps in composition.sampled]
    bound = _gaussian_epsilon(moves * math.hypot(composition.mu, *reaches), delta)
    if not composition.sampled:
        return bound
    try:
        losses = _distribution(composition, relation)
    except ValueError:
        # Large groups at little noise: differences of exponentials cancel in dp-accounting 0.6 (`_log_sub`).
        # Epsilon is in the hundreds then, and the looser bound promises no less.
        if all(steps.group == 1 for steps in composition.sampled):
            raise
        return bound
    return min(bound, float(losses.get_epsilon_for_delta(delta)))


@lru_cache(maxsize=16)
def _distribution(composition: _Composition, relation: str) -> Any:
    """Privacy loss distribution of all steps, cached: a statement reads it at several deltas."""
    losses = _library().pld.privacy_loss_distribution
    grid = _grid(composition)
    total = losses.identity(grid)
    if composition.mu > 0:
        moves = 2 if relation == "REPLACE_ONE" else 1
        deviation = 1 / (moves * composition.mu)
        total = losses.from_gaussian_mechanism(deviation, value_discretization_interval=grid)
    for steps in composition.sampled:
        total = total.compose(_step_distribution(steps, relation, grid).self_compose(steps.times))
    return total


def _reach(steps: _Steps) -> float:
    """Largest shift of the sum by a group, in standard deviations of the noise.

    A cut draw can shift it twice as far: as many other records may be pushed out.
    """
    moves = 2 if steps.capacity < steps.n else 1
    return moves * steps.group / steps.noise_multiplier


def _step_distribution(steps: _Steps, relation: str, grid: float) -> Any:
    if steps.group > 1:
        return _group_distribution(steps, grid)
    library = _library()
    losses = library.pld.privacy_loss_distribution
    # REPLACE_SPECIAL is the library's zero-out relation: n and the divisor stay public and equal.
    shared = {
        "value_discretization_interval": grid,
        "neighboring_relation": library.NeighboringRelation[relation],
    }
    if steps.capacity < steps.n:
        return losses.from_truncated_subsampled_gaussian_mechanism(
            steps.n, steps.q, steps.capacity, steps.noise_multiplier, **shared
        )
    return losses.from_gaussian_mechanism(steps.noise_multiplier, sampling_prob=steps.q, **shared)


def _group_distribution(steps: _Steps, grid: float) -> Any:
    from scipy.stats import binom

    losses = _library().pld.privacy_loss_distribution
    # The library's Poisson and cut draws know one changed record only: groups are mixtures by their number.
    taken = np.arange(steps.group + 1)
    shares = binom.pmf(taken, steps.group, steps.q)

    def mixture(moves: int) -> Any:
        return losses.from_mixture_gaussian_mechanism(
            steps.noise_multiplier, moves * taken, shares, value_discretization_interval=grid
        )

    if steps.capacity >= steps.n:
        return mixture(1)
    # The probability that the others leave too little capacity for the whole group.
    overflow = binom.sf(steps.capacity - steps.group, steps.n - steps.group, steps.q)
    return mixture(2).compute_mixture(mixture(1), overflow)


@lru_cache(maxsize=256)
def _renyi_curve(steps: _Steps) -> NDArray[np.float64]:
    """Renyi divergences of one step at dp-accounting's orders.

    A cut draw is a mixture of two cases: capacity is left, or the record pushes out another one. Of this
    mixture, exp((order - 1) divergence) is at most the mixture of both cases' values.
    """
    from scipy.stats import binom

    library = _library()

    def curve(moves: int) -> NDArray[np.float64]:
        gaussian = library.GaussianDpEvent(steps.noise_multiplier / moves)
        zero_out = library.NeighboringRelation.REPLACE_SPECIAL
        accountant = library.rdp.RdpAccountant(neighboring_relation=zero_out)
        # Orders whose series does not converge become infinite, which is safe; the library warns of each.
        with _silent("absl"):
            accountant.compose(library.PoissonSampledDpEvent(steps.q, gaussian))
        return np.asarray(accountant.rdp)

    if steps.capacity >= steps.n:
        return curve(1)
    powers = library.rdp.RdpAccountant().orders - 1
    full = binom.logsf(steps.capacity - 1, steps.n - 1, steps.q)
    open_capacity = binom.logcdf(steps.capacity - 1, steps.n - 1, steps.q)
    return np.asarray(np.logaddexp(open_capacity + powers * curve(1), full + powers * curve(2)) / powers)


def _grid(composition: _Composition) -> float:
    """Interval of discretised losses: coarser for wide losses, so that distributions fit into memory."""

    def width(reach: float) -> float:
        return reach**2 / 2 + _TAIL * reach

    widest = width(2 * max(map(_reach, composition.sampled), default=0.0))
    return max(_FINEST_GRID, widest / _SAMPLED_POINTS, width(composition.mu) / _GAUSSIAN_POINTS)


def _gaussian_epsilon(mu: float, delta: float) -> float:
    """Exact epsilon of the Gaussian mechanism. Source: Balle and Wang 2018, theorem 8."""
    if mu == 0:
        return 0.0
    return float(_library().get_epsilon_gaussian(1 / mu, delta))


@lru_cache(maxsize=1024)
def _least_noise(
    epsilon: float, delta: float, n: int, q: float, capacity: int, steps: int, others: _Composition
) -> float:
    """Least noise multiplier of `steps` steps beside `others`."""
    from scipy.optimize import brentq

    # The library's root finder is exact to 1e-12: the factor keeps epsilon below the budget.
    sigma = float(_library().get_sigma_gaussian(epsilon, delta)) * (1 + 1e-9)
    # Gaussian mechanisms compose by the sum of squared mu, of which `others` have used a part.
    full_batch = math.sqrt(steps) / math.sqrt(1 / sigma**2 - others.mu**2)
    if q == 1 and not others.sampled:
        return full_batch

    def excess(multiplier: float) -> float:
        if q == 1:
            mu = math.hypot(others.mu, math.sqrt(steps) / multiplier)
            return _epsilon(others._replace(mu=mu), "REPLACE_SPECIAL", delta) - epsilon
        own = _Steps(n, q, min(capacity, n), multiplier, group=1, times=steps)
        together = tuple(sorted((*others.sampled, own)))
        return _epsilon(others._replace(sampled=together), "REPLACE_SPECIAL", delta) - epsilon

    # The search goes down from enough noise: a bracket that began at multiplier 0.01 took 7 GB. Full-batch
    # noise can be too little, since sampled `others` spend too and a cut draw may move the sum twice as far.
    enough = full_batch
    while excess(enough) > 0:
        enough *= 2
    while excess(enough / 2) <= 0:
        enough /= 2
    multiplier = float(brentq(excess, enough / 2, enough, rtol=1e-4))
    # The root may lie on either side of the budget: only multipliers that keep to it are returned.
    while excess(multiplier) > 0:
        multiplier *= 1 + 1e-5
    return multiplier


@contextmanager
def _silent(name: str) -> Iterator[None]:
    """Mute a logger within the block."""
    logger = logging.getLogger(name)
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before


def _library() -> Any:
    """Import dp-accounting on first use: the import takes a second, and plans without epsilon need none.

    Raises InputError if the package is not installed.
    """
    try:
        import dp_accounting
    except ImportError:
        cure = "run pip install dp-accounting"
        raise InputError(f"epsilon is computed by dp-accounting, which is not installed; {cure}") from None
    return dp_accounting
