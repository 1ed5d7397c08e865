"""Golden values of private trainings: one that changes although no version does turns this red.

A private model hangs on the versions of its kind and of its programs (`privacy.programs`). After a
wanted change raise one of them and run `python -m tests.unit.privacy.test_golden_private`, which writes
golden_private.json again.
"""

import json
from pathlib import Path

import numpy as np
import pytest

from pulseveil import detectors
from pulseveil.core import registry
from pulseveil.core.randomness import root_stream
from pulseveil.networks.training import Examples, Weights
from pulseveil.privacy import dpgan, dpsgd, programs
from pulseveil.privacy.budget import Budget, Mechanism, Population
from pulseveil.privacy.noise import reproducible
from pulseveil.privacy.records import lay_out
from pulseveil.runs.generators import as_training
from pulseveil.study.cells import GeneratorCell
from pulseveil.study.checks import make_plan
from pulseveil.study.reading import check_study
from tests.unit.detectors import test_private_networks
from tests.unit.generators import (
    test_autoencoder,
    test_private_cgan,
    test_private_dgan,
    test_private_timegan,
)
from tests.unit.test_golden import features, windows
from tests.workflow.conftest import LIGHT

FILE = Path(__file__).with_name("golden_private.json")
# So little noise that what it is added to can be seen; 1,000 in each case.
EPSILON = 1000.0
NETWORKS = {"cnn": "window", "cnn_lstm": "subject", "transformer": "window"}
GANS = {"cgan": test_private_cgan, "dgan": test_private_dgan, "timegan": test_private_timegan}


def small_budget(unit):
    return Budget(EPSILON, 1e-5, unit, Population(3, 40, 0.3), reproducible(root_stream(4)))


def light_generator(name, unit):
    kind, real = registry.load("generators", name), windows("sound")
    model = kind.fit(kind.Settings(), as_training(real, 2, small_budget(unit), root_stream(1)))
    return np.concatenate([value.ravel() for value in model.arrays().values()])


def light_detector(name, unit):
    kind, rows = registry.load("detectors", name), features("sound")
    fitted = kind.fit(kind.Settings(), detectors.Training(rows, small_budget(unit), root_stream(1)))
    return fitted.score(rows).score


def network(name, unit, backend="fast"):
    """Plain descent: Adam would divide the size of a step's sum out again."""
    given = test_private_networks.rows()
    training = {"optimizer": "sgd", "learning_rate": 0.5, "steps": 5}
    fitted = test_private_networks.fit(name, given, EPSILON, unit, backend, **training)
    return fitted.score(given).score


def gan(name, unit):
    module, rates = GANS[name], {"steps": 6, "learning_rate": 0.02}
    allowance = module.budget(unit, EPSILON)
    if name == "timegan":
        model = module.fit(module.people(), allowance, **rates, embedder_steps=6, embedder_rate=0.02)
    else:
        model = module.fit(module.people(), allowance, private=rates)
    return np.concatenate([value.ravel() for value in model.arrays().values()])


def autoencoder(unit):
    private = {"steps": 6, "optimizer": "sgd", "learning_rate": 5.0, "clip_norm": 1.0}
    allowance = test_autoencoder.budget(unit, EPSILON)
    return test_autoencoder.parameters(
        test_autoencoder.fit(test_autoencoder.people(), allowance, private=private)
    )


def trained(name):
    """What a private training gives: parameters, or scores of a detector."""
    kind, unit, *backend = name.split()
    if kind in NETWORKS:
        return network(kind, unit, *backend)
    if kind in GANS:
        return gan(kind, unit)
    if kind == "autoencoder":
        return autoencoder(unit)
    return light_generator(kind, unit) if kind in ("moments", "posterior") else light_detector(kind, unit)


def versions(name):
    """The versions that a private model hangs on: of its kind, and of its programs."""
    kind = name.split()[0]
    found = registry.load("generators" if kind in registry.names("generators") else "detectors", kind)
    return [found.version, *found.programs]


def projections(values):
    """Three numbers that move when any value or their order does."""
    flat = np.asarray(values, np.float64).ravel()
    places = np.arange(flat.size)
    return [float(np.sum(flat * np.cos(rate * places)) / np.sqrt(flat.size)) for rate in (1.0, 0.37, 0.11)]


def pinned(patch):
    """Noise by one name on all machines: a fingerprint names processor and packages, too."""
    for program in (dpsgd, dpgan):
        patch.setattr(program, "fingerprint", lambda *_: "golden")


def measure(name):
    with pytest.MonkeyPatch.context() as patch:
        pinned(patch)
        return {"versions": versions(name), "values": projections(trained(name))}


QUICK = [
    *(
        f"{name} {unit}"
        for name in ("moments", "posterior", "logistic", "class_means")
        for unit in ("subject", "window")
    ),
    *(f"{name} {unit}" for name, unit in NETWORKS.items()),
    "cnn window tensorflow_privacy",
    "cgan window",
    "dgan subject",
    "timegan window",
    "autoencoder window",
]
# The other halves: each is one more program to compile.
SLOW = [
    *(f"{name} {'window' if unit == 'subject' else 'subject'}" for name, unit in NETWORKS.items()),
    "cgan subject",
    "dgan window",
    "timegan subject",
    "autoencoder subject",
]


@pytest.mark.parametrize("name", [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)])
def test_a_changed_private_training_needs_a_changed_version(name):
    known, found = json.loads(FILE.read_text())[name], measure(name)
    assert found["versions"] == known["versions"], "run this file as it says above"
    # Sums of few steps round a little differently on another CPU; 2 % more noise moves these by more.
    assert found["values"] == pytest.approx(known["values"], rel=2e-3, abs=2e-4), (
        "raise a version: it changed"
    )


def test_every_private_kind_is_here():
    known = {
        name
        for group in ("generators", "detectors")
        for name in registry.names(group)
        if registry.load(group, name).private_units and getattr(registry.load(group, name), "programs", True)
    }
    assert known == {name.split()[0] for name in [*QUICK, *SLOW]}
    assert set(json.loads(FILE.read_text())) == {*QUICK, *SLOW}


def test_another_program_has_another_fingerprint(monkeypatch):
    """Its noise then hangs on another path, and a stored state of the old program is not replayed."""
    mechanism = Mechanism("m", "window", 4, 1.0, 4, 5, 1.0, 1.0)
    recipes = {
        dpsgd: dpsgd.Recipe(None, mechanism, 0.1),
        dpgan: dpgan.Recipe(None, mechanism, 1, 2, 1, (0.5,)),
    }
    given = {dpsgd: (Examples(*[np.ones((4, 1, 2))] * 3), Weights([], []))}
    given[dpgan] = (lay_out(*test_private_cgan.people(), "window", test_private_cgan.POPULATION), ())
    for module, name in ((dpsgd, "DPSGD"), (dpgan, "DPGAN")):
        before = module.fingerprint(recipes[module], *given[module])
        assert module.fingerprint(recipes[module], *given[module]) == before
        monkeypatch.setattr(module, name, getattr(module, name) + 1)
        assert module.fingerprint(recipes[module], *given[module]) != before


def test_a_private_run_knows_the_versions_of_its_programs():
    values = LIGHT | {"units": ["window"], "epsilons": ["inf", 8]}
    plan = make_plan(check_study(values, "test"))
    inf, private = (
        plan.generator_job(GeneratorCell("simulated", "moments", "window", epsilon), (0,))
        for epsilon in (np.inf, 8.0)
    )
    assert (inf.programs, private.programs) == ((), (programs.RELEASE,))
    fold = private.folds[0]
    raised = private.model_copy(update={"programs": (programs.RELEASE + 1,)})
    assert raised.budget_settings(8.0, fold) != private.budget_settings(8.0, fold)
    # Runs that are not private are trained no second time.
    assert raised.budget_settings(np.inf, fold) == private.budget_settings(np.inf, fold)


if __name__ == "__main__":
    measured = {name: measure(name) for name in [*QUICK, *SLOW]}
    FILE.write_text(json.dumps(measured, indent=2) + "\n")
