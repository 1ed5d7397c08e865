"""What jobs read by the plan is what Snakemake's rules make them read."""

import re

import pytest

from pulseveil.study import tasks
from pulseveil.study.checks import make_plan
from pulseveil.study.inputs import inputs
from pulseveil.study.reading import check_study

pytestmark = pytest.mark.workflow

# All rules, several packs of seeds, a public cohort, and audits of detectors with and without generators.
RICH = {
    "name": "rich",
    "seed": 7,
    "protocol": "sound",
    "cohorts": {
        "others": {"kind": "simulated", "subjects": 4, "seed": 4},
        "own": {"kind": "simulated", "subjects": 4, "seed": 3},
    },
    "public_cohorts": ["others"],
    "generators": ["moments", {"name": "pooled", "kind": "posterior", "settings": {"prior": "pool"}}],
    "detectors": ["logistic", {"name": "cnn", "settings": {"pretrain": "public"}}, "majority"],
    "epsilons": [8, "inf"],
    "seeds": 3,
    "pack": {"generator_seeds": 2},
    "audit": {"evaluation": ["tstr", "both", "noised"]},
    "evaluations": [
        {
            "name": "tstr",
            "detectors": ["logistic"],
            "cohort": "own",
            "train": "synthetic",
            "synthetic_subjects": [2],
        },
        {
            "name": "both",
            "detectors": ["logistic"],
            "cohort": "own",
            "train": "real+synthetic",
            "synthetic_subjects": [2],
        },
        {
            "name": "moved",
            "cohort": "others",
            "test_cohort": "own",
            "test": "transfer",
            "train": "real",
            "detectors": ["majority"],
        },
        {
            "name": "noised",
            "cohort": "own",
            "train": "real",
            "detectors": ["logistic"],
            "input_noise": [0.5],
            "noise_on": "windows",
        },
        {"name": "pretrained", "cohort": "own", "train": "real", "detectors": ["cnn"]},
    ],
}


def jobs_of_snakemake(text):
    """(inputs, outputs) of each job of a dry run."""
    found = re.findall(r"^(?:local)?rule .*:\n(?:    input: (.*)\n)?    output: (.*)\n", text, flags=re.M)
    return [(set(filter(None, read.split(", "))), set(written.split(", "))) for read, written in found]


def files(planned, task):
    return set(tasks.filled(tasks.outputs(planned, task.rule, task.pack), task))


def test_the_plan_knows_what_each_job_reads(runner):
    planned = make_plan(check_study(RICH, "test"))
    by_snakemake = jobs_of_snakemake(runner.snakemake("-n", "--quiet", "progress", study=RICH).stdout)
    made = {file: outputs for _, outputs in by_snakemake for file in outputs}
    compared = 0
    for task in tasks.tasks(planned):
        (read,) = (read for read, outputs in by_snakemake if files(planned, task) <= outputs)
        # A task stands for all files of its job, also for those that the reader does not need.
        by_plan = [made[min(files(planned, other))] for other in inputs(planned, task)]
        assert read <= set().union(*by_plan), task
        assert all(read & outputs for outputs in by_plan), task
        compared += 1
    assert compared == len(by_snakemake)
