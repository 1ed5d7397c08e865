"""What the summary of a large study costs: the paper's study with made-up scores.

    python tests/benchmarks/summarize.py [--files 8010] [--more seeds|cells] [--folder FOLDER] [--keep]

The study is config/paper.yaml with as many seeds (`--more seeds`) or as many numbers of synthetic people
(`--more cells`) as give the wanted number of score files. Scores are random; keys, people, windows per
person, hashes and ledgers are those of a real run, so that `scripts/summarize.py` checks and reads all that
it always does. Prints CPU and wall seconds and peak memory of its process, then the size of each page.
"""

from __future__ import annotations

import argparse
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import yaml

from pulseveil.core import paths, store
from pulseveil.core.atomic import write_json
from pulseveil.core.contracts import Scores
from pulseveil.core.identity import number_label
from pulseveil.evaluation.protocols import Fold
from pulseveil.privacy import accounting, ledger
from pulseveil.privacy.budget import Budget, Unit
from pulseveil.privacy.noise import Noise
from pulseveil.quality.measures import TITLES
from pulseveil.runs.detectors import public_hash
from pulseveil.study import tasks
from pulseveil.study.checks import make_plan
from pulseveil.study.jobs import DetectorJob, GeneratorJob
from pulseveil.study.plan import Plan
from pulseveil.study.reading import check_study

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.unit.summary_cases import write_portrait

ROOT = Path(__file__).resolve().parents[2]
# Windows of a person and those of them with stress, as in WESAD.
WINDOWS, STRESS = 36, 11
PROVENANCE = {
    "git": "0" * 40,
    "started": "2026-01-01T00:00:00+00:00",
    "finished": "2026-01-01T00:01:00+00:00",
    "python": "3.11.0",
    "packages": {"pulseveil": "0.1.0", "numpy": "2.0.0"},
}


class Cost(NamedTuple):
    """What a process took."""

    cpu_s: float
    wall_s: float
    peak_mb: float


def study(files: int, more: str) -> tuple[dict[str, Any], Plan]:
    """Values and plan of the smallest study like the paper's with at least so many score files."""
    values: dict[str, Any] = yaml.safe_load((ROOT / "config" / "paper.yaml").read_text())
    for factor in count(1):
        wanted = enlarged(values, factor, more)
        plan = make_plan(check_study(wanted, "paper.yaml"))
        if len(plan.cells) >= files:
            return wanted, plan
    raise AssertionError


def enlarged(values: Mapping[str, Any], factor: int, more: str) -> dict[str, Any]:
    """The study with `factor` seeds, or with one seed and `factor` times as many numbers of people."""
    if more == "seeds":
        return {**values, "seeds": factor}
    evaluations = [
        {**evaluation, "synthetic_subjects": list(range(1, 7 * factor + 1))}
        if len(evaluation.get("synthetic_subjects", ())) > 1
        else evaluation
        for evaluation in values["evaluations"]
    ]
    return {**values, "seeds": 1, "evaluations": evaluations}


def write_study(plan: Plan, folder: Path) -> None:
    """Write all files that the summary of a study reads."""
    rng = np.random.default_rng(0)
    for cohort in plan.study.cohorts:
        words = {"study": plan.study.name, "cohort": cohort, "windows": "detector"}
        write_json(
            store.sidecar_path(folder / paths.fill(paths.WINDOWS, **words)), {**PROVENANCE, "cohort": []}
        )
    for task in tasks.tasks(plan):
        files = [folder / path for path in tasks.filled(tasks.outputs(plan, task.rule, task.pack), task)]
        if task.rule == "train_generator":
            write_generators(tasks.job(plan, task), files)
        elif task.rule == "assess_quality":
            write_quality(tasks.job(plan, replace(task, rule="train_generator")), files, rng)
        elif task.rule == "train_detectors":
            write_scores(tasks.job(plan, task), files, rng)
        else:
            continue
        write_json(store.sidecar_path(files[-1]), PROVENANCE)
    portraits = [folder / path for path in tasks.portraits(plan)]
    for path, cell in zip(portraits, plan.generator_cells(), strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_portrait(path, epsilon=number_label(cell.epsilon), generator=cell.generator)


def write_generators(job: Any, files: list[Path]) -> None:
    """Model files with ledgers alone, one per seed."""
    assert isinstance(job, GeneratorJob)
    for path, seed in zip(files, job.seeds, strict=True):
        keys = {**generator_keys(job), "seed": seed}
        ledgers = {fold.name: entries(job, keys, job.epsilon_generator, fold) for fold in job.folds}
        kept = {name: np.array(texts, dtype=np.str_) for name, texts in ledgers.items() if texts}
        store.write_models(path, store.Models({}, {}, kept), cell_hash="made up")


def generator_keys(job: GeneratorJob) -> dict[str, Any]:
    """Keys of a generator's cell, as in its ledgers and quality files."""
    return {
        "cohort": job.cohort,
        "generator": job.generator,
        "unit": job.unit,
        "epsilon_generator": number_label(job.epsilon_generator),
    }


def write_quality(job: Any, files: list[Path], rng: np.random.Generator) -> None:
    """Tables of made-up quality measures, one per seed."""
    assert isinstance(job, GeneratorJob)
    rows = pd.DataFrame(
        [
            {"fold": fold.name, "measure": measure, "signal": "all", "condition": "all"}
            for fold in job.folds
            for measure in TITLES
        ]
    )
    for path, seed in zip(files, job.seeds, strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        value = rng.uniform(0.3, 0.7, len(rows))
        numbers = {"value": value, "low": value - 0.1, "high": value + 0.1}
        floors = {f"floor{end}": value + 0.1 for end in ("", "_low", "_high")}
        table = rows.assign(**generator_keys(job), seed=seed, **numbers, **floors, held_out=value)
        table.to_csv(path, index=False)


def write_scores(job: Any, files: list[Path], rng: np.random.Generator) -> None:
    """Score files of a job, with scores that are right more often than not."""
    assert isinstance(job, DetectorJob)
    tested = [subject for fold in job.folds for subject in fold.test_subjects]
    subject = np.repeat(np.array(tested, dtype=np.str_), WINDOWS)
    fold = np.repeat([fold.name for fold in job.folds for _ in fold.test_subjects], WINDOWS)
    condition = np.tile(
        np.where(np.arange(WINDOWS) < STRESS, 1, 2 * (np.arange(WINDOWS) % 3 == 0)), len(tested)
    )
    stress = condition == 1
    for path, keys in zip(files, job.cells(), strict=True):
        score = (1 / (1 + np.exp(-rng.normal(2 * stress - 1, 1.5)))).astype(np.float32)
        texts = [entry for fold in job.folds for entry in entries(job, keys, job.epsilon_detector, fold)]
        record = Scores(
            subject=subject,
            fold=fold,
            start_s=np.tile(60.0 * np.arange(WINDOWS), len(tested)),
            condition=condition.astype(np.int8),
            stress=stress,
            score=score,
            score_rest=1 - score,
            predicted=score > 0.5,
            keys=keys,
            ledger=np.array(texts, dtype=np.str_),
        )
        store.write_record(path, record, cell_hash=public_hash(job, keys, record.ledger))


def entries(job: Any, keys: Mapping[str, Any], epsilon: float, fold: Fold) -> list[str]:
    """Ledger of one training, as JSON; empty without a budget."""
    if math.isinf(epsilon):
        return []
    inputs = {**keys, "fold": fold.name, "release": "0" * 32, "people": list(fold.train_subjects)}
    closed = mechanism(epsilon, job.delta, job.unit, len(fold.train_subjects))
    return [ledger.to_json(replace(closed, inputs={**inputs, "settings": "0" * 16}))]


@cache
def mechanism(epsilon: float, delta: float, unit: Unit, people: int) -> ledger.Entry:
    """Closed ledger entry of a training of 100 full batches."""
    n = people if unit == "subject" else people * 37
    step = accounting.calibrate(
        Budget(epsilon, delta, unit), name="gradient", n=n, q=1.0, capacity=n, steps=100, clip_norm=1.0
    )
    return ledger.close(
        step,
        steps_noised=100,
        delta=delta,
        noise=Noise(bytes(32), secret=True),
        public_quantities=("number of people", "windows of a person"),
        program=1,
    )


def summarized(values: Mapping[str, Any], folder: Path) -> Cost:
    """The cost of `scripts/summarize.py`; its output goes to a log in the folder."""
    configfile = folder / "study.yaml"
    configfile.write_text(yaml.safe_dump(dict(values)))
    command = [sys.executable, str(ROOT / "scripts" / "summarize.py"), "--configfile", str(configfile)]
    with (folder / "summarize.log").open("w") as log:
        started = time.perf_counter()
        process = subprocess.Popen(
            [*command, "--results", str(folder)], cwd=ROOT, stdout=log, stderr=subprocess.STDOUT
        )
        _, status, used = os.wait4(process.pid, 0)
        wall_s = time.perf_counter() - started
    if status:
        raise SystemExit((folder / "summarize.log").read_text())
    return Cost(used.ru_utime + used.ru_stime, wall_s, used.ru_maxrss / 1024)


def pages(folder: Path) -> Iterator[tuple[str, int, int, int]]:
    """Name, bytes, rows and rows of the largest table of each HTML file below a folder."""
    for path in sorted(folder.rglob("*.html")):
        text = path.read_text(encoding="utf-8")
        rows = [len(re.findall(r"<tr[ >]", table)) for table in text.split("<table")[1:]]
        yield path.relative_to(folder).as_posix(), path.stat().st_size, sum(rows), max(rows, default=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--files", type=int, default=8010, help="fewest score files of the study")
    parser.add_argument("--more", choices=("seeds", "cells"), default="seeds", help="how the study grows")
    parser.add_argument("--folder", type=Path, help="folder of the made-up results, written if empty")
    parser.add_argument("--keep", action="store_true", help="keep the folder")
    options = parser.parse_args()
    folder = options.folder or Path(tempfile.mkdtemp(prefix="summarize-"))
    values, plan = study(options.files, options.more)
    results = folder / paths.results(plan.study.name)
    try:
        if not results.exists():
            write_study(plan, folder)
        cost = summarized(values, folder)
        print(f"{len(plan.cells):,} score files of {plan.study.seeds} seeds")
        print(f"CPU {cost.cpu_s:.1f} s, wall {cost.wall_s:.1f} s, peak memory {cost.peak_mb:.0f} MB")
        print(f"{'page':<44}{'kB':>8}{'rows':>8}{'largest table':>15}")
        for name, size, rows, largest in pages(results):
            print(f"{name:<44}{size / 1000:>8.0f}{rows:>8}{largest:>15}")
    finally:
        if not options.keep:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
