"""Base of all other packages: data types, files, names, seeds, checkpoints and errors."""

# What other packages may use, in reading order.
__all__ = [  # noqa: RUF022
    "arrays",
    "contracts",
    "store",
    "paths",
    "identity",
    "settings",
    "registry",
    "errors",
    "randomness",
    "checkpoints",
    "limits",
    "tables",
    "atomic",
    "locks",
    "processes",
    "tensorflow",
]
