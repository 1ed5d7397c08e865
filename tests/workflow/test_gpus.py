"""GPUs of a workstation."""

import pytest

from tests.workflow.conftest import ROOT, Runner

pytestmark = pytest.mark.workflow

THREE_JOBS = """
from pulseveil.study import dag


rule all:
    input:
        expand("{kind}{number}.txt", kind="gpu", number=range(3)),


rule work:
    output:
        "gpu{number}.txt",
    resources:
        **dag.gpu_resources(workflow, lambda wildcards: 1),
    shell:
        "echo start >> events; sleep 0.5; echo end >> events; touch {output}"
"""


def test_jobs_with_a_gpu_run_one_at_a_time(tmp_path):
    snakefile = tmp_path / "Snakefile"
    snakefile.write_text(THREE_JOBS)
    profile = str(ROOT / "profiles" / "local")
    Runner(tmp_path).snakemake("--profile", profile, snakefile=snakefile)
    assert (tmp_path / "events").read_text().split() == ["start", "end"] * 3
