"""Privacy audits: attacks on training data, whose lower bounds on epsilon stand beside the claim."""

# What other packages may use, in reading order.
__all__ = [  # noqa: RUF022
    "verdict",
    "trade_off",
    "membership",
    "canaries",
    "attacks",
    "alone",
    "tables",
]
