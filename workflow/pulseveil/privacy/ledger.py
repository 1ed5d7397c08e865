"""What a private training spent: one entry a mechanism, refused where accounting and program differ."""

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

NEIGHBOURS = "zero-out"
# Fields whose key in `ledger.json` has another name: keys are a contract with stored files.
_KEYS = {"capacity": "room"}
# What dp-accounting 0.6 finds on another machine differs in the seventh digit.
_AGREEMENT = 1e-3


@dataclass(frozen=True)
class Entry:
    """One mechanism as accounted and as run; the epsilons are at `delta`.

    neighbours: one record's contribution is zero in one of two neighbours. steps_noised: counted by the
    program that ran. epsilon_unamplified: with each record in each step. epsilon_replace_one: one record
    exchanged for another. public_quantities: what was taken as known of the data. secret_noise, secret_masks:
    whether noise and draws came from a secret key. inputs: which run this was.

    Raises ValueError where the program did not noise each accounted step, or values contradict each other.
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
        if self.steps_noised != self.steps_accounted:
            raise ValueError(
                f"mechanism {self.mechanism}: {self.steps_accounted} steps are accounted, "
                f"but {self.steps_noised} were noised"
            )
        mechanism = self.as_mechanism()
        if (self.sampler, self.expected_batch) != (mechanism.sampler, mechanism.expected_batch):
            raise ValueError(
                f"mechanism {self.mechanism}: n, q and room (the capacity) give {mechanism.sampler} draws of "
                f"{mechanism.expected_batch} records, not {self.sampler} draws of {self.expected_batch}"
            )

    def as_mechanism(self) -> Mechanism:
        """The mechanism that this entry accounts for."""
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
        """Whether the epsilons mean anything: reproducible noise protects nobody."""
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
    """The entry of a mechanism that has run; raises ValueError unless each accounted step was noised.

    program: version of what noised the steps (see `programs`).
    """
    alone = (mechanism,)
    return Entry(
        mechanism=mechanism.name,
        unit=mechanism.unit,
        neighbours=NEIGHBOURS,
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
        secret_noise=noise.secret,
        secret_masks=noise.secret,
        versions={"program": str(program), **package_versions()},
    )


def package_versions() -> dict[str, str]:
    """Versions of what computed noise and epsilon; of TensorFlow only where it took part."""
    names = ["pulseveil", "dp-accounting", "numpy"]
    names += [name for name in ("tensorflow", "tensorflow-privacy") if name.replace("-", "_") in sys.modules]
    return {name: metadata.version(name) for name in names}


def as_json_values(entry: Entry) -> dict[str, Any]:
    """An entry as keys and values of `ledger.json`, in the order of the fields."""
    return {_KEYS.get(name, name): value for name, value in asdict(entry).items()}


def to_json(entry: Entry) -> str:
    """An entry as one JSON object, keys in the order of the fields."""
    return json.dumps(as_json_values(entry))


def from_json(text: str, source: str = "ledger") -> Entry:
    """The entry of `to_json`; raises InputError, naming `source`, where it is none."""
    return _entry(_values(text, source), source)


def write(path: Path, entries: Sequence[Entry]) -> None:
    """Write `ledger.json`: a JSON list, one object a mechanism."""
    write_json(path, [as_json_values(entry) for entry in entries])


def read(path: Path) -> tuple[Entry, ...]:
    """The entries of `ledger.json`; raises InputError where one is damaged or contradicts itself."""
    values = _values(limits.read_bytes(path, limits.JSON_BYTES, "a ledger"), str(path))
    if not isinstance(values, list):
        raise InputError(f"{path}: expected a JSON list of ledger entries, found {type(values).__name__}")
    return tuple(_entry(value, f"{path}: entry {i}") for i, value in enumerate(values, start=1))


def check_epsilons(entry: Entry) -> None:
    """Account for an entry again; raises InputError where its epsilons are not those of its mechanism."""
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
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{source}: not JSON ({error}); expected a ledger") from None


def _entry(value: Any, source: str) -> Entry:
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
        entry = _FORM.validate_json(json.dumps(value), strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        told = first.get("ctx", {}).get("error", first["msg"])
        raise InputError(": ".join(filter(None, (source, key, str(told))))) from None
    numbers = {name: getattr(entry, name) for name in ("n", "q", "capacity", "noise_multiplier", "delta")}
    numbers["steps"] = entry.steps_accounted
    accounting.check_ranges(numbers, f"{source}: mechanism {entry.mechanism}")
    if "program" not in entry.versions:
        raise InputError(
            f"{source}: mechanism {entry.mechanism}: versions name no program; in releases of that time "
            "dropout voided amplification by sampling, and digits told noise from data: train the model again"
        )
    return entry
