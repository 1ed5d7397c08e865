"""What a run's jobs are made from must be what the run began with."""

from pathlib import Path

import pytest

from pulseveil.core.errors import InputError
from pulseveil.study import dag
from pulseveil.study.checks import make_plan
from pulseveil.study.plan import Plan
from pulseveil.study.reading import check_study
from tests.workflow.conftest import LIGHT


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for folder in ("scripts", "workflow/rules"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "workflow" / "Snakefile").write_text("rule: pass")
    return tmp_path


def plan(**keys: object) -> Plan:
    return make_plan(check_study(LIGHT | keys, "study.yaml"))


def test_the_jobs_of_a_run_have_its_study(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULSEVEIL_RUN", "")
    dag.begin_run(plan(), project)
    dag.require_unchanged(plan(), project)
    with pytest.raises(InputError, match=r"the study file of light changed since this run began; what is"):
        dag.require_unchanged(plan(seed=8), project)


def test_a_job_that_no_run_has_started_is_not_compared(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PULSEVEIL_RUN", raising=False)
    dag.require_unchanged(plan(), project)


@pytest.mark.parametrize("name", ["workflow/Snakefile", "workflow/rules/new.smk", "scripts/new.py"])
def test_a_change_of_the_code_is_seen(project: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("PULSEVEIL_RUN", "")
    dag.begin_run(plan(), project)
    (project / name).write_text("other")
    with pytest.raises(InputError, match=f"the code in {project} changed since this run began"):
        dag.require_unchanged(plan(), project)
