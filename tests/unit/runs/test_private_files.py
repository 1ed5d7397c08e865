"""What leaves beside the noised releases: no hash of private windows, in any file but the run store's."""

from dataclasses import replace

import numpy as np
import pytest

from pulseveil.core import paths, store
from pulseveil.core.atomic import write_json
from pulseveil.core.contracts import FeatureSet, WindowSet
from pulseveil.runs.cohort import prepare_cohort
from pulseveil.runs.detectors import Data, train_detectors
from pulseveil.runs.generators import train_generators
from pulseveil.runs.run_store import Journal, RunStore
from pulseveil.study.checks import make_plan
from pulseveil.study.reading import check_study
from pulseveil.summary.description import describe
from pulseveil.windows.features import extract_features
from pulseveil.windows.recipe import Recipe
from tests.tokens import hexadecimals
from tests.workflow.conftest import LIGHT

STUDY = LIGHT | {
    "name": "guarded",
    "seeds": 1,
    "folds": 2,
    "detectors": ["logistic", {"name": "majority", "epsilons": ["inf"]}],
    "epsilons": ["inf", 8],
}


def one_bit(windows: WindowSet) -> WindowSet:
    """The windows with the last bit of one sample changed, of a person of each fold."""
    values = windows.windows.copy()
    row = int(np.flatnonzero(windows.subject == "S3")[5])
    values[row, 30, 2] = np.nextafter(values[row, 30, 2], np.float32(np.inf))
    return replace(windows, windows=values)


def one_label(windows: WindowSet) -> WindowSet:
    """The windows with one of a person's last labels turned round."""
    row = int(np.flatnonzero((windows.subject == "S3") & ~windows.calibration)[-1])
    stress, condition = windows.stress.copy(), windows.condition.copy()
    stress[row], condition[row] = not stress[row], 0 if stress[row] else 1
    return replace(windows, stress=stress, condition=condition)


def prepared(purpose) -> WindowSet:
    plan = make_plan(check_study(STUDY, "test"))
    recipe = Recipe.with_defaults("sound", purpose, scaling=plan.study.scaling)
    return prepare_cohort(plan.study.cohort_settings["simulated"], recipe).windows


def features(windows: WindowSet) -> FeatureSet:
    return extract_features(windows, protocol="sound", pairing="published")


def leave(folder, of_generators: WindowSet, of_detectors: FeatureSet):
    """The files of a study's models and scores below `folder`, written as its job scripts write them."""
    plan = make_plan(check_study(STUDY, "test"))
    runs, journal = RunStore(folder / ".runs"), Journal(folder / "journal.jsonl")
    for i, cell in enumerate(plan.generator_cells()):
        job = plan.generator_job(cell, (0,))
        for _, models, cell_hash in train_generators(job, of_generators, runs, journal):
            store.write_models(folder / "generators" / f"{i}.h5", models, cell_hash=cell_hash)
    data = Data(of_detectors, of_detectors, lambda generator, seed: of_detectors)
    packs = [pack for pack in plan.detector_packs if pack.evaluation.name == "real"]
    jobs = [
        plan.detector_job(pack, detector, privacy)
        for pack in packs
        for detector in pack.detectors
        for privacy in plan.privacies(pack, detector)
    ]
    for job in jobs:
        for keys, scores, models, cell_hash in train_detectors(job, data, runs, journal):
            words = {"study": "s", "signals": "all", **{k: str(v) for k, v in keys.items()}}
            store.write_record(folder / paths.fill(paths.SCORES, **words), scores, cell_hash=cell_hash)
            kept = folder / paths.fill(paths.DETECTORS, **words)
            store.write_models(kept, models, cell_hash=cell_hash, group="detectors")


@pytest.mark.parametrize("change", [one_bit, one_label])
def test_no_hash_outside_the_run_store_knows_a_bit_of_the_data(tmp_path, change):
    """Whatever looks like a hash is a constant of the plan or another one in each run on the same data."""
    of_generators, of_detectors = prepared("generator"), prepared("detector")
    for name in ("first", "again"):
        leave(tmp_path / name, of_generators, features(of_detectors))
    leave(tmp_path / "changed", change(of_generators), features(change(of_detectors)))
    files = [p.relative_to(tmp_path / "first") for p in (tmp_path / "first").rglob("*") if p.is_file()]
    leaving = [file for file in files if file.parts[0] != ".runs"]
    assert {file.suffix for file in leaving} == {".h5", ".jsonl"}
    names = [tmp_path / name for name in ("first", "again", "changed")]
    for file in leaving:
        first, again, changed = (hexadecimals(folder / file) for folder in names)
        assert first, file
        assert first & again <= changed, file
    # The run store does know: it decides what is finished.
    stored = [{p.name for p in (folder / ".runs").rglob("*.h5")} for folder in names]
    assert stored[0] == stored[1] != stored[2]


@pytest.mark.parametrize(("study", "shown"), [(STUDY, ()), (LIGHT, ({"subject": "S1", "windows": 35},))])
def test_a_private_report_has_no_counts_by_person(tmp_path, study, shown):
    plan = make_plan(check_study(study, "test"))
    windows = tmp_path / paths.WINDOWS.format(study=plan.study.name, cohort="simulated", windows="detector")
    write_json(store.sidecar_path(windows), {"cohort": [{"subject": "S1", "windows": 35}]})
    assert describe(plan, tmp_path).cohorts["simulated"].summary == shown
