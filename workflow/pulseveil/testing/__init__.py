"""Checks of generators and detectors of other packages, for their tests."""

# What other packages may use, in reading order.
__all__ = ["check_detector", "check_generator"]

from pulseveil.testing.plugins import check_detector, check_generator
