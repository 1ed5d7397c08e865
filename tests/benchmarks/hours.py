"""Planned over measured CPU seconds of all kinds: `python tests/benchmarks/hours.py --kinds cnn --bins 210`.

One thread. Planned seconds are those of the core of plans, times the factor of `scripts/plan.py --calibrate`.
The seconds are those between a short and a longer training, so that starts, compilations and calibrations
cancel; models without epochs or steps are trained whole. Rows are those of the published study: 14 people of
36 windows, for generators of 72, and, beside released windows, 15 synthetic people of 35. The column `first`
has the seconds of the first training beyond those of the second: imports and compilation.
"""

from __future__ import annotations

import argparse
import logging
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pulseveil.core import registry, tensorflow
from pulseveil.core.contracts import FeatureSet, WindowSet
from pulseveil.privacy.budget import Unit
from pulseveil.runs import calibration
from pulseveil.runs.calibration import Trial
from pulseveil.windows.features import PAPER_BINS

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.benchmarks import simulated_cohorts

Keys = Mapping[str, Any]
SYNTHETIC = 15
UNITS: tuple[Unit, ...] = ("window", "subject")
EPOCHS: tuple[Keys, Keys] = {"epochs": 1}, {"epochs": 3}
NETWORKS = ("cnn", "cnn_lstm", "transformer")
# Trainings of kinds that are left out take milliseconds, and their jobs take the start of Python.
TABULAR = ("logistic", "forest", "elapsed_time")
GENERATORS: Mapping[str, tuple[Keys, Keys]] = {
    "cgan": ({"steps": 20}, {"steps": 220}),
    "dgan": ({"epochs": 1}, {"epochs": 41}),
    "timegan": (
        {"embedding_steps": 20, "supervised_steps": 20, "joint_steps": 5},
        {"embedding_steps": 80, "supervised_steps": 80, "joint_steps": 25},
    ),
    "autoencoder": ({"steps": 100}, {"steps": 1100}),
    "flow": ({"steps": 100}, {"steps": 600}),
    "moments": ({}, {}),
    "posterior": ({}, {}),
}
"""Settings of the short and of the longer training of a kind that is not private."""
PRIVATE: Mapping[str, tuple[Keys, Keys]] = {
    "cgan": ({"steps": 5}, {"steps": 35}),
    "dgan": ({"steps": 10}, {"steps": 160}),
    "timegan": ({"embedder_steps": 2, "steps": 2}, {"embedder_steps": 17, "steps": 17}),
    "autoencoder": ({"steps": 20}, {"steps": 420}),
}
"""Settings `private` of the short and of the longer private training of a kind."""


class Cell(NamedTuple):
    """One printed row: a trial, the bins of a network's spectra (0: others), and its data."""

    trial: Trial
    bins: int
    data: FeatureSet | WindowSet
    words: str


def of_network(kind: str, bins: int) -> Iterator[Cell]:
    """A network without budget and in both units, alone and beside synthetic or released windows."""
    alone, beside = calibration.random_features(bins), calibration.random_features(bins, SYNTHETIC)
    yield Cell(Trial("detectors", kind, None, *EPOCHS), bins, alone, "")
    yield Cell(Trial("detectors", kind, None, *EPOCHS), bins, beside, "beside synthetic")
    few = alone.take(np.isin(alone.subject, ["S1", "S2", "S3", "S4", "S5"]))
    yield Cell(Trial("detectors", kind, None, {"epochs": 2}, {"epochs": 6}), bins, few, f"{len(few)} rows")
    sizes: Mapping[Unit, Sequence[tuple[int, int, int]]] = {
        "window": ((50, 2, 14), (250, 1, 4)),
        "subject": ((50, 1, 3),),
    }
    for unit in UNITS:
        for batch, short, longer in sizes[unit]:
            trial = private(Trial("detectors", kind, unit), short, longer, {"batch_size": batch})
            words = f"batch {batch}" if unit == "window" else ""
            yield Cell(trial, bins, alone, words)
        yield Cell(trial, bins, beside, f"{words} beside released".strip())


def private(trial: Trial, short: int, longer: int, keys: Keys) -> Trial:
    """The trial with so many noised steps."""
    return replace(
        trial,
        **{
            name: {"private": {"steps": steps, **keys}}
            for name, steps in (("short", short), ("longer", longer))
        },
    )


def of_tabular(kind: str) -> Iterator[Cell]:
    """A small detector on simulated people, without budget and in its units."""
    data = simulated_cohorts.learnt_from(1)
    units = () if kind == "elapsed_time" else sorted(registry.load("detectors", kind).private_units)
    for unit in (None, *units):
        yield Cell(Trial("detectors", kind, unit), 0, data, "")
    few = data.take(np.isin(data.subject, np.unique(data.subject)[:5]))
    yield Cell(Trial("detectors", kind), 0, few, f"{len(few)} rows")
    if kind != "elapsed_time":
        spectra = Trial("detectors", kind, None, {"inputs": "spectra"})
        yield Cell(spectra, PAPER_BINS, calibration.random_features(PAPER_BINS), "spectra")


def of_generator(kind: str) -> Iterator[Cell]:
    """A generator without budget and in its units."""
    # Priors and moments need likely windows, and GANs windows in [0, 1].
    likely = kind not in ("cgan", "dgan", "timegan")
    data = simulated_cohorts.windows_of(1, "generator") if likely else calibration.random_windows()
    trial = Trial("generators", kind, None, *GENERATORS[kind])
    yield Cell(trial, 0, data, "")
    for network in ("fcn", "transformer") if kind == "cgan" else ():
        short, longer = ({**keys, "discriminator": network} for keys in (trial.short, trial.longer))
        yield Cell(replace(trial, short=short, longer=longer), 0, data, network)
    short, longer = PRIVATE.get(kind, ({}, {}))
    for unit in sorted(registry.load("generators", kind).private_units):
        trial = Trial("generators", kind, unit)
        if kind in PRIVATE:
            trial = replace(trial, short={"private": short}, longer={"private": longer})
        yield Cell(trial, 0, data, "")


def cells(kinds: Sequence[str], bins: Sequence[int]) -> Iterator[Cell]:
    """All rows of the table."""
    for kind in kinds:
        if kind in NETWORKS:
            for number in bins:
                yield from of_network(kind, number)
        elif kind in TABULAR:
            yield from of_tabular(kind)
        else:
            yield from of_generator(kind)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    known = [*TABULAR, *GENERATORS, *NETWORKS]
    parser.add_argument("--kinds", nargs="+", default=known, choices=known)
    parser.add_argument("--bins", type=int, nargs="+", default=[PAPER_BINS, 31])
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--factor", type=float, help="factor of this core; default: it is measured first")
    options = parser.parse_args()
    # Generators warn of what they did not learn in a second.
    logging.getLogger("pulseveil").setLevel(logging.ERROR)
    tensorflow.start(1)
    factor = options.factor or calibration.calibrate(options.rounds).factor
    print(f"factor of this core: {factor:.2f}")
    print(
        f"{'kind':<52}{'bins':>5}{'planned s':>11}{'measured s':>12}{'planned / measured':>20}{'first s':>9}"
    )
    ratios = []
    for trial, number, data, words in cells(options.kinds, options.bins):
        timing = calibration.measure(trial, data, options.rounds)
        planned = factor * timing.planned
        ratios.append(planned / timing.measured)
        print(
            f"{f'{trial.words} {words}'.strip():<52}{number or '-':>5}{planned:>11.4f}"
            f"{timing.measured:>12.4f}{ratios[-1]:>20.2f}{timing.first:>9.1f}",
            flush=True,
        )
    middle = math.exp(sum(map(math.log, ratios)) / len(ratios))
    print(f"geometric mean {middle:.2f}; {min(ratios):.2f} to {max(ratios):.2f}")


if __name__ == "__main__":
    main()
