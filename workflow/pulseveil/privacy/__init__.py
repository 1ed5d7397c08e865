"""Differential privacy: budgets, sampling, noise, private training, accounting, ledgers and statements."""

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
    "models",
    "releases",
    "statement",
]
