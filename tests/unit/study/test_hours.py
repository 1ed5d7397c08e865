import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from snakemake import benchmark

from pulseveil.core.errors import InputError
from pulseveil.study import costs, hours, tasks
from pulseveil.study.checks import make_plan
from pulseveil.study.reading import check_study

ROOT = Path(__file__).resolve().parents[3]
HEADER = "s\th:m:s\tmax_rss\tmax_vms\tmax_uss\tmax_pss\tio_in\tio_out\tmean_load\tcpu_time\n"
BUSY = """
import time
while time.process_time() < 2.0:
    pass
print(time.process_time())
"""


@pytest.fixture(scope="module")
def plan():
    return make_plan(check_study(yaml.safe_load((ROOT / "tests" / "study.yaml").read_text()), "demo.yaml"))


def write(path, *rows):
    """A benchmark file with (s, cpu_time) of each try."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [f"{wall}\t0:00:00\t1\t1\t1\t1\t0\t0\t90\t{cpu}\n" for wall, cpu in rows]
    path.write_text(HEADER + "".join(lines))


def write_all(plan, folder, factor):
    """Benchmark files of jobs that each took `factor` times what was expected, at half a core."""
    for task in tasks.tasks(plan):
        seconds = factor * costs.cost(plan, task).seconds
        row = (2 * seconds, seconds * hours.last_look(2 * seconds) / (2 * seconds))
        write(folder / tasks.benchmark(plan, task), row)


def first(plan, rule, model):
    return next(task for task in tasks.tasks(plan) if (task.rule, task.model) == (rule, model))


def test_the_time_of_a_job_is_what_its_own_clock_says(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", BUSY], stdout=subprocess.PIPE, text=True)
    with benchmark.benchmarked(process.pid) as record:
        printed, _ = process.communicate()
    path = tmp_path / "job.tsv"
    benchmark.write_benchmark_records([record], str(path), False)
    assert path.read_text().startswith(HEADER)
    # Nobody looks in the last half second, and on a busy machine looks come late.
    assert hours.measured(path).cpu_s == pytest.approx(float(printed), abs=0.7)


def test_the_last_look_is_that_of_snakemakes_timer():
    looks, pause = [0.0], 0
    while looks[-1] < 200:
        pause += 1
        short = pause <= benchmark.BENCHMARK_INTERVAL
        step = benchmark.BENCHMARK_INTERVAL_SHORT if short else benchmark.BENCHMARK_INTERVAL
        looks.append(looks[-1] + step)
    for wall in (0.2, 0.5, 0.9, 7.3, 14.9, 15.0, 15.2, 44.0, 46.0, 170.0):
        assert hours.last_look(wall) == max(look for look in looks if look <= wall)


@pytest.mark.parametrize(
    ("wall", "cpu", "expected"),
    [
        ("0.40", "0.00", 0.4),  # ended before a second look: one busy core
        ("0.40", "NA", 0.4),
        ("9.00", "-", 9.0),
        ("2.00", "1.00", 1.0),
        ("30.00", "15.00", 30.0),  # seen for 15 s
        ("90.00", "37.50", 45.0),  # seen for 75 s
    ],
)
def test_what_was_not_seen_goes_on_as_before(tmp_path, wall, cpu, expected):
    write(tmp_path / "job.tsv", (wall, cpu))
    assert hours.measured(tmp_path / "job.tsv").cpu_s == pytest.approx(expected)


def test_a_file_of_another_kind_is_named(tmp_path):
    (tmp_path / "job.tsv").write_text("seconds\n1\n")
    with pytest.raises(InputError, match=r"job\.tsv: expected Snakemake's columns"):
        hours.measured(tmp_path / "job.tsv")


def test_ratios_are_measured_hours_to_planned_ones(plan, tmp_path):
    write_all(plan, tmp_path, 1.5)
    table = hours.hours(plan, tmp_path, [])
    assert table["ratio"].to_numpy() == pytest.approx(1.5)
    assert table["expected_hours"].sum() == pytest.approx(sum(line.cpu_hours for line in costs.lines(plan)))
    assert table["jobs"].sum() == table["measured_jobs"].sum() == sum(1 for _ in tasks.tasks(plan))
    assert "All jobs were measured" in hours.describe(plan, table)


def test_jobs_without_a_file_are_left_out_of_the_ratio_and_counted(plan, tmp_path):
    write_all(plan, tmp_path, 0.5)
    removed = list((tmp_path / "benchmarks" / "demo" / "train_detectors").rglob("cnn.*.tsv"))
    for path in removed:
        path.unlink()
    table = hours.hours(plan, tmp_path, [])
    networks = table[(table["rule"] == "train_detectors") & (table["model"] == "cnn")]
    assert networks[["measured_hours", "ratio"]].isna().all(axis=None)
    assert hours.describe(plan, table).splitlines()[-4].split()[-1] == "0.50"
    assert f"{len(removed)} of {table['jobs'].sum()} jobs have no benchmark file" in hours.describe(
        plan, table
    )


def test_trained_hours_are_those_of_all_parts_of_an_interrupted_job(plan, tmp_path):
    """The job's last part had one training of half an hour; the benchmark file knows of no other."""
    write(tmp_path / tasks.benchmark(plan, first(plan, "train_detectors", "cnn")), (1800, 1800))
    keys = {"stage": "detector", "evaluation": "real", "detector": "cnn"}
    trainings = [{**keys, "seconds": 5400.0}, {**keys, "seconds": 1800.0}]
    trainings += [{"stage": "generator", "generator": "cgan", "seconds": 36.0}]
    table = hours.hours(plan, tmp_path, trainings)
    trained = table.set_index(["stage", "rule", "model"])["trained_hours"].dropna()
    assert trained.to_dict() == {
        ("detectors: real", "train_detectors", "cnn"): pytest.approx(2.0),
        ("train generators", "train_generator", "cgan"): pytest.approx(0.01),
    }
    assert table["measured_hours"].sum() < 0.6
    assert "those of interrupted jobs too: 2.01 hours" in hours.describe(plan, table)


@pytest.mark.parametrize(
    "line",
    [
        "no training",
        {"stage": "detector", "seconds": 1.0},
        {"stage": "generator", "generator": "cgan", "seconds": "long"},
    ],
)
def test_a_line_of_the_journal_without_the_keys_of_a_training_is_named(plan, tmp_path, line):
    with pytest.raises(InputError, match=r"journal\.jsonl: expected the keys of a training"):
        hours.hours(plan, tmp_path, [line])


def test_a_study_that_has_not_run_has_planned_hours_only(plan, tmp_path):
    table = hours.hours(plan, tmp_path, [])
    assert table["measured_jobs"].sum() == 0
    assert "20 of 20 jobs have no benchmark file" in hours.describe(plan, table)


def test_used_energy_is_that_of_cores_by_their_work_and_of_gpus_from_start_to_end(tmp_path):
    """Each job was busy for half of its time; the study runs its networks on GPUs."""
    keys = {"resources": {"gpu": 1}, "energy": {"watts_per_core": 12, "watts_per_gpu": 300, "carbon": 400}}
    values = yaml.safe_load((ROOT / "tests" / "study.yaml").read_text())
    plan = make_plan(check_study(values | keys, "demo.yaml"))
    write_all(plan, tmp_path, 1.0)
    joules = {True: 0.0, False: 0.0}
    for task in tasks.tasks(plan):
        expected = costs.cost(plan, task)
        joules[expected.gpu] += expected.seconds * 12 + (2 * expected.seconds * 300 if expected.gpu else 0)
    table = hours.hours(plan, tmp_path, [])
    of_networks = table["model"].isin(["cnn", "cgan"]) & table["rule"].str.startswith("train")
    assert joules[True] > 0
    assert table.loc[of_networks, "measured_kwh"].sum() == pytest.approx(joules[True] / 3.6e6)
    assert table.loc[~of_networks, "measured_kwh"].sum() == pytest.approx(joules[False] / 3.6e6)
    assert table["measured_co2e_kg"].sum() == pytest.approx(sum(joules.values()) / 3.6e6 * 0.4)
    # The plan's GPU is as fast as a core: it is busy for the expected seconds.
    planned = sum(
        costs.cost(plan, task).seconds * (312 if costs.cost(plan, task).gpu else 12)
        for task in tasks.tasks(plan)
    )
    assert table["expected_kwh"].sum() == pytest.approx(planned / 3.6e6)
    last = hours.describe(plan, table).splitlines()[-1]
    assert "at 12 W per core and 300 W per GPU, " in last
    assert "kg CO2e at 400 g per kWh" in last


def test_without_the_grids_carbon_no_co2e_is_told(plan, tmp_path):
    write_all(plan, tmp_path, 1.0)
    table = hours.hours(plan, tmp_path, [])
    assert table["measured_co2e_kg"].isna().all()
    assert "CO2e" not in hours.describe(plan, table) + costs.describe(plan)


def test_the_script_prints_both(plan, tmp_path):
    write_all(plan, tmp_path, 2.0)
    command = [sys.executable, ROOT / "scripts" / "plan.py", ROOT / "tests" / "study.yaml", "--measured"]
    done = subprocess.run(
        [*command, "--directory", tmp_path], capture_output=True, text=True, check=True, cwd=ROOT
    )
    rows = [line for line in done.stdout.splitlines() if line.startswith("all ")]
    assert rows[0].split()[1] == "20"
    assert rows[0].split()[-1] == "2.00"
