"""What a study has on disk: the files that its next run keeps, the files that are new, and why.

The job of each file is read from Snakemake's records, by which Snakemake decides what it runs again.
"""

from __future__ import annotations

import ast
import json
from base64 import urlsafe_b64encode
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import isinf
from pathlib import Path
from typing import Any

from pulseveil.core import identity, paths, registry
from pulseveil.study import costs
from pulseveil.study.cells import WindowsCell
from pulseveil.study.inputs import inputs
from pulseveil.study.jobs import DetectorJob, GeneratorJob
from pulseveil.study.plan import Plan
from pulseveil.study.tasks import Pack, Task, filled, job, outputs, tasks

NEVER_MADE = "never made"
INTERRUPTED = "interrupted"
CODE_CHANGED = "code version changed"
SETTINGS_CHANGED = "settings changed: "
INPUT_CHANGED = "input changed"

# Keys of jobs that name versions of the code.
_VERSIONS = ("versions", "programs", "ledgers")
# Keys that say which runs a job trains: a run depends on its own values alone, and the run store keeps it.
_OF_JOBS = frozenset({"seeds", "generators", "subjects", "noise", "signals", "kept_seeds"})
# Keys on which a training without a budget does not depend (`TrainingJob.budget_settings`).
_OF_BUDGETS = frozenset({"windows_per_subject", "stress_share", "noise_mode", "dp_backend"})
# Of larger files Snakemake records no checksum.
_CHECKSUM_BYTES = 1_000_000
_TRAINING = ("train_generator", "train_detectors")


@dataclass(frozen=True)
class File:
    """A file of the study; seed: that of its models, if any. why: why it is new, empty if it is kept."""

    path: str
    seed: int | None
    why: str = ""


def files(plan: Plan, folder: Path) -> Iterator[tuple[Task, tuple[File, ...]]]:
    """Each task of a study that runs in `folder`, with its files."""
    known: dict[tuple[Any, ...], tuple[File, ...]] = {}
    templates: dict[tuple[str, Pack | None], list[str]] = {}
    for task in tasks(plan):
        pack = (task.rule, task.pack)
        if pack not in templates:
            templates[pack] = outputs(plan, task.rule, task.pack)
        named = zip(filled(templates[pack], task), _seeds(task.pack), strict=True)
        read = [file for before in inputs(plan, task) for file in known.get(_key(before), ())]
        new_seeds = {file.seed for file in read if file.why}
        why = _reasons(plan, task, folder, templates[pack])
        made = tuple(File(path, seed, why(path, seed, new_seeds)) for path, seed in named)
        known[_key(task)] = made
        yield task, made


def describe(plan: Plan, folder: Path) -> str:
    """Files per stage that a run in `folder` keeps and makes, with the reasons, as a table."""
    stages: dict[str, Counter[str]] = {}
    for task, made in files(plan, folder):
        stages.setdefault(costs.stage(task), Counter()).update(file.why for file in made)
    if all(set(found) == {NEVER_MADE} for found in stages.values()):
        return "No file of this study is made yet: all are new."
    lines = [f"{'files':<34}{'all':>9}{'kept':>7}{'new':>7}  why new"]
    for stage, found in [*stages.items(), ("all", sum(stages.values(), Counter()))]:
        kept, every = found[""], found.total()
        whys = "; ".join(f"{count} {why}" for why, count in found.most_common() if why)
        lines.append(
            f"{stage:<34}{every:>9}{kept:>7}{every - kept:>7}  {whys if stage != 'all' else ''}".rstrip()
        )
    return "\n".join(lines)


def trainings(study: str, folder: Path) -> int:
    """Number of trainings of generators and detectors that were carried out for a study so far."""
    path = folder / paths.journal(study)
    return path.read_bytes().count(b"\n") if path.exists() else 0


def describe_trained(plan: Plan, folder: Path, before: int) -> str:
    """How many models of the study a run took from disk and trained; before: `trainings` when it began."""
    trained = trainings(plan.study.name, folder) - before
    models = sum(
        costs.cost(plan, task).runs
        for task in tasks(plan)
        if task.rule in _TRAINING
        and all((folder / path).exists() for path in filled(outputs(plan, task.rule, task.pack), task))
    )
    return f"study {plan.study.name}: reused {max(models - trained, 0)} models, trained {trained}"


def changes(before: Mapping[str, Any], now: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Keys whose values differ, with those above them.

    Examples:
        >>> changes({"seed": 1, "settings": {"rank": 5}}, {"seed": 1, "settings": {"rank": 6}})
        ['settings.rank']
    """
    found = []
    for key in dict.fromkeys([*now, *before]):
        old, new = before.get(key), now.get(key)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            found += changes(old, new, f"{prefix}{key}.")
        elif old != new:
            found.append(f"{prefix}{key}")
    return found


def recordings(plan: Plan, cohort: str, folder: Path) -> list[str]:
    """Files of a cohort that exist on this machine, for a run in `folder`."""
    settings = plan.study.cohort_settings[cohort]
    sources = registry.load("cohorts", settings.kind)(settings).sources()
    return [str(path) for path in sources if (folder / path).exists()]


_Why = Callable[[str, int | None, set[int | None]], str]


def _reasons(plan: Plan, task: Task, folder: Path, templates: Sequence[str]) -> _Why:
    """Function of path, seed and the seeds of new inputs that says why a file of the task is new."""
    made = [path for path in filled(templates, task) if (folder / path).exists()]
    exist = set(made)
    record = _record(folder, made[0]) if made else {}
    before, now = _recorded_job(record), _job(plan, task) if record else {}
    changed = changes(before, now) if before else []
    apart = _apart(plan, task, folder)
    whole = [key for key in changed if key not in apart]
    newly_kept = set(now.get("kept_seeds", ())) - set(before.get("kept_seeds", ()))
    newer = bool(made) and _is_input_newer(plan, task, folder, record, made)

    def why(path: str, seed: int | None, new_seeds: set[int | None]) -> str:
        if path not in exist:
            return NEVER_MADE
        if _marked(folder, "incomplete", path).exists():
            return INTERRUPTED
        if any(key in _VERSIONS for key in whole):
            return CODE_CHANGED
        if whole:
            return SETTINGS_CHANGED + ", ".join(whole)
        if seed in newly_kept:
            return f"{SETTINGS_CHANGED}kept_seeds"
        # The summary reads files of all seeds.
        of_inputs = {None, seed} & new_seeds if task.pack is not None else new_seeds
        return INPUT_CHANGED if of_inputs or newer else ""

    return why


def _apart(plan: Plan, task: Task, folder: Path) -> frozenset[str]:
    """Keys of the task's job that no file depends on which exists already."""
    if task.rule not in _TRAINING or not (folder / paths.run_store(plan.study.name)).exists():
        return frozenset()
    found = job(plan, task)
    if isinstance(found, DetectorJob) and isinf(found.epsilon_detector):
        return _OF_JOBS | _OF_BUDGETS
    if isinstance(found, GeneratorJob) and isinf(found.epsilon_generator):
        return _OF_JOBS | _OF_BUDGETS
    return _OF_JOBS


def _is_input_newer(
    plan: Plan, task: Task, folder: Path, record: Mapping[str, Any], made: Sequence[str]
) -> bool:
    """Whether Snakemake finds other inputs than those of which the files `made` were made."""
    read = record.get("input") or []
    if isinstance(task.cell, WindowsCell) and task.rule == "prepare_cohort":
        own = {path for path in read if not path.startswith(f"results/{plan.study.name}/")}
        if record and own != set(recordings(plan, task.cell.cohort, folder)):
            return True
    oldest = min((folder / path).stat().st_mtime for path in made)
    sums = record.get("input_checksums") or {}
    return any(
        (folder / path).exists()
        and (folder / path).stat().st_mtime > oldest
        and not _has_checksum(folder / path, sums.get(path))
        for path in read
    )


def _has_checksum(path: Path, recorded: str | None) -> bool:
    small = recorded is not None and path.stat().st_size <= _CHECKSUM_BYTES
    return small and recorded == f"sha256:{identity.file_hash(path)}"


def _job(plan: Plan, task: Task) -> dict[str, Any]:
    """The job of a task as the values of its JSON; that of the summary is the study."""
    if task.rule == "summarize":
        study = plan.study.model_dump(mode="json", exclude_none=True)
        return {"versions": identity.SUMMARY, **study}
    values: dict[str, Any] = json.loads(job(plan, task).model_dump_json())
    return values


def _recorded_job(record: Mapping[str, Any]) -> dict[str, Any]:
    """The job in a record of Snakemake as the values of its JSON; empty if it has none."""
    found: dict[str, Any] = {}
    # Snakemake records the `repr` of each parameter of a rule, in sorted order.
    for value in map(ast.literal_eval, record.get("params") or ()):
        if isinstance(value, int):
            found["versions"] = value
        elif isinstance(value, str) and value.startswith("{"):
            found |= json.loads(value)
    return found


def _record(folder: Path, path: str) -> dict[str, Any]:
    """Snakemake's record of a file; empty if there is none, as for results that were copied."""
    try:
        record: dict[str, Any] = json.loads(_marked(folder, "metadata", path).read_text())
    # A run in progress may be writing the record.
    except (OSError, json.JSONDecodeError):
        return {}
    return record


def _marked(folder: Path, what: str, path: str) -> Path:
    """File of Snakemake that belongs to the file at `path` of the study."""
    # As in snakemake.persistence.file, which is not imported because its database takes a second to load.
    name, longest = urlsafe_b64encode(path.encode()).decode(), 254
    parts = [name[i : i + longest] for i in range(0, len(name), longest)]
    return folder.joinpath(".snakemake", what, *(f"@{part}" for part in parts[:-1]), parts[-1])


def _seeds(pack: Pack | None) -> list[int | None]:
    """Seed of each file of a pack, in their order."""
    if pack is None:
        return [None]
    # The seed is the last axis of a pack.
    return [int(words[-1]) for words in product(*pack.axes.values())]


def _key(task: Task) -> tuple[Any, ...]:
    # A task of quality reads from the whole pack of its name (`inputs`).
    return (task.rule, task.cell, task.pack.name if task.pack is not None else "")
