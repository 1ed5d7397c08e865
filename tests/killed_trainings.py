"""Trainings in processes of their own that are killed: at a line of the code, or after a time.

    python -m tests.killed_trainings < requests

A line of JSON is a request: {"study": {...}, "folder": ..., "line": [file, number, which], "after_s":
seconds, "machine": name, "traced": true}; what follows the folder may be left out. A start trains what is
left to train of the study's generator in its folder, and a line of JSON says how it ended. One that is traced
leaves lines.json there: how often each watched line ran. One that is refused leaves refused.txt.
"""

import json
import os
import signal
import sys
import time
from collections import Counter
from contextlib import chdir
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from pulseveil.core.contracts import WindowSet
from pulseveil.core.errors import InputError
from pulseveil.runs.generators import train_generators
from pulseveil.runs.run_store import Journal, RunStore
from pulseveil.study.checks import make_plan
from pulseveil.study.reading import check_study

# Where files of a private training are made, changed and removed.
WATCHED = (
    "core/atomic.py",
    "core/checkpoints.py",
    "runs/generators.py",
    "core/locks.py",
    "privacy/noise.py",
    "privacy/resume.py",
    "privacy/releases.py",
    "runs/run_store.py",
    "runs/training.py",
    "core/store.py",
)


def windows():
    """Windows of three people, ten each."""
    n, rng = 30, np.random.default_rng(0)
    code = np.tile(np.arange(10) >= 7, 3)
    return WindowSet(
        (rng.normal(size=(n, 20, 6)) + 1.5 * code[:, None, None]).astype(np.float32),
        code.astype(np.int8),
        code,
        np.zeros(n, bool),
        np.repeat(["S1", "S2", "S3"], 10),
        np.tile(np.arange(10), 3) * 60.0,
        ("bvp", "eda", "acc_x", "acc_y", "acc_z", "temp"),
        1.0,
        60.0,
        60.0,
        "calibration",
        "sound",
    )


def train(study):
    """Train the study's generator in the working directory, as scripts/train_generator.py does."""
    plan = make_plan(check_study(study, "test"))
    job = plan.generator_job(plan.generator_cells()[0], (0,))
    for _ in train_generators(job, windows(), RunStore(Path("runs")), Journal(Path("journal.jsonl"))):
        pass


def watched(frame):
    """The file and line of a frame in the watched files; None in others."""
    _, found, file = frame.f_code.co_filename.partition("/pulseveil/")
    return (file, frame.f_lineno) if found and file in WATCHED else None


def traced(seen, line):
    """A trace function that counts lines into `seen` and kills the process before the given one."""

    def trace(frame, event, _):
        place = watched(frame)
        if place is None:
            return None
        if event == "line":
            seen[place] += 1
            if line is not None and [*place, seen[place]] == line:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace

    return trace


def child(start):
    """A start in this process, which it ends."""
    folder = Path(start["folder"])
    folder.mkdir(parents=True, exist_ok=True)
    os.chdir(folder)
    os.environ["MACHINE"] = start.get("machine", "")
    seen = Counter()
    try:
        if "line" in start or "traced" in start:
            sys.settrace(traced(seen, start.get("line")))
        train(start["study"])
        sys.settrace(None)
        Path("lines.json").write_text(json.dumps([[*place, count] for place, count in seen.items()]))
        code = 0
    except InputError as error:
        Path("refused.txt").write_text(str(error))
        code = 2
    except BaseException:
        sys.excepthook(*sys.exc_info())
        code = 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


@cache
def load(study):
    """Import and compute once what each start would, without starting TensorFlow's threads."""
    values = json.loads(study)
    if any(generator["name"] == "walk" for generator in values["generators"]):
        with TemporaryDirectory() as folder, chdir(folder):
            train(values)
    else:
        from pulseveil.generators.autoencoder import training  # noqa: F401


def main():
    for line in sys.stdin:
        start = json.loads(line)
        load(json.dumps(start["study"]))
        began = time.monotonic()
        process = os.fork()
        if process == 0:
            child(start)
        if "after_s" in start:
            time.sleep(start["after_s"])
            # Without effect where it has ended by itself: it is waited for below.
            os.kill(process, signal.SIGKILL)
        code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        print(json.dumps({"code": code, "seconds": time.monotonic() - began}), flush=True)


if __name__ == "__main__":
    main()
