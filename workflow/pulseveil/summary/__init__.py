"""Tables, figures and a report from the scores of a study."""

# What other packages may use, in reading order.
__all__ = [  # noqa: RUF022
    "column",
    "main_columns",
    "columns",
    "results",
    "description",
    "finished",
    "published",
    "printing",
    "palette",
    "labels",
    "terminal",
    "history",
    "job_runs",
    "crate",
    "cohort_page",
    "summarize",
]
