"""Quality of the generators of one seed: each fold's synthetic windows beside those it learned from."""

from __future__ import annotations

import numpy as np
import pandas as pd

from pulseveil import store
from pulseveil.contracts import SyntheticSet, WindowSet
from pulseveil.jobs import GeneratorJob
from pulseveil.quality import logistic_two_sample, real_floor, two_sample_score


def assess(models: store.Models, synthetic: SyntheticSet, windows: WindowSet) -> pd.DataFrame:
    """One row a fold: the run keys, fold, and two-sample accuracies (.5: cannot be told apart).

    `two_sample_1nn` and `two_sample_logistic` compare synthetic with real training windows, `floor_1nn`
    compares two halves of the real training subjects.
    """
    job = GeneratorJob.model_validate(models.description["job"])
    seed = int(models.description["seed"])
    rows = []
    for fold in job.folds:
        real = windows.take(np.isin(windows.subject, fold.train_subjects))
        made = synthetic.windows[synthetic.fold == fold.name]
        stream = job.stream("quality", fold.name, seed)
        rows.append(
            {
                **job.keys(seed),
                "fold": fold.name,
                "two_sample_1nn": two_sample_score(real.windows, made, stream),
                "two_sample_logistic": logistic_two_sample(real.windows, made, stream),
                "floor_1nn": real_floor(real.windows, real.subject, stream),
            }
        )
    return pd.DataFrame(rows)
