import math
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import yaml

from pulseveil.core.errors import InputError
from pulseveil.core.randomness import child, root_stream
from pulseveil.detectors.neural import CNN
from pulseveil.study import costs, tasks
from pulseveil.study.cells import DetectorCell
from pulseveil.study.checks import make_plan
from pulseveil.study.reading import check_study, read_study
from pulseveil.study.tasks import Task
from pulseveil.summary.published import read_published
from tests.benchmarks.scale import full_paper

ROOT = Path(__file__).resolve().parents[3]


def demo(**keys):
    values = yaml.safe_load((ROOT / "tests" / "study.yaml").read_text())
    return make_plan(check_study(values | keys, "demo.yaml"))


def labels_of_the_studies(folder):
    """The table of intervals that names the people of Stress-Predict, for plans without recordings."""
    labels = folder / "data" / "Stress-Predict.csv"
    labels.parent.mkdir()
    rows = [
        f"S0{n},{name}"
        for n in (1, 2)
        for name in ("relax,1644226140,1644226740,0", "stroop,1644226740,1644227340,1")
    ]
    labels.write_text("\n".join(["subject,condition,start_unix,end_unix,stress", *rows]))


@pytest.mark.parametrize("study", sorted((ROOT / "config").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_study_of_the_project_can_be_planned(study, tmp_path, monkeypatch):
    # A rule of the protocol once refused two studies that nobody had run since.
    labels_of_the_studies(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert len(make_plan(read_study(study)).cells) > 0


def test_a_study_has_one_scores_file_a_cell_and_seed():
    plan = demo()
    # real: 2 models x 2 seeds; tstr and augmented: 2 generators x 2 models x 2 seeds; rules: 2 x 2, once
    assert len(plan.cells) == 4 + 2 * 8 + 4
    assert len(set(tasks.files(plan, "train_detectors"))) == len(plan.cells)
    assert len(plan.runs()) == 3 * len(plan.cells)


def test_weights_are_drawn_of_the_first_evaluation_on_real_and_on_synthetic_windows():
    name = "detectors/{}/{}/logistic/unit=subject/epsilon_generator={}/epsilon_detector={}/"
    found = tasks.linear_detectors(demo(detectors=["logistic", "cnn", "majority"], epsilons=["inf", 1]))
    cells = [("real", "none", "inf", "inf"), ("real", "none", "inf", "1")]
    cells += [("tstr", generator, "inf", "inf") for generator in ("cgan", "moments")]
    for cell in cells:
        assert sum(name.format(*cell) in path for path in found) == 1, (cell, found)
    assert all(path.endswith("seed=0.h5") and "/logistic/" in path for path in found)
    assert not any("augmented" in path for path in found)
    assert tasks.linear_detectors(demo(keep="none")) == []


def test_quality_of_the_first_seeds_alone():
    plan = demo(seeds=5, pack={"generator_seeds": 2}, quality_seeds=3)
    assert [(pack.name, pack.seeds) for pack in plan.generator_packs()] == [
        ("seeds_0", (0, 1)),
        ("seeds_1", (2, 3)),
        ("seeds_2", (4,)),
    ]
    assert [(pack.name, pack.seeds) for pack in plan.quality_packs()] == [
        ("seeds_0", (0, 1)),
        ("seeds_1", (2,)),
    ]
    cells = len(plan.generator_cells())
    assert len(tasks.files(plan, "assess_quality")) == 3 * cells
    assert sum(task.rule == "assess_quality" for task in tasks.tasks(plan)) == 2 * cells
    # More than there are is all of them.
    assert tasks.files(demo(quality_seeds=9), "assess_quality") == tasks.files(demo(), "assess_quality")


def test_the_demo_starts_tensorflow_at_most_seven_times():
    plan = make_plan(read_study(ROOT / "config" / "demo.yaml"))
    assert sum(line.tensorflow_starts for line in costs.lines(plan)) <= 7


def test_the_demo_has_one_private_row_for_whole_persons():
    cells = make_plan(read_study(ROOT / "config" / "demo.yaml")).cells
    private = cells[(cells[["epsilon_generator", "epsilon_detector"]] != "inf").any(axis=1)]
    rows = private[["evaluation", "generator", "detector", "unit", "epsilon_generator"]].drop_duplicates()
    assert rows.to_numpy().tolist() == [["private", "posterior", "logistic", "subject", "10"]]


def test_the_published_scenarios_have_the_published_number_of_trainings():
    plan = make_plan(read_study(ROOT / "config" / "paper.yaml"))
    runs = plan.runs().query("generator in ['none', 'cgan', 'dgan']")
    networks = runs.query("detector in ['cnn', 'cnn_lstm', 'transformer']")
    counts = networks.groupby("evaluation").size()
    # 3 detectors x 10 runs x 15 folds, without a budget and with 3 at 2 units; TSTR trains once for all.
    assert counts["real"] == 3 * 10 * 15 * (1 + 2 * 3)
    assert counts["tstr_15"] == 2 * 3 * 10
    # Of cGAN with 15 subjects tstr_15 trains those without a budget.
    assert counts["tstr"] == 3 * 10 * (7 * (1 + 2 * 3) - 1)
    assert counts["augmented"] == 3 * 7 * 10 * 15
    # The real ones are those without noise.
    assert counts["noised"] == 24 * 10 * 15
    # Generator and detector with the same epsilon, in the published unit; augmented has those without.
    assert counts["private_100"] == counts["private_15"] == 3 * 10 * 15 * 3
    assert counts["augmented_dgan"] == 2 * 3 * 10 * 15
    assert counts["tstr_dgan"] == 3 * 10
    assert sum(line.jobs for line in costs.lines(plan)) <= 2000


def test_jobs_of_the_paper_can_stay_as_many_with_more_seeds():
    pack = {"detector_seeds": 50, "generator_seeds": 10}
    plans = [make_plan(check_study(values, "x")) for values in (full_paper(), full_paper(10, **pack))]
    first, second = (sum(line.jobs for line in costs.lines(plan)) for plan in plans)
    assert first == second


def test_packs_hold_every_cell_once():
    plan = demo(pack={"detector_seeds": 1, "generator_seeds": 1})
    assert sorted(tasks.files(plan, "train_detectors")) == sorted(tasks.files(demo(), "train_detectors"))


def test_a_generator_never_sees_the_subjects_its_fold_tests():
    plan = make_plan(read_study(ROOT / "config" / "sound.yaml"))
    folds = plan.generator_folds("wesad")
    assert len(folds) == 15 + 2
    assert all(set(f.train_subjects).isdisjoint(f.test_subjects) for f in folds)


def test_the_papers_generator_is_shared_and_saw_everybody():
    plan = make_plan(read_study(ROOT / "config" / "paper.yaml"))
    (fold,) = plan.generator_folds("wesad")
    assert len(fold.train_subjects) == 15


def test_timeline_baselines_train_on_real_labels_in_every_evaluation():
    plan = demo()
    timeline = [pack for pack in plan.detector_packs if pack.timeline]
    # Rules are those of the first evaluation, whose real labels they learn from.
    assert {pack.evaluation.name for pack in timeline} == {"real"}
    assert set(plan.shared_cells["evaluation"]) == {"tstr", "augmented"}
    jobs = [
        plan.detector_job(p, "majority", privacy)
        for p in timeline
        for privacy in plan.privacies(p, "majority")
    ]
    assert [job.train for job in jobs] == ["real"]


def test_a_model_without_private_training_is_refused_in_the_plan():
    with pytest.raises(InputError, match=r"forest.*epsilon inf"):
        demo(epsilons=[1], detectors=["forest"])


def test_models_can_be_kept_to_some_budgets():
    plan = demo(
        epsilons=["inf", 1],
        units=["window", "subject"],
        generators=["moments"],
        detectors=[{"name": "forest", "epsilons": ["inf"]}, {"name": "logistic", "units": ["subject"]}],
        evaluations=[{"name": "real", "cohort": "simulated", "train": "real"}],
    )
    cells = plan.cells[["detector", "unit", "epsilon_detector"]].drop_duplicates()
    # A cell without any budget stands under the first unit, once.
    assert sorted(map(tuple, cells.to_numpy().tolist())) == [
        ("forest", "window", "inf"),
        ("logistic", "subject", "1"),
        ("logistic", "window", "inf"),
    ]


def test_more_folds_than_subjects_is_refused_in_the_plan():
    with pytest.raises(InputError, match="evaluation real, cohort simulated: test loso: folds: 9 asked for"):
        demo(folds=9)


def test_a_hundred_thousand_runs_are_planned_quickly_without_tensorflow():
    code = (
        "import sys, time, yaml; from pathlib import Path\n"
        "from pulseveil.study.checks import make_plan; from pulseveil.study.reading import check_study\n"
        f"values = yaml.safe_load(Path({str(ROOT / 'config' / 'paper.yaml')!r}).read_text())\n"
        "values |= {'seeds': 93}\n"
        "runs = make_plan(check_study(values, 'x')).runs()\n"
        "assert len(runs) > 100_000, len(runs)\n"
        "assert 'tensorflow' not in sys.modules and 'sklearn' not in sys.modules\n"
    )
    started = time.monotonic()
    subprocess.run([sys.executable, "-c", code], check=True)
    # The benchmark measures; this only catches a plan that went quadratic.
    assert time.monotonic() - started < 60


def test_a_job_that_reads_the_plan_again_computes_no_noise():
    # Each job reads the Snakefile: seconds of accounting there are seconds of every job.
    code = (
        "import sys; from pathlib import Path\n"
        "from pulseveil.study import dag; from pulseveil.study.yaml_files import load_yaml\n"
        f"study = Path({str(ROOT / 'config' / 'private.yaml')!r})\n"
        "dag.from_config(load_yaml(study), sources=[str(study)], demo=study)\n"
        "assert 'dp_accounting' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_transfer_trains_on_one_cohort_and_tests_on_the_other():
    cohorts = {name: {"kind": "simulated", "subjects": n} for name, n in (("a", 3), ("b", 4))}
    evaluation = {"name": "moved", "cohort": "a", "test_cohort": "b", "train": "real", "test": "transfer"}
    plan = demo(cohorts=cohorts, evaluations=[evaluation], folds="all")
    (fold,) = plan.detector_folds(plan.detector_packs[0])
    assert fold.train_subjects == ("S1", "S2", "S3")
    assert fold.test_subjects == ("S1", "S2", "S3", "S4")


def test_starting_tensorflow_is_a_small_part_of_the_papers_trainings():
    plan = make_plan(read_study(ROOT / "config" / "paper.yaml"))
    for pack in plan.detector_packs:
        for detector in {"cnn", "cnn_lstm", "transformer"}.intersection(pack.detectors):
            for privacy in plan.privacies(pack, detector):
                task = Task("train_detectors", DetectorCell(detector, privacy), pack)
                assert 0.1 * costs.cost(plan, task).seconds > costs.TENSORFLOW_START
    # Private trainings of generators are short: a few hundred steps.
    (cell,) = [c for c in plan.generator_cells() if c.generator == "cgan" and math.isinf(c.epsilon)]
    for pack in plan.generator_packs():
        assert 0.1 * costs.cost(plan, Task("train_generator", cell, pack)).seconds > costs.TENSORFLOW_START


def test_public_signs_are_refused_in_units_of_which_nothing_is_known():
    with pytest.raises(InputError, match="public_signs: scaling public: no public scales are known"):
        demo(scaling="public", detectors=["public_signs"])


def test_the_rule_of_three_is_refused_without_its_channels():
    with pytest.raises(InputError, match="public_signs_three: statistics: no column 'heart_rate_mean'"):
        demo(channels="published", detectors=["public_signs_three"])


def of_signals(*signals, **keys):
    evaluation = {"name": "real", "cohort": "simulated", "train": "real", "signals": list(signals)}
    return demo(**{"detectors": ["logistic", "public_signs"], "evaluations": [evaluation]} | keys)


def pretrained(**keys):
    cohorts = {
        name: {"kind": "simulated", "subjects": 4, "seed": i} for i, name in enumerate(("own", "others"))
    }
    values = {
        "cohorts": cohorts,
        "public_cohorts": ["others"],
        "detectors": [{"name": "ready", "kind": "cnn", "settings": {"pretrain": "public"}}, "cnn"],
        "evaluations": [{"name": "real", "cohort": "own", "train": "real"}],
        "epsilons": [1],
    }
    return demo(**values | keys)


def test_a_pretrained_network_reads_the_features_of_the_public_cohorts():
    plan = pretrained()
    (pack,) = plan.detector_packs
    jobs = {name: plan.detector_job(pack, name, plan.privacies(pack, name)[0]) for name in pack.detectors}
    assert jobs["ready"].public_cohorts == ("others",)
    assert jobs["cnn"].public_cohorts == ()
    features = [path.split("/features/")[1] for path in tasks.files(plan, "extract_features")]
    assert sorted(features) == ["others/real.h5", "own/real.h5"]


def test_a_pretrained_network_is_refused_without_other_people_and_in_audits():
    with pytest.raises(InputError, match="detectors: ready: pretrain public needs public people"):
        pretrained(public_cohorts=[])
    with pytest.raises(InputError, match="own shares people with cohort own of evaluation real"):
        pretrained(public_cohorts=["own"])
    with pytest.raises(InputError, match="detectors: ready: no audit of a pretrained network is known"):
        pretrained(audit={"evaluation": "real"})


def test_signals_are_an_axis_of_models_and_not_of_rules():
    plan = of_signals("all", "heart_rate", "without_heart_rate+temperature")
    levels = plan.cells.groupby("detector")["signals"].unique().map(list).to_dict()
    every = ["all", "heart_rate", "without_heart_rate+temperature"]
    assert levels == {"logistic": every, "public_signs": ["all"]}
    files = tasks.files(plan, "train_detectors")
    assert len(set(files)) == len(files) == len(plan.cells)
    assert sum("/signals=heart_rate/" in file for file in files) == plan.study.seeds
    # One job per level, so that the levels can be trained side by side.
    assert sum(task.rule == "train_detectors" for task in tasks.tasks(plan)) == 3 + 1


def test_runs_that_read_all_signals_keep_the_streams_that_they_had_without_the_axis():
    for plan in (demo(), of_signals("heart_rate", "all")):
        for pack in plan.detector_packs:
            detector = pack.detectors[0]
            job = plan.detector_job(pack, detector, plan.privacies(pack, detector)[0])
            for keys in job.cells():
                if keys.get("signals") is None:
                    words = [pack.evaluation.name, keys["generator"], detector, "subject", "inf", "inf"]
                    words += [str(keys["subjects"]), "0.0", str(keys["seed"]), "S1"]
                    truth = child(root_stream(plan.study.seed), "detector", *words)
                    assert job.stream(keys, "S1").spawn_key == truth.spawn_key
                else:
                    assert keys["signals"] == "heart_rate"


def test_signals_that_the_channels_or_a_detector_lack_are_refused():
    with pytest.raises(InputError, match=r"evaluations\[0\].signals: 'EDA': no channel 'EDA'"):
        of_signals("EDA")
    with pytest.raises(InputError, match="signals: 'all' is given twice"):
        of_signals("all", "all")
    settings = {"statistics": ["heart_rate_mean"]}
    mean = [{"name": "logistic", "settings": settings}]
    of_signals("heart_rate+activity", detectors=mean)
    with pytest.raises(InputError, match="real: signals activity: detectors: logistic: statistics: no"):
        of_signals("activity", detectors=mean)


def test_private_trainings_are_refused_in_units_of_which_nothing_is_known_and_others_are_not():
    evaluations = [{"name": "real", "cohort": "simulated", "train": "real"}]
    keys = {"scaling": "public", "detectors": ["logistic", "forest"], "evaluations": evaluations}
    demo(**keys)
    private = {"epsilons": [1], "units": ["subject"], "delta": 1e-5, "detectors": ["logistic"]}
    with pytest.raises(InputError, match="detectors: logistic: scaling public"):
        demo(**keys | private)


def test_a_private_training_that_sees_other_windows_is_expected_to_cost_what_these_take():
    evaluations = [{"name": "real", "cohort": "simulated", "train": "real"}]
    networks = [
        {"name": name, "kind": "cnn", "settings": {"private": {"steps": steps}}}
        for name, steps in (("short", 50), ("long", 150))
    ]
    plan = demo(
        evaluations=evaluations,
        detectors=networks,
        epsilons=[float("inf"), 1],
        delta=1e-5,
        units=["subject", "window"],
    )
    (pack,) = plan.detector_packs

    def seconds(detector, epsilon, unit="window"):
        cell = next(p for p in plan.privacies(pack, detector) if p[::2] == (unit, epsilon))
        task = Task("train_detectors", DetectorCell(detector, cell), pack)
        return costs.cost(plan, task).seconds - costs.TENSORFLOW_START

    assert seconds("long", 1) == pytest.approx(3 * seconds("short", 1))
    assert seconds("long", math.inf, "subject") == seconds("short", math.inf, "subject")
    # All windows in each step, instead of the published 10 passes.
    expected = 5 * CNN.price["subject"] * seconds("short", math.inf, "subject")
    assert seconds("short", 1, "subject") == pytest.approx(expected)


def test_the_longest_time_limit_is_that_of_the_longest_job():
    plan = demo()
    assert costs.longest_limit_minutes(plan) == plan.study.resources.runtime
    longer = demo(generators=[{"name": "cgan", "settings": {"steps": 400_000}}, "moments"])
    (pack,) = longer.generator_packs()
    trained = [Task("train_generator", cell, pack) for cell in longer.generator_cells()]
    seconds = [costs.cost(longer, task).seconds for task in trained]
    assert costs.longest_limit_minutes(longer) == round(3 * max(seconds) / 60) > 60
    faster = demo(
        generators=[{"name": "cgan", "settings": {"steps": 400_000}}, "moments"],
        resources={"gpu": 1, "gpu_speedup": 4, "runtime": 1},
    )
    assert costs.longest_limit_minutes(faster) == round(3 * max(seconds) / 60 / 4)


def test_the_papers_cells_are_all_published_cells():
    plan = make_plan(read_study(ROOT / "config" / "paper.yaml"))
    published = read_published(ROOT / "config" / "published.csv")
    scenarios = {e.name: e.published for e in plan.study.evaluations}
    cells = pd.concat([plan.cells, plan.shared_cells], ignore_index=True)
    cells["scenario"] = cells["evaluation"].map(scenarios)
    real = cells["generator"] == "none"
    cells.loc[real, "epsilon_generator"] = "inf"
    keys = ["scenario", "generator", "detector", "epsilon_generator", "epsilon_detector", "subjects", "noise"]
    for name in ("epsilon_generator", "epsilon_detector", "noise"):
        cells[name] = cells[name].astype(float)
    found = published.merge(cells[keys].drop_duplicates(), on=keys)
    assert len(found) == len(published) == 184


def test_equal_pairs_of_budgets_in_one_unit():
    pairs = [(math.inf, math.inf), (10.0, 10.0), (1.0, 1.0)]
    budgets = ["inf", 10, 1]
    evaluation = {
        "name": "both",
        "cohort": "simulated",
        "train": "real+synthetic",
        "epsilon_generator": budgets,
        "epsilon_detector": budgets,
        "epsilon_pairs": "equal",
        "units": ["window"],
    }
    keys = {"delta": 1e-5, "units": ["subject", "window"], "generators": ["moments"]}
    plan = demo(evaluations=[evaluation], detectors=["logistic"], **keys)
    (pack,) = plan.detector_packs
    found = plan.privacies(pack, "logistic")
    assert [(p.epsilon_generator, p.epsilon_detector) for p in found] == pairs
    assert {p.unit for p in found if p.is_private} == {"window"}
    with pytest.raises(InputError, match=r"evaluations\[0\].units"):
        demo(evaluations=[evaluation], detectors=["logistic"], **keys | {"units": ["subject"]})
