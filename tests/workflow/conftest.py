"""Studies run through Snakemake itself, in a directory of their own."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]

LIGHT = {
    "name": "light",
    "seed": 7,
    "protocol": "sound",
    "cohorts": {"simulated": {"kind": "simulated", "subjects": 4, "seed": 3}},
    "generators": [{"name": "moments", "settings": {"rank": 5}}],
    "detectors": ["logistic", "majority"],
    "seeds": 2,
    "evaluations": [
        {"name": "real", "cohort": "simulated", "train": "real"},
        {"name": "tstr", "cohort": "simulated", "train": "synthetic", "synthetic_subjects": [2]},
    ],
}


@dataclass(frozen=True)
class Runner:
    """Runs Snakemake in `directory` with the project's Snakefile."""

    directory: Path

    def snakemake(self, *arguments, study=None, snakefile=ROOT / "Snakefile", check=True):
        """The finished process; `study` is written to study.yaml and used as the config file."""
        command = [sys.executable, "-m", "snakemake", "-s", str(snakefile), "--cores", "2"]
        command += ["--directory", str(self.directory), *arguments]
        if study is not None:
            path = self.directory / "study.yaml"
            path.write_text(yaml.safe_dump(study))
            command += ["--configfile", str(path)]
        result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
        if check:
            assert result.returncode == 0, result.stdout + result.stderr
        return result

    def submit(self, *arguments):
        """scripts/submit.py on the study that was run last."""
        command = [
            sys.executable,
            str(ROOT / "scripts" / "submit.py"),
            "--configfile",
            "study.yaml",
            *arguments,
        ]
        return subprocess.run(command, capture_output=True, text=True, check=True, cwd=self.directory)

    def trained(self, study="light"):
        """(stage, run) of everything that was trained so far."""
        journal = self.directory / "results" / study / "journal.jsonl"
        lines = journal.read_text().splitlines() if journal.exists() else []
        return [json.loads(line) for line in lines]

    def result(self, path, study="light"):
        """A file of the study's results."""
        return self.directory / "results" / study / path


@pytest.fixture
def runner(tmp_path):
    """A runner in an empty directory."""
    return Runner(tmp_path)


@pytest.fixture(scope="session")
def finished_light(tmp_path_factory):
    """The light study, run once; copy the directory before changing it."""
    runner = Runner(tmp_path_factory.mktemp("light"))
    runner.snakemake(study=LIGHT)
    return runner
