"""What noise costs and which noise a budget buys, by dp-accounting.

Functions take the mechanisms that meet the same people. They compose: generator and detector of a cell are
`(*generator, *detector)`; publishing all fold models of a table takes `mechanisms * (models a person is in)`,
with 14 models a seed for 15 left-out people. Equal mechanisms are counted, not composed one by one.
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
_SAMPLED_POINTS, _GAUSSIAN_POINTS = 5e3, 1e5
# dp-accounting cuts the noise where its density is exp(-50) of the largest: at ten standard deviations.
_TAIL = 10
_RANGES = {
    "n": (1, 1e9),
    "q": (1e-9, 1),
    "capacity": (1, 1e9),
    "steps": (1, 1e5),
    "noise_multiplier": (1e-3, 1e9),
    "delta": (1e-15, 1),
}


class _Steps(NamedTuple):
    """Equal steps, `times` in all, on sampled records, of which `group` change together."""

    n: int
    q: float
    capacity: int
    noise_multiplier: float
    group: int
    times: int


class _Composition(NamedTuple):
    """All full-batch steps as one Gaussian mechanism of `mu`, and the sampled steps."""

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
    """The mechanism with the least noise that keeps to a private budget's (epsilon, delta).

    `beside`: mechanisms that meet the same people in the same training, and share the budget. The epsilon of
    all together is at most the budget's, and at least 99.5 % of it. Full batches are solved exactly. Raises
    ValueError where `beside` leaves nothing of the budget.
    """
    if not budget.is_private:
        raise ValueError(f"mechanism {name}: there is no noise for epsilon {budget.epsilon}")
    check_ranges({"n": n, "q": q, "capacity": capacity, "steps": steps}, f"mechanism {name}")
    others = _compose(_ones(beside))
    if _epsilon(others, "REPLACE_SPECIAL", budget.delta) >= budget.epsilon:
        raise ValueError(f"mechanism {name}: what runs beside it spends all of epsilon {budget.epsilon}")
    multiplier = _least_noise(budget.epsilon, budget.delta, n, q, capacity, steps, others)
    return Mechanism(name, budget.unit, n, q, capacity, steps, clip_norm, multiplier)


def check_ranges(values: Mapping[str, float], source: str) -> None:
    """Raise InputError for numbers of a mechanism that the accountants would overflow on, or never end."""
    for name, value in values.items():
        least, most = _RANGES[name]
        if not least <= value <= most:
            raise InputError(f"{source}: {name} {value:g} is out of range; expected {least:g} to {most:g}")


def epsilon_pld(mechanisms: Sequence[Mechanism], delta: float) -> float:
    """Epsilon by privacy loss distributions, never below the true one; exact where all batches are full.

    Neighbours: one record's contribution is zero in one of them. A draw cut to its capacity is accounted with
    the other records that the cut lets in.

    Source: Koskela et al. 2020; Doroshenko et al. 2022; for cut draws arXiv:2508.15089.
    """
    return _epsilon(_compose(_ones(mechanisms)), "REPLACE_SPECIAL", delta)


def epsilon_replace_one(mechanisms: Sequence[Mechanism], delta: float) -> float:
    """Epsilon where one record is exchanged for any other: the clipped sum can move by twice the clip norm.

    Exact where all batches are full, else by privacy loss distributions: for cut draws an upper bound.
    """
    return _epsilon(_compose(_ones(mechanisms)), "REPLACE_ONE", delta)


def epsilon_rdp(mechanisms: Sequence[Mechanism], delta: float) -> float:
    """Epsilon by Renyi differential privacy: an independent way to `epsilon_pld`, and looser.

    If draws are cut often, the library's distribution of cut draws is the looser one.

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
    """Epsilon of the same noise when each record is in every step: what remains if the draws become known."""
    return epsilon_pld([replace(mechanism, q=1, capacity=mechanism.n) for mechanism in mechanisms], delta)


def gaussian_mu(mechanisms: Sequence[Mechanism]) -> float | None:
    """The mu of Gaussian differential privacy (Dong, Roth and Su 2022); None unless all batches are full."""
    composition = _compose(_ones(mechanisms))
    return None if composition.sampled else composition.mu


def epsilon_of_groups(groups: Sequence[Group], delta: float) -> float:
    """Epsilon where k records of one person change together, with a k for each mechanism.

    It is infinite where a k is: how many records change has no bound.

    Full batches: k times mu, exactly. Poisson draws: of k records a binomial number is in the step, which is
    a mixture of Gaussians. Cut draws: where the other records leave no capacity for all k, each record of the
    group that comes in may push out another one, so twice that number bounds what changes.

    Source: Choquette-Choo et al. 2024 (arXiv:2310.15526) for the mixture.
    """
    if any(math.isinf(k) for _, k in groups):
        return math.inf
    return _epsilon(_compose(groups), "REPLACE_SPECIAL", delta)


def _ones(mechanisms: Sequence[Mechanism]) -> list[Group]:
    """The mechanisms with one record each; raises ValueError where these are not the same kind of record."""
    if len({mechanism.unit for mechanism in mechanisms}) > 1:
        raise ValueError("mechanisms of different units compose only for a person: use epsilon_of_groups")
    return [(mechanism, 1) for mechanism in mechanisms]


def _compose(groups: Iterable[Group]) -> _Composition:
    squared_mu = 0.0
    sampled: Counter[_Steps] = Counter()
    for mechanism, k in groups:
        if mechanism.sampler == "full batch":
            squared_mu += mechanism.steps * (k / mechanism.noise_multiplier) ** 2
        else:
            capacity, group = min(mechanism.capacity, mechanism.n), int(min(k, mechanism.n))
            one = _Steps(mechanism.n, mechanism.q, capacity, mechanism.noise_multiplier, group, times=1)
            sampled[one] += mechanism.steps
    counted = sorted(one._replace(times=times) for one, times in sampled.items())
    return _Composition(math.sqrt(squared_mu), tuple(counted))


@lru_cache(maxsize=1024)
def _epsilon(composition: _Composition, relation: str, delta: float) -> float:
    moves = 2 if relation == "REPLACE_ONE" else 1
    # All records of the group in each step: the value of full batches, and a bound for all others.
    reaches = [_reach(steps) * math.sqrt(steps.times) for steps in composition.sampled]
    bound = _gaussian_epsilon(moves * math.hypot(composition.mu, *reaches), delta)
    if not composition.sampled:
        return bound
    try:
        losses = _distribution(composition, relation)
    except ValueError:
        # A large group at little noise: differences of exponentials cancel in dp-accounting 0.6 (`_log_sub`).
        # Epsilon is in the hundreds then, and the bound as little a promise.
        if all(steps.group == 1 for steps in composition.sampled):
            raise
        return bound
    return min(bound, float(losses.get_epsilon_for_delta(delta)))


@lru_cache(maxsize=16)
def _distribution(composition: _Composition, relation: str) -> Any:
    """The privacy loss distribution of all steps; a ledger asks for it at several deltas."""
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
    """How far a group moves the sum, in standard deviations; in a cut draw it may push out as many others."""
    moves = 2 if steps.capacity < steps.n else 1
    return moves * steps.group / steps.noise_multiplier


def _step_distribution(steps: _Steps, relation: str, grid: float) -> Any:
    if steps.group > 1:
        return _group_distribution(steps, grid)
    library = _library()
    losses = library.pld.privacy_loss_distribution
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
    taken = np.arange(steps.group + 1)
    shares = binom.pmf(taken, steps.group, steps.q)

    def mixture(moves: int) -> Any:
        return losses.from_mixture_gaussian_mechanism(
            steps.noise_multiplier, moves * taken, shares, value_discretization_interval=grid
        )

    if steps.capacity >= steps.n:
        return mixture(1)
    overflow = binom.sf(steps.capacity - steps.group, steps.n - steps.group, steps.q)
    return mixture(2).compute_mixture(mixture(1), overflow)


@lru_cache(maxsize=256)
def _renyi_curve(steps: _Steps) -> NDArray[np.float64]:
    """Renyi divergences of one step at dp-accounting's orders.

    A cut draw is the mixture of a draw with capacity left, and of one where the record also pushes another
    one out; exp((order - 1) divergence) of a mixture is at most the mixture of the two.
    """
    from scipy.stats import binom

    library = _library()

    def curve(moves: int) -> NDArray[np.float64]:
        gaussian = library.GaussianDpEvent(steps.noise_multiplier / moves)
        zero_out = library.NeighboringRelation.REPLACE_SPECIAL
        accountant = library.rdp.RdpAccountant(neighboring_relation=zero_out)
        # Orders whose series does not converge are left out, which is safe; the library warns of each.
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
    """The interval of loss values: fine for narrow losses, so coarse for wide ones that they fit memory."""

    def width(reach: float) -> float:
        return reach**2 / 2 + _TAIL * reach

    widest = width(2 * max(map(_reach, composition.sampled), default=0.0))
    return max(_FINEST_GRID, widest / _SAMPLED_POINTS, width(composition.mu) / _GAUSSIAN_POINTS)


def _gaussian_epsilon(mu: float, delta: float) -> float:
    """Source: Balle and Wang 2018, theorem 8."""
    if mu == 0:
        return 0.0
    return float(_library().get_epsilon_gaussian(1 / mu, delta))


@lru_cache(maxsize=1024)
def _least_noise(
    epsilon: float, delta: float, n: int, q: float, capacity: int, steps: int, others: _Composition
) -> float:
    from scipy.optimize import brentq

    # The root finder is exact to 1e-12: the factor keeps epsilon on the safe side.
    sigma = float(_library().get_sigma_gaussian(epsilon, delta)) * (1 + 1e-9)
    # Gaussian mechanisms compose to one of the root of the sum of squared mu, of which `others` have theirs.
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

    # Downwards from enough noise: the losses of far too little noise would not fit into memory.
    enough = full_batch
    while excess(enough) > 0:
        enough *= 2
    while excess(enough / 2) <= 0:
        enough /= 2
    multiplier = float(brentq(excess, enough / 2, enough, rtol=1e-4))
    while excess(multiplier) > 0:
        multiplier *= 1 + 1e-5
    return multiplier


@contextmanager
def _silent(name: str) -> Iterator[None]:
    logger = logging.getLogger(name)
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before


def _library() -> Any:
    """dp-accounting, imported where it is needed: it takes a second, and plans without epsilon need none."""
    try:
        import dp_accounting
    except ImportError:
        cure = "run pip install 'pulseveil[privacy]'"
        raise InputError(f"epsilon is computed by dp-accounting, which is not installed; {cure}") from None
    return dp_accounting
