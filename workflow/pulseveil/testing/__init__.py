"""Checks of generators and detectors of other packages on simulated people, for tests of their authors."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pulseveil import detectors, generators
from pulseveil.core import registry
from pulseveil.core.contracts import WindowSet
from pulseveil.core.randomness import root_stream
from pulseveil.privacy.budget import NOT_PRIVATE
from pulseveil.windows.cutting import cut_windows
from pulseveil.windows.features import extract_features

# What other packages may use, in reading order.
__all__ = ["check_generator", "check_detector"]  # noqa: RUF022

_PEOPLE = {"subjects": 4, "baseline_s": 600, "stress_s": 360, "amusement_s": 120}
_CLASSES = 2


def check_generator(name: str, settings: Mapping[str, Any] | None = None) -> None:
    """Train the registered generator `name` on simulated windows, without a budget, and check its promises.

    settings: keys of the kind as in a study; choose few steps, since the generator is trained twice.

    Raises:
        AssertionError: all promises that the kind breaks, one per line.
        InputError: the class does not fit its protocol.
    """
    kind, model = registry.load("generators", name), registry.model("generators", name)
    chosen = kind.Settings.model_validate(dict(settings or {}))
    _refuse(name, _generator_faults(kind, model, chosen))


def check_detector(name: str, settings: Mapping[str, Any] | None = None) -> None:
    """Train the registered detector `name` on simulated features, without a budget, and check its promises.

    settings: keys of the kind as in a study; the detector is trained twice.

    Raises:
        AssertionError: all promises that the kind breaks, one per line.
        InputError: the class does not fit its protocol.
    """
    kind, model = registry.load("detectors", name), registry.model("detectors", name)
    chosen = kind.Settings.model_validate(dict(settings or {}))
    _refuse(name, _detector_faults(kind, model, chosen))


def _refuse(name: str, faults: Iterator[str]) -> None:
    found = list(faults)
    if found:
        raise AssertionError("\n".join(f"{name}: {fault}" for fault in found))


def _windows() -> WindowSet:
    simulated = registry.load("cohorts", "simulated")
    return cut_windows(
        simulated(simulated.Settings.model_validate(_PEOPLE)).recordings(),
        protocol="sound",
        channels="physiological",
        scaling="calibration",
        window_s=60,
        stride_s=60,
        audience="detector",
    )


def _generator_faults(kind: Any, model: Any, settings: Any) -> Iterator[str]:
    windows = _windows()
    training = generators.Training(
        windows.windows,
        windows.stress.astype(np.int8),
        windows.subject,
        _CLASSES,
        NOT_PRIVATE,
        root_stream(1),
        channels=windows.channels,
        rate_hz=windows.rate_hz,
        scaling=windows.scaling,
    )
    yield from _seconds_fault(kind, settings, len(windows))
    first, second = model.fit(settings, training), model.fit(settings, training)
    size = first.noise_size
    if not isinstance(size, int) or size < 1 or not 0 <= first.person_noise <= size:
        yield f"noise_size: expected a whole number above 0, and person_noise from 0 to it, found {size!r}"
        return
    rng = np.random.default_rng(2)
    condition = np.tile(np.arange(_CLASSES, dtype=np.int8), 8)
    noise = rng.standard_normal((len(condition), size), dtype=np.float32)
    made = np.asarray(first.sample(condition, noise))
    shape = (len(condition), *windows.windows.shape[1:])
    if made.shape != shape:
        yield f"sample: expected windows of shape {shape} (n, time, channels), found {made.shape}"
        return
    if made.dtype != np.float32:
        yield f"sample: expected float32, found {made.dtype}"
    if not np.isfinite(made).all():
        yield f"sample: {np.count_nonzero(~np.isfinite(made))} values are not finite"
    if not np.array_equal(made, first.sample(condition, noise), equal_nan=True):
        yield "sample: the same noise gives other windows; all randomness of a window must be its noise"
    if not np.array_equal(made, second.sample(condition, noise), equal_nan=True):
        yield "fit: two trainings from one stream differ; take all random numbers from training.stream"
    order = rng.permutation(len(condition))
    # Matrix products may round rows at another place otherwise.
    if not np.allclose(made[order], first.sample(condition[order], noise[order]), atol=1e-4, equal_nan=True):
        yield "sample: a window depends on the other windows of its call"
    yield from _array_faults(first.arrays())
    kept = model.from_arrays(settings, first.arrays())
    if not np.array_equal(made, kept.sample(condition, noise), equal_nan=True):
        yield "from_arrays: the model read from arrays() makes other windows"


def _detector_faults(kind: Any, model: Any, settings: Any) -> Iterator[str]:
    features = extract_features(_windows(), protocol="sound", pairing="published")
    training = detectors.Training(features, NOT_PRIVATE, root_stream(1))
    yield from _seconds_fault(kind, settings, len(features.stress))
    first, second = model.fit(settings, training), model.fit(settings, training)
    found = first.score(features)
    yield from _output_faults(found, len(features.stress))
    if not _equal(found, second.score(features)):
        yield "fit: two trainings from one stream differ; take all random numbers from training.stream"
    if not _equal(found, first.score(replace(features, stress=~features.stress))):
        yield "score: the answer depends on `stress`, which is the truth that is tested"
    yield from _array_faults(first.arrays())
    if not _equal(found, model.from_arrays(settings, first.arrays()).score(features)):
        yield "from_arrays: the detector read from arrays() gives other scores"


def _seconds_fault(kind: Any, settings: Any, rows: int) -> Iterator[str]:
    seconds = kind.expected_seconds(settings, rows, None)
    if not math.isfinite(seconds) or seconds < 0:
        yield f"expected_seconds: expected seconds of at least 0, found {seconds!r}"


def _array_faults(arrays: Mapping[str, NDArray[Any]]) -> Iterator[str]:
    for name, values in arrays.items():
        if not isinstance(values, np.ndarray) or values.dtype.hasobject:
            yield f"arrays: {name}: expected an array of numbers or texts, found {type(values).__name__}"
        elif values.dtype.kind == "f" and not np.isfinite(values).all():
            yield f"arrays: {name}: {np.count_nonzero(~np.isfinite(values))} values are not finite"


def _output_faults(found: detectors.Outputs, rows: int) -> Iterator[str]:
    for name in ("score", "score_rest", "predicted"):
        values = np.asarray(getattr(found, name))
        if values.shape != (rows,):
            yield f"score: {name}: expected shape ({rows},), found {values.shape}"
        elif name == "predicted" and values.dtype != np.bool_:
            yield f"score: predicted: expected bool, found {values.dtype}"
        elif not np.all((values >= 0) & (values <= 1)):
            yield f"score: {name}: expected numbers from 0 to 1"


def _equal(one: detectors.Outputs, other: detectors.Outputs) -> bool:
    names = ("score", "score_rest", "predicted")
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in names)
