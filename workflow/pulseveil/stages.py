"""Versions of the stages: one rises when the same job would write other values.

A new version makes the workflow redo that stage; a golden-value test fails when values change and the
version does not. Versions of single models and cohorts stand in their own classes.
"""

COHORT = 2
FEATURES = 2
GENERATORS = 1
# Of private generators alone: what their ledgers say. 1: the hash of the weights that they speak for.
LEDGERS = 1
SYNTHESIS = 1
QUALITY = 2
DETECTORS = 1
AUDIT = 2
SUMMARY = 4
