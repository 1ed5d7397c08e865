"""How far a study is, from its files, its jobs and its log."""

from pathlib import Path

from pulseveil.cluster import status
from pulseveil.cluster.jobs import Job
from pulseveil.study.plan import make_plan
from pulseveil.study.study import read_study
from pulseveil.study.tasks import files

ROOT = Path(__file__).resolve().parents[3]
LOG = """[Wed Nov 25 07:40:11 2026]
Error in rule train_generator_seeds_0:
    message: SLURM-job '1033' failed, SLURM status is: 'TIMEOUT'.
[Wed Nov 25 07:41:11 2026]
Error in rule train_generator_seeds_0:
    message: SLURM-job '1035' failed, SLURM status is: 'FAILED'.
"""


def job(state, comment):
    return Job("1", state, "pulseveil-demo_x", Path("/"), comment)


def stages(tmp_path, jobs=(), log=""):
    plan = make_plan(read_study(ROOT / "config" / "demo.yaml"))
    return {stage.name: stage for stage in status.stages(plan, tmp_path, jobs, log)}


def test_the_planned_files_are_those_of_a_dry_run_of_the_demo(tmp_path):
    found = stages(tmp_path)
    # One cohort with windows of two kinds; 2 generators x 2 seeds; cells as in test_plan.
    assert {name: stage.planned for name, stage in found.items()} == {
        "cohorts": 2,
        "features": 5,
        "generators": 4,
        "synthetic data": 4,
        "quality": 4,
        "detectors": 32,
        "summary": 1,
    }
    assert not any(stage.done for stage in found.values())


def test_files_jobs_and_failures_are_counted_by_stage(tmp_path):
    plan = make_plan(read_study(ROOT / "config" / "demo.yaml"))
    for name in [*files(plan, "train_detectors")[:3], "results/demo/report.html"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    jobs = [
        job("RUNNING", "rule_train_detectors_real_0_wildcards_cnn_subject_inf_inf"),
        job("COMPLETING", "rule_train_detectors_real_0_wildcards_logistic_subject_inf_inf"),
        job("PENDING", "rule_extract_synthetic_features_seeds_0_wildcards_simulated_cgan"),
        job("RUNNING", "(null)"),
    ]
    found = stages(tmp_path, jobs, LOG)
    assert (found["detectors"].done, found["detectors"].running, found["detectors"].waiting) == (3, 2, 0)
    assert (found["features"].running, found["features"].waiting) == (0, 1)
    assert found["summary"].done == 1
    assert found["generators"].failed == 2
    assert sum(stage.failed for stage in found.values()) == 2


def test_the_last_log_is_read(tmp_path):
    assert status.latest_log(tmp_path) == ""
    folder = tmp_path / ".snakemake" / "log"
    folder.mkdir(parents=True)
    (folder / "2026-11-25T074000.000001.snakemake.log").write_text("old")
    (folder / "2026-11-25T075000.000001.snakemake.log").write_text("new")
    assert status.latest_log(tmp_path) == "new"
