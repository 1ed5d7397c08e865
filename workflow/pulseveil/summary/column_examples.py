"""Examples of values, one for each column of the main table.

They are as in files of the demo and of studies of published cells, and show the form of a value.
"""

from __future__ import annotations

from collections.abc import Mapping

from pulseveil.detectors import BASELINE, COMPARED
from pulseveil.evaluation.metrics import METRICS

_BY_KEY: Mapping[str, str] = {
    "evaluation": "tstr",
    "generator": "my_generator",
    "detector": "my_detector",
    "unit": "subject",
    "epsilon_generator": "10",
    "epsilon_detector": "inf",
    "subjects": "10",
    "noise": "0",
    "signals": "all",
    "trained_in": "tstr",
    "role": "model",
    "n_seeds": "2",
    "n_subjects": "6",
    "n_windows": "96",
    "poor_ratio": "0.0",
    "generator_saw_test_subject": "no",
    "public_cohorts": "my_cohort",
    "published_scenario": "1-LOSO_15real",
    "published_accuracy": "0.8812",
    "published_accuracy_sd": "0.0085",
    "published_f1": "0.88",
    "published_f1_sd": "0.0083",
    "published_poor_ratio": "0.0",
    "published_equals_majority": "no",
    "accuracy_minus_published": "-0.012",
    "f1_published_minus_published": "-0.011",
    "delta": "1e-05",
    "epsilon_pld": "10.0",
    "epsilon_rdp": "10.73",
    "epsilon_unamplified": "10.0",
    "epsilon_replace_one": "24.39",
    "epsilon_subject": "10.0",
    "epsilon_window": "10.0",
    "epsilon_60_s": "10.0",
    "mu": "2.0",
    "secret": "yes",
    "n_seeds_asked": "100",
    "shows_use_of_private_data": "no",
    "audited_part": "detector",
    "audit_epsilon_low": "3.78",
    "audit_epsilon_ceiling": "16.0",
    f"better_than_{BASELINE}": "yes",
}
_OF_METRIC: Mapping[str, str] = {
    "": "0.818",
    "_sd_seeds": "0.052",
    "_sd_subjects": "0.127",
    "_low": "0.623",
    "_high": "0.930",
    "_interval": "bootstrap-t",
    "_undefined": "0",
    "_pooled": "0.818",
}
_OF_RULE: Mapping[str, str] = {
    "": "0.193",
    "_low": "0.026",
    "_high": "0.411",
    "_p": "0.0356",
    "_two_people": "yes",
}

# Metrics with a title are those of the main table.
EXAMPLES: Mapping[str, str] = {
    **{f"{m.name}{end}": value for m in METRICS if m.title for end, value in _OF_METRIC.items()},
    **{f"accuracy_minus_{role}{end}": value for role in COMPARED for end, value in _OF_RULE.items()},
    **_BY_KEY,
}
