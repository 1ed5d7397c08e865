"""Progress of a study, from its files, its jobs and its record."""

from pathlib import Path

from pulseveil.cluster import status
from pulseveil.cluster.jobs import Job
from pulseveil.cluster.record import Failure
from pulseveil.study.checks import make_plan
from pulseveil.study.reading import read_study
from pulseveil.study.tasks import files

ROOT = Path(__file__).resolve().parents[3]
WILDCARDS = {"cohort": "simulated", "generator": "cgan"}
FAILURE = Failure("train_generator_seeds_0", WILDCARDS, 1, 3, "exit code 2", "a.log", "error: no")


def job(state, comment):
    return Job("1", state, "pulseveil-demo_x", Path("/"), comment)


def stages(tmp_path, jobs=(), failed=()):
    plan = make_plan(read_study(ROOT / "tests" / "study.yaml"))
    return {stage.name: stage for stage in status.stages(plan, tmp_path, jobs, failed)}


def test_the_planned_files_are_those_of_a_dry_run(tmp_path):
    found = stages(tmp_path)
    # One cohort with windows of two kinds; 2 generators x 2 seeds; cells as in test_plan.
    assert {name: stage.planned for name, stage in found.items()} == {
        "cohorts": 2,
        "features": 5,
        "generators": 4,
        "synthetic data": 4,
        "quality": 4,
        "detectors": 24,
        "summary": 1,
    }
    assert not any(stage.done for stage in found.values())


def test_files_jobs_and_failures_are_counted_by_stage(tmp_path):
    plan = make_plan(read_study(ROOT / "tests" / "study.yaml"))
    for name in [*files(plan, "train_detectors")[:3], "results/demo/report.html"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    jobs = [
        job("RUNNING", "rule_train_detectors_real_0_wildcards_cnn_subject_inf_inf"),
        job("COMPLETING", "rule_train_detectors_real_0_wildcards_logistic_subject_inf_inf"),
        job("PENDING", "rule_extract_synthetic_features_seeds_0_wildcards_simulated_cgan"),
        job("RUNNING", "(null)"),
    ]
    found = stages(tmp_path, jobs, [FAILURE])
    assert (found["detectors"].done, found["detectors"].running, found["detectors"].waiting) == (3, 2, 0)
    assert (found["features"].running, found["features"].waiting) == (0, 1)
    assert found["summary"].done == 1
    assert found["generators"].failed == 1
    assert sum(stage.failed for stage in found.values()) == 1
