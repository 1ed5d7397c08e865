"""Evaluation: who trains, who is tested, and how a detector's answers are counted."""

# What other packages may use, in reading order.
__all__ = [  # noqa: RUF022
    "protocols",
    "metrics",
]
