"""Paths of a study's files: templates whose wildcards are the words of the study."""

from __future__ import annotations

import re
from pathlib import Path

WINDOWS = "results/{study}/windows/{cohort}/{windows}.h5"
COHORT_PAGE = "results/{study}/windows/{cohort}/{windows}/cohort.html"
PIECES = "results/{study}/windows/{cohort}/{windows}/pieces.json"
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
WINDOW_FIGURE = "windows_{cohort}"
GENERATOR_AUDIT = (
    "results/{study}/audit/generators/{cohort}/{generator}/unit={unit}/"
    "epsilon_generator={epsilon_generator}.csv"
)
DETECTOR_AUDIT = (
    "results/{study}/audit/detectors/{cohort}/{generator}/{detector}/unit={unit}/"
    "epsilon_generator={epsilon_generator}/epsilon_detector={epsilon_detector}.csv"
)
NOISED_AUDIT = "results/{study}/audit/noised/{evaluation}.csv"
_DETECTOR_AXES = (
    "{evaluation}/{generator}/{detector}/unit={unit}/"
    "epsilon_generator={epsilon_generator}/epsilon_detector={epsilon_detector}/"
    "subjects={subjects}/noise={noise}/signals={signals}/seed={seed}"
)
SCORES = f"results/{{study}}/scores/{_DETECTOR_AXES}.h5"
DETECTORS = f"results/{{study}}/detectors/{_DETECTOR_AXES}.h5"
REPORT = "results/{study}/report.html"

_GENERATOR_NAME = "{cohort}.{generator}.{unit}.{epsilon_generator}"
_DETECTOR_NAME = "{detector}.{unit}.{epsilon_generator}.{epsilon_detector}"
# File names of logs and benchmarks per rule, with the wildcards that distinguish the rule's jobs.
NAMES = {
    "prepare_cohort": "{cohort}.{windows}",
    "extract_features": "{cohort}",
    "train_generator": f"{_GENERATOR_NAME}.{{pack}}",
    "synthesize": f"{_GENERATOR_NAME}.{{pack}}",
    "extract_synthetic_features": f"{_GENERATOR_NAME}.{{pack}}",
    "assess_quality": f"{_GENERATOR_NAME}.{{pack}}",
    "train_detectors": f"{{pack}}/{_DETECTOR_NAME}",
    "audit_generator": _GENERATOR_NAME,
    "audit_detector": f"{{cohort}}.{{generator}}.{_DETECTOR_NAME}",
    "audit_noised": "{evaluation}",
    "summarize": "",
}


def fill(template: str, **words: str) -> str:
    """The template with some wildcards filled in; the others stay wildcards.

    Examples:
        >>> fill(QUALITY_FIGURE, cohort="wesad")
        'quality_wesad_{generator}'
    """
    for word, value in words.items():
        template = template.replace(f"{{{word}}}", value)
    return template


def words(template: str, path: Path) -> tuple[Path, dict[str, str]] | None:
    """The folder above `results` and the words of a path; None if `path` does not fit the template.

    Examples:
        >>> words(WINDOWS, Path("/data/results/demo/windows/wesad/real.h5"))
        (PosixPath('/data'), {'study': 'demo', 'cohort': 'wesad', 'windows': 'real'})
    """
    pattern = re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", re.escape(template))
    found = re.search(rf"(?:^|/){pattern}$", path.as_posix())
    return (Path(path.as_posix()[: found.start()] or "."), found.groupdict()) if found else None


def results(study: str) -> Path:
    """The folder of all results of a study."""
    return Path("results") / study


def log(study: str, rule: str, pack: str = "") -> str:
    """Path of the logs of a rule: a template with the same wildcards as the rule's files."""
    return _beside("logs", study, rule, pack, "log")


def benchmark(study: str, rule: str, pack: str = "") -> str:
    """Path of Snakemake's measurements (time, memory) of a rule's jobs: a template as in `log`."""
    return _beside("benchmarks", study, rule, pack, "tsv")


def record(study: str) -> Path:
    """The append-only record of what became of a study's tasks: those that are done, and each failure."""
    return Path("logs") / study / "record.jsonl"


def _beside(folder: str, study: str, rule: str, pack: str, suffix: str) -> str:
    name = fill(NAMES[rule], pack=pack)
    return f"{folder}/{study}/{rule}/{name}.{suffix}" if name else f"{folder}/{study}/{rule}.{suffix}"


def run_store(study: str) -> Path:
    """Folder of finished runs by cell hash, so that no finished training is repeated."""
    return results(study) / ".runs"


def journal(study: str) -> Path:
    """Path of the append-only record of every training that was carried out, not copied."""
    return results(study) / "journal.jsonl"
