"""Windows: recordings at 1 Hz, cut, scaled, and summed up as the features that detectors read."""

# What other packages may use, in reading order.
__all__ = [  # noqa: RUF022
    "cutting",
    "scaling",
    "features",
    "reach",
]
