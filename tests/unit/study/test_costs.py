import math
from pathlib import Path

import numpy as np
import pytest
import yaml

from pulseveil.core.contracts import PUBLISHED_CHANNELS, WindowSet
from pulseveil.detectors.neural import CNN, CNNLSTM
from pulseveil.study import costs
from pulseveil.study.checks import make_plan
from pulseveil.study.reading import check_study, read_study
from pulseveil.study.resources import Energy
from pulseveil.study.tasks import benchmark, tasks
from pulseveil.windows.features import extract_features, spectrum_bins

ROOT = Path(__file__).resolve().parents[3]
EVALUATION = {"name": "real", "cohort": "simulated", "train": "real"}


def demo(**keys):
    values = yaml.safe_load((ROOT / "tests" / "study.yaml").read_text())
    return make_plan(check_study(values | keys, "demo.yaml"))


def detector(plan, name):
    (task,) = [task for task in tasks(plan) if task.rule == "train_detectors" and task.model == name]
    return costs.cost(plan, task).seconds


@pytest.mark.parametrize(
    ("protocol", "window_s"),
    [("paper", 60), ("paper", 90), ("sound", 60), ("sound", 61), ("sound", 30), ("sound", 10)],
)
def test_planned_bins_are_those_of_features(protocol, window_s):
    n = 2
    windows = WindowSet(
        windows=np.zeros((n, window_s, 6), dtype=np.float32),
        condition=np.zeros(n, dtype=np.int8),
        stress=np.zeros(n, dtype=bool),
        calibration=np.zeros(n, dtype=bool),
        subject=np.array(["S1", "S1"]),
        start_s=np.arange(n, dtype=np.float64),
        channels=PUBLISHED_CHANNELS,
        rate_hz=1.0,
        window_s=window_s,
        stride_s=window_s,
        scaling="calibration",
        protocol=protocol,
    )
    features = extract_features(windows, protocol=protocol, pairing="published").features
    assert spectrum_bins(protocol, window_s) == features.shape[2]


@pytest.mark.parametrize(
    # What 16 bins take of the time of 210, without and with a budget (tests/benchmarks/private.py --bins).
    ("network", "measured"),
    [("cnn", (0.086, 0.126)), ("cnn_lstm", (0.130, 0.187)), ("transformer", (0.312, 0.375))],
)
def test_a_network_costs_by_the_bins_that_it_reads(network, measured):
    keys = {"evaluations": [EVALUATION], "generators": [], "detectors": [network, "logistic"]}
    few, many = demo(**keys), demo(**keys, protocol="paper")
    shares = [detector(plan, network) - costs.TENSORFLOW_START for plan in (few, many)]
    assert measured[0] < shares[0] / shares[1] < measured[1]
    assert detector(few, "logistic") == detector(many, "logistic")


def test_every_run_of_a_pretrained_network_counts_its_epochs_on_the_public_people():
    """The networks of `config/private-networks.yaml`, beside themselves with `pretrain: public`."""
    values = yaml.safe_load((ROOT / "config" / "private-networks.yaml").read_text())
    del values[".small"]
    (small,) = [d for d in values["detectors"] if isinstance(d, dict) and d["name"] == "small_cnn"]
    networks = {
        "cnn": {},
        "cnn_lstm": {},
        "small_cnn": small["settings"],
    }
    kinds = {name: name.removeprefix("small_") for name in networks}
    people, subjects = 5, 7
    cohorts = {
        "wesad": {"kind": "simulated", "subjects": subjects, "seed": 0},
        "others": {"kind": "simulated", "subjects": people, "seed": 1},
    }
    changed = {
        "cohorts": cohorts,
        "public_cohorts": ["others"],
        "generators": [],
        "detectors": [
            {"name": f"{start}_{name}", "kind": kinds[name], "settings": settings | more}
            for name, settings in networks.items()
            for start, more in (("fresh", {}), ("ready", {"pretrain": "public"}))
        ],
        "evaluations": [evaluation for evaluation in values["evaluations"] if evaluation["train"] == "real"],
        "epsilons": ["inf", 1],
        "units": ["subject"],
    }
    plan = make_plan(check_study(values | changed, "private-networks.yaml"))
    planned = [(task, costs.cost(plan, task)) for task in tasks(plan) if task.rule == "train_detectors"]
    for name in networks:
        fresh, ready = (
            {task.cell.budgets.epsilon_detector: one for task, one in planned if task.model == model}
            for model in (f"fresh_{name}", f"ready_{name}")
        )
        kind = {"cnn": CNN, "cnn_lstm": CNNLSTM}[kinds[name]]
        epochs, runs = kind.Settings.model_fields["epochs"].default, values["seeds"] * subjects
        bins = spectrum_bins("sound", 60) / spectrum_bins("paper", 60)
        of_window = kind.seconds_per_window * (kind.share_without_bins + (1 - kind.share_without_bins) * bins)
        for epsilon in (math.inf, 1.0):
            more = ready[epsilon].seconds - fresh[epsilon].seconds
            assert more == pytest.approx(runs * epochs * people * costs.WINDOWS_PER_SUBJECT * of_window)


def test_a_rule_from_published_times_costs_nothing_to_fit():
    rules = [
        {"name": "learnt", "kind": "elapsed_time"},
        {"name": "known", "kind": "elapsed_time", "settings": {"source": "simulated"}},
    ]
    plan = demo(evaluations=[EVALUATION], generators=[], detectors=rules)
    assert detector(plan, "known") < costs.PYTHON_START + 0.1 < detector(plan, "learnt")


def test_hours_on_a_gpu_are_those_of_its_jobs_by_the_guess():
    plan = make_plan(read_study(ROOT / "config" / "paper.yaml"))
    lines = {line.stage: line for line in costs.lines(plan)}
    real = [task for task in tasks(plan) if costs.stage(task) == "detectors: real"]
    networks = [task for task in real if costs.cost(plan, task).gpu]
    assert {task.model for task in networks} == {"cnn", "cnn_lstm", "transformer"}
    assert lines["detectors: real"].gpu_jobs == len(networks)
    assert lines["detectors: real"].gpu_hours == pytest.approx(
        sum(costs.cost(plan, task).seconds for task in networks) / 3600 / 20
    )
    printed = costs.describe(plan)
    assert "the GPU jobs on a GPU that trains\n20 times faster" in printed
    total = next(line for line in printed.splitlines() if line.startswith("all ")).split()
    hours = [sum(getattr(line, name) for line in lines.values()) for name in ("cpu_hours", "gpu_hours")]
    assert [total[4], total[6]] == [f"{value:.2f}" for value in hours]


def test_energy_of_the_paper_by_its_watts():
    """Jobs of networks on a GPU that is 20 times faster than a core, others on a core."""
    values = yaml.safe_load((ROOT / "config" / "paper.yaml").read_text())
    energy = {"watts_per_core": 11, "watts_per_gpu": 350, "carbon": 250}
    plan = make_plan(check_study(values | {"energy": energy}, "paper.yaml"))
    joules = 0.0
    for task in tasks(plan):
        job = costs.cost(plan, task)
        joules += job.seconds / 20 * (11 + 350) if job.gpu else job.seconds * 11
    kilowatt_hours = joules / 3.6e6
    assert sum(line.kilowatt_hours for line in costs.lines(plan)) == pytest.approx(kilowatt_hours)
    line = next(line for line in costs.describe(plan).splitlines() if line.startswith("energy: "))
    assert line == (
        f"energy: {kilowatt_hours:.3g} kWh at 11 W per core and 350 W per GPU, "
        f"{kilowatt_hours / 4:.3g} kg CO2e at 250 g per kWh (energy.carbon)."
    )


def test_an_hour_of_a_kilowatt_is_a_kilowatt_hour():
    assert Energy(watts_per_core=1000).kilowatt_hours(3600, 0) == 1
    assert Energy(watts_per_gpu=500).kilowatt_hours(0, 3600) == 0.5
    assert Energy(carbon=380).co2e_kilograms(10) == pytest.approx(3.8)


def test_time_limits_have_the_margin_that_the_plan_states():
    plan = demo(resources={"gpu": 1, "gpu_speedup": 4, "runtime": 7})
    assert costs.limit_minutes(plan, 60, gpu=0) == 7
    hour = 3600
    assert costs.limit_minutes(plan, hour, gpu=0) == 60 * 3
    assert costs.limit_minutes(plan, hour, gpu=1) == 15 * 3
    printed = costs.describe(plan)
    assert "time limit of a job: 3 times its hours, at least 7 minutes" in printed
    assert f"the longest: {costs.longest_limit_minutes(plan)} minutes" in printed


def test_released_windows_add_records_to_the_steps_of_a_private_network_and_no_steps():
    settings, bins = CNN.Settings(), spectrum_bins("paper", 60)
    for unit in ("window", "subject"):
        alone = costs.training_seconds(CNN, settings, 500, 0, unit, bins)
        assert costs.training_seconds(CNN, settings, 500, 250, unit, bins) == pytest.approx(1.5 * alone)


def test_a_study_without_gpus_says_nothing_of_their_speed():
    assert "guess" not in costs.describe(demo())
    assert all(line.gpu_jobs == line.gpu_hours == 0 for line in costs.lines(demo()))


def test_lines_hold_every_job_once():
    plan = demo()
    jobs = list(tasks(plan))
    assert len({benchmark(plan, task) for task in jobs}) == len(jobs)
    assert sum(line.jobs for line in costs.lines(plan)) == len(jobs)
    # 2 generators, 3 evaluations of 2 models, each one job, and 2 rules, which all evaluations share; 2 files
    # of windows, 1 of features, 1 summary.
    assert len(jobs) == 2 * 4 + 3 * 2 + 2 + 3 + 1
    assert sum(line.runs for line in costs.lines(plan)) == 2 * 3 * 2 + len(plan.runs())
