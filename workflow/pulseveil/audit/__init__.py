"""Audits: what an attacker finds out about the training data, beside the epsilon that was claimed."""

# What other packages may use, in reading order.
__all__ = [  # noqa: RUF022
    "verdict",
    "bounds",
    "trade_off",
    "membership",
    "canaries",
    "attacks",
    "tables",
]
