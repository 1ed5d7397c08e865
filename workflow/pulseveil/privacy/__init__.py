"""Privacy: what a training may spend, on whom, how it is noised, and what it says of itself."""

# What other packages may use, in reading order.
__all__ = [  # noqa: RUF022
    "budget",
    "records",
    "noise",
    "gaussian",
    "dpsgd",
    "dpgan",
    "library_optimizer",
    "programs",
    "accounting",
    "ledger",
    "releases",
    "statement",
]
