"""Runs of a study on a SLURM cluster, independent of what the study computes."""

# What other packages may use, in reading order.
__all__ = [  # noqa: RUF022
    "submission",
    "controller",
    "lease",
    "jobs",
    "listener",
    "progress",
    "status",
    "doctor",
]
