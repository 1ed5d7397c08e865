"""Columns of all tables: where the order of a table comes from, and the content of `tables/columns.json`."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import Any

from pulseveil.summary.column import P_VALUE, SHARE, TWO_PEOPLE, YES, Column, keys_of
from pulseveil.summary.main_columns import (
    CELL,
    DELTA,
    LATEX,
    MAIN,
    METRIC_COLUMNS,
    PERSON,
    POOR_F1,
    POOR_RATIO,
    PRINTED,
    PUBLIC_COHORTS,
    SEED,
    TERMINAL,
    TRAINED_IN,
)

PER_SUBJECT = (
    *CELL,
    TRAINED_IN,
    SEED,
    Column("fold", "fold in which the subject was tested"),
    Column("subject", "tested subject"),
    Column("windows", "number of tested windows", "windows"),
    Column("stress_windows", "number of tested windows with stress", "windows"),
    *METRIC_COLUMNS,
)
PAIRED = (
    Column("n_subjects", "number of subjects with a value in both cells", "subjects"),
    Column("difference", "cell minus reference, mean over subjects", "difference of shares"),
    Column("low", "lower end of the 95 % interval of the difference", "difference of shares"),
    Column("high", "upper end of the 95 % interval of the difference", "difference of shares"),
    Column("interval", "method of the interval: bootstrap-t, t, constant or none"),
    Column("p", P_VALUE, "probability"),
    Column("two_people", TWO_PEOPLE),
)
DIFFERENCES = (
    *CELL,
    PUBLIC_COHORTS,
    Column(
        "against",
        "what sets the reference apart: role of the rule, differing axis, prior or real (data)",
    ),
    *(
        Column(f"reference_{c.key}", f"{c.key} of the reference: {c.meaning}", c.unit)
        for c in (*CELL, PUBLIC_COHORTS)
    ),
    Column("metric", "compared metric"),
    *PAIRED,
)
_COHORT = Column("cohort", "cohort that the model was trained on", title="Cohort")
# One trained generator serves all evaluations, detectors and numbers of subjects of its cohort.
GENERATOR_CELL = (_COHORT, CELL[1], CELL[3], CELL[4])
QUALITY_KEYS = (
    *GENERATOR_CELL,
    Column("measure", "quality measure"),
    Column("signal", "signal that the measure compares, or all"),
    Column("condition", "condition whose windows the measure compares, or all"),
)
QUALITY = (
    *QUALITY_KEYS,
    PUBLIC_COHORTS,
    Column("models", "number of trained generators, one per fold and seed", "models"),
    Column("value", "measure between synthetic and real windows, mean over models"),
    Column("lowest", "smallest value over models"),
    Column("highest", "largest value over models"),
    Column("floor", "measure between two halves of the real training people, mean over models"),
    Column("floor_low", "smallest floor over all halvings"),
    Column("floor_high", "largest floor over all halvings"),
    Column("held_out", "measure between synthetic windows and people not trained on, mean over models"),
)
SPENDING = (
    Column("scope", "evaluation, or the whole study"),
    Column("models", "largest number of private models that learned from one person", "models"),
    Column("models_without_budget", "models without a budget trained on the same people", "models"),
    DELTA,
    replace(PERSON, meaning="epsilon of one person if all private models are published", title=""),
)
_AUDIT_KEYS = (
    replace(_COHORT, title=""),
    Column("part", "audited part of the cell: generator or detector; noised: windows with noise"),
    *(replace(column, title="") for column in (CELL[1], CELL[2], *CELL[3:6])),
)
AUDIT_KEYS = tuple(column.key for column in _AUDIT_KEYS)
AUDIT = (
    *_AUDIT_KEYS,
    *(
        # Each kind of attack writes only the columns that it fills, so none is in every study.
        replace(column, sometimes=True)
        for column in (
            Column("attack", "kind of the attack"),
            Column("record", "attacked person, or all"),
            Column("evaluation", "evaluation whose noised windows are attacked"),
            Column("input_noise", "scale of the noise on the attacked windows"),
            Column("canaries", "number of inserted canaries", "canaries"),
            Column("guesses", "number of canaries that the attack guessed", "canaries"),
            Column("correct", "number of right guesses, or of re-identified people", "guesses"),
            Column("canaries_needed", "perfectly guessed canaries that would test the claim", "canaries"),
            Column("trainings_in", "number of trainings with the record", "trainings"),
            Column("hits", "trainings with the record where the attack says in", "trainings"),
            Column("trainings_out", "number of trainings without the record", "trainings"),
            Column("false_alarms", "trainings without the record where the attack says in", "trainings"),
            Column("auc", "area under the ROC curve of the attack", SHARE),
            Column("auc_low", "lower end of the 95 % interval of auc", SHARE),
            Column("auc_high", "upper end of the 95 % interval of auc", SHARE),
            Column("tpr_at_no_false_alarm", "true positive rate without a false alarm", SHARE),
            Column("tpr_low", "lower end of the 95 % interval of the true positive rate", SHARE),
            Column("tpr_high", "upper end of the 95 % interval of the true positive rate", SHARE),
            Column("fpr_high", "upper end of the 95 % interval of the false positive rate", SHARE),
            Column("epsilon_low", "lower bound of epsilon (95 %) where the attack says in", "epsilon"),
            Column(
                "epsilon_ceiling", "largest epsilon_low that a perfect attack could have found", "epsilon"
            ),
            Column("mu_low", "lower bound of the Gaussian parameter mu (95 %)"),
            Column("epsilon_claimed", "epsilon of the claim", "epsilon"),
            Column("delta", "delta of the claim", "probability"),
            Column("level", "confidence level of the verdict", "probability"),
            Column("failed", "whether the attack refutes the claim"),
            Column("verdict", "verdict on the claim as a sentence"),
            Column("epsilon_low_out", "lower bound of epsilon (95 %) where the attack says out", "epsilon"),
            Column("people", "number of people searched for", "subjects"),
            Column("rate", "share of people re-identified", SHARE),
            Column("rate_low", "lower end of the 95 % interval of rate", SHARE),
            Column("rate_high", "upper end of the 95 % interval of rate", SHARE),
            Column("chance", "share of people re-identified by random guessing", SHARE),
            Column("p", "p value of re-identifying as many by chance", "probability"),
        )
    ),
)
_BY_KEY = {column.key: column for column in CELL}
REPRODUCTION_KEYS = (
    Column("scenario", "published scenario"),
    Column("train", "training data: real, synthetic or real+synthetic"),
    Column("test", "evaluation protocol"),
    *(replace(_BY_KEY[key], title=key) for key in ("generator", "detector")),
    *(_BY_KEY[key] for key in ("epsilon_generator", "epsilon_detector")),
    *(replace(_BY_KEY[key], title=key) for key in ("subjects", "noise")),
)
REPRODUCTION = (
    *REPRODUCTION_KEYS,
    Column("published", "published accuracy", SHARE),
    Column("ours", "accuracy of this study", SHARE, title="ours [95 %]"),
    Column("low", "lower end of our 95 % interval over subjects", SHARE),
    Column("high", "upper end of our 95 % interval over subjects", SHARE),
    Column("seeds", "number of seeds averaged", "seeds"),
    Column("people", "number of tested subjects", "subjects"),
    Column("difference", "accuracy of this study minus published accuracy", "difference of shares"),
    replace(POOR_RATIO, title="poor runs"),
    Column(
        "published_poor_ratio",
        f"published share of runs with an F1 of at most {POOR_F1}",
        SHARE,
        title="published poor runs",
    ),
    Column("equals_majority", f"whether published accuracy is the share without stress: {YES}"),
    Column("verdict", "reproduced, not reproduced, not defined or not run"),
    Column("reason", "reason of the verdict"),
)
REPRODUCTION_PAGE = (
    *("generator", "detector", "epsilon_generator", "epsilon_detector", "subjects", "noise"),
    *("published", "ours", "seeds", "people", "difference", "poor_ratio", "published_poor_ratio"),
    *("verdict", "reason"),
)
HOURS = (
    Column("stage", "stage of the workflow"),
    Column("rule", "rule of the workflow"),
    Column("model", "generator or detector of the jobs, if any"),
    Column("jobs", "number of planned jobs", "jobs"),
    Column("expected_hours", "planned CPU time of all jobs", "hours"),
    Column("measured_jobs", "number of jobs with a measured time", "jobs"),
    Column("expected_of_measured", "planned CPU time of the measured jobs", "hours"),
    Column("measured_hours", "measured CPU time of the measured jobs", "hours"),
    Column("ratio", "measured divided by planned CPU time of the measured jobs"),
    Column(
        "trained_hours",
        "time by the clock of all trainings of the journal, from start to end, those of interrupted jobs too",
        "hours",
    ),
    Column("expected_kwh", "planned energy of all jobs, by the study's watts", "kWh"),
    Column("measured_kwh", "energy of the measured jobs, by their time and the study's watts", "kWh"),
    Column("measured_co2e_kg", "CO2e of measured_kwh; empty without the study's `carbon`", "kg"),
)
TABLES: Mapping[str, tuple[Column, ...]] = {
    "tables/main.csv": MAIN,
    "tables/per_subject.csv": PER_SUBJECT,
    "tables/differences.csv": DIFFERENCES,
    "tables/quality.csv": QUALITY,
    "tables/spending.csv": SPENDING,
    "tables/audit.csv": AUDIT,
    "tables/reproduction.csv": REPRODUCTION,
    "hours.csv": HOURS,
}


def dictionary() -> dict[str, list[dict[str, Any]]]:
    """Data dictionary of all tables as JSON values: file name to its columns in order."""
    return {name: [_entry(name, column) for column in columns] for name, columns in TABLES.items()}


def _entry(table: str, column: Column) -> dict[str, Any]:
    return {
        "key": column.key,
        "title": column.heading,
        "unit": column.unit,
        "meaning": column.meaning,
        "example": column.example,
        "shown": list(_shown(table, column.key)),
        "always": not column.sometimes,
    }


def _shown(table: str, key: str) -> Iterator[str]:
    """Files and views that show a column, besides its CSV file."""
    views: Mapping[str, Mapping[str, Collection[str]]] = {
        "tables/main.csv": {
            "tables/main.html, report": PRINTED,
            "tables/main.tex": LATEX,
            "terminal": TERMINAL,
        },
        "tables/spending.csv": {"report": keys_of(SPENDING)},
        "tables/audit.csv": {"report": keys_of(AUDIT)},
        "tables/reproduction.csv": {"reproduction.html, report": REPRODUCTION_PAGE},
    }
    return (view for view, shown in views.get(table, {}).items() if key in shown)
