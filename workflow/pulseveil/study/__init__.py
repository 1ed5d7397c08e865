"""Studies: what a user asks for, and the plan of cells, jobs, costs and spending that follows."""

# What other packages may use, in reading order.
__all__ = [  # noqa: RUF022
    "study",
    "audit_settings",
    "schema",
    "plan",
    "cells",
    "jobs",
    "tasks",
    "costs",
    "hours",
    "spending",
    "dag",
]
