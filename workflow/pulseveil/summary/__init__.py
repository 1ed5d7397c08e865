"""Summary: from scores to tables, figures and a report."""

# What other packages may use, in reading order.
__all__ = [  # noqa: RUF022
    "columns",
    "results",
    "description",
    "published",
    "printing",
    "palette",
    "terminal",
    "crate",
    "summarize",
]
