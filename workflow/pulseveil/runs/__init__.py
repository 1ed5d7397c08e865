"""Runs: the work of one job, from the job's JSON to the contents of its files."""

# What other packages may use, in reading order.
__all__ = [  # noqa: RUF022
    "script",
    "cohort",
    "generators",
    "quality",
    "detectors",
    "scoring",
    "releasing",
    "run_store",
    "archive",
    "training",
    "audits",
    "calibration",
]
