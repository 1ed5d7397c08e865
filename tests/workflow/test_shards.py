"""A study run in parts, each in a directory of its own, is the study run as a whole."""

import shutil
import subprocess
import sys

import pytest

from tests.workflow.conftest import LIGHT, ROOT, Runner

pytestmark = [pytest.mark.workflow, pytest.mark.slow]

# Noise from the seeds, so that two runs can give the same numbers.
WHOLE = LIGHT | {"epsilons": ["inf", 8], "privacy_noise": "reproducible"}


def run_in(directory, study):
    directory.mkdir()
    runner = Runner(directory)
    runner.snakemake(study=study)
    return runner


def test_the_results_of_shards_are_summarized_as_one_study(tmp_path):
    whole = run_in(tmp_path / "whole", WHOLE)
    for epsilon in WHOLE["epsilons"]:
        shard = run_in(tmp_path / f"epsilon_{epsilon}", WHOLE | {"epsilons": [epsilon]})
        shutil.copytree(shard.directory / "results", tmp_path / "merged" / "results", dirs_exist_ok=True)
    command = [sys.executable, str(ROOT / "scripts" / "summarize.py"), "--results", str(tmp_path / "merged")]
    subprocess.run([*command, "--configfile", str(whole.directory / "study.yaml")], check=True)
    for table in ("main.csv", "differences.csv", "quality.csv", "spending.csv"):
        merged = tmp_path / "merged" / "results" / "light" / "tables" / table
        assert merged.read_bytes() == whole.result(f"tables/{table}").read_bytes()
