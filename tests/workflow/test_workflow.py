import hashlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

import h5py
import pandas as pd
import pytest
import yaml

from pulseveil.cluster import record
from pulseveil.core import paths
from pulseveil.study import hours, tasks
from pulseveil.study.checks import make_plan
from pulseveil.study.reading import check_study
from tests.crates import broken_requirements
from tests.workflow.conftest import LIGHT, ROOT, Runner

pytestmark = pytest.mark.workflow


def job_counts(text):
    """The table `job count` of a dry run, as {rule: count}."""
    lines = text[text.index("Job stats:") :].splitlines()[3:]
    return {m[1]: int(m[2]) for line in lines if (m := re.match(r"(\S+)\s+(\d+)$", line))}


def changed(**keys):
    return LIGHT | keys


@pytest.fixture
def copied(finished_light, tmp_path):
    """A copy of the finished light study that a test may change."""
    shutil.copytree(finished_light.directory, tmp_path / "copy")
    return Runner(tmp_path / "copy")


def test_root_workflow_and_module_plan_the_same_jobs(runner):
    module = runner.directory / "Snakefile"
    module.write_text(
        f"module pulseveil:\n    snakefile: {str(ROOT / 'workflow' / 'Snakefile')!r}\n"
        f"    config: config\n\nuse rule * from pulseveil\n"
    )
    root = job_counts(runner.snakemake("-n", study=LIGHT).stdout)
    inner = job_counts(runner.snakemake("-n", study=LIGHT, snakefile=ROOT / "workflow" / "Snakefile").stdout)
    deployed = job_counts(runner.snakemake("-n", "all", study=LIGHT, snakefile=module).stdout)
    assert root.pop("default") == inner.pop("all") == deployed.pop("all") == 1
    assert root == inner == deployed
    assert sum(root.values()) > 10


@pytest.mark.parametrize("name", ["demo", "paper", "paper-quick", "sound"])
def test_a_dry_run_needs_no_recordings_and_prints_the_plan(runner, name):
    result = runner.snakemake("-n", "--quiet", "--configfile", str(ROOT / "config" / f"{name}.yaml"))
    assert f"study {name}" in result.stderr
    assert re.search(r"stage +runs +jobs", result.stderr)


def test_an_unknown_column_of_the_latex_table_is_refused_before_the_plan(runner):
    run = runner.snakemake("-n", study=changed(table_columns=["detector", "acuracy"]), check=False)
    command = [sys.executable, ROOT / "scripts" / "plan.py", runner.directory / "study.yaml"]
    plan = subprocess.run(command, capture_output=True, text=True, check=False)
    for result in (run, plan):
        assert result.returncode != 0
        assert "table_columns: expected columns of tables/main.csv" in result.stderr
        assert "found 'acuracy' (did you mean 'accuracy'?)" in result.stderr
        assert "Traceback" not in result.stderr
        assert "CPU hours" not in result.stdout + result.stderr


def test_a_run_leaves_tables_figures_report_and_a_second_run_does_nothing(finished_light, tmp_path):
    names = ["tables/main.csv", "tables/main.tex", "tables/main.html", "tables/quality.csv", "report.html"]
    for name in [*names, "figures/main.png", "figures/quality_simulated_moments.png"]:
        assert finished_light.result(name).stat().st_size > 100
    before = finished_light.trained()
    again = finished_light.snakemake(study=LIGHT)
    assert "Nothing to be done" in again.stdout + again.stderr
    assert finished_light.trained() == before
    assert broken_requirements(finished_light.result(""), tmp_path) == []
    # generators: 2 seeds x 4 folds; detectors: 2 evaluations x 2 kinds x 2 seeds x 4 folds
    assert sum(run["stage"] == "generator" for run in before) == 8
    assert sum(run["stage"] == "detector" for run in before) == 24


def test_every_planned_job_leaves_its_benchmark_and_no_other_does(finished_light):
    plan = make_plan(check_study(LIGHT, "light"))
    planned = {Path(tasks.benchmark(plan, task)) for task in tasks.tasks(plan)}
    folder = finished_light.directory
    assert {path.relative_to(folder) for path in folder.glob("benchmarks/**/*.tsv")} == planned
    trainings = finished_light.trained()
    measured = hours.hours(plan, folder, trainings)
    assert measured["measured_jobs"].tolist() == measured["jobs"].tolist()
    # The summary's own file is written after its end.
    written = pd.read_csv(finished_light.result("hours.csv"))
    assert written["measured_jobs"].sum() == written["jobs"].sum() - 1
    # No training is left out: each belongs to a stage, rule and model of the plan.
    assert written["trained_hours"].sum() == pytest.approx(sum(each["seconds"] for each in trainings) / 3600)


def test_the_crate_lists_what_the_study_leaves(finished_light):
    metadata = json.loads(finished_light.result("ro-crate-metadata.json").read_text())
    listed = {unquote(e["@id"]): e["sha256"] for e in metadata["@graph"] if "File" in e["@type"]}
    results = finished_light.result("")
    inner = ("windows", "features", "generators", "synthetic", "detectors", "quality", "history", ".runs")
    left = {
        path.relative_to(results).as_posix()
        for path in results.rglob("*")
        if path.is_file()
        and path.relative_to(results).parts[0] not in inner
        # Snakemake's own mark of a folder that a job writes.
        and path.name != ".snakemake_timestamp"
    }
    sidecars = {name for name in left if name.endswith(".provenance.json")}
    assert left - sidecars - {"journal.jsonl", "ro-crate-metadata.json"} == listed.keys()
    for name, digest in listed.items():
        assert hashlib.sha256((results / name).read_bytes()).hexdigest() == digest
    assert str(finished_light.directory) not in json.dumps(metadata)


def test_the_crate_has_an_action_per_job_with_the_software_that_it_loaded(finished_light):
    metadata = json.loads(finished_light.result("ro-crate-metadata.json").read_text())
    entities = {entity["@id"]: entity for entity in metadata["@graph"]}
    actions = {name: entity for name, entity in entities.items() if entity["@type"] == "CreateAction"}
    jobs = list(tasks.tasks(make_plan(check_study(LIGHT, "light"))))
    assert len(actions) == len(jobs) + 1
    for action in actions.values():
        assert action["startTime"] <= action["endTime"]

    def loaded(rule):
        programs = {a["instrument"]["@id"] for name, a in actions.items() if name.startswith(f"#{rule}/")}
        packages = [package for name in programs for package in entities[name]["softwareRequirements"]]
        return {entities[package["@id"]]["name"] for package in packages}

    # Only quality classifiers come from scikit-learn here; no model of this study needs TensorFlow.
    assert "scikit-learn" in loaded("assess_quality")
    assert {"Python", "numpy", "h5py"} <= loaded("prepare_cohort")
    assert not any("tensorflow" in loaded(job.rule) for job in jobs if job.rule != "summarize")


def test_another_directory_gives_the_same_bytes(finished_light, runner):
    runner.snakemake(study=LIGHT)
    names = [p.relative_to(runner.directory) for p in runner.directory.rglob("*.h5")]
    assert len(names) > 20
    for name in [*names, *(p.relative_to(runner.directory) for p in runner.directory.rglob("tables/*"))]:
        assert (runner.directory / name).read_bytes() == (finished_light.directory / name).read_bytes(), name


def test_one_more_seed_trains_only_that_seed(copied):
    before = len(copied.trained())
    copied.snakemake(study=changed(seeds=3))
    new = copied.trained()[before:]
    assert {run["seed"] for run in new} == {2}
    assert len(new) == (8 + 24) // 2


def test_a_changed_detector_setting_trains_only_that_detector(copied):
    before = len(copied.trained())
    copied.snakemake(
        study=changed(detectors=[{"name": "logistic", "settings": {"inverse_penalty": 1.0}}, "majority"])
    )
    new = copied.trained()[before:]
    assert {run.get("detector") for run in new} == {"logistic"}
    assert len(new) == 16


def test_a_deleted_leaf_retrains_nothing_and_comes_back_the_same(copied):
    before = copied.trained()
    leaf = next(copied.directory.rglob("scores/tstr/moments/**/seed=1.h5"))
    content = leaf.read_bytes()
    leaf.unlink()
    copied.snakemake(study=LIGHT)
    assert copied.trained() == before
    assert leaf.read_bytes() == content


def test_fewer_seeds_only_redo_the_tables(copied):
    before = copied.trained()
    copied.snakemake(study=changed(seeds=1))
    assert copied.trained() == before


def test_scores_of_other_settings_are_refused_and_named(copied):
    (path,) = copied.result("scores/real/none/majority").rglob("seed=0.h5")
    with h5py.File(path, "r+") as file:
        file.attrs["cell_hash"] = "0" * 64
    (copied.directory / "study.yaml").write_text(yaml.safe_dump(LIGHT))
    command = [sys.executable, str(ROOT / "scripts" / "summarize.py"), "--configfile", "study.yaml"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=copied.directory)
    assert done.returncode == 2, done.stderr
    assert done.stderr.splitlines()[-1] == (
        f"error: {path.relative_to(copied.directory)}: made by other settings than those of this study; "
        "delete these files and run the study again"
    )


def test_a_failed_task_is_told_with_its_cause(copied):
    copied.result("windows/simulated/detector.h5").write_text("broken")
    copied.result("features/simulated/real.h5").unlink()
    done = copied.snakemake(study=LIGHT, check=False)
    assert done.returncode == 1
    block = re.search(
        r"^failed: features: extract_features \(cohort=simulated\), try 1 of 1\n"
        r"    exit code 2\n"
        r"    log: logs/light/extract_features/simulated\.log\n"
        r"    error: results/light/windows/simulated/detector\.h5: not a readable HDF5 file .*; rerun",
        done.stderr,
        re.MULTILINE,
    )
    assert block, done.stderr
    last = done.stderr.splitlines()[-1]
    told = r"study light: \d+ tasks? done, 1 failed, \d+ not tried; failures are listed in .*record.jsonl"
    assert re.fullmatch(told, last), last
    status = copied.submit("--status").stdout
    assert "failed: features: extract_features (cohort=simulated), try 1 of 1" in " ".join(status.split())


def test_finished_tasks_of_a_quiet_run_are_counted(copied):
    copied.result("features/simulated/real.h5").unlink()
    features = str(copied.result("features/simulated/real.h5").relative_to(copied.directory))
    done = copied.snakemake(features, "--quiet", "progress", "rules", study=LIGHT)
    assert "tasks done" not in done.stderr, done.stderr
    assert "Finished jobid" not in done.stderr, done.stderr
    assert record.read(copied.directory / paths.record("light")).outcome == "study light: 1 task done"


@pytest.mark.parametrize(
    ("study", "words"),
    [
        (changed(sedes=1), ["sedes", "unknown key"]),
        (changed(epsilons=[-1]), ["epsilons[0]", "above 0"]),
        (changed(generators=["momens"]), ["generators[0].kind", "did you mean 'moments'"]),
        (changed(folds=40), ["folds: 40 asked for", "4 subjects"]),
        (changed(cohorts={"simulated": {"kind": "wesad", "data": "nowhere"}}), ["nowhere"]),
    ],
)
def test_bad_input_is_one_message_before_any_job(runner, study, words):
    result = runner.snakemake(study=study, check=False)
    assert result.returncode != 0
    output = result.stdout + result.stderr
    assert "Traceback" not in output
    assert not runner.result("windows").exists()
    for word in words:
        assert word in output


def test_a_study_of_ones_own_takes_nothing_from_the_demo(runner):
    result = runner.snakemake("-n", "--quiet", study=LIGHT)
    assert "study light" in result.stderr
    assert "augmented" not in result.stderr
