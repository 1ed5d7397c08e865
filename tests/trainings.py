"""Trainings of tests that care neither for privacy nor for whose windows these are."""

import numpy as np

from pulseveil.generators import Training
from pulseveil.privacy.budget import NOT_PRIVATE


def plain(windows, condition, stream, *, classes=2, checkpoint=None):
    """The training on windows of one person, without a guarantee."""
    return Training(windows, condition, np.full(len(windows), "S1"), classes, NOT_PRIVATE, stream, checkpoint)
