"""Main table of a study, table of its audits, and the audit columns of the main table."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pulseveil.core.randomness import Stream
from pulseveil.core.tables import in_order, read_table
from pulseveil.detectors import BASELINE, BEFORE_TRAINING, COMPARED, LITERATURE, LITERATURE_THREE, MODEL, Role
from pulseveil.summary.column import keys_of
from pulseveil.summary.columns import AUDIT_KEYS
from pulseveil.summary.description import StudyDescription
from pulseveil.summary.differences import Pair, paired_differences, rule_pairs
from pulseveil.summary.intervals import mean_intervals
from pulseveil.summary.main_columns import AUDITED, POOR_F1
from pulseveil.summary.published import published_values
from pulseveil.summary.results import CELL, HEADLINES, NO_GENERATOR, Cells, Results
from pulseveil.windows.signals import ALL_SIGNALS

FEW_SEEDS = "few seeds"


def main_table(
    results: Results,
    cells: Cells,
    description: StudyDescription,
    published: pd.DataFrame | None,
    stream: Stream,
) -> pd.DataFrame:
    """Main table without its privacy and audit columns: one row per cell, in table order.

    For each headline metric m:
    - `m`: mean over subjects per seed, then mean over seeds;
    - `m_sd_seeds`: SD over seeds of the mean per seed;
    - `m_sd_subjects`: SD over subjects of the mean per subject;
    - `m_low`, `m_high`, `m_interval`: 95 % interval over subjects, and its method;
    - `m_undefined`: number of undefined values of a subject and seed;
    - `m_pooled`: metric over all windows, mean over seeds.

    Then follow `poor_ratio`, the share of seeds with a poor run, the differences of accuracy to the rule of
    each compared role, with interval, p and whether two people decide, the marks, and the published values.
    """
    parts = [cells.keys, _counts(results, cells.keys)]
    parts += [_metric_columns(results, cells, metric, stream) for metric in HEADLINES]
    parts += [_poor_ratio(results, cells.keys)]
    parts += [_rule_columns(cells, description, role, stream) for role in COMPARED]
    table = pd.concat(parts, axis=1)
    table[f"better_than_{BASELINE}"] = _above_zero(table, BASELINE)
    table["generator_saw_test_subject"] = _saw_test_subject(cells.keys, description)
    models = zip(cells.keys["generator"], cells.keys["detector"], strict=True)
    table["public_cohorts"] = [description.public_cohorts(*pair) for pair in models]
    if published is not None:
        table = table.join(published_values(cells.keys, description, published))
        table["accuracy_minus_published"] = table["accuracy"] - table["published_accuracy"]
        table["f1_published_minus_published"] = table["f1_published"] - table["published_f1"]
    return table


def use_of_private_data(table: pd.DataFrame) -> NDArray[np.str_]:
    """Whether each private row beats all rules that use no private data: (rows) text.

    The rules are those of its evaluation with role `public_signs` or `public_signs_three` and, for a network,
    the untrained network. "few seeds": the row would be "yes", but averages fewer seeds than `n_seeds_asked`.
    "": the row is not private, or is compared with no literature rule. `table`: main table joined with the
    privacy table.
    """
    literature = np.stack([_above_zero(table, role) for role in (LITERATURE, LITERATURE_THREE)])
    # Above its untrained network alone is not enough: that network knows nothing of stress.
    fails = np.vstack([literature, _above_zero(table, BEFORE_TRAINING)]) == "no"
    answers = np.where(fails.any(axis=0), "no", np.where((literature == "yes").any(axis=0), "yes", ""))
    few = table["n_seeds"] < table["n_seeds_asked"]
    answers = np.where(few & (answers == "yes"), FEW_SEEDS, answers)
    return np.where(table["n_seeds_asked"].notna(), answers, "")


def _counts(results: Results, keys: pd.DataFrame) -> pd.DataFrame:
    # "first": `collect` has checked that all seeds of a cell tested the same windows.
    per_cell = results.pooled.groupby(list(CELL)).agg(
        n_seeds=("seed", "nunique"), n_windows=("windows", "first")
    )
    per_cell["n_subjects"] = results.per_subject.groupby(list(CELL))["subject"].nunique()
    return _of_cells(per_cell, keys)[["n_seeds", "n_subjects", "n_windows"]]


def _metric_columns(results: Results, cells: Cells, metric: str, stream: Stream) -> pd.DataFrame:
    runs = results.per_subject.groupby([*CELL, "seed"])[metric]
    seeds = runs.mean().groupby(level=list(CELL))
    undefined = results.per_subject[metric].isna().groupby([results.per_subject[k] for k in CELL]).sum()
    over_seeds = _of_cells(
        pd.DataFrame(
            {
                "mean": seeds.mean(),
                "sd": seeds.std(ddof=1),
                "undefined": undefined,
                "pooled": results.pooled.groupby(list(CELL))[metric].mean(),
            }
        ),
        cells.keys,
    )
    interval = mean_intervals(cells.values[metric], stream)
    return pd.DataFrame(
        {
            metric: over_seeds["mean"],
            f"{metric}_sd_seeds": over_seeds["sd"],
            f"{metric}_sd_subjects": pd.DataFrame(cells.values[metric]).std(axis=1, ddof=1),
            f"{metric}_low": interval.low,
            f"{metric}_high": interval.high,
            f"{metric}_interval": interval.method,
            f"{metric}_undefined": over_seeds["undefined"],
            f"{metric}_pooled": over_seeds["pooled"],
        }
    )


def _poor_ratio(results: Results, keys: pd.DataFrame) -> pd.DataFrame:
    """Share of the seeds of each cell whose run is poor."""
    runs = results.per_subject.groupby([*CELL, "seed"])["f1_published"].mean()
    poor = (runs <= POOR_F1).groupby(level=list(CELL)).mean()
    return _of_cells(poor.to_frame("poor_ratio"), keys)


def _rule_columns(cells: Cells, description: StudyDescription, role: Role, stream: Stream) -> pd.DataFrame:
    """Differences to the rule of a role; if a row is compared with several, to the study's first one."""
    evaluation, detector = cells.keys["evaluation"], cells.keys["detector"]
    first = {name: description.rule(role, found) for name, found in detector.groupby(evaluation)}
    compared: dict[int, Pair] = {}
    for pair in rule_pairs(cells.keys, description):
        if pair.against == role and detector[pair.cell] != first[evaluation[pair.cell]]:
            compared.setdefault(pair.cell, pair)
    pairs = list(compared.values())
    differences = paired_differences(cells, pairs, "accuracy", stream)
    differences.index = pd.Index([pair.cell for pair in pairs], dtype=int)
    name = f"accuracy_minus_{role}"
    # The first rule is not compared with itself: its own rows become NaN.
    parts = ["low", "high", "p", "two_people"]
    wanted = differences.reindex(cells.keys.index)[["difference", *parts]].fillna({"two_people": ""})
    return wanted.set_axis([name, *(f"{name}_{part}" for part in parts)], axis=1)


def _above_zero(table: pd.DataFrame, role: Role) -> NDArray[np.str_]:
    # By the lower end of the interval, which p agrees with: a positive mean over 15 people can be chance.
    low = table[f"accuracy_minus_{role}_low"].to_numpy(float)
    compared = table[f"accuracy_minus_{role}"].notna().to_numpy()
    return np.where(compared, np.where(low > 0, "yes", "no"), "")


def _saw_test_subject(keys: pd.DataFrame, description: StudyDescription) -> list[str]:
    saw = {name: e.generator_saw_test_subject for name, e in description.evaluations.items()}
    synthetic = keys["generator"] != NO_GENERATOR
    answers = np.where(keys["evaluation"].map(saw), "yes", "no")
    return list(np.where(synthetic, answers, ""))


def _of_cells(frame: pd.DataFrame, keys: pd.DataFrame) -> pd.DataFrame:
    """Rows of a frame with index `CELL`, in the order of `keys`."""
    return frame.reindex(pd.MultiIndex.from_frame(keys)).reset_index(drop=True)


Key = tuple[Any, ...]
Found = Mapping[Key, tuple[float, float]]


def audit_table(paths: Iterable[Path]) -> pd.DataFrame:
    """Rows of all audit files (CSV); without files an empty table with the key columns.

    Raises:
        InputError: a file is not a table.
    """
    parts = [_read(path) for path in paths]
    if not parts:
        return pd.DataFrame(columns=list(AUDIT_KEYS))
    return in_order(pd.concat(parts), AUDIT_KEYS).reset_index(drop=True)


def audited_columns(keys: pd.DataFrame, audits: pd.DataFrame, description: StudyDescription) -> pd.DataFrame:
    """Columns `AUDITED` for each cell of `keys`: the audited part, its largest lower bound and its ceiling.

    If a cell has private parts, only those are compared, otherwise all. The part with the largest bound wins;
    ties go to the larger ceiling. Bound and ceiling are maxima over all attacks on the part at the cell's
    unit and epsilons, each at 95 %, not corrected for their number. Empty and NaN if no part was audited.
    """
    found = _by_key(audits)
    rows = [_row(cell, found, description) for cell in keys.to_dict("records")]
    return pd.DataFrame(rows, columns=keys_of(AUDITED), index=keys.index)


def _by_key(audits: pd.DataFrame) -> Found:
    """Largest bound and largest ceiling of each audited model, by `AUDIT_KEYS`."""
    # Without any audited model there is no bound, also where noised windows were attacked.
    if "epsilon_low" not in audits:
        return {}
    largest = audits.groupby(list(AUDIT_KEYS))[["epsilon_low", "epsilon_ceiling"]].max()
    pairs = zip(largest.index, largest.to_numpy(), strict=True)
    return {key: (float(low), float(high)) for key, (low, high) in pairs}


def _row(cell: Mapping[Any, Any], found: Found, description: StudyDescription) -> tuple[str, float, float]:
    parts = [(key, epsilon) for key, epsilon in _parts(cell, description) if key in found]
    private = [(key, epsilon) for key, epsilon in parts if math.isfinite(epsilon)]
    audited = [key for key, _ in private or parts]
    if not audited:
        return "", np.nan, np.nan
    most = max(audited, key=found.__getitem__)
    return str(most[1]), *found[most]


def _parts(cell: Mapping[Any, Any], description: StudyDescription) -> Iterator[tuple[Key, float]]:
    """Parts of a cell that learn from real windows: audit keys and claimed epsilon of each."""
    # Keys name the training cohort: the audit of a model holds for each cohort that tests it.
    evaluation = description.evaluations[cell["evaluation"]]
    generator, detector, unit = cell["generator"], cell["detector"], cell["unit"]
    of_generator, of_detector = float(cell["epsilon_generator"]), float(cell["epsilon_detector"])
    if cell["role"] != MODEL:
        return
    if generator != NO_GENERATOR:
        key = (evaluation.cohort, "generator", generator, NO_GENERATOR, unit, of_generator, math.inf)
        yield key, of_generator
    learns = generator == NO_GENERATOR or evaluation.train == "real+synthetic"
    # Audits attack detectors that read all signals.
    if learns and cell["signals"] == ALL_SIGNALS:
        key = (evaluation.cohort, "detector", generator, detector, unit, of_generator, of_detector)
        yield key, of_detector


def _read(path: Path) -> pd.DataFrame:
    return read_table(Path(path), (), "rerun audit")
