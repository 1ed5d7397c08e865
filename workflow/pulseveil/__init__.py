"""PulseVeil: private synthetic wearable data, proven useful.

Read top-down, the package is the method: a study (`study`, `plan`) names cohorts (`cohorts`), whose
recordings become windows (`windows`, `scaling`) and features (`features`); generators (`generators`)
learn to synthesize windows, detectors (`detectors`) learn to tell stress, protocols (`protocols`) say
who trains and who is tested, and `metrics` and `summary` turn scores into tables and figures.
"""

__version__ = "0.1.0"
