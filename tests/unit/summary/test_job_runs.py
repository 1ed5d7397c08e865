"""Jobs of a finished study, from the plan and the provenance beside their files."""

import json
from datetime import UTC, datetime

import pytest

from pulseveil.core import store
from pulseveil.core.errors import InputError
from pulseveil.core.identity import describe_run
from pulseveil.study import tasks
from pulseveil.study.checks import make_plan
from pulseveil.study.reading import check_study
from pulseveil.summary.job_runs import job_runs

STUDY = {
    "name": "small",
    "seed": 7,
    "protocol": "sound",
    "cohorts": {"people": {"kind": "simulated", "subjects": 4, "seed": 3}},
    "generators": ["moments"],
    "detectors": ["logistic"],
    "seeds": 3,
    "pack": {"generator_seeds": 2},
    "evaluations": [{"name": "tstr", "cohort": "people", "train": "synthetic", "synthetic_subjects": [2]}],
}
SUMMARY = {"started": "at last"}


@pytest.fixture
def plan():
    return make_plan(check_study(STUDY, "test"))


def leave(folder, plan, rule, run):
    """The provenance of all files of a rule."""
    for path in tasks.files(plan, rule):
        sidecar = store.sidecar_path(folder / path)
        sidecar.parent.mkdir(parents=True, exist_ok=True)
        sidecar.write_text(run if isinstance(run, str) else json.dumps(run))


def test_each_job_has_its_files_what_it_read_and_its_provenance(plan, tmp_path):
    run = describe_run("small", datetime.now(UTC))
    leave(tmp_path, plan, "train_generator", run | {"cohort": ["counts of people"]})
    jobs = {job.name: job for job in job_runs(plan, tmp_path, SUMMARY)}
    assert len(jobs) == len(list(tasks.tasks(plan)))
    trained = jobs["train_generator/people.moments.subject.inf.seeds_0"]
    folder = "generators/people/moments/unit=subject/epsilon_generator=inf"
    assert trained.files == (f"{folder}/seed=0.h5", f"{folder}/seed=1.h5")
    assert trained.reads == ("prepare_cohort/people.generator",)
    # Counts of people stay where they are.
    assert trained.run == {key: run[key] for key in ("git", "started", "finished", "python", "packages")}
    assert jobs["prepare_cohort/people.generator"].cohorts == ("people",)
    assert trained.cohorts == ()
    assert jobs["summarize"].run == SUMMARY
    assert {name for job in jobs.values() for name in job.reads} == jobs.keys() - {"summarize"}


def test_files_that_came_without_their_provenance_have_no_times(plan, tmp_path):
    assert {str(job.run) for job in job_runs(plan, tmp_path, SUMMARY)} == {"{}", str(SUMMARY)}


@pytest.mark.parametrize("damaged", ["{", "[]", '{"git": null}', "7"])
def test_damaged_provenance_is_named(plan, tmp_path, damaged):
    leave(tmp_path, plan, "train_generator", damaged)
    with pytest.raises(InputError, match=r"seed=1\.h5\.provenance\.json: not the provenance of a job"):
        job_runs(plan, tmp_path, SUMMARY)
