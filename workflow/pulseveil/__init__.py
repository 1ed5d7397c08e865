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
- `cluster` submits a study to SLURM, `app` is the front end.
- `api` has the functions for Python, which are names of `pulseveil` itself; `command` is the command line.
- `core` is the base of all other packages.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pulseveil.api import as_windows as as_windows
    from pulseveil.api import cut_windows as cut_windows
    from pulseveil.api import features as features
    from pulseveil.api import fit as fit
    from pulseveil.api import load_cohort as load_cohort
    from pulseveil.api import sample as sample
    from pulseveil.api import score as score
    from pulseveil.api import spent as spent
    from pulseveil.api import statement as statement

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
    "api",
    "command",
]
__version__ = "0.1.0"

_FUNCTIONS = (
    "load_cohort",
    "cut_windows",
    "as_windows",
    "features",
    "fit",
    "sample",
    "score",
    "spent",
    "statement",
)


def __getattr__(name: str) -> Any:
    # On first use: `import pulseveil` itself must not take the second that pandas and others need.
    if name in _FUNCTIONS:
        return getattr(import_module("pulseveil.api"), name)
    raise AttributeError(f"module 'pulseveil' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *_FUNCTIONS]
