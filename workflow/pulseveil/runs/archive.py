"""Archive of a study: what its tables are computed from, and its finished runs, in one compressed file.

Recordings, windows, features and synthetic windows stay where they are: the study makes them again. An
archive holds scores of each tested person and models without a budget: no privacy guarantee covers it.
"""

from __future__ import annotations

import io
import lzma
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from pulseveil.core import limits, paths, store
from pulseveil.core.atomic import atomic_path
from pulseveil.core.errors import InputError
from pulseveil.release.exits import NOT_PRIVATE_PREFIX
from pulseveil.study import tasks
from pulseveil.study.plan import Plan

# Rules whose files the summary reads, or whose runs another run needs.
_RULES = (
    "train_generator",
    "assess_quality",
    "train_detectors",
    "audit_generator",
    "audit_detector",
    "audit_noised",
)
# Only the sidecar of windows leaves: the windows are the recordings of people.
_SIDECARS = ("prepare_cohort",)
_SUFFIXES = frozenset({".h5", ".csv", ".json", ".jsonl", ".tsv"})


class Archived(NamedTuple):
    """Numbers of what an archive holds: score files of all of the study, finished runs, and bytes."""

    scores: int
    all_scores: int
    runs: int
    size: int


class Restored(NamedTuple):
    """Numbers of files that were written, and of files that were there before and stay as they were."""

    written: int
    kept: int


def require_archive_name(path: Path) -> None:
    """Check that the name of an archive says what it is.

    Raises:
        InputError: the name does not begin with NOT-PRIVATE_ or does not end with .tar.xz.
    """
    if not (path.name.startswith(f"{NOT_PRIVATE_PREFIX}_") and path.name.endswith(".tar.xz")):
        raise InputError(
            f"{path}: expected a name NOT-PRIVATE_NAME.tar.xz, because an archive holds scores of each "
            "tested person, which no budget protects"
        )


def write(plan: Plan, folder: Path, path: Path) -> Archived:
    """Write the finished part of a study below `folder` to an archive.

    Equal files give equal bytes: the archive holds no times and no owners.

    Raises:
        InputError: the name of the archive is wrong, or the study has no finished run.
    """
    require_archive_name(path)
    scores = [name for name in tasks.files(plan, "train_detectors") if (folder / name).exists()]
    runs = [file.relative_to(folder).as_posix() for file in _finished_runs(plan, folder)]
    if not runs:
        raise InputError(f"{folder / paths.results(plan.study.name)}: no finished run; run the study first")
    names = sorted({*runs, *filter(lambda name: (folder / name).is_file(), _names(plan))})
    with (
        atomic_path(path) as temporary,
        tarfile.open(temporary, "w:xz", preset=9, format=tarfile.PAX_FORMAT) as archive,
    ):
        for name in names:
            content = (folder / name).read_bytes()
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    all_scores = len(tasks.files(plan, "train_detectors"))
    return Archived(len(scores), all_scores, len(runs), path.stat().st_size)


def restore(plan: Plan, path: Path, folder: Path) -> Restored:
    """Write the files of an archive below `folder`, where a study resumes from them.

    A file that is there already stays as it is.

    Raises:
        InputError: the file is not an archive of this study, or is damaged or too large.
    """
    expected = f"an archive of study {plan.study.name}, written by `pulseveil archive`"
    limits.require_file(path, limits.STUDY_ARCHIVE_BYTES, expected)
    # All names are checked before the first file is written.
    for _ in _members(path, plan.study.name, expected):
        pass
    written = kept = 0
    for name, content in _members(path, plan.study.name, expected):
        if (folder / name).exists():
            kept += 1
            continue
        with atomic_path(folder / name) as temporary:
            temporary.write_bytes(content)
        written += 1
    return Restored(written, kept)


def _names(plan: Plan) -> Iterator[str]:
    """Files of a study that an archive may hold, whether or not they exist; without the run store."""
    yield paths.journal(plan.study.name).as_posix()
    yield from tasks.linear_detectors(plan)
    for task in tasks.tasks(plan):
        yield tasks.benchmark(plan, task)
        made = tasks.filled(tasks.outputs(plan, task.rule, task.pack), task)
        if task.rule in _RULES:
            yield from made
        if task.rule in (*_RULES, *_SIDECARS):
            yield from (store.sidecar_path(Path(name)).as_posix() for name in made)


def _finished_runs(plan: Plan, folder: Path) -> Iterable[Path]:
    # Neither keys of private trainings nor checkpoints: both end with a training.
    return (folder / paths.run_store(plan.study.name)).glob("??/*.h5")


def _members(path: Path, study: str, expected: str) -> Iterator[tuple[str, bytes]]:
    """Name and content of each file of an archive, checked before its content is read.

    Raises:
        InputError: as in `restore`.
    """
    places = (paths.results(study), Path("benchmarks") / study)
    left, count = limits.ARRAYS_BYTES, 0
    try:
        with tarfile.open(path, "r:xz") as archive:
            for member in archive:
                name = PurePosixPath(member.name)
                count, left = count + 1, left - member.size
                if count > limits.STUDY_ARCHIVE_FILES or left < 0:
                    raise InputError(f"{path}: more files or bytes than the limit; expected {expected}")
                inside = any(name.is_relative_to(place.as_posix()) for place in places)
                if not (inside and member.isfile() and name.suffix in _SUFFIXES) or ".." in name.parts:
                    raise InputError(f"{path}: holds {member.name[:200]!r}; expected {expected}")
                content = archive.extractfile(member)
                assert content is not None  # A regular file.
                yield member.name, content.read()
    except (tarfile.TarError, lzma.LZMAError, EOFError, OSError) as error:
        raise InputError(f"{path}: cannot be read ({error}); expected {expected}") from None
