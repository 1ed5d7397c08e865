"""Private trainings that are killed: what is left at each point ends, at the next start, in a right model.

Nothing is mocked: `tests.killed_trainings` forks a process for each start and ends it by SIGKILL.
"""

import json
import os
import random
import shlex
import subprocess
import sys
import time
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest

from pulseveil.core import store
from pulseveil.privacy import ledger
from pulseveil.privacy.resume import BLOCK_STEPS
from tests import noised_walk
from tests.noised_walk import NOTES, STEPS, WAIT

ROOT = Path(__file__).resolve().parents[3]
KILLED = -9
WALK = {
    "name": "walks",
    "seed": 1,
    "protocol": "sound",
    "cohorts": {"simulated": {"kind": "simulated", "subjects": 3}},
    "generators": [{"name": "walk"}],
    "detectors": ["logistic"],
    "epsilons": [8],
    "seeds": 1,
    "folds": 1,
    "evaluations": [{"name": "tstr", "cohort": "simulated", "train": "synthetic"}],
}
REPRODUCIBLE = WALK | {"privacy_noise": "reproducible"}


class Trainer:
    """A process that forks another one for each training."""

    def __init__(self, site):
        known = [str(site), str(ROOT), os.environ.get("PYTHONPATH", "")]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.killed_trainings"],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, known))},
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def begin(self, folder, study=WALK, **start):
        self.process.stdin.write(json.dumps({"study": study, "folder": str(folder), **start}) + "\n")
        self.process.stdin.flush()

    def end(self):
        """How the training that was begun first has ended."""
        return json.loads(self.process.stdout.readline())

    def run(self, folder, study=WALK, **start):
        """The exit code of a training."""
        self.begin(folder, study, **start)
        return self.end()["code"]


@pytest.fixture(scope="module")
def trainers(tmp_path_factory):
    """Two of them, to which `walk` is a kind of generator."""
    site = tmp_path_factory.mktemp("walk") / "site"
    noised_walk.install(site)
    started = [Trainer(site) for _ in range(2)]
    yield started
    for trainer in started:
        trainer.process.stdin.close()
        assert trainer.process.wait(timeout=60) == 0


@pytest.fixture(scope="module")
def trainer(trainers):
    return trainers[0]


def model(folder):
    """The arrays and the ledger's entry of the one model in `folder`."""
    (path,) = (folder / "runs").rglob("*.h5")
    found = store.read_models(path)
    (arrays,), (entries,) = found.arrays.values(), found.ledgers.values()
    (entry,) = (ledger.from_json(str(text)) for text in entries)
    return arrays, entry


def noised(folder):
    """{release: {(fingerprint, attempt, step): states that met that noise}} of all steps that ever ran."""
    met = defaultdict(lambda: defaultdict(set))
    for line in (folder / NOTES).read_text().splitlines():
        release, *path, state = line.split()
        met[release][tuple(path)].add(state)
    return met


def require_right(folder):
    """A model, its noise booked and met by one state each, and nothing left over."""
    require_finished(folder)
    _, entry = model(folder)
    found = noised(folder)
    assert len(found[entry.inputs["release"]]) <= STEPS
    assert all(len(states) == 1 for paths in found.values() for states in paths.values())


def require_finished(folder):
    """A model whose ledger has all steps, no key, no state, and no half-written file."""
    _, entry = model(folder)
    assert entry.steps_noised == entry.steps_accounted == STEPS
    left = [path for path in (folder / "runs").rglob("*") if path.is_file() and path.suffix != ".h5"]
    assert [path.name for path in left if path.name != "lock"] == []
    assert not [path for path in (folder / "runs").rglob(".*") if path.is_file()]


def lines(trainer, folder, study=WALK):
    """(file, line, count) of each watched line that a whole training runs."""
    assert trainer.run(folder, study, traced=True) == 0
    require_right(folder)
    return json.loads((folder / "lines.json").read_text())


def killed_at(trainer, places, folder, study=WALK):
    """Folders of trainings, each killed before the nth run of a line and started again."""
    folders = [folder / str(i) for i in range(len(places))]
    for own, place in zip(folders, places, strict=True):
        assert trainer.run(own, study, line=place) == KILLED, place
        assert trainer.run(own, study) == 0, place
    return folders


def require_all_replayed(folder):
    """On the same machine nothing is lost: each step of the release was noised once, or replayed."""
    require_right(folder)
    _, entry = model(folder)
    assert len(noised(folder)[entry.inputs["release"]]) == STEPS


def test_a_training_killed_around_a_change_of_its_files_ends_in_a_right_model(trainer, tmp_path):
    """Before the last run of each line that handles keys, states and models."""
    files = {"core/atomic.py", "core/checkpoints.py", "core/locks.py", "privacy/noise.py"}
    files |= {"privacy/releases.py", "runs/run_store.py"}
    places = [place for place in lines(trainer, tmp_path / "whole") if place[0] in files]
    assert len(places) > 80
    for folder in killed_at(trainer, places, tmp_path):
        require_all_replayed(folder)


@pytest.mark.slow
def test_a_training_killed_before_any_line_ends_in_a_right_model(trainer, tmp_path):
    """Before the first, the middle and the last run of each line."""
    ran = lines(trainer, tmp_path / "whole")
    places = [[file, line, n] for file, line, count in ran for n in {1, count // 2 + 1, count}]
    assert len(places) > 400
    for folder in killed_at(trainer, places, tmp_path):
        require_all_replayed(folder)


def test_with_reproducible_noise_it_ends_in_the_model_of_an_unbroken_training(trainer, tmp_path):
    ran = lines(trainer, tmp_path / "unbroken", REPRODUCIBLE)
    unbroken, _ = model(tmp_path / "unbroken")
    places = [
        [file, n, count // 2 + 1]
        for file, n, count in ran
        if file in {"core/checkpoints.py", "core/atomic.py"}
    ]
    for folder in killed_at(trainer, places, tmp_path, REPRODUCIBLE):
        require_all_replayed(folder)
        np.testing.assert_array_equal(model(folder)[0]["place"], unbroken["place"])


@pytest.fixture
def broken(trainer, tmp_path):
    """A folder with a training that was killed after its second stored state, in the third block."""
    assert trainer.run(tmp_path, line=kill_in_block(3)) == KILLED
    return tmp_path


def kill_in_block(number):
    """The start of the call that would store the state of that block."""
    source = (ROOT / "workflow" / "pulseveil" / "core" / "checkpoints.py").read_text().splitlines()
    asking = "stopping = self.stop_requested()"
    line = next(i for i, text in enumerate(source, start=1) if text.strip() == asking)
    return ["core/checkpoints.py", line, number]


def only(folder, pattern):
    (path,) = (folder / "runs").rglob(pattern)
    return path


def test_on_another_machine_lost_steps_stay_booked(trainer, broken):
    assert trainer.run(broken, machine="another") == 0
    require_right(broken)
    (release,) = noised(broken)
    attempts = {attempt for _, attempt, _ in noised(broken)[release]}
    assert len(attempts) == 2
    steps = len(noised(broken)[release])
    assert steps == 3 * BLOCK_STEPS + (STEPS - 2 * BLOCK_STEPS - BLOCK_STEPS)


def test_from_machine_to_machine_no_noise_comes_twice_and_all_is_booked(trainer, broken):
    for name in ("a", "b", "a", ""):
        trainer.run(broken, machine=name, line=kill_in_block(1))
    assert trainer.run(broken, machine="b") == 0
    require_right(broken)


def put_back(folder, saved):
    for path, content in saved.items():
        path.write_bytes(content)


def test_a_state_that_was_put_back_meets_no_noise_of_later_ones(trainer, broken):
    """A backup is restored, the key too, after the training had gone on elsewhere from another state."""
    saved = {path: path.read_bytes() for path in (broken / "runs").rglob("*.npz*")}
    older = only(broken, "*.previous").read_bytes()
    key = only(broken, "*.key")
    saved[key] = key.read_bytes()
    (latest,) = (path for path in saved if path.suffix == ".npz")
    assert trainer.run(broken, machine="a", line=kill_in_block(1)) == KILLED
    put_back(broken, saved | {latest: older})
    assert trainer.run(broken, machine="a") == 0
    found = noised(broken)
    assert all(len(states) == 1 for paths in found.values() for states in paths.values())


def forged(path, **changes):
    """Write a stored state again with other values, as somebody without the key would."""
    with np.load(path) as stored:
        arrays = {name: stored[name] for name in stored.files}
    np.savez(path.open("wb"), **(arrays | {name: np.array(value) for name, value in changes.items()}))


@pytest.mark.parametrize(
    "changes",
    [
        {"__lost__": -90},
        {"__lost__": 10**6},
        {"__step__": -1},
        {"__step__": 10**6},
        {"__step__": 10, "noised": 150},
        {"__attempt__": -1},
        {"__attempt__": 5},
        {"place": np.full(3, 7.0)},
        {"noised": 10},
    ],
    ids=str,
)
@pytest.mark.parametrize("machine", ["", "another"])
def test_a_forged_state_is_not_believed(trainer, broken, changes, machine):
    forged(only(broken, "*.npz"), **changes)
    assert trainer.run(broken, machine=machine) == 0
    require_right(broken)
    only_previous = 3 * BLOCK_STEPS if machine == "" else 3 * BLOCK_STEPS + STEPS - 3 * BLOCK_STEPS
    (release,) = noised(broken)
    assert len(noised(broken)[release]) <= max(STEPS, only_previous)


def test_where_all_states_are_forged_the_training_starts_again_with_a_new_key(trainer, broken):
    for path in (only(broken, "*.npz"), only(broken, "*.previous")):
        forged(path, __lost__=-90)
    assert trainer.run(broken) == 0
    require_right(broken)
    assert len(noised(broken)) == 2


def change_key(path, how):
    if how == "gone":
        path.unlink()
    elif how == "readable by others":
        path.chmod(0o644)
    else:
        path.write_bytes({"cut": b"", "overwritten": bytes(32), "another": os.urandom(32)}[how])


@pytest.mark.parametrize("how", ["gone", "cut", "overwritten", "another", "readable by others"])
def test_without_the_key_of_its_state_a_training_starts_again_with_a_new_key(trainer, broken, how):
    change_key(only(broken, "*.key"), how)
    assert trainer.run(broken) == 0
    require_right(broken)
    assert len(noised(broken)) == 2
    _, entry = model(broken)
    assert len(noised(broken)[entry.inputs["release"]]) == STEPS


def test_a_key_that_cannot_be_overwritten_is_refused_with_the_command_that_mends_it(trainer, broken):
    key = only(broken, "*.key")
    key.rename(broken / "elsewhere")
    key.symlink_to(broken / "elsewhere")
    assert trainer.run(broken) == 2
    said = (broken / "refused.txt").read_text()
    command = said.partition("remove it: ")[2]
    assert shlex.split(command)[0] == "rm"
    subprocess.run(command, shell=True, check=True, cwd=broken)
    assert trainer.run(broken) == 0
    require_right(broken)
    assert (broken / "elsewhere").stat().st_size == 32


def test_one_process_at_a_time_trains_a_run(trainers, tmp_path):
    first, second = trainers
    (tmp_path / WAIT).touch()
    first.begin(tmp_path)
    deadline = time.monotonic() + 60
    while not (tmp_path / NOTES).exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert second.run(tmp_path) == 2
    said = (tmp_path / "refused.txt").read_text()
    assert "is being trained by another process" in said
    assert "start the same command again" in said
    (tmp_path / WAIT).unlink()
    assert first.end()["code"] == 0
    require_right(tmp_path)
    assert len(noised(tmp_path)) == 1
    # The system has taken the lock away from it.
    only(tmp_path, "*.h5").unlink()
    assert second.run(tmp_path) == 0


NETWORK = WALK | {
    "units": ["window"],
    "generators": [
        {
            "name": "autoencoder",
            "settings": {
                "coefficients": 2,
                "hidden": 5,
                "latent": 2,
                "private": {"steps": STEPS, "batch_size": 10},
            },
        }
    ],
}


def killed_at_random(trainer, folder, study, kills, rng):
    """Trainings that are killed `kills` times in all: a folder each, and how their starts ended."""
    assert trainer.run(folder / "first", study) == 0
    trainer.begin(folder / "unbroken", study)
    unbroken = trainer.end()
    assert unbroken["code"] == 0
    became, folders = Counter(), []
    while became["killed"] < kills:
        folders.append(folder / str(len(folders)))
        code = KILLED
        while code == KILLED and became["killed"] < kills:
            code = trainer.run(folders[-1], study, after_s=rng.uniform(0, 1.1 * unbroken["seconds"]))
            became["killed" if code == KILLED else f"ended before its time with code {code}"] += 1
        became[f"finished with code {trainer.run(folders[-1], study)}"] += 1
    return folders, became


@pytest.mark.slow
@pytest.mark.parametrize(("study", "kills"), [(WALK, 100), (NETWORK, 30)], ids=["walk", "network"])
def test_trainings_that_are_killed_at_random_times_end_in_right_models(trainer, tmp_path, study, kills):
    """Half of the kills with noise that a test can have again, and half with the secret one."""
    rng = random.Random(5)
    rehearsal = study | {"privacy_noise": "reproducible"}
    rehearsed, became = killed_at_random(trainer, tmp_path / "rehearsal", rehearsal, kills // 2, rng)
    expected, _ = model(tmp_path / "rehearsal" / "unbroken")
    for folder in rehearsed:
        require_finished(folder)
        for name, value in model(folder)[0].items():
            np.testing.assert_array_equal(value, expected[name])
    secret, also = killed_at_random(trainer, tmp_path / "secret", study, kills // 2, rng)
    for folder in secret:
        require_finished(folder)
    assert len({model(folder)[1].inputs["release"] for folder in secret}) == len(secret)
    if study is WALK:
        for folder in [*rehearsed, *secret]:
            require_all_replayed(folder)
    print(f"reproducible noise: {dict(became)}; secret noise: {dict(also)}")
    assert became["killed"] + also["killed"] == kills
    assert {key for key in (*became, *also) if key.startswith("finished")} == {"finished with code 0"}
