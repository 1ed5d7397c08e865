"""Synthetic subjects on request; the same request gives the same windows."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from pulseveil.app.catalogue import TrainedModel
from pulseveil.core import identity, registry
from pulseveil.core.contracts import SyntheticSet
from pulseveil.core.errors import InputError
from pulseveil.core.randomness import child
from pulseveil.generators.subjects import class_shares
from pulseveil.release.cards import class_names
from pulseveil.release.exits import require_leave
from pulseveil.runs.generators import synthesize_fold
from pulseveil.summary import labels

MOST_SUBJECTS = 1000
MOST_WINDOWS = 500
# Windows of all subjects together: about 100 MB of CSV.
MOST_IN_ALL = 20_000
MOST_SEED = 2**32 - 1
# The published front end: 36 windows of which 30 % are stress.
WINDOWS, STRESS_SHARE = 36, 0.3


@dataclass(frozen=True)
class Request:
    """A request for `subjects` synthetic subjects with `windows` windows each.

    `shares`: shares of the classes by code, which sum to 1.
    """

    subjects: int
    windows: int
    shares: tuple[float, ...]
    seed: int

    def check(self, classes: int) -> None:
        """Check all numbers for a generator with `classes` classes.

        Raises:
            InputError: a number is out of range; the message names it.
        """
        _check_whole("number of subjects", self.subjects, 1, MOST_SUBJECTS)
        _check_whole("windows of a subject", self.windows, 1, MOST_WINDOWS)
        _check_whole("seed", self.seed, 0, MOST_SEED)
        if self.subjects * self.windows > MOST_IN_ALL:
            raise InputError(
                f"windows in all: expected at most {MOST_IN_ALL}, found {self.subjects} subjects x "
                f"{self.windows} windows = {self.subjects * self.windows}; ask for fewer"
            )
        names = class_names(classes)
        if len(self.shares) != classes:
            raise InputError(
                f"class shares: expected one per class ({', '.join(names)}); found {len(self.shares)}"
            )
        for name, share in zip(names, self.shares, strict=True):
            if not (math.isfinite(share) and 0 <= share <= 1):
                raise InputError(f"share of {name}: expected 0 to 100 %, found {100 * share:g} %")
        total = math.fsum(self.shares)
        if not math.isclose(total, 1, abs_tol=1e-6):
            raise InputError(f"class shares: expected 100 % together, found {100 * total:g} %")

    def windows_per_condition(self) -> tuple[int, ...]:
        """Number of windows per class code: whole numbers nearest to the shares, by largest remainders.

        Examples:
            >>> Request(subjects=1, windows=10, shares=(0.53, 0.3, 0.17), seed=0).windows_per_condition()
            (5, 3, 2)
        """
        exact = np.array(self.shares) * self.windows
        counts = np.floor(exact).astype(int)
        missing = self.windows - int(counts.sum())
        first = np.argsort(counts - exact, kind="stable")[:missing]
        counts[first] += 1
        return tuple(counts.tolist())


@dataclass(frozen=True, eq=False)
class Generated:
    """Synthetic windows with their model and their request."""

    trained: TrainedModel
    request: Request
    synthetic: SyntheticSet


def usual_request(classes: int) -> Request:
    """Default request, that of the published front end: one subject, 36 windows, 30 % stress.

    Examples:
        >>> usual_request(2)
        Request(subjects=1, windows=36, shares=(0.7, 0.3), seed=0)
    """
    # Whole percent, as the page shows them; rounding must not let the sum miss 100.
    percent = np.round(100 * class_shares(classes, STRESS_SHARE)).astype(int)
    percent[0] += 100 - percent.sum()
    return Request(1, WINDOWS, tuple((percent / 100).tolist()), 0)


def make(trained: TrainedModel, request: Request, *, confirmed_not_private: bool = False) -> Generated:
    """Synthesize the subjects of a request; a request for fewer subjects gives the first of them.

    Raises:
        InputError: a number is out of range, the model's kind is not installed, or the model is not private
            and `confirmed_not_private` is False.
    """
    require_confirmation(trained, confirmed_not_private)
    job = trained.job
    request.check(job.classes)
    if job.kind not in registry.names("generators"):
        raise InputError(
            f"generators of kind {job.kind!r} are not installed here; install the package that provides them"
        )
    # A random stream of its own: the front end never repeats windows that the study synthesized.
    stream = job.stream("front end", trained.fold, trained.facts.seed)
    synthetic = synthesize_fold(
        trained.models,
        trained.fold,
        subjects=request.subjects,
        stream=child(stream, request.seed),
        windows_per_condition=request.windows_per_condition(),
    )
    return Generated(trained, request, synthetic)


def require_confirmation(trained: TrainedModel, confirmed_not_private: bool) -> None:
    """Refuse a model that is not private and not confirmed.

    Raises:
        InputError: the model is not private, and `confirmed_not_private` is False.
    """
    require_leave(trained.facts.claim, not_private=confirmed_not_private)


def _check_whole(name: str, value: object, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise InputError(f"{name}: expected a whole number from {low} to {high}, found {value}")


def cell_hash(generated: Generated) -> str:
    """Hash of everything that the exported values depend on: model, fold, request and program version."""
    request = generated.request
    return identity.cell_hash(
        {
            "model": generated.trained.facts.model_hash,
            "fold": generated.trained.fold,
            "subjects": request.subjects,
            "windows": request.windows_per_condition(),
            "seed": request.seed,
            "version": identity.SYNTHESIS,
        }
    )


def class_means(generated: Generated) -> pd.DataFrame:
    """Mean of each signal over the windows of each class, as text, with the unit of the values."""
    facts, synthetic = generated.trained.facts, generated.synthetic
    means = synthetic.windows.mean(axis=1)
    table = pd.DataFrame(
        {
            "signal": [labels.signals(channel.name) for channel in facts.channels],
            "unit": [channel.unit for channel in facts.channels],
        }
    )
    for code, name in enumerate(facts.classes):
        own = means[synthetic.condition == code]
        table[f"mean, {name}"] = [f"{value:.3g}" for value in own.mean(axis=0)] if len(own) else ""
    return table.set_index("signal")
