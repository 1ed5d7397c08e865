"""Versions of the programs that noise: one rises when equal data and key would give another model.

A key's noise must never meet another program. The version is part of the fingerprint by which a training may
replay its noise, and of the run's hash, so that private models are trained again. What belongs to one kind
alone (its records, networks and losses) has the version of that kind. A golden-value test fails when a
private model changes and none of these rises.
"""

DPSGD = 1
DPGAN = 1
LIBRARY_OPTIMIZER = 1
DESCENT = 1
RELEASE = 1
