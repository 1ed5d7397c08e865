"""Versions of the programs that noise: one rises when equal data and key would give another model.

A key's noise must never meet another program. The version is part of the fingerprint by which a training may
replay its noise, and of the run's hash, so that private models are trained again. What belongs to one kind
alone (its records, networks and losses) has the version of that kind. A golden-value test fails when a
private model changes and none of these rises.

Before version 2, dropout was keyed by a record's position in the draw, which voids amplification by sampling,
and digits told the noise of networks and of descents from the data. Ledgers of that time name no program, and
are refused.
"""

DPSGD = 2
DPGAN = 2
LIBRARY_OPTIMIZER = 2
DESCENT = 2
RELEASE = 1
