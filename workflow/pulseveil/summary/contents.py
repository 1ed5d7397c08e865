"""What the files of a study's results are."""

from __future__ import annotations

from collections.abc import Mapping

DESCRIPTIONS: Mapping[str, str] = {
    "report.html": "The report: plan, tables, figures, privacy, cohorts and versions on one page.",
    "reproduction.html": "Each published value beside ours, with a verdict and its reason.",
    "tables/main.csv": "Main table: one row a cell, all metrics with intervals over subjects.",
    "tables/per_subject.csv": "Metrics of each tested subject and seed.",
    "tables/differences.csv": "Paired differences to the rules and to other models.",
    "tables/quality.csv": "How like the real windows the synthetic ones are.",
    "tables/spending.csv": "What one person has spent if everything is published.",
    "tables/audit.csv": "Attacks with their lower bounds and ceilings.",
    "tables/reproduction.csv": "The rows of reproduction.html.",
    "ledger.json": "One entry for each noised mechanism, with the steps that the program counted.",
    "statement.txt": "What is protected, from whom, at which unit, and what is not, in plain English.",
    "study.json": "All settings of the study, without the places of its recordings.",
    "hours.csv": "The planned CPU hours beside the measured ones.",
    "ro-crate-metadata.json": "This list for machines (RO-Crate 1.1): all files with size and sha256, what "
    "made them, and from what.",
}
