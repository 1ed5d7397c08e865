"""Check a release of PulseVeil: its files against manifest.json, and its epsilons against ledger.json.

    pip install dp-accounting
    python verify.py [FOLDER]

This file needs Python and dp-accounting, and nothing of PulseVeil. The exit code is 0 if all that can be
checked holds.
"""

import hashlib
import json
import math
import sys
from pathlib import Path
from typing import Any

# Relative: versions of dp-accounting differ in the seventh digit.
AGREEMENT = 1e-3
MANIFEST, LEDGER = "manifest.json", "ledger.json"
ON_TRUST = (
    "The training ran as the ledger says: each step clipped each record and added this noise.",
    "Noise and draws came from a secret key that was destroyed. A ledger can only state that.",
    "The public quantities are public: they were known without these people's data.",
    "Settings were not chosen by results on these people's data.",
    "The ledger was written by the training, and not by somebody else: a ledger is not signed.",
)


def changed_files(folder: Path) -> list[str]:
    """One sentence per file that is missing, unknown or changed since the release."""
    stated = json.loads((folder / MANIFEST).read_text())["sha256"]
    found = {
        path.relative_to(folder).as_posix(): path
        for path in folder.rglob("*")
        if path.is_file() and path.name != MANIFEST and "__pycache__" not in path.parts
    }
    faults = [f"{name}: missing" for name in stated if name not in found]
    faults += [f"{name}: not in the release" for name in found if name not in stated]
    for name in stated.keys() & found.keys():
        if hashlib.sha256(found[name].read_bytes()).hexdigest() != stated[name]:
            faults.append(f"{name}: changed since the release")
    return sorted(faults)


def interval(entry: dict[str, Any], moves: int) -> float:
    """Interval of the grid of losses: coarser for wide losses, for which a fine grid would take gigabytes."""
    full = entry["q"] == 1 and entry["room"] >= entry["n"]
    # Full batches count as one step. A cut draw can move the sum twice as far.
    reach = moves * math.sqrt(entry["steps_accounted"]) if full else 4
    reach /= entry["noise_multiplier"]
    return float((reach**2 / 2 + 10 * reach) / (1e5 if full else 5e3))


def losses(entries: list[dict[str, Any]], neighbours: str) -> Any:
    """Privacy loss distribution of all entries together; neighbours: REPLACE_SPECIAL is zero-out."""
    from dp_accounting import NeighboringRelation
    from dp_accounting.pld import privacy_loss_distribution as pld

    moves = 2 if neighbours == "REPLACE_ONE" else 1
    grid = max(1e-4, *(interval(entry, moves) for entry in entries))
    total = pld.identity(grid)
    for entry in entries:
        sigma, steps, n, q = (entry[key] for key in ("noise_multiplier", "steps_accounted", "n", "q"))
        shared = {
            "value_discretization_interval": grid,
            "neighboring_relation": NeighboringRelation[neighbours],
        }
        if q == 1 and entry["room"] >= n:
            # Full batches compose to one Gaussian mechanism, exactly.
            step = pld.from_gaussian_mechanism(
                sigma / moves / math.sqrt(steps), value_discretization_interval=grid
            )
        elif entry["room"] < n:
            one = pld.from_truncated_subsampled_gaussian_mechanism(n, q, entry["room"], sigma, **shared)
            step = one.self_compose(steps)
        else:
            step = pld.from_gaussian_mechanism(sigma, sampling_prob=q, **shared).self_compose(steps)
        total = total.compose(step)
    return total


def epsilon(entries: list[dict[str, Any]], neighbours: str = "REPLACE_SPECIAL") -> float:
    """Epsilon of all entries together at the delta of the ledger."""
    return float(losses(entries, neighbours).get_epsilon_for_delta(entries[0]["delta"]))


def check(entry: dict[str, Any]) -> list[str]:
    """One sentence per statement of an entry that does not follow from its own numbers."""
    faults = []
    stated = {"REPLACE_SPECIAL": "epsilon_pld", "REPLACE_ONE": "epsilon_replace_one"}
    for neighbours, key in stated.items():
        found = epsilon([entry], neighbours)
        # A stated epsilon above the recomputed one promises less than it could: no fault.
        if found > entry[key] * (1 + AGREEMENT):
            faults.append(f"{entry['mechanism']}: {key} is stated as {entry[key]:.6g}, found {found:.6g}")
    if entry["steps_noised"] != entry["steps_accounted"]:
        faults.append(
            f"{entry['mechanism']}: {entry['steps_noised']} steps noised, "
            f"{entry['steps_accounted']} accounted"
        )
    if not (entry["secret_noise"] and entry["secret_masks"]):
        faults.append(f"{entry['mechanism']}: its noise is reproducible, which protects nobody")
    return faults


def main(folder: Path) -> int:
    """Print what holds and what must be taken on trust.

    Returns:
        0 if all that can be checked holds; otherwise 1.
    """
    faults = changed_files(folder)
    entries = json.loads((folder / LEDGER).read_text()) if (folder / LEDGER).exists() else []
    for entry in entries:
        print(
            f"{entry['mechanism']}: {entry['steps_accounted']} steps, {entry['sampler']} of {entry['n']} "
            f"records (one record: one {entry['unit']}), clip norm {entry['clip_norm']:g}, noise multiplier "
            f"{entry['noise_multiplier']:.6g}: epsilon {epsilon([entry]):.4g} at delta {entry['delta']:g}"
        )
        faults += check(entry)
    if len({(entry["unit"], entry["delta"]) for entry in entries}) > 1:
        faults.append(f"{LEDGER}: entries of several units or deltas do not compose to one epsilon")
    elif entries:
        print(f"All of this release together: epsilon {epsilon(entries):.4g} for one {entries[0]['unit']}.")
    else:
        faults.append(f"no {LEDGER}, or an empty one: nothing protects the people behind this release")
    print("\n".join(["", "Holds:" if not faults else "DOES NOT HOLD:", *(f"- {fault}" for fault in faults)]))
    if not faults:
        print("- No file was changed since the release.\n- The epsilons follow from the ledger's numbers.")
    print("\n".join(["", "To be taken on trust:", *(f"- {sentence}" for sentence in ON_TRUST)]))
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent))
