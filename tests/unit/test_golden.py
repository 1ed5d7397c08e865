"""Golden values: a result that changes although its stage's version does not turns this red.

After a wanted change raise the version in `core.identity` or in the model's class, run
`python tests/unit/test_golden.py` and put the printed values here.
"""

from functools import cache

import numpy as np
import pytest

from pulseveil.cohorts.simulated import Simulated
from pulseveil.core import identity, randomness, registry
from pulseveil.core.contracts import WindowSet
from pulseveil.detectors import Training
from pulseveil.generators.subjects import synthetic_subjects
from pulseveil.privacy.budget import NOT_PRIVATE
from pulseveil.quality.measures import measure as measure_quality
from pulseveil.quality.samples import Pair, Sample
from pulseveil.runs.generators import as_training
from pulseveil.windows.cutting import cut_windows
from pulseveil.windows.features import extract_features

STREAM = randomness.root_stream(20240510)

# name: (versions of all that it depends on, value)
GOLDEN = {
    "windows paper": ((2, 1), -0.059208972044645466),
    "windows sound": ((2, 1, 2), 0.007046854125848421),
    "spectra paper": ((2,), 0.012957614559118804),
    "spectra sound": ((2,), -1.5473118315577647),
    "statistics paper": ((2,), 0.10368233734206053),
    "statistics sound": ((2,), 0.057794179861627035),
    "generator autoencoder": ((1, 1, 1), 0.11617120526271114),
    "generator moments": ((1, 1, 2), -0.7648112109564567),
    "generator posterior": ((1, 1, 2), -0.3197286096418354),
    "generator prior_only": ((1, 1, 2), 2.633301900250307),
    "generator cgan": ((1, 1, 2), 0.03957532538521673),
    "generator flow": ((1, 1, 1), -0.1496425081330494),
    "generator dgan": ((1, 1, 3), -0.025323650314399756),
    "generator timegan": ((1, 1, 2), -0.04451013535652639),
    "detector class_means": ((1, 1), 0.2253959322522902),
    "detector cnn": ((1, 3), 0.1778225949279637),
    "detector cnn_lstm": ((1, 3), 0.17061639956698962),
    "detector elapsed_time": ((1, 1), -0.02394319108923566),
    "detector forest": ((1, 1), 0.07521132198022605),
    "detector logistic": ((1, 1), 0.1884493297050421),
    "detector majority": ((1, 1), 0.09599147093840439),
    "detector public_signs": ((1, 1), 0.20016379226582343),
    "detector public_signs_three": ((1, 1), 0.2083156277327465),
    "detector untrained": ((1, 1), 0.17040940073240404),
    "detector transformer": ((1, 4), 0.22063582854324926),
    "quality": ((3,), -1.0688184860639034),
}

SMALL = {
    "autoencoder": {"steps": 20},
    "cgan": {"steps": 20, "output": "linear"},
    "flow": {"steps": 20, "width": 16},
    "dgan": {"epochs": 5, "units": 16, "noise": 4, "discriminator_units": 24, "discriminator_layers": 2},
    "timegan": {"embedding_steps": 10, "supervised_steps": 10, "joint_steps": 10, "hidden": 6, "layers": 2},
    "cnn": {"epochs": 2},
    "cnn_lstm": {"epochs": 2},
    "transformer": {"epochs": 2, "blocks": 2},
    "forest": {"trees": 20},
    "elapsed_time": {"trees": 20},
}


@cache
def windows(protocol: str) -> WindowSet:
    settings = Simulated.Settings(kind="simulated", subjects=3, seed=5)
    return cut_windows(
        Simulated(settings).recordings(),
        protocol=protocol,
        channels="published" if protocol == "paper" else "physiological",
        scaling="min-max" if protocol == "paper" else "calibration",
        window_s=60,
        stride_s=60,
        audience="detector",
    )


@cache
def features(protocol: str):
    return extract_features(windows(protocol), protocol=protocol, pairing="published")


def fingerprint(values) -> float:
    """A number that moves when any value or their order does."""
    flat = np.asarray(values, np.float64).ravel()
    return float(np.sum(flat * np.cos(np.arange(flat.size))) / np.sqrt(flat.size))


def generator_value(name: str) -> float:
    kind = registry.load("generators", name)
    settings = kind.Settings.model_validate(SMALL.get(name, {}))
    real = windows("sound")
    training = as_training(real, 2, NOT_PRIVATE, STREAM)
    model = registry.model("generators", name).fit(settings, training)
    return fingerprint(synthetic_subjects(model, subjects=2, classes=2, stream=STREAM).windows)


def detector_value(name: str) -> float:
    kind = registry.load("detectors", name)
    settings = kind.Settings.model_validate(SMALL.get(name, {}))
    rows = features("sound")
    train = rows.take(rows.subject != "S1")
    fitted = registry.model("detectors", name).fit(settings, Training(train, NOT_PRIVATE, STREAM))
    return fingerprint(fitted.score(rows.take(rows.subject == "S1")).score)


def quality_value() -> float:
    real = windows("sound")
    sample = Sample(real.windows, real.stress, real.subject)
    every, other = (sample.take(np.arange(start, len(real), 2)) for start in (0, 1))
    found = measure_quality(Pair(every, other), real.channels, real.rate_hz, 10.0, STREAM)
    return fingerprint([estimate.value for estimate in found.values()])


def measure(name: str) -> tuple[tuple[int, ...], float]:
    """The versions and the value of a golden entry."""
    stage, _, what = name.partition(" ")
    match stage:
        case "windows":
            physiology = (identity.PHYSIOLOGY,) if what == "sound" else ()
            return (identity.COHORT, Simulated.version, *physiology), fingerprint(windows(what).windows)
        case "spectra":
            return (identity.FEATURES,), fingerprint(features(what).features)
        case "statistics":
            return (identity.FEATURES,), fingerprint(features(what).statistics)
        case "generator":
            version = registry.load("generators", what).version
            return (identity.GENERATORS, identity.SYNTHESIS, version), generator_value(what)
        case "detector":
            return (identity.DETECTORS, registry.load("detectors", what).version), detector_value(what)
    return (identity.QUALITY,), quality_value()


NAMES = [
    *(
        f"{stage} {protocol}"
        for stage in ("windows", "spectra", "statistics")
        for protocol in ("paper", "sound")
    ),
    *(f"generator {name}" for name in ("autoencoder", "moments", "posterior", "prior_only", "flow")),
    *(f"generator {name}" for name in ("cgan", "dgan", "timegan")),
    *(f"detector {name}" for name in registry.names("detectors")),
    "quality",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_changed_result_needs_a_changed_version(name):
    versions, value = measure(name)
    known_versions, known = GOLDEN[name]
    assert versions == known_versions, "run this file and put the new golden values into it"
    # Sums round differently on another CPU; a changed method moves these by far more.
    assert value == pytest.approx(known, rel=2e-3, abs=1e-4), "the result changed: raise its version"


if __name__ == "__main__":
    for entry in NAMES:
        print(f"    {entry!r}: {measure(entry)},")
