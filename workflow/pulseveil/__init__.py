"""PulseVeil: private synthetic wearable data, proven useful.

The packages follow the method:

- `cohorts` reads recordings, `windows` cuts them into windows and computes features.
- `generators` synthesize windows, `detectors` detect stress. Both use `networks` and, for a training with a
  budget, `privacy`.
- `evaluation` defines who trains and who is tested and the metrics, `quality` compares synthetic with real
  windows, `audit` measures what an attacker learns.
- `study` describes a study and plans its jobs, `runs` executes one job.
- `summary` writes tables, figures and a report, `release` packs a model for others.
- `testing` checks generators and detectors of other packages.
- `cluster` submits a study to SLURM, `app` is the front end, `core` is the base of all other packages.
"""

# In order of dependency: a package may import only the packages before it (tests/unit/test_packages.py).
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
    "testing",
    "cluster",
    "app",
]
__version__ = "0.1.0"
