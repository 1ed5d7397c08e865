"""What Snakemake's rules ask of the plan: the plan itself, and each job's words, files and resources."""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pulseveil.core import identity, paths, registry
from pulseveil.core.errors import InputError
from pulseveil.study import audits, costs, spending, tasks
from pulseveil.study.cells import AuditedCell, GeneratorPack
from pulseveil.study.plan import Plan, make_plan
from pulseveil.study.study import check_study, load_yaml
from pulseveil.study.tasks import Pack


def put_own_interpreter_first() -> None:
    """Let jobs use the interpreter that runs this, whether or not its environment was activated."""
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])


def require_plain_directory(directory: Path) -> None:
    """Raise InputError for a working directory whose name Snakemake takes for a pattern.

    Snakemake looks for the locks of a directory by that pattern: it would find those of other directories, or
    miss its own.
    """
    if re.search(r"\{.*\}", str(directory)):
        raise InputError(
            f"{directory}: Snakemake takes words in braces for wildcards, in the name of its working "
            "directory too; give it another one with --directory, the project may stay where it is"
        )


def require_plain_words(*locations: Path) -> None:
    """Raise InputError for a location that the command of a cluster's job would not carry.

    Snakemake hands such commands through several shells and does not quote them for each: a blank breaks the
    command, and `$(...)` runs.
    """
    for location in locations:
        if shlex.quote(str(location)) != str(location):
            raise InputError(
                f"{location}: jobs of a cluster need a path without blanks, quotes and characters that a "
                "shell reads; move it to one of letters, digits and @%+=:,./_-"
            )


def from_config(config: Mapping[str, Any], *, sources: Sequence[str], demo: Path) -> Plan:
    """The plan of a configuration; one without cohorts changes keys of the demo study.

    Raises InputError for anything wrong in it.
    """
    if "cohorts" in config:
        return make_plan(check_study(dict(config), ", ".join(sources) or "config"))
    if sources:
        raise InputError(f"{', '.join(sources)}: cohorts: this key is missing; a study names at least one")
    values = {**load_yaml(demo), **config}
    return make_plan(check_study(values, f"{demo.name} with --config"))


def describe(plan: Plan) -> str:
    """What a plan will cost in hours and, where it is private, in epsilon.

    Raises InputError for a spend that is refused. Whoever starts a run asks this once: each job reads the
    Snakefile again, and planning the noise takes seconds.
    """
    return "\n\n".join(text for text in (costs.describe(plan), spending.describe(plan)) if text)


# Set where a run begins; the environment carries it to all jobs, those of a cluster too.
_RUN = "PULSEVEIL_RUN"
CHANGED = "changed since this run began"


def begin_run(plan: Plan, project: Path) -> None:
    """Remember what the jobs of this run are made from: the study and the code."""
    os.environ[_RUN] = " ".join(_origins(plan, project).values())


def require_unchanged(plan: Plan, project: Path) -> None:
    """Raise InputError in a job whose study or code is not that of its run: results would be a mixture."""
    began = os.environ.get(_RUN)
    if began is None:
        return
    for (what, now), then in zip(_origins(plan, project).items(), began.split(), strict=True):
        if now != then:
            raise InputError(f"{what} {CHANGED}; what is done is kept; start the study again to go on")


def _origins(plan: Plan, project: Path) -> dict[str, str]:
    """What results come from, by its name for a user, and the hash of that."""
    places = [Path(__file__).parents[1], project / "scripts", project / "workflow"]
    files = {
        file for place in places for kind in ("*.py", "*.smk", "Snakefile") for file in place.rglob(kind)
    }
    code = {str(file): identity.file_hash(file) for file in files}
    study = f"the study file of {plan.study.name}"
    return {
        study: identity.cell_hash({"study": study_json(plan)}),
        f"the code in {project}": identity.cell_hash(code),
    }


def recordings_at_hand(plan: Plan, cohort: str) -> list[str]:
    """The cohort's files that exist here: a plan can be made without them, a run cannot."""
    settings = plan.study.cohort_settings[cohort]
    sources = registry.load("cohorts", settings.kind)(settings).sources()
    return [str(path) for path in sources if path.exists()]


def require_recordings(plan: Plan) -> None:
    """Raise InputError when a file of a cohort is missing: before any job, not in the middle."""
    for name, settings in plan.study.cohort_settings.items():
        for path in registry.load("cohorts", settings.kind)(settings).sources():
            if not path.exists():
                raise InputError(f"{path}: no such file; cohort {name} needs it, see its keys in the study")


def job(plan: Plan, rule: str, pack: Pack | None = None) -> Callable[[Any], str]:
    """A rule's function of wildcards: what the script is told, as JSON."""
    return lambda wildcards: tasks.job(plan, tasks.read(rule, wildcards, pack)).model_dump_json()


def audited_beside(plan: Plan, wildcards: Any) -> list[str]:
    """The synthetic features that an audited detector learns from beside real ones: none, or of one seed."""
    return audits.synthetic_paths(plan, AuditedCell.read(wildcards))


def portrait_output(plan: Plan, pack: GeneratorPack) -> list[str]:
    """The file for the figures of a generator, which the job of its first seed writes; else none."""
    return [paths.fill(paths.PORTRAIT, study=plan.study.name)] if 0 in pack.seeds else []


def quality_figures(plan: Plan) -> list[str]:
    """The figure files of quality: a page a cohort and generator."""
    names = dict.fromkeys(
        paths.QUALITY_FIGURE.format(cohort=cell.cohort, generator=cell.generator)
        for cell in plan.generator_cells()
    )
    folder = paths.results(plan.study.name) / "figures"
    return [str(folder / f"{name}.{suffix}") for name in names for suffix in ("pdf", "png", "svg")]


def study_json(plan: Plan) -> str:
    """The whole study, as JSON that `check_study` reads back."""
    return json.dumps(plan.study.model_dump(mode="json", exclude_none=True))


def resources(plan: Plan, rule: str, pack: Pack | None = None) -> dict[str, Any]:
    """Resources of a rule's jobs; memory and time grow with each retry."""
    wanted = plan.study.resources

    def cost(wildcards: Any) -> costs.Cost:
        return costs.cost(plan, tasks.read(rule, wildcards, pack))

    def gpu(wildcards: Any) -> int:
        return wanted.gpu * int(cost(wildcards).gpu)

    return {
        "mem_mb": lambda wildcards, attempt: wanted.mem_mb * attempt,
        "runtime": lambda wildcards, attempt: (
            attempt * costs.limit_minutes(plan, cost(wildcards).seconds, gpu(wildcards))
        ),
        "gpu": gpu,
    }
