"""Release: claim, cards and exports of trained generators and their synthetic windows."""

# What other packages may use, in reading order.
__all__ = [
    "bundle",
    "cards",
    "claims",
    "croissant",
    "exits",
    "export",
    "portable",
    "public_summary",
    "verify",
]
