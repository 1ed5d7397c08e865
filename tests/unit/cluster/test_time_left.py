"""Progress of a run: the time that is left, and how often it is told."""

import io
import logging
import math

import pytest

from pulseveil.cluster.progress import Progress, State, is_other_news


def event(**values):
    """An event of Snakemake, as its logger passes it to handlers."""
    return logging.makeLogRecord({"msg": "", **values})


class Clock:
    """A clock that stands until it is set."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def progress(clock, expected, cores=1):
    stream = io.StringIO()
    return Progress("light", expected, cores, stream, clock=clock), stream


@pytest.mark.parametrize(("speed", "cores"), [(1.0, 1), (0.25, 1), (1.0, 4), (3.0, 2), (1.0, 2)])
def test_the_time_left_lies_between_that_of_the_plan_and_the_true_one_and_comes_to_the_true_one(speed, cores):
    clock = Clock()
    # Eight jobs of 100 planned seconds; `cores` of them run at once, at `speed` times the planned speed.
    found, _ = progress(clock, dict.fromkeys(range(8), 100.0), cores)
    before = math.inf
    for first in range(0, 8, cores):
        for number in range(first, first + cores):
            found.emit(event(event="job_info", jobid=number))
        clock.now += 100.0 / speed
        for number in range(first, first + cores):
            found.emit(event(event="job_finished", job_id=number))
        planned = (8 - first - cores) / cores * 100.0
        true, left = planned / speed, found.state().left
        assert min(planned, true) - 1e-9 <= left <= max(planned, true) + 1e-9
        if true:
            distance = abs(left / true - 1)
            assert distance <= before
            before = distance
    assert left == 0.0


def test_at_the_beginning_the_plan_tells_the_time():
    assert State(0, 4, 0.0, 120.0, 0.0, 0.0, 2).left == 60.0
    # A first job of 1 planned second that took 60 s.
    assert 60.0 < State(1, 4, 1.0, 121.0, 0.0, 60.0, 2).left < 60.0 * 5


def test_a_running_job_counts_as_its_seconds_and_at_most_as_its_plan():
    clock = Clock()
    found, _ = progress(clock, {1: 50.0, 2: 80.0})
    found.emit(event(event="job_info", jobid=1))
    found.emit(event(event="job_info", jobid=2))
    clock.now = 60.0
    assert found.state().running == 50.0 + 60.0
    found.emit(event(event="job_error", jobid=2))
    assert found.state().running == 50.0


def test_without_a_terminal_a_line_is_told_once_per_minute():
    clock = Clock()
    found, stream = progress(clock, dict.fromkeys(range(100), 10.0))
    for number in range(100):
        clock.now += 7.0
        found.emit(event(event="job_finished", job_id=number))
    lines = stream.getvalue().splitlines()
    # 700 s; a line at the first job that ends 60 s or more after the line before: each 9 jobs of 7 s.
    assert len(lines) == 700 // 63
    assert lines[0] == "study light: 9 of 100 jobs, 1.5 of 16.7 CPU minutes of the plan, about 13 min left"


def test_jobs_that_are_no_tasks_are_not_counted():
    found, _ = progress(Clock(), {1: 1.0})
    found.emit(event(event="job_info", jobid=0))
    found.emit(event(event="job_finished", job_id=0))
    assert (found.state().jobs, found.state().of_jobs) == (0, 1)


def test_news_other_than_of_single_jobs_stay():
    assert not is_other_news(event(event="job_finished"))
    assert not is_other_news(event(msg="Select jobs to execute..."))
    assert not is_other_news(event(msg="Execute 3 jobs..."))
    assert is_other_news(event(msg="Building DAG of jobs..."))
    assert is_other_news(event(event="job_error"))


def test_the_part_of_a_running_job_that_is_over_is_no_time_left():
    clock = Clock()
    found, _ = progress(clock, dict.fromkeys(range(3), 100.0))
    found.emit(event(event="job_info", jobid=0))
    clock.now = 100.0
    found.emit(event(event="job_finished", job_id=0))
    found.emit(event(event="job_info", jobid=1))
    clock.now = 150.0
    # Half of the running job and one whole job, as fast as the plan says.
    assert found.state().left == pytest.approx(150.0)
