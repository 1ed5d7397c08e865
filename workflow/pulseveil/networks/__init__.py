"""Networks: layers as pure functions on lists of tensors, and the compiled programs that train them."""

# What other packages may use, in reading order.
__all__ = [  # noqa: RUF022
    "layers",
    "recurrence",
    "initial",
    "draws",
    "per_example",
    "learner",
    "adam",
    "average",
    "loop",
    "training",
    "classifiers",
    "adversaries",
]
