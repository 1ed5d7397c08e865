"""Quality: measures of the similarity of synthetic and real windows, with floors between real people."""

# What other packages may use, in reading order.
__all__ = [  # noqa: RUF022
    "samples",
    "measures",
    "neighbours",
    "classifiers",
    "portrait",
]
