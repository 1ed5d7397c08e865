"""Columns of all tables: key, title, unit, meaning and where each column is shown.

Tables take the order of their columns from this module, printed tables and the terminal the titles.
`dictionary` is the content of `tables/columns.json`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import pandas as pd

from pulseveil.core.errors import InputError
from pulseveil.core.settings import nearest
from pulseveil.detectors import BASELINE, COMPARED, LITERATURE, LITERATURE_THREE
from pulseveil.evaluation.metrics import METRICS
from pulseveil.summary.column_examples import EXAMPLES
from pulseveil.summary.labels import MINUS
from pulseveil.summary.labels import evaluation as in_words

Form = Literal[
    "name", "axis", "count", "number", "signed", "epsilon", "interval", "marked", "difference", "text"
]


@dataclass(frozen=True)
class Column:
    """A column of a table.

    title: heading in printed tables and the report, by default the key in words. short: heading in the
    terminal. form: how `printing` writes a value. example: a value as in the file, but rounded. optional: the
    column is printed only if a row has a value. sometimes: some studies lack the column.
    """

    key: str
    meaning: str
    unit: str = ""
    title: str = ""
    short: str = ""
    form: Form = "text"
    example: str = ""
    optional: bool = False
    sometimes: bool = False

    @property
    def heading(self) -> str:
        """The title, or the key in words if there is none."""
        return self.title or in_words(self.key)


# The published study calls a run poor up to this F1 over both outputs. The bar is low: a network that never
# answers "stress" is above it.
POOR_F1 = 0.3
_YES = '"yes", "no", or empty if not applicable'
_SHARE = "share, 0 to 1"
_P = "two-sided p value of the difference, by the same test as the interval; not corrected"
_TWO_PEOPLE = (
    "whether the interval without the two most or the two least favourable people lies on another side of 0: "
    f"{_YES}"
)
# Score tables are sorted by these keys in this order (`results`); tables below pick some by index.
CELL = (
    Column("evaluation", "evaluation of the study", title="Evaluation", form="name"),
    Column(
        "generator",
        "generator of the synthetic windows; none on real data",
        title="Generator",
        form="name",
    ),
    Column("detector", "stress detector", title="Detector", form="name"),
    Column("unit", "what a budget protects: subject or window", title="Unit", short="unit", form="axis"),
    Column(
        "epsilon_generator",
        "epsilon that one trained generator may spend; inf without a budget",
        title="ε generator",
        short="ε gen",
        form="axis",
    ),
    Column(
        "epsilon_detector",
        "epsilon that one trained detector may spend; inf without a budget",
        title="ε detector",
        short="ε det",
        form="axis",
    ),
    Column(
        "subjects",
        "number of synthetic subjects that the detector was trained on",
        unit="subjects",
        title="Synthetic subjects",
        short="syn",
        form="axis",
    ),
    Column(
        "noise",
        "scale of the Laplace noise added to the training features; 0 for none",
        title="Input noise",
        short="noise",
        form="axis",
    ),
    Column(
        "signals",
        "signals that the detector reads: all, some (joined by +), or all without some",
        title="Signals",
        short="signals",
        form="axis",
    ),
)
AXES = tuple(column for column in CELL if column.form == "axis")
_TRAINED_IN = Column(
    "trained_in", "evaluation whose job trained the cell: an equal cell of a later one is not trained again"
)
_ROLE = Column("role", "model, or the role of the detector if it is a rule")
_SEED = Column("seed", "number of the seed of the run")
_COUNTS = (
    Column("n_seeds", "number of seeds averaged", unit="seeds", title="Seeds", form="count"),
    Column("n_subjects", "number of tested subjects", unit="subjects", title="Subjects", form="count"),
    Column("n_windows", "number of tested windows", unit="windows", title="Windows", form="count"),
)
_METRICS = tuple(Column(m.name, m.meaning, unit=_SHARE, title=m.title, form="number") for m in METRICS)
# Only these reach the main table, which has eight columns per metric; per_subject.csv has all metrics.
HEADLINES = tuple(column for column in _METRICS if column.title)
# Main table only: an accuracy in per_subject.csv has neither interval nor mark.
_PRINTED_METRICS: Mapping[str, dict[str, Any]] = {
    "accuracy": {"title": "Accuracy [95 %]", "short": "accuracy [95 %]", "form": "marked"},
    "f1": {"title": "Stress F1 [95 %]", "short": "stress F1 [95 %]", "form": "interval"},
    "auroc": {"short": "AUROC"},
    "accuracy_sd_seeds": {"title": "SD seeds"},
    "accuracy_sd_subjects": {"title": "SD subjects"},
    "accuracy_pooled": {"title": "Pooled accuracy"},
}


def _of_metric(metric: Column) -> Iterator[Column]:
    """Columns of main.csv for one metric."""
    name, what = metric.key, metric.heading
    columns = (
        replace(
            metric,
            title=what,
            meaning=f"mean over subjects per seed, then mean over seeds: {metric.meaning}",
        ),
        Column(f"{name}_sd_seeds", f"SD over seeds of mean {what} per seed", _SHARE, form="number"),
        Column(f"{name}_sd_subjects", f"SD over subjects of mean {what} per subject", _SHARE, form="number"),
        Column(f"{name}_low", f"lower end of the 95 % interval over subjects of {what}", _SHARE),
        Column(f"{name}_high", f"upper end of the 95 % interval over subjects of {what}", _SHARE),
        Column(f"{name}_interval", f"method of the interval of {what}: bootstrap-t, t, constant or none"),
        Column(f"{name}_undefined", f"pairs of subject and seed without a defined {what}", "values"),
        Column(f"{name}_pooled", f"{what} over all windows, mean over seeds", _SHARE, form="number"),
    )
    return (replace(column, **_PRINTED_METRICS.get(column.key, {})) for column in columns)


def _of_role(role: str) -> Iterator[Column]:
    """Columns of main.csv for the difference to the rule with `role`."""
    name, rule = f"accuracy_minus_{role}", in_words(role)
    yield Column(
        name,
        f"accuracy minus the accuracy of the rule {rule}, mean over subjects",
        "difference of shares",
        title=f"{MINUS} {rule}",
        short=f"vs {rule}",
        form="difference",
        optional=True,
    )
    yield Column(f"{name}_low", "lower end of the 95 % interval of the difference", "difference of shares")
    yield Column(f"{name}_high", "upper end of the 95 % interval of the difference", "difference of shares")
    yield Column(f"{name}_p", _P, "probability")
    yield Column(f"{name}_two_people", _TWO_PEOPLE)


_PUBLISHED = tuple(
    replace(column, sometimes=True)
    for column in (
        Column("published_scenario", "published scenario that the row repeats; empty if none"),
        Column(
            "published_accuracy",
            "published accuracy of the same cell",
            _SHARE,
            title="Published accuracy",
            short="published",
            form="number",
            optional=True,
        ),
        Column("published_accuracy_sd", "published SD of the accuracy over runs", _SHARE),
        Column("published_f1", "published F1 over both outputs of the network", _SHARE),
        Column("published_f1_sd", "published SD of the F1 over runs", _SHARE),
        Column("published_poor_ratio", f"published share of runs with an F1 of at most {POOR_F1}", _SHARE),
        Column(
            "published_equals_majority",
            f"whether published accuracy is the share without stress: {_YES}",
        ),
        Column(
            "accuracy_minus_published",
            "accuracy minus the published accuracy",
            "difference of shares",
            title=f"{MINUS} published",
            form="signed",
            optional=True,
        ),
        Column("f1_published_minus_published", "f1_published minus the published F1", "difference of shares"),
    )
)
_POOR_RATIO = Column(
    "poor_ratio",
    f"share of the runs (seeds) whose mean f1_published over subjects is at most {POOR_F1}",
    _SHARE,
    title="Poor runs",
    form="number",
)
_DELTA = Column("delta", "probability with which the bound epsilon may fail", "probability")
_PERSON = Column(
    "epsilon_subject",
    "epsilon of one person over all private models of the row",
    "epsilon",
    title="ε person",
    form="epsilon",
    optional=True,
)
PRIVACY = (
    _DELTA,
    Column(
        "epsilon_pld",
        "epsilon of generator and detector together at the row's unit, by privacy loss distributions",
        "epsilon",
        title="ε composed (PLD)",
        short="ε",
        form="epsilon",
        optional=True,
    ),
    Column(
        "epsilon_rdp",
        "epsilon as in epsilon_pld, but by Rényi differential privacy",
        "epsilon",
        title="ε (RDP)",
        form="epsilon",
        optional=True,
    ),
    Column(
        "epsilon_unamplified",
        "epsilon as in epsilon_pld, but without amplification by sampling",
        "epsilon",
        title="ε unamplified",
        form="epsilon",
        optional=True,
    ),
    Column("epsilon_replace_one", "epsilon as in epsilon_pld, but for a replaced record", "epsilon"),
    _PERSON,
    Column("epsilon_window", "epsilon of one window of one person", "epsilon"),
    Column(
        "epsilon_60_s",
        "epsilon of any 60 s of a person's recording; empty if it has no bound",
        "epsilon",
        title="ε any 60 s",
        form="epsilon",
        optional=True,
    ),
    Column("mu", "parameter of Gaussian differential privacy of the row's mechanisms, where exact"),
    Column("secret", f"whether all noise has secret keys: {_YES}", title="Secret noise", optional=True),
    Column("n_seeds_asked", "fewest seeds (noise draws) for a row to show use of private data", "seeds"),
)
_USE = Column(
    "shows_use_of_private_data",
    'whether the row beats each literature rule and, as a network, itself before training: "yes", "no", or '
    '"few seeds" (too few noise draws)',
    title="Shows use of private data",
    short="shown",
    optional=True,
)
PUBLIC_COHORTS = Column(
    "public_cohorts",
    "cohorts whose recordings generator or detector take for public; empty if none",
    title="Public cohorts",
    optional=True,
)
AUDITED = (
    Column("audited_part", "audited part with the largest lower bound", title="Audited part", optional=True),
    Column(
        "audit_epsilon_low",
        "largest lower bound (95 %) that an attack found for the audited part",
        "epsilon",
        title="ε audited, at least",
        short="audit ≥",
        form="epsilon",
        optional=True,
    ),
    Column(
        "audit_epsilon_ceiling",
        "largest lower bound that a perfect attack could have found",
        "epsilon",
        title="audit's ceiling",
        form="epsilon",
        optional=True,
    ),
)
_MAIN = (
    *CELL,
    _TRAINED_IN,
    _ROLE,
    *_COUNTS,
    *(column for metric in HEADLINES for column in _of_metric(metric)),
    _POOR_RATIO,
    *(column for role in COMPARED for column in _of_role(role)),
    Column(f"better_than_{BASELINE}", f"whether accuracy_minus_{BASELINE}_low is above 0: {_YES}"),
    Column(
        "generator_saw_test_subject",
        f"whether the generator was trained on the tested people: {_YES}",
        title="Generator saw test subject",
        optional=True,
    ),
    PUBLIC_COHORTS,
    *_PUBLISHED,
    *PRIVACY,
    _USE,
    *AUDITED,
)
MAIN = tuple(replace(column, example=EXAMPLES[column.key]) for column in _MAIN)
# Printed only where some row is private.
OF_PRIVATE = frozenset(column.key for column in (*PRIVACY, _USE, *AUDITED))
# The keys of the main table that readers see, in their order.
PRINTED = (
    *(column.key for column in (*CELL, *_COUNTS)),
    *("accuracy", "accuracy_sd_seeds", "accuracy_sd_subjects", "accuracy_pooled"),
    *("f1", "macro_f1", "auroc", "f1_published", "poor_ratio"),
    *(f"accuracy_minus_{role}" for role in COMPARED),
    *("epsilon_pld", "epsilon_rdp", "epsilon_unamplified", "epsilon_subject", "epsilon_60_s"),
    *("audit_epsilon_low", "audit_epsilon_ceiling", "audited_part", "secret", "shows_use_of_private_data"),
    *("public_cohorts", "generator_saw_test_subject", "published_accuracy", "accuracy_minus_published"),
)
# Of these the ones that a page of 1280 pixels holds.
BRIEF = (
    *("evaluation", "generator", "detector", *(column.key for column in AXES), "accuracy", "f1"),
    *(f"accuracy_minus_{LITERATURE_THREE}", "shows_use_of_private_data", "published_accuracy"),
)
# Differences to these rules are a verdict on private rows: they stand there, with the interval that decides.
VERDICTS = (f"accuracy_minus_{LITERATURE}", f"accuracy_minus_{LITERATURE_THREE}")
# Those of tables/main.tex if the study does not choose: two columns of a journal hold them.
LATEX = ("evaluation", "generator", "detector", *(column.key for column in AXES), "accuracy", "f1")
TERMINAL = (
    *("detector", "generator", *(column.key for column in AXES)),
    *("accuracy", "f1", "auroc", f"accuracy_minus_{BASELINE}", *VERDICTS, "shows_use_of_private_data"),
    *("epsilon_pld", "audit_epsilon_low", "published_accuracy"),
)
PER_SUBJECT = (
    *CELL,
    _TRAINED_IN,
    _SEED,
    Column("fold", "fold in which the subject was tested"),
    Column("subject", "tested subject"),
    Column("windows", "number of tested windows", "windows"),
    Column("stress_windows", "number of tested windows with stress", "windows"),
    *_METRICS,
)
PAIRED = (
    Column("n_subjects", "number of subjects with a value in both cells", "subjects"),
    Column("difference", "cell minus reference, mean over subjects", "difference of shares"),
    Column("low", "lower end of the 95 % interval of the difference", "difference of shares"),
    Column("high", "upper end of the 95 % interval of the difference", "difference of shares"),
    Column("interval", "method of the interval: bootstrap-t, t, constant or none"),
    Column("p", _P, "probability"),
    Column("two_people", _TWO_PEOPLE),
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
    _DELTA,
    replace(_PERSON, meaning="epsilon of one person if all private models are published", title=""),
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
            Column("auc", "area under the ROC curve of the attack", _SHARE),
            Column("auc_low", "lower end of the 95 % interval of auc", _SHARE),
            Column("auc_high", "upper end of the 95 % interval of auc", _SHARE),
            Column("tpr_at_no_false_alarm", "true positive rate without a false alarm", _SHARE),
            Column("tpr_low", "lower end of the 95 % interval of the true positive rate", _SHARE),
            Column("tpr_high", "upper end of the 95 % interval of the true positive rate", _SHARE),
            Column("fpr_high", "upper end of the 95 % interval of the false positive rate", _SHARE),
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
            Column("rate", "share of people re-identified", _SHARE),
            Column("rate_low", "lower end of the 95 % interval of rate", _SHARE),
            Column("rate_high", "upper end of the 95 % interval of rate", _SHARE),
            Column("chance", "share of people re-identified by random guessing", _SHARE),
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
    Column("published", "published accuracy", _SHARE),
    Column("ours", "accuracy of this study", _SHARE, title="ours [95 %]"),
    Column("low", "lower end of our 95 % interval over subjects", _SHARE),
    Column("high", "upper end of our 95 % interval over subjects", _SHARE),
    Column("seeds", "number of seeds averaged", "seeds"),
    Column("people", "number of tested subjects", "subjects"),
    Column("difference", "accuracy of this study minus published accuracy", "difference of shares"),
    replace(_POOR_RATIO, title="poor runs"),
    Column(
        "published_poor_ratio",
        f"published share of runs with an F1 of at most {POOR_F1}",
        _SHARE,
        title="published poor runs",
    ),
    Column("equals_majority", f"whether published accuracy is the share without stress: {_YES}"),
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


def keys(columns: Collection[Column]) -> list[str]:
    """Keys of `columns`, in order."""
    return [column.key for column in columns]


def require_main(chosen: Iterable[str]) -> None:
    """Check that a study's `table_columns` are columns of the main table.

    Raises:
        InputError: a name is no column.
    """
    known = keys(MAIN)
    unknown = [name for name in chosen if name not in known]
    if unknown:
        faults = ", ".join(f"{name!r}{nearest(name, known)}" for name in unknown)
        raise InputError(f"table_columns: expected columns of tables/main.csv, such as f1; found {faults}")


def title(key: str, columns: Collection[Column] = MAIN) -> str:
    """Title of a column for readers.

    Examples:
        >>> title("accuracy_pooled")
        'Pooled accuracy'
    """
    return by_key(columns)[key].heading


def by_key(columns: Collection[Column]) -> dict[str, Column]:
    """Columns of a table by key."""
    return {column.key: column for column in columns}


def in_order(table: pd.DataFrame, columns: Collection[Column]) -> pd.DataFrame:
    """`table` with its columns in the declared order.

    Raises:
        ValueError: a column is not declared, or a declared column is missing.
    """
    declared = by_key(columns)
    found = set(map(str, table))
    # The selection below would drop an undeclared column without a word.
    undeclared = found - set(declared)
    missing = {key for key, column in declared.items() if not column.sometimes} - found
    if undeclared or missing:
        raise ValueError(
            f"table: undeclared columns {sorted(undeclared)}, missing columns {sorted(missing)}; "
            "declare each column in pulseveil.summary.columns"
        )
    return table[[key for key in declared if key in table]]


def titled(table: pd.DataFrame, columns: Collection[Column]) -> pd.DataFrame:
    """`table` with titles in place of keys."""
    return table.rename(columns={column.key: column.heading for column in columns})


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
        "tables/spending.csv": {"report": keys(SPENDING)},
        "tables/audit.csv": {"report": keys(AUDIT)},
        "tables/reproduction.csv": {"reproduction.html, report": REPRODUCTION_PAGE},
    }
    return (view for view, shown in views.get(table, {}).items() if key in shown)
