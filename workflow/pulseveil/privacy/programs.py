"""Versions of the private programs: one rises when equal data and key would give another model.

The noise of a key must never serve another program. A version is part of the fingerprint by which a training
may replay its noise, and of the run's hash, so that private models are trained again. What belongs to one
kind alone (its records, networks and losses) has the version of that kind. A golden-value test fails if a
private model changes and no version rises.

Before version 2, dropout was keyed by a record's position in the draw, which voids amplification by sampling,
and the noise of networks and of gradient descents could be separated from data by its digits. Ledgers of that
time name no program, and are refused. Version 3 adds the clipped gradients of other passes of a batch.
"""

DPSGD = 3
DPGAN = 3
LIBRARY_OPTIMIZER = 2
DESCENT = 2
RELEASE = 1
