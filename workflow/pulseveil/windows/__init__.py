"""Windows: recordings resampled to 1 Hz, scaled and cut into windows, and the features of detectors."""

# What other packages may use, in reading order.
__all__ = [  # noqa: RUF022
    "recipe",
    "cutting",
    "scaling",
    "features",
    "literature",
    "signals",
    "reach",
]
