"""Ground: contracts of data, files, names, seeds and errors, which all other packages stand on."""

# What other packages may use, in reading order.
__all__ = [  # noqa: RUF022
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
    "tensorflow",
]
