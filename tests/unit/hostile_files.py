"""A good small input for every reader, the same twelve hostile ones for each, and a process that reads them.

Run as a program it reads the files named on standard input (JSON: reader, good, paths) in little memory, and
prints what came of each.
"""

from __future__ import annotations

import io
import json
import os
import pickle
import resource
import signal
import subprocess
import sys
import time
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from pulseveil.cohorts.empatica import Empatica, EmpaticaSettings
from pulseveil.cohorts.intervals import read_labels
from pulseveil.cohorts.wesad import read_subject
from pulseveil.core import store
from pulseveil.core.contracts import CHANNEL_SETS, FeatureSet, Scores, WindowSet
from pulseveil.privacy import ledger
from pulseveil.study.reading import read_study

ROOT = Path(__file__).resolve().parents[2]
MEMORY_BYTES, SECONDS = 4 << 30, 20
START = 1_644_226_061

Reader = Callable[[Path], Any]


def read_export(path: Path) -> Any:
    """The recording of subject S1, whose signal or archive `path` is."""
    labels = next(p / "labels.csv" for p in path.parents if (p / "labels.csv").exists())
    data = path.parent if path.suffix == ".zip" else path.parent.parent
    cohort = Empatica(EmpaticaSettings(data=data, labels=labels))
    cohort.sources()
    return next(cohort.recordings())


READERS: dict[str, Reader] = {
    "windows": lambda path: store.read_record(path, WindowSet),
    "features": lambda path: store.read_record(path, FeatureSet),
    "scores": lambda path: store.read_record(path, Scores),
    "models": store.read_models,
    "study": read_study,
    "ledger": ledger.read,
    "labels": read_labels,
    "pickle": read_subject,
    "signal": read_export,
    "archive": read_export,
}
HDF5 = ("windows", "features", "scores", "models")
# What of each record hostile files change.
FIELD = {"windows": "windows", "features": "features", "scores": "score", "models": "fold=S1/weights"}
NAMES = {
    **dict.fromkeys(HDF5, "file.h5"),
    "study": "study.yaml",
    "ledger": "ledger.json",
    "labels": "labels.csv",
    "pickle": "S2.pkl",
    "signal": "data/S1/BVP.csv",
    "archive": "data/S1.zip",
}
STUDY = """
name: small
seed: 1
protocol: sound
cohorts: {people: {kind: simulated, subjects: 3}}
detectors: [logistic]
epsilons: [8]
seeds: 1
evaluations: [{name: real, cohort: people, train: real}]
"""
LABELS = f"""subject,condition,start_unix,end_unix,stress
S1,rest,{START + 1},{START + 5},0
S1,exam,{START + 5},{START + 9},1
"""
ENTRY = {
    "mechanism": "moments",
    "unit": "subject",
    "neighbours": "zero-out",
    "sampler": "full batch",
    "n": 14,
    "q": 1,
    "room": 14,
    "expected_batch": 14,
    "clip_norm": 1.0,
    "noise_multiplier": 2.0,
    "steps_accounted": 1,
    "steps_noised": 1,
    "epsilon_pld": 2.0,
    "epsilon_rdp": 2.1,
    "epsilon_unamplified": 2.0,
    "delta": 1e-5,
    "epsilon_replace_one": 4.0,
    "public_quantities": ["people"],
    "secret_noise": True,
    "secret_masks": True,
    "versions": {"numpy": "2", "program": "1"},
    "inputs": {"fold": "S1"},
}
RATES = {"BVP": (64, 1), "EDA": (4, 1), "ACC": (32, 3), "TEMP": (4, 1)}


def signals(seconds: int = 10) -> dict[str, str]:
    """Well-formed signal files of one export."""
    return {
        name: "\n".join(
            ",".join([str(value)] * columns) for value in (START, rate, *[30.5] * (rate * seconds))
        )
        for name, (rate, columns) in RATES.items()
    }


def wesad(**changed: Any) -> Any:
    """The content of a WESAD pickle of 20 s."""
    wrist = {
        "BVP": np.ones((20 * 64, 1)),
        "EDA": np.ones((20 * 4, 1)),
        "ACC": np.full((20 * 32, 3), 37.0),
        "TEMP": np.full((20 * 4, 1), 30.0),
    }
    label = np.repeat([1, 2], 700 * 10)
    return {"subject": "S2", "signal": {"wrist": wrist | changed}, "label": label}


def good(reader: str, folder: Path) -> Path:
    """A small valid input."""
    path = folder / NAMES[reader]
    path.parent.mkdir(parents=True, exist_ok=True)
    n = 8
    common = {
        "condition": np.zeros(n, np.int8),
        "stress": np.zeros(n, bool),
        "subject": np.full(n, "S1"),
        "start_s": np.arange(n, dtype=np.float64),
    }
    values = np.random.default_rng(0).random((n, 60, 6), dtype=np.float32)
    match reader:
        case "windows":
            settings = {"channels": CHANNEL_SETS["published"], "rate_hz": 1.0, "window_s": 60.0}
            settings |= {"stride_s": 60.0, "scaling": "min-max", "protocol": "paper"}
            record = WindowSet(windows=values, calibration=np.zeros(n, bool), **common, **settings)
            store.write_record(path, record, cell_hash="x")
        case "features":
            record = FeatureSet(
                features=values.transpose(0, 2, 1),
                statistics=values[:, 0],
                calibration=np.zeros(n, bool),
                fold=np.full(n, ""),
                frequency_hz=values[0].T,
                statistic_names=tuple("abcdef"),
                scaling="min-max",
                protocol="paper",
                **common,
            )
            store.write_record(path, record, cell_hash="x")
        case "scores":
            score = values[:, 0, 0]
            record = Scores(
                fold=np.full(n, "S1"), score=score, score_rest=1 - score, predicted=score > 0.5, **common
            )
            store.write_record(path, replace(record, keys={"seed": 0}), cell_hash="x")
        case "models":
            entry = np.array([json.dumps(ENTRY)])
            models = store.Models({"S1": {"weights": values}}, {"seed": 0}, {"S1": entry})
            store.write_models(path, models, cell_hash="x")
        case "study":
            path.write_text(STUDY)
        case "ledger":
            path.write_text(json.dumps([ENTRY]))
        case "labels":
            path.write_text(LABELS)
        case "pickle":
            path.write_bytes(pickle.dumps(wesad(), protocol=2))
        case "signal":
            (folder / "labels.csv").write_text(LABELS)
            for name, text in signals().items():
                (path.parent / f"{name}.csv").write_text(text)
        case "archive":
            (folder / "labels.csv").write_text(LABELS)
            pack(path, {f"{name}.csv": text for name, text in signals().items()})
    return path


def pack(path: Path | io.BytesIO, members: dict[str, str | bytes]) -> None:
    """Write a zip archive."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def _replaced(path: Path, make: Callable[[h5py.File, str, Any], None], field: str) -> None:
    """The field of an HDF5 file made anew, with the array that it held."""
    with h5py.File(path, "a") as file:
        held = file[field][()]
        del file[field]
        make(file, field, held)


def _external(file: h5py.File, field: str, held: Any) -> None:
    storage = [("/etc/passwd", 0, held.nbytes)]
    file.create_dataset(field, held.shape, held.dtype, external=storage)


def _virtual(file: h5py.File, field: str, held: Any) -> None:
    layout = h5py.VirtualLayout(held.shape, held.dtype)
    layout[...] = h5py.VirtualSource("elsewhere.h5", "values", held.shape)
    file.create_virtual_dataset(field, layout)


def _link(file: h5py.File, field: str, held: Any) -> None:
    file[field] = h5py.ExternalLink("elsewhere.h5", "/values")


def _loop(file: h5py.File, field: str, held: Any) -> None:
    file[field] = file["/"]


def _huge(file: h5py.File, field: str, held: Any) -> None:
    shape = (1 << 34, *held.shape[1:])
    file.create_dataset(field, shape, held.dtype, chunks=(1 << 10, *held.shape[1:]), compression="gzip")


def _inflating(file: h5py.File, field: str, held: Any) -> None:
    """One chunk, of less than 6 MB by its declaration, and of 256 MiB by its content."""
    shape = (4096, *held.shape[1:])
    made = file.create_dataset(field, shape, held.dtype, chunks=shape, compression="gzip")
    made.id.write_direct_chunk((0,) * held.ndim, zlib.compress(bytes(1 << 28), 1))


def _compound(file: h5py.File, field: str, held: Any) -> None:
    file[field] = np.zeros(held.shape, [("a", "f4"), ("b", "i4")])


def _laughs(depth: int = 40) -> str:
    lines = ["a0: &a0 [x, x]"] + [f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]" for i in range(1, depth)]
    return "\n".join(lines) + STUDY


def _nested_alias() -> bytes:
    """Lists of one list, twice each: 2 to the power of 40 values in some 200 bytes."""
    value: Any = []
    for _ in range(40):
        value = [value, value]
    return pickle.dumps(value, protocol=2)


def _itself() -> bytes:
    value: list[Any] = []
    value.append(value)
    return pickle.dumps(value, protocol=2)


class _Call:
    def __reduce__(self) -> Any:
        return os.system, ("touch /tmp/trapped",)


def _zip_in_zip(levels: int) -> bytes:
    content = b"PK"
    for _ in range(levels):
        buffer = io.BytesIO()
        pack(buffer, {"S1.zip": content})
        content = buffer.getvalue()
    return content


def _with(name: str, row: int, text: str) -> str:
    lines = signals()[name].split("\n")
    lines[row - 1] = text
    return "\n".join(lines)


def _linked(path: Path, target: str) -> None:
    path.unlink()
    path.symlink_to(target)


def _sparse(path: Path) -> None:
    os.truncate(path, 1 << 40)


def _texts(reader: str, **made: str | bytes) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        content = made[reader]
        path.write_bytes(content.encode() if isinstance(content, str) else content)

    return write


def _of_hdf5(make: Callable[[h5py.File, str, Any], None], reader: str) -> Callable[[Path], None]:
    return lambda path: _replaced(path, make, FIELD[reader])


def _archive_of(**members: str | bytes) -> bytes:
    buffer = io.BytesIO()
    csv = {f"{name}.csv": text for name, text in signals().items()}
    pack(buffer, csv | {name.replace("__", "../"): content for name, content in members.items()})
    return buffer.getvalue()


def spoil(hostile: str, reader: str, path: Path) -> None:
    """Make the good input at `path` a hostile one."""
    is_hdf5 = reader in HDF5
    match hostile:
        case "empty":
            path.write_bytes(b"")
        case "cut":
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2 - 1])
            if reader in ("study", "labels", "signal"):
                # Half of a text can be whole: a cut in the middle of a letter is not.
                path.write_bytes(path.read_bytes() + "é".encode()[:1])
        case "random":
            path.write_bytes(np.random.default_rng(1).bytes(5000))
        case "folder":
            path.unlink()
            path.mkdir()
            (path / "file").write_text("x")
        case "device":
            _linked(path, "/dev/zero")
        case "outside":
            if is_hdf5:
                _of_hdf5(lambda f, name, _: f.__setitem__(name, h5py.ExternalLink("/etc/x.h5", "/")), reader)(
                    path
                )
            elif reader in ("study", "pickle", "archive"):
                _texts(
                    reader,
                    study=STUDY + "x: !!python/object/apply:os.system ['touch /tmp/trapped']",
                    pickle=pickle.dumps(_Call(), protocol=2),
                    archive=_archive_of(__BVP="x"),
                )(path)
            else:
                _linked(path, "/etc/passwd")
        case "elsewhere":
            if is_hdf5:
                _of_hdf5(_virtual if reader in ("windows", "scores") else _external, reader)(path)
            else:
                _linked(path, str(path))
        case "huge":
            if is_hdf5:
                _of_hdf5(_huge, reader)(path)
            elif reader == "archive":
                path.write_bytes(_archive_of(**{"TEMP.csv": bytes(200 << 20)}))
            else:
                _sparse(path)
        case "bomb":
            if is_hdf5:
                _of_hdf5(_inflating, reader)(path)
            else:
                _texts(
                    reader,
                    study=_laughs(),
                    ledger="[" * 1_000_000,
                    labels=LABELS + "S1," + "x" * 1_000_000,
                    pickle=_nested_alias(),
                    signal=f"{START}\n64\n" + "1\n" * 14_000_000,
                    archive=_archive_of(**{"BVP.csv": f"{START}\n64\n" + "1\n" * 14_000_000}),
                )(path)
        case "loop":
            if is_hdf5:
                _of_hdf5(_loop, reader)(path)
            elif reader == "signal":
                for file in path.parent.iterdir():
                    file.unlink()
                (path.parent / "S1").symlink_to(".")
            else:
                _texts(
                    reader,
                    study="a: &a [*a]" + STUDY,
                    ledger=json.dumps(ENTRY)[:-1] * 2000,
                    labels=LABELS + f"S1,again,{START + 1},{START + 9},1\n",
                    pickle=_itself(),
                    archive=_zip_in_zip(40),
                )(path)
        case "types":
            if is_hdf5:
                _of_hdf5(_compound, reader)(path)
            else:
                _texts(
                    reader,
                    study=STUDY.replace("[8]", "[.nan]"),
                    ledger=json.dumps([ENTRY | {"q": float("nan")}]),
                    labels=LABELS.replace(str(START + 5), "nan"),
                    pickle=pickle.dumps(wesad(BVP=np.array([[None]] * 1280, dtype=object)), protocol=2),
                    signal=_with("BVP", 5, "nan"),
                    archive=_archive_of(**{"BVP.csv": _with("BVP", 5, "inf")}),
                )(path)
        case "names":
            if is_hdf5:
                with h5py.File(path, "a") as file:
                    file.move(FIELD[reader], FIELD[reader] + "\n\x1b[2J{input}")
                    file["\n\x1b[2J{input}"] = h5py.SoftLink("/etc")
            else:
                _texts(
                    reader,
                    study=STUDY.replace("small", r'"../\n{input}"'),
                    ledger=json.dumps([ENTRY | {"\n\x1b[2J{input}": 1}]),
                    labels=LABELS.replace("S1", "{input}"),
                    pickle=pickle.dumps(wesad() | {"subject": "\n\x1b[2J{input}"}, protocol=2),
                    signal=_with("BVP", 5, "\x1b[2J{input}"),
                    archive=_archive_of(**{"\x1b[2J{input}\n.csv": "x"}),
                )(path)
        case _:
            raise ValueError(hostile)


HOSTILE = (
    *("empty", "cut", "random", "folder", "device", "outside"),
    *("elsewhere", "huge", "bomb", "loop", "types", "names"),
)


class Late(BaseException):
    """No reader may take it for a fault of the file."""


def _late(*_: Any) -> None:
    raise Late(f"not read within {SECONDS} s")


def outcome(read: Reader, path: Path) -> dict[str, Any]:
    """What came of reading a file: the error's class and message (empty where it was read), and seconds."""
    signal.signal(signal.SIGALRM, _late)
    signal.alarm(SECONDS)
    started = time.monotonic()
    error, message = "", ""
    try:
        read(path)
    except BaseException as raised:
        error, message = type(raised).__name__, str(raised)
    signal.alarm(0)
    return {"error": error, "message": message, "seconds": time.monotonic() - started}


def read_apart(asked: dict[str, Any]) -> dict[str, Any]:
    """The answer of a process of its own to what `main` is asked."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.unit.hostile_files"],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def main() -> None:
    """Read the files named on standard input with `MEMORY_BYTES` of address space."""
    asked = json.load(sys.stdin)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    read = READERS[asked["reader"]]
    read(Path(asked["good"]))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = {name: outcome(read, Path(path)) for name, path in asked["paths"].items()}
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(json.dumps({"found": found, "grown_kib": grown}))


if __name__ == "__main__":
    main()
