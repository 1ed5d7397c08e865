"""The columns of all tables, each declared once: key, title, unit, meaning, and where a reader sees it.

Tables take the order of their columns from here, print and terminal their titles; `dictionary` is the file
`tables/columns.json` that stands beside the tables.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import pandas as pd

from pulseveil.detectors import BASELINE, COMPARED
from pulseveil.evaluation.metrics import METRICS
from pulseveil.summary.labels import MINUS
from pulseveil.summary.labels import evaluation as in_words

Form = Literal[
    "name", "axis", "count", "number", "signed", "epsilon", "interval", "marked", "difference", "text"
]


@dataclass(frozen=True)
class Column:
    """A column of a table. Titles that are not given are the key in words.

    title: in the printed tables and the report. short: in the terminal. form: how `printing` writes a value.
    optional: the column is printed only where a row has a value. sometimes: some studies have no such column.
    """

    key: str
    meaning: str
    unit: str = ""
    title: str = ""
    short: str = ""
    form: Form = "text"
    optional: bool = False
    sometimes: bool = False

    @property
    def heading(self) -> str:
        """The title for readers."""
        return self.title or in_words(self.key)


_YES = '"yes", "no", or empty where the question has no sense'
_SHARE = "share, 0 to 1"
CELL = (
    Column("evaluation", "evaluation of the study", title="Evaluation", form="name"),
    Column(
        "generator", "generator of the synthetic windows; none on real data", title="Generator", form="name"
    ),
    Column("detector", "stress detector", title="Detector", form="name"),
    Column("unit", "what a budget protects: subject or window", title="Unit", short="unit", form="axis"),
    Column(
        "epsilon_generator",
        "budget of one trained generator; inf without one",
        title="ε generator",
        short="ε gen",
        form="axis",
    ),
    Column(
        "epsilon_detector",
        "budget of one trained detector; inf without one",
        title="ε detector",
        short="ε det",
        form="axis",
    ),
    Column(
        "subjects",
        "synthetic subjects trained on",
        unit="subjects",
        title="Synthetic subjects",
        short="syn",
        form="axis",
    ),
    Column(
        "noise",
        "scale of the Laplace noise added to the training features",
        title="Input noise",
        short="noise",
        form="axis",
    ),
)
AXES = tuple(column for column in CELL if column.form == "axis")
_ROLE = Column("role", "model, or the role of the rule that the detector is")
_SEED = Column("seed", "seed of the run")
_COUNTS = (
    Column("n_seeds", "seeds averaged", unit="seeds", title="Seeds", form="count"),
    Column("n_subjects", "tested subjects", unit="subjects", title="Subjects", form="count"),
    Column("n_windows", "tested windows", unit="windows", title="Windows", form="count"),
)
_METRICS = tuple(Column(m.name, m.meaning, unit=_SHARE, title=m.title, form="number") for m in METRICS)
HEADLINES = tuple(column for column in _METRICS if column.title)
# Columns that print with an interval or a mark, and titles that depend on the table.
_PRINTED_METRICS: Mapping[str, dict[str, Any]] = {
    "accuracy": {"title": "Accuracy [95 %]", "short": "accuracy [95 %]", "form": "marked"},
    "f1": {"title": "Stress F1 [95 %]", "short": "stress F1 [95 %]", "form": "interval"},
    "auroc": {"short": "AUROC"},
    "accuracy_sd_seeds": {"title": "SD seeds"},
    "accuracy_sd_subjects": {"title": "SD subjects"},
    "accuracy_pooled": {"title": "Pooled accuracy"},
}


def _of_metric(metric: Column) -> Iterator[Column]:
    """The columns of main.csv for a metric."""
    name, what = metric.key, metric.heading
    columns = (
        replace(
            metric,
            title=what,
            meaning=f"mean over subjects, of each seed and then over seeds: {metric.meaning}",
        ),
        Column(f"{name}_sd_seeds", f"SD of the seeds' means of {what}", _SHARE, form="number"),
        Column(f"{name}_sd_subjects", f"SD over subjects of their means of {what}", _SHARE, form="number"),
        Column(f"{name}_low", f"lower end of the 95 % interval over subjects of {what}", _SHARE),
        Column(f"{name}_high", f"upper end of the 95 % interval over subjects of {what}", _SHARE),
        Column(f"{name}_interval", f"method of the interval of {what}"),
        Column(f"{name}_undefined", f"values of a subject and seed where {what} is undefined", "values"),
        Column(f"{name}_pooled", f"mean over seeds of {what} over all windows", _SHARE, form="number"),
    )
    return (replace(column, **_PRINTED_METRICS.get(column.key, {})) for column in columns)


def _of_role(role: str) -> Iterator[Column]:
    """The columns of main.csv for the rule that a row is compared with."""
    name, rule = f"accuracy_minus_{role}", in_words(role)
    yield Column(
        name,
        f"accuracy minus that of the rule {rule}, mean over subjects",
        "difference of shares",
        title=f"{MINUS} {rule}",
        short=f"vs {rule}",
        form="difference",
        optional=True,
    )
    yield Column(f"{name}_low", "lower end of the 95 % interval of the difference", "difference of shares")
    yield Column(f"{name}_high", "upper end of the 95 % interval of the difference", "difference of shares")
    yield Column(
        f"{name}_p", "p of the difference: sign-flip test over subjects, not corrected", "probability"
    )


_PUBLISHED = tuple(
    replace(column, sometimes=True)
    for column in (
        Column("published_scenario", "published scenario that the row repeats"),
        Column(
            "published_accuracy",
            "published accuracy",
            _SHARE,
            title="Published accuracy",
            short="published",
            form="number",
            optional=True,
        ),
        Column("published_accuracy_sd", "published SD of the accuracy over runs", _SHARE),
        Column("published_f1", "published two-output F1", _SHARE),
        Column("published_f1_sd", "published SD of the F1 over runs", _SHARE),
        Column("published_equals_majority", f"whether that is the share without stress: {_YES}"),
        Column(
            "accuracy_minus_published",
            "accuracy minus the published one",
            "difference of shares",
            title=f"{MINUS} published",
            form="signed",
            optional=True,
        ),
        Column("f1_published_minus_published", "f1_published minus the published F1", "difference of shares"),
    )
)
_DELTA = Column("delta", "probability that the guarantee of epsilon fails", "probability")
_PERSON = Column(
    "epsilon_subject",
    "epsilon of one person: all private models of the row",
    "epsilon",
    title="ε person",
    form="epsilon",
    optional=True,
)
PRIVACY = (
    _DELTA,
    Column(
        "epsilon_pld",
        "epsilon of generator and detector together at the row's unit, from privacy loss distributions",
        "epsilon",
        title="ε composed (PLD)",
        form="epsilon",
        optional=True,
    ),
    Column(
        "epsilon_rdp",
        "the same from Rényi differential privacy",
        "epsilon",
        title="ε (RDP)",
        form="epsilon",
        optional=True,
    ),
    Column(
        "epsilon_unamplified",
        "the same without the amplification by sampling",
        "epsilon",
        title="ε unamplified",
        form="epsilon",
        optional=True,
    ),
    Column("epsilon_replace_one", "the same where a record is replaced, not added or removed", "epsilon"),
    _PERSON,
    Column("epsilon_window", "epsilon of one window", "epsilon"),
    Column(
        "epsilon_60_s",
        "epsilon of any 60 s of a person",
        "epsilon",
        title="ε any 60 s",
        form="epsilon",
        optional=True,
    ),
    Column("mu", "parameter of Gaussian differential privacy of the same mechanisms"),
    Column("secret", f"whether the noise is from a secret key: {_YES}", title="Secret noise", optional=True),
    Column("n_seeds_asked", "draws of noise that the row must average before it may claim anything", "seeds"),
)
_USE = Column(
    "shows_use_of_private_data",
    'whether the row is shown to be better than the literature rule; "few seeds": too few noise draws',
    title="Shows use of private data",
    optional=True,
)
AUDITED = (
    Column("audited_part", "audited part that gave most away", title="Audited part", optional=True),
    Column(
        "audit_epsilon_low",
        "largest lower bound (95 %) that an attack proved for that part",
        "epsilon",
        title="ε audited, at least",
        form="epsilon",
        optional=True,
    ),
    Column(
        "audit_epsilon_ceiling",
        "largest bound that a flawless attack would have proved",
        "epsilon",
        title="audit's ceiling",
        form="epsilon",
        optional=True,
    ),
)
MAIN = (
    *CELL,
    _ROLE,
    *_COUNTS,
    *(column for metric in HEADLINES for column in _of_metric(metric)),
    *(column for role in COMPARED for column in _of_role(role)),
    Column(f"better_than_{BASELINE}", f"whether the interval of that difference lies above 0: {_YES}"),
    Column(
        "generator_saw_test_subject",
        f"whether the generator was trained on the people tested: {_YES}",
        title="Generator saw test subject",
        optional=True,
    ),
    *_PUBLISHED,
    *PRIVACY,
    _USE,
    *AUDITED,
)
# Printed only where some row is private.
OF_PRIVATE = frozenset(column.key for column in (*PRIVACY, _USE, *AUDITED))
# The keys of the main table that readers see, in their order.
PRINTED = (
    *(column.key for column in (*CELL, *_COUNTS)),
    *("accuracy", "accuracy_sd_seeds", "accuracy_sd_subjects", "accuracy_pooled"),
    *("f1", "macro_f1", "auroc", "f1_published"),
    *(f"accuracy_minus_{role}" for role in COMPARED),
    *("epsilon_pld", "epsilon_rdp", "epsilon_unamplified", "epsilon_subject", "epsilon_60_s"),
    *("audit_epsilon_low", "audit_epsilon_ceiling", "audited_part", "secret", "shows_use_of_private_data"),
    *("generator_saw_test_subject", "published_accuracy", "accuracy_minus_published"),
)
TERMINAL = (
    *("detector", "generator", *(column.key for column in AXES)),
    *("accuracy", "f1", "auroc", f"accuracy_minus_{BASELINE}", "published_accuracy"),
)
PER_SUBJECT = (
    *CELL,
    _SEED,
    Column("fold", "fold that the subject was tested in"),
    Column("subject", "tested subject"),
    Column("windows", "tested windows", "windows"),
    Column("stress_windows", "tested windows of stress", "windows"),
    *_METRICS,
)
PAIRED = (
    Column("n_subjects", "subjects with a value in both cells", "subjects"),
    Column("difference", "mean over subjects of the cell minus the reference", "difference of shares"),
    Column("low", "lower end of the 95 % interval of the difference", "difference of shares"),
    Column("high", "upper end of the 95 % interval of the difference", "difference of shares"),
    Column("interval", "method of the interval"),
    Column("p", "p of the difference: sign-flip test over subjects, not corrected", "probability"),
)
DIFFERENCES = (
    *CELL,
    Column(
        "against", "why the two are compared: the role of a rule, the axis in which they differ, or real data"
    ),
    *(Column(f"reference_{c.key}", f"the same of the reference: {c.meaning}", c.unit) for c in CELL),
    Column("metric", "metric that is compared"),
    *PAIRED,
)
_COHORT = Column("cohort", "cohort trained on", title="Cohort")
GENERATOR_CELL = (_COHORT, CELL[1], CELL[3], CELL[4])
QUALITY_KEYS = (
    *GENERATOR_CELL,
    Column("measure", "measure of quality"),
    Column("signal", "signal that it looks at, or all"),
    Column("condition", "condition that it looks at, or all"),
)
QUALITY = (
    *QUALITY_KEYS,
    Column("models", "trained generators, one per fold and seed", "models"),
    Column("value", "mean over models of the measure between synthetic and real windows"),
    Column("lowest", "smallest value of a model"),
    Column("highest", "largest value of a model"),
    Column("floor", "mean of the measure between two halves of the real windows"),
    Column("floor_low", "smallest floor of all halvings"),
    Column("floor_high", "largest floor of all halvings"),
    Column("held_out", "mean of the measure between synthetic windows and people not trained on"),
)
SPENDING = (
    Column("scope", "evaluation, or all of the study"),
    Column("models", "private models that learned from one person", "models"),
    Column("models_without_budget", "models without a budget that are trained on the same people", "models"),
    _DELTA,
    replace(_PERSON, meaning="epsilon of one person if all of these private models are published", title=""),
)
_AUDIT_KEYS = (
    replace(_COHORT, title=""),
    Column("part", "audited part of the cell: generator or detector"),
    *(replace(column, title="") for column in (CELL[1], CELL[2], *CELL[3:6])),
)
AUDIT_KEYS = tuple(column.key for column in _AUDIT_KEYS)
AUDIT = (
    *_AUDIT_KEYS,
    *(
        replace(column, sometimes=True)
        for column in (
            Column("attack", "what was tried"),
            Column("record", "attacked person, or all"),
            Column("canaries", "inserted canaries", "canaries"),
            Column("guesses", "canaries that the attack guessed", "canaries"),
            Column("correct", "right guesses, or people found again", "guesses"),
            Column("canaries_needed", "flawlessly guessed canaries that would test the claim", "canaries"),
            Column("trainings_in", "trainings with the record", "trainings"),
            Column("hits", "of these, those that the attack called in", "trainings"),
            Column("trainings_out", "trainings without the record", "trainings"),
            Column("false_alarms", "of these, those that the attack called in", "trainings"),
            Column("auc", "area under the ROC curve of the attack", _SHARE),
            Column("auc_low", "lower end of its 95 % interval", _SHARE),
            Column("auc_high", "upper end of its 95 % interval", _SHARE),
            Column("tpr_at_no_false_alarm", "share of hits at no false alarm", _SHARE),
            Column("tpr_low", "lower end of its 95 % interval", _SHARE),
            Column("tpr_high", "upper end of its 95 % interval", _SHARE),
            Column("fpr_high", "upper end of the 95 % interval of the share of false alarms", _SHARE),
            Column("epsilon_low", "lower bound of epsilon (95 %) from calls of in", "epsilon"),
            Column("epsilon_ceiling", "the same bound if the attack were flawless", "epsilon"),
            Column("mu_low", "lower bound of the Gaussian parameter mu (95 %)"),
            Column("epsilon_claimed", "epsilon that the model claims", "epsilon"),
            Column("delta", "delta of the claim", "probability"),
            Column("level", "confidence of the verdict", "probability"),
            Column("failed", "whether the claim is refuted"),
            Column("verdict", "the verdict as a sentence"),
            Column("epsilon_low_out", "lower bound of epsilon (95 %) from calls of out", "epsilon"),
            Column("people", "people searched for", "subjects"),
            Column("rate", "share of people found again", _SHARE),
            Column("rate_low", "lower end of its 95 % interval", _SHARE),
            Column("rate_high", "upper end of its 95 % interval", _SHARE),
            Column("chance", "share that guessing finds", _SHARE),
            Column("p", "p of as many by chance", "probability"),
        )
    ),
)
_BY_KEY = {column.key: column for column in CELL}
REPRODUCTION_KEYS = (
    Column("scenario", "published scenario"),
    Column("train", "data trained on: real, synthetic or both"),
    Column("test", "how people are tested"),
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
    Column("seeds", "seeds averaged", "seeds"),
    Column("people", "tested subjects", "subjects"),
    Column("difference", "ours minus published", "difference of shares"),
    Column("equals_majority", f"whether the published accuracy is the share without stress: {_YES}"),
    Column("verdict", "reproduced, not reproduced, not defined or not run"),
    Column("reason", "why"),
)
REPRODUCTION_PAGE = (
    *("generator", "detector", "epsilon_generator", "epsilon_detector", "subjects", "noise"),
    *("published", "ours", "seeds", "people", "difference", "verdict", "reason"),
)
HOURS = (
    Column("stage", "stage of the workflow"),
    Column("rule", "rule of the workflow"),
    Column("model", "generator or detector, if any"),
    Column("jobs", "planned jobs", "jobs"),
    Column("expected_hours", "planned CPU time of all jobs", "hours"),
    Column("measured_jobs", "jobs with a measured time", "jobs"),
    Column("expected_of_measured", "planned CPU time of the measured jobs", "hours"),
    Column("measured_hours", "measured CPU time of the measured jobs", "hours"),
    Column("ratio", "measured to planned CPU time of the measured jobs"),
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
    """Their keys, in order."""
    return [column.key for column in columns]


def title(key: str, columns: Collection[Column] = MAIN) -> str:
    """The reader's title of a column."""
    return by_key(columns)[key].heading


def by_key(columns: Collection[Column]) -> dict[str, Column]:
    """The columns of a table by their keys."""
    return {column.key: column for column in columns}


def in_order(table: pd.DataFrame, columns: Collection[Column]) -> pd.DataFrame:
    """A table with its columns in the declared order.

    Raises ValueError for a column that is not declared, and for a declared one that is missing.
    """
    declared = by_key(columns)
    found = set(map(str, table))
    undeclared = found - set(declared)
    missing = {key for key, column in declared.items() if not column.sometimes} - found
    if undeclared or missing:
        raise ValueError(f"columns not declared here: {sorted(undeclared)}; declared only: {sorted(missing)}")
    return table[[key for key in declared if key in table]]


def titled(table: pd.DataFrame, columns: Collection[Column]) -> pd.DataFrame:
    """A table under the titles of its columns."""
    return table.rename(columns={column.key: column.heading for column in columns})


def dictionary() -> dict[str, list[dict[str, Any]]]:
    """The data dictionary of all tables, as JSON values: file to its columns in order."""
    return {name: [_entry(name, column) for column in columns] for name, columns in TABLES.items()}


def _entry(table: str, column: Column) -> dict[str, Any]:
    return {
        "key": column.key,
        "title": column.heading,
        "unit": column.unit,
        "meaning": column.meaning,
        "shown": list(_shown(table, column.key)),
        "always": not column.sometimes,
    }


def _shown(table: str, key: str) -> Iterator[str]:
    """The files and views in which readers see a column, beside its CSV file."""
    views: Mapping[str, Mapping[str, Collection[str]]] = {
        "tables/main.csv": {"tables/main.tex, tables/main.html, report": PRINTED, "terminal": TERMINAL},
        "tables/spending.csv": {"report": keys(SPENDING)},
        "tables/audit.csv": {"report": keys(AUDIT)},
        "tables/reproduction.csv": {"reproduction.html, report": REPRODUCTION_PAGE},
    }
    return (view for view, shown in views.get(table, {}).items() if key in shown)
