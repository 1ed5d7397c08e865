"""Running a study on a SLURM cluster: nothing here knows what a study computes."""

# What other packages may use, in reading order.
__all__ = [  # noqa: RUF022
    "submission",
    "controller",
    "lease",
    "jobs",
    "record",
    "status",
    "doctor",
]
