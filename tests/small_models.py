"""Small trained studies for the front end, made in seconds: files as the workflow leaves them."""

from datetime import UTC, datetime
from pathlib import Path

from pulseveil.core import paths, store
from pulseveil.core.identity import number_label
from pulseveil.runs import script
from pulseveil.runs.cohort import prepare_cohort
from pulseveil.runs.generators import synthesize, train_generators
from pulseveil.runs.quality import assess
from pulseveil.runs.run_store import Journal, RunStore
from pulseveil.study.checks import make_plan
from pulseveil.study.reading import check_study
from pulseveil.windows.recipe import Recipe

STUDY = {
    "name": "small",
    "seed": 7,
    "protocol": "sound",
    "cohorts": {"people": {"kind": "simulated", "subjects": 4, "seed": 3}},
    "generators": [{"name": "moments", "settings": {"rank": 5}}],
    "detectors": ["logistic"],
    "epsilons": ["inf", 8],
    "seeds": 1,
    "folds": ["S1", "S2"],
    "evaluations": [
        {"name": "tstr", "cohort": "people", "train": "synthetic", "synthetic_subjects": [2]},
    ],
}
REHEARSAL = STUDY | {
    "name": "rehearsal",
    "epsilons": [8],
    "privacy_noise": "reproducible",
    "classes": 3,
    "folds": ["S1"],
}


def train(folder: Path, values=STUDY) -> list[Path]:
    """The model files of a study below `folder`/results, with windows, quality and sidecars beside them."""
    plan = make_plan(check_study(values, "test"))
    study = plan.study
    recipe = Recipe.with_defaults(study.protocol, "generator", scaling=study.scaling)
    written = []
    for cell in plan.generator_cells():
        prepared = prepare_cohort(study.cohort_settings[cell.cohort], recipe)
        kept = folder / paths.fill(paths.WINDOWS, study=study.name, cohort=cell.cohort, windows="generator")
        store.write_record(kept, prepared.windows, cell_hash=prepared.cell_hash)
        job = plan.generator_job(cell, tuple(range(study.seeds)))
        runs = RunStore(folder / paths.run_store(study.name))
        journal = Journal(folder / paths.journal(study.name))
        for seed, models, cell_hash in train_generators(job, prepared.windows, runs, journal):
            words = {
                "study": study.name,
                "cohort": cell.cohort,
                "generator": cell.generator,
                "unit": cell.unit,
                "epsilon_generator": number_label(cell.epsilon),
                "seed": str(seed),
            }
            path = folder / paths.fill(paths.MODELS, **words)
            store.write_models(path, models, cell_hash=cell_hash)
            script.write_sidecar(path, study.name, datetime.now(UTC))
            quality = folder / paths.fill(paths.QUALITY, **words)
            quality.parent.mkdir(parents=True, exist_ok=True)
            assess(models, synthesize(models, 2), prepared.windows).to_csv(quality, index=False)
            written.append(path)
    return written
