"""How many models learn from one person, and what they spend together: study, cards, command and table agree.

Ledgers of random studies are written as the trainings write them, without training anything. The truth is a
plain walk over each person and each training of the plan, and the closed formula of the Gaussian mechanism.
"""

import json
import math
import os
import re
import runpy
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml

from pulseveil.core import paths, registry, store
from pulseveil.core.atomic import write_json
from pulseveil.core.contracts import Scores
from pulseveil.core.identity import number_label
from pulseveil.privacy import ledger, releases
from pulseveil.privacy.noise import Noise
from pulseveil.privacy.statement import statement
from pulseveil.release import claims
from pulseveil.study import spending
from pulseveil.study.checks import make_plan
from pulseveil.study.reading import check_study
from pulseveil.summary.crate import settings_file
from pulseveil.summary.description import describe
from pulseveil.summary.results import arrange, collect
from pulseveil.summary.spent import STUDY, read_ledgers, spending_table
from tests.unit.summary.test_spent import gaussian_epsilon

WEIGHTS = {"w": np.zeros(1)}
SCRIPT = Path(__file__).parents[3] / "scripts" / "statement.py"
DELTA = 1e-5


def random_study(seed):
    """A small study with random people, folds, seeds, models, units, epsilons, strides and evaluations."""
    rng = np.random.default_rng(seed)
    people = int(rng.integers(3, 7))
    folds = [
        "all",
        int(rng.integers(1, people + 1)),
        [f"S{i + 1}" for i in sorted(rng.choice(people, size=int(rng.integers(1, people)), replace=False))],
    ][rng.integers(3)]
    budgets = [[8], [1, 8], ["inf", 8], ["inf", 1, 3]][rng.integers(4)]
    finite = [epsilon for epsilon in budgets if epsilon != "inf"]
    units = [["subject"], ["window"], ["subject", "window"]][rng.integers(3)]
    evaluations = [
        {"name": "real", "train": "real"},
        {"name": "tstr", "train": "synthetic"},
        {"name": "more", "train": "synthetic", "synthetic_subjects": [2, 4]},
        {
            "name": "both",
            "train": "real+synthetic",
            "epsilon_generator": finite,
            "epsilon_detector": finite,
            "epsilon_pairs": str(rng.choice(["all", "equal"])),
        },
        {"name": "crossed", "train": "real", "test": "order_crossed"},
    ]
    kept = rng.permutation(len(evaluations))[: rng.integers(1, len(evaluations) + 1)]
    generators = [{"name": name, "kind": "moments", "settings": {"rank": 5}} for name in ("one", "two")]
    return {
        "name": "random",
        "seed": 7,
        "protocol": "sound",
        "cohorts": {"people": {"kind": "simulated", "subjects": people, "seed": 3}},
        "generators": generators[: rng.integers(1, 3)],
        "detectors": ["class_means", {"name": "forest", "epsilons": ["inf"]}][: rng.integers(1, 3)],
        "generator_shared": bool(rng.integers(2)),
        "epsilons": budgets,
        "units": units,
        "delta": DELTA,
        "stride_s": {"generator": int(rng.choice([20, 30, 60])), "detector": int(rng.choice([30, 60]))},
        "seeds": int(rng.integers(1, 4)),
        "folds": folds,
        "evaluations": [
            {"synthetic_subjects": [2], **evaluations[i], "cohort": "people"} for i in sorted(kept)
        ],
    }


def closed(job, kind, model, keys, fold, epsilon, weights=None):
    """The ledger of one training, as the training closes it."""
    budget = job.budget(epsilon, fold)
    if not budget.is_private:
        return np.array([], dtype=np.str_)
    budget = replace(budget, noise=Noise(os.urandom(32), secret=True))
    entries = [
        ledger.close(
            m, steps_noised=m.steps, delta=DELTA, noise=budget.noise, public_quantities=(), program=1
        )
        for m in kind.mechanisms(model.settings, budget)
    ]
    return releases.closed_ledger(entries, budget, keys, fold, job.settings, weights)


def write_models(folder, plan):
    """The model files of a plan, without weights; returns the people and mechanisms of each training."""
    trained = []
    for cell in plan.generator_cells():
        model = plan.study.generator(cell.generator)
        kind = registry.load("generators", model.kind)
        for seed in range(plan.study.seeds):
            job = plan.generator_job(cell, (seed,))
            found = {
                f.name: closed(job, kind, model, job.keys(seed), f, cell.epsilon, WEIGHTS) for f in job.folds
            }
            ledgers = {fold: entries for fold, entries in found.items() if len(entries)}
            words = {
                "study": plan.study.name,
                "cohort": cell.cohort,
                "generator": cell.generator,
                "unit": cell.unit,
                "epsilon_generator": number_label(cell.epsilon),
                "seed": str(seed),
            }
            form = {
                "protocol": "sound",
                "window_s": plan.study.window_s,
                "channels": [],
                "scaling": plan.study.scaling,
            }
            description = {"job": job.model_dump(mode="json"), "seed": seed, "form": form}
            description["trained_stride_s"] = plan.study.stride_s.generator
            description["trained_reach_s"] = spending.setting(plan.study).reach_s
            arrays = {fold.name: WEIGHTS for fold in job.folds}
            path = folder / paths.fill(paths.MODELS, **words)
            store.write_models(path, store.Models(arrays, description, ledgers), cell_hash="made up")
            used = {
                pack.evaluation.name
                for pack in plan.detector_packs
                if pack.train != "real" and cell.generator in pack.generators
                for detector in pack.detectors
                for unit, epsilon, _ in plan.privacies(pack, detector)
                if (unit, epsilon) == (cell.unit, cell.epsilon)
            }
            if math.isfinite(cell.epsilon):
                stride_s = plan.study.stride_s.generator
                trained += [training(f, kind, model, job, cell.epsilon, stride_s, used) for f in job.folds]
    return trained


def write_scores(folder, plan):
    """The score files of a plan with synthetic scores; returns the people and mechanisms of each training."""
    trained, files = [], []
    for pack in plan.detector_packs:
        for detector in pack.detectors:
            model = plan.study.detector(detector)
            kind = registry.load("detectors", model.kind)
            for privacy in plan.privacies(pack, detector):
                job = plan.detector_job(pack, detector, privacy)
                for keys in job.cells():
                    entries = [closed(job, kind, model, keys, f, privacy.epsilon_detector) for f in job.folds]
                    words = {"signals": "all", **{name: str(value) for name, value in keys.items()}}
                    words |= {"noise": number_label(keys["noise"])}
                    path = folder / paths.fill(paths.SCORES, study=plan.study.name, **words)
                    record = made_up_scores(job.folds, keys, np.concatenate(entries))
                    store.write_record(path, record, cell_hash=str(len(files)))
                    files.append(path)
                    if math.isfinite(privacy.epsilon_detector):
                        name, stride_s = pack.evaluation.name, plan.study.stride_s.detector
                        trained += [
                            training(f, kind, model, job, privacy.epsilon_detector, stride_s, {name})
                            for f in job.folds
                        ]
    return trained, files


def made_up_scores(folds, keys, entries):
    pairs = [(fold.name, subject) for fold in folds for subject in fold.test_subjects for _ in range(2)]
    n = len(pairs)
    stress = np.arange(n) % 2 == 0
    score = np.full(n, 0.5, dtype=np.float32)
    return Scores(
        subject=np.array([subject for _, subject in pairs]),
        fold=np.array([fold for fold, _ in pairs]),
        start_s=60.0 * np.arange(n),
        condition=stress.astype(np.int8),
        stress=stress,
        score=score,
        score_rest=1 - score,
        predicted=stress,
        keys=keys,
        ledger=entries,
    )


def training(fold, kind, model, job, epsilon, stride_s, evaluations):
    mechanisms = kind.mechanisms(model.settings, job.budget(epsilon, fold))
    assert all(mechanism.sampler == "full batch" for mechanism in mechanisms)
    return SimpleNamespace(
        people=set(fold.train_subjects), mechanisms=mechanisms, stride_s=stride_s, evaluations=evaluations
    )


def truth(trained, labelled_s=2192):
    """(models of one person at most, epsilon of the person that spends most)."""
    people = set().union(*(one.people for one in trained))
    counts, spent = [], []
    for person in people:
        own = [one for one in trained if person in one.people]
        counts.append(len(own))
        squared = 0.0
        for one in own:
            for m in one.mechanisms:
                k = math.ceil(labelled_s / one.stride_s) if m.unit == "window" else 1
                squared += m.steps * (k / m.noise_multiplier) ** 2
        spent.append(gaussian_epsilon(math.sqrt(squared), DELTA))
    return max(counts), max(spent)


def totals(text):
    """scope -> (models of one person, epsilon of a person at `DELTA` as printed)."""
    found = {}
    for name, count, rows in re.findall(
        r"All models of (?:this |the table )(\w+), each person in at most (\d+) of them\n((?:.+\n?)+)", text
    ):
        (row,) = [row.split() for row in rows.splitlines() if row.split()[0] == number_label(DELTA)]
        found[name] = (int(count), row[2])
    return found


def run_command(path, capsys, *options):
    arguments, sys.argv = sys.argv, [str(SCRIPT), str(path), *options]
    try:
        runpy.run_path(str(SCRIPT), run_name="__main__")
    finally:
        sys.argv = arguments
    return capsys.readouterr().out


def printed(epsilon):
    return f"{epsilon:,.0f}" if epsilon >= 1000 else f"{epsilon:.3g}"


@pytest.mark.parametrize("seed", range(20))
def test_study_cards_command_and_table_agree(seed, tmp_path, capsys):
    plan = make_plan(check_study(yaml.safe_load(yaml.safe_dump(random_study(seed))), "random"))
    trained = write_models(tmp_path, plan)
    of_detectors, files = write_scores(tmp_path, plan)
    trained += of_detectors
    for name in plan.study.cohorts:
        windows = tmp_path / paths.WINDOWS.format(study="random", cohort=name, windows="detector")
        write_json(store.sidecar_path(windows), {"cohort": []})
    description = describe(plan, tmp_path)
    results = collect(files)
    ledgers = read_ledgers(results.ledger, map(Path, description.models))
    table = spending_table(arrange(results, description).keys, ledgers, description).set_index("scope")
    if not trained:
        assert table.empty
        return

    # The study's own statement and the table, against the truth.
    text = statement(ledgers.entries, description.privacy)
    told = totals(text)
    assert set(told) - {"ledger"} <= set(table.index)
    for scope in table.index:
        of_scope = trained if scope == STUDY else [one for one in trained if scope in one.evaluations]
        count, epsilon = truth(of_scope)
        assert table.loc[scope, "models"] == count
        assert table.loc[scope, "epsilon_subject"] == pytest.approx(epsilon, rel=1e-3)
        name = "ledger" if scope == STUDY else scope
        if name in told:
            assert told[name] == (count, printed(table.loc[scope, "epsilon_subject"]))

    # The command knows nothing but the files.
    ledger.write(tmp_path / "ledger.json", ledgers.entries)
    write_json(tmp_path / "study.json", settings_file(plan.study))
    assert totals(run_command(tmp_path / "ledger.json", capsys)) == told

    # The card of some folds of one model file.
    rng = np.random.default_rng(seed)
    private = [path for path in map(Path, description.models) if "epsilon_generator=inf" not in str(path)]
    if private:
        path = private[rng.integers(len(private))]
        models = store.read_models(path)
        names = list(models.arrays)
        chosen = [str(f) for f in rng.choice(names, size=rng.integers(1, len(names) + 1), replace=False)]
        claim = claims.judge(models, chosen)
        assert claim.is_private
        job = json.loads(json.dumps(models.description["job"]))
        cell = next(c for c in plan.generator_cells() if _is_of(c, job))
        planned = plan.generator_job(cell, (0,))
        model = plan.study.generator(cell.generator)
        kind, stride_s = registry.load("generators", model.kind), plan.study.stride_s.generator
        of_card = [
            training(fold, kind, model, planned, cell.epsilon, stride_s, set())
            for fold in planned.folds
            if fold.name in chosen
        ]
        count, epsilon = truth(of_card)
        assert totals(claim.statement)["ledger"][0] == count
        assert float(totals(claim.statement)["ledger"][1].replace(",", "")) == pytest.approx(
            epsilon, rel=6e-3
        )
        card = tmp_path / "card"
        card.mkdir()
        ledger.write(card / "ledger.json", claim.entries)
        options = ["--protocol", plan.study.protocol, "--strides-s", str(stride_s), str(stride_s)]
        assert totals(run_command(card / "ledger.json", capsys, *options)) == totals(claim.statement)


def _is_of(cell, job):
    told = (job["generator"], job["unit"], float(job["epsilon_generator"]))
    return (cell.generator, cell.unit, cell.epsilon) == told
