"""Evaluation: protocols of who trains and who is tested, and metrics of the scores."""

# What other packages may use, in reading order.
__all__ = [  # noqa: RUF022
    "protocols",
    "metrics",
]
