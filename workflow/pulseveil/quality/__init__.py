"""Quality: how like real windows synthetic ones are, by measures with their floor between real people."""

# What other packages may use, in reading order.
__all__ = [  # noqa: RUF022
    "samples",
    "measures",
    "neighbours",
    "classifiers",
    "portrait",
]
