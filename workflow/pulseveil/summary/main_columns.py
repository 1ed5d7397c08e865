"""Columns of the main table: one row per cell, and the lists that show it in print, report and terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from pulseveil.core.errors import InputError
from pulseveil.core.settings import nearest
from pulseveil.detectors import BASELINE, COMPARED, LITERATURE, LITERATURE_THREE
from pulseveil.evaluation.metrics import METRICS
from pulseveil.summary.column import P_VALUE, SHARE, TWO_PEOPLE, YES, Column, keys_of
from pulseveil.summary.column_examples import EXAMPLES
from pulseveil.summary.labels import MINUS
from pulseveil.summary.labels import evaluation as in_words

# The published study calls a run poor up to this F1 over both outputs. The bar is low: a network that never
# answers "stress" is above it.
POOR_F1 = 0.3
# Score tables are sorted by these keys in this order (`results`); tables of `columns` pick some by index.
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
TRAINED_IN = Column(
    "trained_in", "evaluation whose job trained the cell: an equal cell of a later one is not trained again"
)
_ROLE = Column("role", "model, or the role of the detector if it is a rule")
SEED = Column("seed", "number of the seed of the run")
_COUNTS = (
    Column("n_seeds", "number of seeds averaged", unit="seeds", title="Seeds", form="count"),
    Column("n_subjects", "number of tested subjects", unit="subjects", title="Subjects", form="count"),
    Column("n_windows", "number of tested windows", unit="windows", title="Windows", form="count"),
)
METRIC_COLUMNS = tuple(Column(m.name, m.meaning, unit=SHARE, title=m.title, form="number") for m in METRICS)
# Only these reach the main table, which has eight columns per metric; per_subject.csv has all metrics.
HEADLINES = tuple(column for column in METRIC_COLUMNS if column.title)
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
        Column(f"{name}_sd_seeds", f"SD over seeds of mean {what} per seed", SHARE, form="number"),
        Column(f"{name}_sd_subjects", f"SD over subjects of mean {what} per subject", SHARE, form="number"),
        Column(f"{name}_low", f"lower end of the 95 % interval over subjects of {what}", SHARE),
        Column(f"{name}_high", f"upper end of the 95 % interval over subjects of {what}", SHARE),
        Column(f"{name}_interval", f"method of the interval of {what}: bootstrap-t, t, constant or none"),
        Column(f"{name}_undefined", f"pairs of subject and seed without a defined {what}", "values"),
        Column(f"{name}_pooled", f"{what} over all windows, mean over seeds", SHARE, form="number"),
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
    yield Column(f"{name}_p", P_VALUE, "probability")
    yield Column(f"{name}_two_people", TWO_PEOPLE)


_PUBLISHED = tuple(
    replace(column, sometimes=True)
    for column in (
        Column("published_scenario", "published scenario that the row repeats; empty if none"),
        Column(
            "published_accuracy",
            "published accuracy of the same cell",
            SHARE,
            title="Published accuracy",
            short="published",
            form="number",
            optional=True,
        ),
        Column("published_accuracy_sd", "published SD of the accuracy over runs", SHARE),
        Column("published_f1", "published F1 over both outputs of the network", SHARE),
        Column("published_f1_sd", "published SD of the F1 over runs", SHARE),
        Column("published_poor_ratio", f"published share of runs with an F1 of at most {POOR_F1}", SHARE),
        Column(
            "published_equals_majority",
            f"whether published accuracy is the share without stress: {YES}",
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
POOR_RATIO = Column(
    "poor_ratio",
    f"share of the runs (seeds) whose mean f1_published over subjects is at most {POOR_F1}",
    SHARE,
    title="Poor runs",
    form="number",
)
DELTA = Column("delta", "probability with which the bound epsilon may fail", "probability")
PERSON = Column(
    "epsilon_subject",
    "epsilon of one person over all private models of the row",
    "epsilon",
    title="ε person",
    form="epsilon",
    optional=True,
)
PRIVACY = (
    DELTA,
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
    PERSON,
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
    Column("secret", f"whether all noise has secret keys: {YES}", title="Secret noise", optional=True),
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
    TRAINED_IN,
    _ROLE,
    *_COUNTS,
    *(column for metric in HEADLINES for column in _of_metric(metric)),
    POOR_RATIO,
    *(column for role in COMPARED for column in _of_role(role)),
    Column(f"better_than_{BASELINE}", f"whether accuracy_minus_{BASELINE}_low is above 0: {YES}"),
    Column(
        "generator_saw_test_subject",
        f"whether the generator was trained on the tested people: {YES}",
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


def require_main(chosen: Iterable[str]) -> None:
    """Check that a study's `table_columns` are columns of the main table.

    Raises:
        InputError: a name is no column.
    """
    known = keys_of(MAIN)
    unknown = [name for name in chosen if name not in known]
    if unknown:
        faults = ", ".join(f"{name!r}{nearest(name, known)}" for name in unknown)
        raise InputError(f"table_columns: expected columns of tables/main.csv, such as f1; found {faults}")
