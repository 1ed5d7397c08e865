"""Release: what leaves the house, with the claim, the cards and the public facts that go with it."""

# What other packages may use, in reading order.
__all__ = [
    "cards",
    "export",
    "public_summary",
]
