"""Ledger of a private training: one entry per mechanism, refused if accounting and program differ."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from pulseveil.core import limits
from pulseveil.core.atomic import write_json
from pulseveil.core.errors import InputError
from pulseveil.privacy import accounting
from pulseveil.privacy.budget import Mechanism, Sampler, Unit
from pulseveil.privacy.noise import Noise

# Zero-out, and not add or remove: n, q and divisor are public, and equal for both neighbours.
ADJACENCY = "zero-out"
# Fields whose key in `ledger.json` has another name: keys are a contract with stored files.
_KEYS = {"capacity": "room"}
# Values of dp-accounting 0.6 on another machine differ in the seventh digit.
_AGREEMENT = 1e-3


@dataclass(frozen=True)
class Entry:
    """One mechanism as accounted and as run; epsilons are at `delta`.

    Args:
        neighbours: zero-out; one record's contribution is zero in one of two neighbours.
        steps_noised: the number of steps with noise, counted by the program that ran.
        epsilon_unamplified: as if each record were in each step.
        epsilon_replace_one: for neighbours that exchange one record for another.
        public_quantities: properties of the data that were taken as public.
        secret_noise: whether noise came from a secret key.
        secret_masks: whether draws came from a secret key.
        inputs: the keys of the run.

    Raises:
        ValueError: the numbers of noised and accounted steps differ, or values contradict each other.

    Guarantee:
        As many steps were noised as are accounted, by the mechanism from which the program took its sampler.
        Each epsilon holds for this mechanism alone, at the unit and for its neighbours, if `is_private`;
        several mechanisms compose by `privacy.accounting`. `public_quantities` and a choice of settings by
        their results are not protected.
    """

    mechanism: str
    unit: Unit
    neighbours: str
    sampler: Sampler
    n: int
    q: float
    capacity: Annotated[int, Field(alias=_KEYS["capacity"])]
    expected_batch: float
    clip_norm: float
    noise_multiplier: float
    steps_accounted: int
    steps_noised: int
    epsilon_pld: float
    epsilon_rdp: float
    epsilon_unamplified: float
    delta: float
    epsilon_replace_one: float
    public_quantities: tuple[str, ...]
    secret_noise: bool
    secret_masks: bool
    versions: Mapping[str, str]
    inputs: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # The program counts its noise, and not the plan: an engine that skips noise is refused here.
        if self.steps_noised != self.steps_accounted:
            raise ValueError(
                f"mechanism {self.mechanism}: {self.steps_accounted} steps are accounted, "
                f"but {self.steps_noised} were noised"
            )
        mechanism = self.as_mechanism()
        # Epsilon is computed from n, q and capacity: the sampler that readers see must be the same.
        if (self.sampler, self.expected_batch) != (mechanism.sampler, mechanism.expected_batch):
            raise ValueError(
                f"mechanism {self.mechanism}: n, q and room (the capacity) give {mechanism.sampler} draws of "
                f"{mechanism.expected_batch} records, not {self.sampler} draws of {self.expected_batch}"
            )

    def as_mechanism(self) -> Mechanism:
        """Mechanism of this entry, with the accounted steps."""
        return Mechanism(
            self.mechanism,
            self.unit,
            self.n,
            self.q,
            self.capacity,
            self.steps_accounted,
            self.clip_norm,
            self.noise_multiplier,
        )

    @property
    def is_private(self) -> bool:
        """Whether noise and draws were secret: reproducible noise protects nobody, whatever epsilon says."""
        return self.secret_noise and self.secret_masks


_FORM = TypeAdapter(Entry)


def close(
    mechanism: Mechanism,
    *,
    steps_noised: int,
    delta: float,
    noise: Noise,
    public_quantities: Sequence[str],
    program: int,
) -> Entry:
    """Close the ledger entry of a mechanism that has run.

    Args:
        steps_noised: the count of the program, lost steps included.
        program: version of the program that noised the steps (see `programs`).

    Raises:
        ValueError: `steps_noised` is not the mechanism's number of steps.

    Guarantee:
        As `Entry`. No entry exists for a training in which a step ran without noise, or too many steps ran.

    Examples:
        >>> from pulseveil.privacy.noise import Noise
        >>> query = Mechanism("means", "subject", 14, 1, 14, 1, clip_norm=1.5, noise_multiplier=2.575)
        >>> people, noise = ["number of people"], Noise(bytes(32), secret=False)
        >>> entry = close(query, steps_noised=1, delta=1e-3, noise=noise, public_quantities=people, program=1)
        >>> f"epsilon {entry.epsilon_pld:.2f}, replace-one {entry.epsilon_replace_one:.2f}", entry.is_private
        ('epsilon 1.00, replace-one 2.30', False)
    """
    alone = (mechanism,)
    return Entry(
        mechanism=mechanism.name,
        unit=mechanism.unit,
        neighbours=ADJACENCY,
        sampler=mechanism.sampler,
        n=mechanism.n,
        q=mechanism.q,
        capacity=mechanism.capacity,
        expected_batch=mechanism.expected_batch,
        clip_norm=mechanism.clip_norm,
        noise_multiplier=mechanism.noise_multiplier,
        steps_accounted=mechanism.steps,
        steps_noised=int(steps_noised),
        epsilon_pld=accounting.epsilon_pld(alone, delta),
        epsilon_rdp=accounting.epsilon_rdp(alone, delta),
        epsilon_unamplified=accounting.epsilon_unamplified(alone, delta),
        delta=delta,
        epsilon_replace_one=accounting.epsilon_replace_one(alone, delta),
        public_quantities=tuple(public_quantities),
        # One key gives both: draws are secret exactly if noise is.
        secret_noise=noise.secret,
        secret_masks=noise.secret,
        versions={"program": str(program), **package_versions()},
    )


def package_versions() -> dict[str, str]:
    """Versions of the packages that computed noise and epsilon; TensorFlow's only if it took part."""
    names = ["pulseveil", "dp-accounting", "numpy"]
    # Tables and claims read ledgers without TensorFlow: it is never imported for its version.
    names += [name for name in ("tensorflow", "tensorflow-privacy") if name.replace("-", "_") in sys.modules]
    return {name: metadata.version(name) for name in names}


def as_json_values(entry: Entry) -> dict[str, Any]:
    """Keys and values of an entry in `ledger.json`, in the order of the fields."""
    return {_KEYS.get(name, name): value for name, value in asdict(entry).items()}


def to_json(entry: Entry) -> str:
    """Text of an entry as one JSON object, keys in the order of the fields."""
    return json.dumps(as_json_values(entry))


def from_json(text: str, source: str = "ledger") -> Entry:
    """Read an entry from the text of `to_json`.

    Raises:
        InputError: the text is no valid entry; the message names `source`.
    """
    return _entry(_values(text, source), source)


def write(path: Path, entries: Sequence[Entry]) -> None:
    """Write `ledger.json`, atomically: a JSON list with one object per mechanism."""
    write_json(path, [as_json_values(entry) for entry in entries])


def read(path: Path) -> tuple[Entry, ...]:
    """Read the entries of `ledger.json`.

    Raises:
        InputError: the file is too large or no JSON list, or an entry is damaged or contradicts itself.
    """
    values = _values(limits.read_bytes(path, limits.JSON_BYTES, "a ledger"), str(path))
    if not isinstance(values, list):
        raise InputError(f"{path}: expected a JSON list of ledger entries, found {type(values).__name__}")
    return tuple(_entry(value, f"{path}: entry {i}") for i, value in enumerate(values, start=1))


def check_epsilons(entry: Entry) -> None:
    """Compute an entry's epsilons again and compare.

    Raises:
        InputError: a stated epsilon differs from that of the entry's mechanism.

    Guarantee:
        The stated epsilons belong to the stated mechanism. That this mechanism ran is not checked: an entry
        speaks for a model only by the hash of the weights in its inputs.
    """
    again = {
        "epsilon_pld": accounting.epsilon_pld,
        "epsilon_rdp": accounting.epsilon_rdp,
        "epsilon_unamplified": accounting.epsilon_unamplified,
        "epsilon_replace_one": accounting.epsilon_replace_one,
    }
    for key, epsilon in again.items():
        stated, found = getattr(entry, key), epsilon((entry.as_mechanism(),), entry.delta)
        if not math.isclose(stated, found, rel_tol=_AGREEMENT):
            raise InputError(
                f"ledger: {entry.mechanism}: {key} is stated as {stated:.6g}, but its mechanism gives "
                f"{found:.6g} at delta {entry.delta:g}; the entry was changed or mis-stated"
            )


def _values(text: str | bytes, source: str) -> Any:
    """Parse JSON; raises InputError naming `source`."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{source}: not JSON ({error}); expected a ledger") from None


def _entry(value: Any, source: str) -> Entry:
    """Check and build an entry from parsed JSON; raises InputError naming `source`."""
    if not isinstance(value, dict):
        raise InputError(f"{source}: expected a JSON object, found {type(value).__name__}")
    keys = [_KEYS.get(item.name, item.name) for item in fields(Entry)]
    missing, unknown = set(keys) - set(value), set(value) - set(keys)
    if missing or unknown:
        raise InputError(
            f"{source}: missing keys {sorted(missing)}, unknown keys {sorted(unknown)}; "
            "was it written by another version?"
        )
    try:
        # Strict validation of JSON, and not of Python values: only there a list passes for a tuple.
        entry = _FORM.validate_json(json.dumps(value), strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        found = first.get("ctx", {}).get("error", first["msg"])
        raise InputError(": ".join(filter(None, (source, key, str(found))))) from None
    # A ledger may come from elsewhere: its numbers are checked before an accountant computes with them.
    numbers = {name: getattr(entry, name) for name in ("n", "q", "capacity", "noise_multiplier", "delta")}
    numbers["steps"] = entry.steps_accounted
    accounting.check_ranges(numbers, f"{source}: mechanism {entry.mechanism}")
    if "program" not in entry.versions:
        raise InputError(
            f"{source}: mechanism {entry.mechanism}: versions name no program; in releases of that time "
            "dropout voided amplification by sampling, and digits revealed data: train the model again"
        )
    return entry
