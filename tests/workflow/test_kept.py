"""The plan's words on what is kept and what is new, against what Snakemake and the journal then say."""

import copy
import re
import shutil
from collections import Counter
from pathlib import Path

import pytest

from pulseveil.core import identity, store
from pulseveil.study import kept
from pulseveil.study.checks import make_plan
from pulseveil.study.reading import check_study
from pulseveil.summary import history
from tests.workflow.conftest import LIGHT, Runner


def with_rank(rank):
    study = copy.deepcopy(LIGHT)
    study["generators"][0]["settings"]["rank"] = rank
    return study


@pytest.fixture
def light(finished_light, tmp_path):
    """A copy of the finished light study, with the times of its files."""
    folder = tmp_path / "light"
    shutil.copytree(finished_light.directory, folder)
    return Runner(folder)


def told(study, folder):
    """Number of files by rule and reason."""
    plan = make_plan(check_study(study, "study.yaml"))
    return Counter((task.rule, file.why) for task, made in kept.files(plan, folder) for file in made)


def jobs_told(study, folder):
    """Number of jobs with a new file, by rule."""
    plan = make_plan(check_study(study, "study.yaml"))
    return Counter(task.rule for task, made in kept.files(plan, folder) if any(file.why for file in made))


def jobs_of_snakemake(runner, study):
    """Number of jobs that a dry run lists, by rule without its pack."""
    listed = runner.snakemake("-n", study=study).stdout
    # A dry run lists its jobs twice.
    rows = set(re.findall(r"^(\w+) +(\d+)$", listed, re.MULTILINE))
    found = Counter()
    for name, count in rows:
        if name not in ("total", "default"):
            found[re.sub(r"_(seeds|real|tstr)(_timeline)?_\d+$", "", name)] += int(count)
    return found


def test_before_the_first_run_every_file_is_new(tmp_path):
    assert {why for _, why in told(LIGHT, tmp_path)} == {kept.NEVER_MADE}
    plan = make_plan(check_study(LIGHT, "study.yaml"))
    assert kept.describe(plan, tmp_path) == "No file of this study is made yet: all are new."


def test_after_a_run_every_file_is_kept(light):
    assert {why for _, why in told(LIGHT, light.directory)} == {""}
    assert jobs_of_snakemake(light, LIGHT) == Counter()


def test_a_changed_setting_is_named_and_what_follows_has_changed_input(light):
    study = with_rank(4)
    found = told(study, light.directory)
    assert found["train_generator", "settings changed: settings.rank"] == 2
    assert found["assess_quality", "input changed"] == 2
    # The detectors of `real` learn from no generator; the rule of `tstr` is that of `real`.
    assert found["train_detectors", ""] == 4
    assert found["train_detectors", "input changed"] == 2
    assert jobs_told(study, light.directory) == jobs_of_snakemake(light, study)
    trained = len(light.trained())
    ended = light.snakemake(study=study)
    # Generators of 2 seeds and 4 folds, and the detectors that learn from them.
    assert len(light.trained()) - trained == 16
    assert "study light: reused 16 models, trained 16" in ended.stdout
    assert {why for _, why in told(study, light.directory)} == {""}
    # The history is no file of a rule: Snakemake does nothing because of it.
    assert jobs_of_snakemake(light, study) == Counter()
    before, now = history.entries(light.directory / "results" / "light")
    assert now.changed == ("generators",)
    assert now.table.read_bytes() == light.result("tables/main.csv").read_bytes() != before.table.read_bytes()


def test_models_and_scores_that_a_further_seed_keeps_are_the_same_afterwards(light):
    study = LIGHT | {"seeds": 3, "pack": {"generator_seeds": 3}}
    plan = make_plan(check_study(study, "study.yaml"))
    stay = [
        light.directory / file.path
        for task, made in kept.files(plan, light.directory)
        for file in made
        if task.rule.startswith("train") and not file.why
    ]
    assert len(stay) == 2 + 6
    before = [store.read_cell_hash(path) for path in stay]
    old = len(light.trained())
    ended = light.snakemake(study=study)
    assert [store.read_cell_hash(path) for path in stay] == before
    new = light.trained()[old:]
    assert {entry["seed"] for entry in new} == {2}
    assert f"reused 32 models, trained {len(new)}" in ended.stdout


def test_without_the_run_store_a_job_of_more_seeds_trains_all_again(light):
    shutil.rmtree(light.directory / "results" / "light" / ".runs")
    study = LIGHT | {"seeds": 3, "pack": {"generator_seeds": 3}}
    assert told(study, light.directory)["train_generator", "settings changed: seeds"] == 2


def test_a_new_version_of_a_stage_is_told(light, monkeypatch):
    monkeypatch.setattr(identity, "QUALITY", identity.QUALITY + 1)
    found = told(LIGHT, light.directory)
    assert found["assess_quality", kept.CODE_CHANGED] == 2
    assert found["train_generator", ""] == 2


def test_other_bytes_of_an_input_are_told_and_another_time_alone_is_not(light):
    features = light.result("features/simulated/real.h5")
    features.touch()
    assert {why for _, why in told(LIGHT, light.directory)} == {""}
    assert jobs_of_snakemake(light, LIGHT) == Counter()
    features.write_bytes(features.read_bytes() + b"0")
    assert told(LIGHT, light.directory)["train_detectors", kept.INPUT_CHANGED] == 6
    assert jobs_told(LIGHT, light.directory) == jobs_of_snakemake(light, LIGHT)


def test_a_removed_file_is_made_again(light):
    Path(light.result("report.html")).unlink()
    assert told(LIGHT, light.directory)["summarize", kept.NEVER_MADE] == 1
