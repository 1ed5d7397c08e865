"""PulseVeil: private synthetic wearable data, proven useful.

Read in this order, the packages are the method: recordings of `cohorts` become `windows` and features;
`generators` learn to synthesize windows, `detectors` learn to tell stress, both built on `networks` and, with
a budget, on `privacy`; `evaluation` says who trains and who is tested, `quality` how like real windows
synthetic ones are, and an `audit` what an attacker finds out. A `study` names all of it and plans the jobs;
`runs` does the work of one job; the `summary` turns scores into tables, figures and a report, and a `release`
is what leaves the house. `cluster` submits a study to SLURM, `app` is the front end, `core` the ground.
"""

# From the ground up: a package may import only those before it.
__all__ = [  # noqa: RUF022
    "core",
    "cohorts",
    "windows",
    "evaluation",
    "networks",
    "privacy",
    "quality",
    "generators",
    "detectors",
    "study",
    "audit",
    "summary",
    "release",
    "runs",
    "cluster",
    "app",
]
__version__ = "0.1.0"
