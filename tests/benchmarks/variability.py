"""Whether the heart rate variability of a window tells stress, and whether a wrist can measure it.

    python tests/benchmarks/variability.py DATA [--cohorts 101 102 103 104]

DATA holds `stress_predict` and `embraceplus`. No recording of WESAD is read. The statistic of a window is log
RMSSD over clean beats (`windows.heart_rate.rmssd_ms`), less the person's median at rest.

First table: share of the windows that have enough clean beats; then, for windows of which the device's own
beats (IBI.csv, systolic peaks) give RMSSD too: their number, the median of our RMSSD divided by the device's,
and the correlation of both within people (Spearman, mean over people).

Second table: people who have both classes among the windows with RMSSD; AUROC for stress within these people
(mean) of a high heart rate, of a low RMSSD and of a low RMSSD of the device's beats; then accuracy and AUROC
of logistic regression on the 18 statistics of windows, each person left out in turn, without and with log
RMSSD (0 where it is missing).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import spearmanr
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from pulseveil.cohorts.empatica import Empatica, EmpaticaSettings
from pulseveil.cohorts.simulated import Simulated
from pulseveil.core.arrays import Floats
from pulseveil.core.contracts import Recording
from pulseveil.generators.public_prior import NAMES, statistics_of
from pulseveil.windows.cutting import cut_subject
from pulseveil.windows.heart_rate import rmssd_ms
from pulseveil.windows.recipe import Recipe

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.benchmarks.heart_rate import embraceplus
from tests.benchmarks.simulated_cohorts import PEOPLE, WESAD_S

# An interval between two listed beats is the device's own if it agrees with the listed one.
SAME_INTERVAL_S = 0.02
SHORTEST_S, LONGEST_S = 60 / 180, 60 / 40


class Person(NamedTuple):
    """Tested windows of a person: statistics (n, 18), stress (n), our RMSSD and the device's (n) in ms."""

    statistics: Floats
    stress: NDArray[np.bool_]
    ours: Floats
    device: Floats

    @property
    def variability(self) -> Floats:
        """Log RMSSD (n) less the median at rest, 0 without enough clean beats."""
        logs = np.log(self.ours)
        at_rest = logs[~self.stress & np.isfinite(logs)]
        return np.nan_to_num(logs - np.median(at_rest)) if len(at_rest) else np.zeros(len(logs))


def person(recording: Recording, beats: Floats, known: NDArray[np.bool_]) -> Person:
    """Windows of a recording; the device lists `beats` (m) in s and trusts the intervals `known` (m - 1)."""
    recipe = Recipe.with_defaults("sound", "detector", measured=0.0)
    cut = cut_subject(recording, recipe)
    windows, tested = cut.windows, ~cut.windows.calibration
    device = np.full(len(tested), np.nan)
    if len(beats):
        device = rmssd_ms(beats, known, windows.start_s, recipe.window_s)
    return Person(
        statistics_of(windows.windows, windows.rate_hz)[tested],
        windows.stress[tested],
        cut.rmssd_ms[tested],
        device[tested],
    )


def stress_predict(data: Path) -> Iterator[Person]:
    """The people of Stress-Predict, with the intervals of their devices."""
    folder = data / "stress_predict"
    for recording in Empatica(EmpaticaSettings(data=folder, labels=folder / "labels.csv")).recordings():
        path = folder / recording.subject / "IBI.csv"
        start = float(path.read_text().split(",")[0])
        listed = pd.read_csv(path, header=None, skiprows=1).to_numpy(np.float64)
        beats = listed[:, 0] + start - recording.start_unix_s
        known = np.abs(np.diff(beats) - listed[1:, 1]) < SAME_INTERVAL_S
        yield person(recording, beats, known)


def simulated(seed: int) -> Iterator[Person]:
    """The people of a simulated cohort, whose devices list no beats."""
    settings = {"kind": "simulated", "subjects": PEOPLE, "seed": seed, **WESAD_S}
    for recording in Simulated(Simulated.Settings.model_validate(settings)).recordings():
        yield person(recording, np.zeros(0), np.zeros(0, bool))


def one_embraceplus(data: Path) -> Person:
    """The EmbracePlus file, whose two halves have made-up labels."""
    recording, _ = embraceplus(data / "embraceplus")
    beats = peaks_of(data / "embraceplus", recording)
    intervals = np.diff(beats)
    return person(recording, beats, (intervals > SHORTEST_S) & (intervals < LONGEST_S))


def peaks_of(folder: Path, recording: Recording) -> Floats:
    """The systolic peaks (m) of the EmbracePlus file, in s after the start of the recording."""
    import fastavro

    (path,) = folder.glob("*.avro")
    with path.open("rb") as file:
        peaks = next(iter(fastavro.reader(file)))["rawData"]["systolicPeaks"]["peaksTimeNanos"]
    return (np.array(peaks, np.int64) - int(recording.start_unix_s) * 10**9) / 1e9


def agreement(name: str, people: list[Person]) -> str:
    """The line of a cohort in the first table."""
    ours, device = (np.concatenate([getattr(p, key) for p in people]) for key in ("ours", "device"))
    both = np.isfinite(ours) & np.isfinite(device)
    line = f"{name:<18}{len(ours):>6}{np.isfinite(ours).mean():>8.1%}{both.sum():>6}"
    if not both.any():
        return line
    own = []
    for p in people:
        rows = np.isfinite(p.ours) & np.isfinite(p.device)
        if rows.sum() > 3:
            own.append(float(spearmanr(p.ours[rows], p.device[rows]).statistic))
    ratio = np.median(ours[both] / device[both])
    return f"{line}{ratio:>8.2f}{np.mean(own) if own else np.nan:>8.2f}  ({len(own)} people)"


def within_people(
    people: list[Person], signs: Sequence[int], of: Callable[[Person], list[Floats]]
) -> list[float]:
    """Number of people, and mean AUROC for stress of values times signs, where the last value is known."""
    found = []
    for p in people:
        values = of(p)
        rows = np.isfinite(values[-1])
        if len(np.unique(p.stress[rows])) == 2:
            found.append(
                [roc_auc_score(p.stress[rows], s * v[rows]) for s, v in zip(signs, values, strict=True)]
            )
    return [float(len(found)), *(np.mean(found, axis=0) if found else [np.nan] * len(signs))]


def separation(name: str, people: list[Person]) -> str:
    """The line of a cohort in the second table."""
    rate = NAMES.index("heart_rate_mean")
    number, *ours = within_people(people, (1, -1), lambda p: [p.statistics[:, rate], p.ours])
    _, device = within_people(people, (-1,), lambda p: [p.device])
    plain = [p.statistics for p in people]
    added = [np.column_stack([p.statistics, p.variability]) for p in people]
    values = (*ours, device, *left_out(plain, people), *left_out(added, people))
    return f"{name:<18}{number:>6.0f}" + "".join(f"{value:>8.3f}" for value in values)


def left_out(columns: list[Floats], people: list[Person]) -> tuple[float, float]:
    """Accuracy and AUROC over all windows of logistic regression, each person left out in turn."""
    scores = []
    for i in range(len(people)):
        others = [j for j in range(len(people)) if j != i]
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, class_weight="balanced"))
        stress = np.concatenate([people[j].stress for j in others])
        model.fit(np.concatenate([columns[j] for j in others]), stress)
        scores.append(model.predict_proba(columns[i])[:, 1])
    score, stress = np.concatenate(scores), np.concatenate([p.stress for p in people])
    return float(np.mean((score > 0.5) == stress)), float(roc_auc_score(stress, score))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--cohorts", type=int, nargs="+", default=[101, 102, 103, 104])
    options = parser.parse_args()
    cohorts = {f"simulated {seed}": list(simulated(seed)) for seed in options.cohorts}
    cohorts["Stress-Predict"] = list(stress_predict(options.data))
    print(f"{'':<18}{'n':>6}{'clean':>8}{'both':>6}{'ratio':>8}{'rho':>8}")
    for name, people in cohorts.items():
        print(agreement(name, people), flush=True)
    print(agreement("EmbracePlus", [one_embraceplus(options.data)]), flush=True)
    print(
        f"{'':<18}{'people':>6}{'rate':>8}{'RMSSD':>8}{'device':>8}{'acc':>8}{'AUROC':>8}{'with':>8}{'AUROC':>8}"
    )
    for name, people in cohorts.items():
        print(separation(name, people), flush=True)


if __name__ == "__main__":
    main()
