"""Studies: a study file, and the plan of cells, tasks, costs and spending that follows from it."""

# What other packages may use, in reading order.
__all__ = [  # noqa: RUF022
    "yaml_files",
    "study",
    "reading",
    "audit_settings",
    "schema",
    "plan",
    "checks",
    "cells",
    "jobs",
    "audit_jobs",
    "tasks",
    "inputs",
    "costs",
    "hours",
    "spending",
    "licence",
    "kept",
    "dag",
]
