"""Runs: the work of one job, from what the job is told to the files that it writes."""

# What other packages may use, in reading order.
__all__ = [  # noqa: RUF022
    "script",
    "cohort",
    "generators",
    "quality",
    "detectors",
    "audits",
]
