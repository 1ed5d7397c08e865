"""Where a study's files lie: templates whose wildcards are the words of the study."""

from __future__ import annotations

import re
from pathlib import Path

WINDOWS = "results/{study}/windows/{cohort}/{windows}.h5"
REAL_FEATURES = "results/{study}/features/{cohort}/real.h5"
_GENERATOR_AXES = "{cohort}/{generator}/unit={unit}/epsilon_generator={epsilon_generator}/seed={seed}"
MODELS = f"results/{{study}}/generators/{_GENERATOR_AXES}.h5"
SYNTHETIC = f"results/{{study}}/synthetic/{_GENERATOR_AXES}.h5"
SYNTHETIC_FEATURES = f"results/{{study}}/features/{_GENERATOR_AXES}.h5"
QUALITY = f"results/{{study}}/quality/{_GENERATOR_AXES}.csv"
PORTRAIT = (
    "results/{study}/quality/{cohort}/{generator}/unit={unit}/"
    "epsilon_generator={epsilon_generator}/portrait.h5"
)
QUALITY_FIGURE = "quality_{cohort}_{generator}"
GENERATOR_AUDIT = (
    "results/{study}/audit/generators/{cohort}/{generator}/unit={unit}/"
    "epsilon_generator={epsilon_generator}.csv"
)
DETECTOR_AUDIT = (
    "results/{study}/audit/detectors/{cohort}/{generator}/{detector}/unit={unit}/"
    "epsilon_generator={epsilon_generator}/epsilon_detector={epsilon_detector}.csv"
)
SCORES = (
    "results/{study}/scores/{evaluation}/{generator}/{detector}/unit={unit}/"
    "epsilon_generator={epsilon_generator}/epsilon_detector={epsilon_detector}/"
    "subjects={subjects}/noise={noise}/seed={seed}.h5"
)


def fill(template: str, **words: str) -> str:
    """The template with some wildcards filled in; the others stay wildcards."""
    for word, value in words.items():
        template = template.replace(f"{{{word}}}", value)
    return template


def words(template: str, path: Path) -> tuple[Path, dict[str, str]] | None:
    """The folder above `results`, and the words that make `path` from a template; None if none do."""
    pattern = re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", re.escape(template))
    found = re.search(rf"(?:^|/){pattern}$", path.as_posix())
    return (Path(path.as_posix()[: found.start()] or "."), found.groupdict()) if found else None


def results(study: str) -> Path:
    """The folder of all results of a study."""
    return Path("results") / study


def benchmark(study: str, rule: str, name: str) -> Path:
    """Where Snakemake writes what a job took; `name` is empty for the one job of a rule."""
    folder = Path("benchmarks") / study
    return folder / rule / f"{name}.tsv" if name else folder / f"{rule}.tsv"


def run_store(study: str) -> Path:
    """Finished runs by cell hash, so that no finished training is ever repeated."""
    return results(study) / ".runs"


def journal(study: str) -> Path:
    """The append-only record of every training that was really done."""
    return results(study) / "journal.jsonl"
