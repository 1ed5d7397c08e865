"""A protocol of evaluation that lives in another package, found by its entry point."""

import json
import os
import subprocess
import sys
from itertools import combinations
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).resolve().parents[3]
OUTSIDE = '''
from itertools import combinations
from pulseveil.core.errors import InputError
from pulseveil.evaluation.protocols import EvaluationProtocol, Fold

class LeaveTwoOut(EvaluationProtocol):
    """Each fold tests two subjects and trains on all others."""

    title = "each pair of left-out subjects"

    @classmethod
    def folds(cls, people):
        if len(people.train) < 3:
            raise InputError("needs at least 3 subjects in the cohort")
        return tuple(
            Fold(name="-".join(pair), train_subjects=people.without(*pair), test_subjects=pair)
            for pair in combinations(people.left_out(), 2)
        )

class Namesake(LeaveTwoOut):
    """Its folds have the names of those that leave one subject out, and train on others."""

    @classmethod
    def folds(cls, people):
        return tuple(
            Fold(name=one, train_subjects=people.without(one, two), test_subjects=(one,))
            for one, two in combinations(people.train, 2) if one < two
        )[:1]

class Formula(LeaveTwoOut):
    """Its folds have names that no file of a study can have."""

    @classmethod
    def folds(cls, people):
        return tuple(fold.model_copy(update={"name": f"={fold.name}"}) for fold in super().folds(people))

class Resubstitution(LeaveTwoOut):
    """Tests whom it trains on."""

    @classmethod
    def folds(cls, people):
        return (Fold(name="all", train_subjects=tuple(people.train), test_subjects=tuple(people.test)),)
'''
STUDY = """
name: outside
seed: 1
protocol: sound
cohorts: {simulated: {kind: simulated, subjects: SUBJECTS}}
generators: [moments]
detectors: [logistic, majority]
seeds: 1
evaluations:
  - {name: loso, cohort: simulated, train: synthetic, synthetic_subjects: [2]}
  - {name: other, cohort: simulated, train: TRAIN, test: TEST, synthetic_subjects: [2]}
"""
FOLDS = """
import json, sys
from pathlib import Path
from pulseveil.study.checks import make_plan
from pulseveil.study.reading import read_study

plan = make_plan(read_study(Path(sys.argv[1])))
packs = [pack for pack in plan.detector_packs if pack.evaluation.test == "leave_two_out"]
print(json.dumps({
    "tested": [[[f.name, f.train_subjects, f.test_subjects] for f in plan.detector_folds(p)] for p in packs],
    "trained": [[f.name, f.train_subjects] for f in plan.generator_folds("simulated")],
    "runs": len(plan.runs()),
}))
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package of others, as pip would install it."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "outside.py").write_text(OUTSIDE)
    info = folder / "outside-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: outside\nVersion: 1.0\n")
    kinds = "leave_two_out = outside:LeaveTwoOut\nnamesake = outside:Namesake\n"
    kinds += "formula = outside:Formula\nresubstitution = outside:Resubstitution\n"
    (info / "entry_points.txt").write_text(f"[pulseveil.protocols]\n{kinds}")
    return folder


def write_study(folder: Path, test: str, *, train: str = "real+synthetic", subjects: int = 4) -> Path:
    path = folder / "study.yaml"
    values = STUDY.replace("TEST", test).replace("TRAIN", train).replace("SUBJECTS", str(subjects))
    path.write_text(values)
    return path


def run(installed: Path, *command: str | Path) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(installed), *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.run(
        [sys.executable, *command],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": path},
    )


def test_a_protocol_of_another_package_needs_one_class_and_one_entry_point(
    installed: Path, tmp_path: Path
) -> None:
    study = write_study(tmp_path, "leave_two_out")
    planned = run(installed, ROOT / "scripts" / "plan.py", study)
    assert planned.returncode == 0, planned.stderr

    answered = run(installed, "-c", FOLDS, study)
    assert answered.returncode == 0, answered.stderr
    found = json.loads(answered.stdout)
    people = ["S1", "S2", "S3", "S4"]
    pairs = list(combinations(people, 2))
    expected = [["-".join(pair), [s for s in people if s not in pair], list(pair)] for pair in pairs]
    # The models and the rule have a pack each.
    assert found["tested"] == [expected, expected]
    # Each fold has a generator of its own, beside those of the other evaluation.
    alone = [[left_out, [s for s in people if s != left_out]] for left_out in people]
    assert found["trained"] == alone + [fold[:2] for fold in expected]
    assert found["runs"] == 2 * (len(people) + len(pairs))


@pytest.mark.parametrize(
    ("test", "words", "keys"),
    [
        ("leave_two", "evaluations[1].test: expected one of formula, leave_two_out, loso, ", {}),
        ("leave_two", "(did you mean 'leave_two_out'?)", {}),
        ("leave_two_out", "other, cohort simulated: test leave_two_out: needs at least 3", {"subjects": 2}),
        ("resubstitution", "test resubstitution: fold all tests S1, S2, S3, S4, on whom it trains", {}),
        ("resubstitution", "fold all tests S1, S2, S3, S4, on whom it trains", {"train": "real"}),
        ("formula", "cohort simulated: fold: '=S1-S2' is not a valid name", {}),
        (
            "namesake",
            "fold S1 trains on other subjects than the fold of that name in an earlier evaluation",
            {},
        ),
    ],
)
def test_what_a_protocol_cannot_do_is_one_line(
    installed: Path, tmp_path: Path, test: str, words: str, keys: dict[str, object]
) -> None:
    refused = run(installed, ROOT / "scripts" / "plan.py", write_study(tmp_path, test, **keys))  # type: ignore[arg-type]
    assert refused.returncode == 2
    assert refused.stderr.startswith("error: ")
    assert refused.stderr.count("\n") == 1
    assert words in refused.stderr


@pytest.mark.workflow
def test_a_whole_study_runs_with_a_protocol_of_another_package(installed: Path, tmp_path: Path) -> None:
    study = write_study(tmp_path, "leave_two_out")
    places = ["--directory", tmp_path, "--configfile", study, "--cores", "2"]
    ended = run(installed, "-m", "snakemake", "-s", ROOT / "Snakefile", *places)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    results = tmp_path / "results" / "outside"
    rows = pd.read_csv(results / "tables" / "main.csv").query("evaluation == 'other'")
    assert set(rows["detector"]) == {"logistic", "majority"}
    # All four people are tested, each in three pairs.
    assert (rows["n_subjects"] == 4).all()
    assert "each pair of left-out subjects" in (results / "report.html").read_text()


def test_an_installation_that_is_older_than_the_code_says_what_to_do(tmp_path: Path) -> None:
    info = tmp_path / "pulseveil-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: pulseveil\nVersion: 0.1.0\n")
    cohorts = "[pulseveil.cohorts]\nsimulated = pulseveil.cohorts.simulated:Simulated\n"
    (info / "entry_points.txt").write_text(cohorts)
    refused = run(tmp_path, ROOT / "scripts" / "plan.py", ROOT / "config" / "demo.yaml")
    assert refused.returncode == 2
    assert refused.stderr.count("\n") == 1
    assert "the installed PulseVeil is older than this code; run `make dryrun`" in refused.stderr
