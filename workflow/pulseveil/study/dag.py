"""Interface of Snakemake's rules to the plan: checks, and the job, files and resources of each task."""

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
from pulseveil.study import audits, costs, kept, licence, spending, tasks
from pulseveil.study.cells import AuditedCell, DetectorPack, GeneratorPack, NoisedCell
from pulseveil.study.checks import make_plan
from pulseveil.study.plan import Plan
from pulseveil.study.reading import check_study
from pulseveil.study.tasks import Pack
from pulseveil.study.yaml_files import load_yaml

# Each process of the summary takes 0.3 GB, and figures are too few for more.
_SUMMARY_THREADS = 4


def put_own_interpreter_first() -> None:
    """Put the running interpreter first in PATH, so that jobs use it in an environment not activated."""
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])


def require_plain_directory(directory: Path) -> None:
    """Check that Snakemake does not read the name of the working directory as a pattern.

    Raises:
        InputError: the name has words in braces.
    """
    # Snakemake looks for its locks by that pattern: it would find those of other directories, or miss its
    # own.
    if re.search(r"\{.*\}", str(directory)):
        raise InputError(
            f"{directory}: Snakemake takes words in braces for wildcards, in the name of its working "
            "directory too; give it another one with --directory, the project may stay where it is"
        )


def require_plain_words(*locations: Path) -> None:
    """Check that paths survive in the command of a cluster's job.

    Raises:
        InputError: a location needs quotes in a shell.
    """
    # Snakemake hands such a command through several shells and does not quote it for each of them: a blank
    # breaks the command, and `$(...)` runs.
    for location in locations:
        if shlex.quote(str(location)) != str(location):
            raise InputError(
                f"{location}: jobs of a cluster need a path without blanks, quotes and characters that a "
                "shell reads; move it to one of letters, digits and @%+=:,./_-"
            )


def container_image(project: Path, workflow: Any) -> str:
    """Image in which `--sdm apptainer` runs jobs: the one that the project's definition file makes.

    Raises:
        InputError: jobs shall run in the image, and nobody has built it.
    """
    image = project / "pulseveil.sif"
    if "APPTAINER" not in {method.name for method in workflow.deployment_settings.deployment_method}:
        # Snakemake refuses an image with a blank in its path even where no job runs in an image.
        return image.name
    if not image.exists():
        raise InputError(
            f"{image}: no such image; jobs run in it with apptainer, and no public one exists; build it in "
            f"{project}: apptainer build {image.name} envs/pulseveil.def"
        )
    return str(image)


def from_config(config: Mapping[str, Any], *, sources: Sequence[str], demo: Path) -> Plan:
    """Plan of Snakemake's configuration; without `cohorts` the configuration changes keys of the demo study.

    sources: the files of the configuration, for messages. demo: the file of the demo study.

    Raises:
        InputError: the configuration is not a valid study, or the study cannot be planned.
    """
    # Snakemake's reader keeps the last of two equal keys without a word; this one refuses them.
    for source in sources:
        load_yaml(Path(source))
    if "cohorts" in config:
        return make_plan(check_study(dict(config), ", ".join(sources) or "config"))
    # A file without cohorts is an incomplete study: merged with the demo it would gain the demo's models.
    if sources:
        raise InputError(f"{', '.join(sources)}: cohorts: this key is missing; a study names at least one")
    values = {**load_yaml(demo), **config}
    return make_plan(check_study(values, f"{demo.name} with --config"))


def describe(plan: Plan, folder: Path) -> str:
    """Expected hours, files kept and new in `folder`, and planned spend of a private study, as text.

    Raises:
        InputError: the spend is refused.
    """
    # The Snakefile calls this in the main process alone: each job reads the Snakefile again, and calibrating
    # the noise takes seconds.
    parts = (
        *(costs.describe(plan), audits.describe(plan)),
        *(kept.describe(plan, folder), spending.describe(plan), licence.describe(plan.study)),
    )
    return "\n\n".join(text for text in parts if text)


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
    """Files of a cohort that exist on this machine; a dry run needs none, a run needs all."""
    return kept.recordings(plan, cohort, Path())


def pieces_before(plan: Plan, cohort: str) -> list[str]:
    """Files with pieces of the cohorts that are read before a cohort, which must hold no copy of them."""
    return [
        paths.PIECES.format(study=plan.study.name, cohort=before, windows="detector")
        for before in plan.cohorts_before(cohort)
    ]


def require_recordings(plan: Plan) -> None:
    """Check before the first job that every file of the cohorts exists.

    Raises:
        InputError: a file is missing.
    """
    for name, settings in plan.study.cohort_settings.items():
        for path in registry.load("cohorts", settings.kind)(settings).sources():
            if not path.exists():
                raise InputError(f"{path}: no such file; cohort {name} needs it, see its keys in the study")


def logged(workflow: Any, command: str) -> str:
    """Command of a rule with its words in the rule's log, and in a job of a cluster also in the job's own."""
    # A cluster keeps the words of each try, and the next try writes the rule's log anew.
    return command + (" 2>&1 | tee {log:q}" if workflow.remote_exec else " > {log:q} 2>&1")


def job(plan: Plan, rule: str, pack: Pack | None = None) -> Callable[[Any], str]:
    """Function of a rule's wildcards that gives the job of the script as JSON."""
    # The JSON is a parameter of the rule, and holds all that the cell depends on and nothing else: a change
    # of the study reruns only the cells that it concerns.
    return lambda wildcards: tasks.job(plan, tasks.read(rule, wildcards, pack)).model_dump_json()


def audited_beside(plan: Plan, wildcards: Any) -> list[str]:
    """Files of synthetic features from which an audited detector learns besides real windows, if any."""
    return audits.synthetic_paths(plan, AuditedCell.read(wildcards))


def noised_windows(plan: Plan, pack: DetectorPack) -> list[str]:
    """File of the windows that a pack noises before it computes features; empty for other packs."""
    return [_real_windows(plan, pack.evaluation.cohort)] if pack.noise_on == "windows" else []


def attacked_windows(plan: Plan, wildcards: Any) -> str:
    """File of the windows whose noised form an audit attacks."""
    return _real_windows(plan, audits.noised_job(plan, NoisedCell.read(wildcards)).cohort)


def _real_windows(plan: Plan, cohort: str) -> str:
    return paths.WINDOWS.format(study=plan.study.name, cohort=cohort, windows="detector")


def public_windows(plan: Plan, wildcards: Any) -> list[str]:
    """Files of windows that a generator reads as public, in the order of its job's `public_cohorts`."""
    return [
        paths.WINDOWS.format(study=plan.study.name, cohort=cohort, windows="generator")
        for cohort in plan.public_cohorts(wildcards.generator)
    ]


def public_features(plan: Plan, wildcards: Any) -> list[str]:
    """Files of features that a detector reads as public, in the order of its job's `public_cohorts`."""
    return [
        paths.REAL_FEATURES.format(study=plan.study.name, cohort=cohort)
        for cohort in plan.public_cohorts_of_detector(wildcards.detector)
    ]


def portrait_output(plan: Plan, pack: GeneratorPack) -> list[str]:
    """File for the figures of a generator, which the pack with seed 0 writes; empty for other packs."""
    return [paths.fill(paths.PORTRAIT, study=plan.study.name)] if 0 in pack.seeds else []


def figure_category(wildcards: Any) -> str:
    """Category of a figure in Snakemake's report, by its name without suffix."""
    of_windows = (paths.QUALITY_FIGURE, paths.WINDOW_FIGURE)
    starts = tuple(template.partition("{")[0] for template in of_windows)
    return "Synthetic windows" if wildcards.figure.startswith(starts) else "Figures"


def study_json(plan: Plan) -> str:
    """The whole study as JSON, which `check_study` reads back."""
    return json.dumps(plan.study.model_dump(mode="json", exclude_none=True))


def resources(plan: Plan, workflow: Any, rule: str, pack: Pack | None = None) -> dict[str, Any]:
    """Functions of memory, time limit and GPUs of a rule's jobs; memory and time grow with each try."""
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
        **gpu_resources(workflow, gpu),
    }


def summary_threads(plan: Plan, workflow: Any) -> Callable[[Any], int]:
    """Function of the threads of the summary, which runs alone: on one machine all cores, up to a bound."""
    # Only in a run it is known whether there is a cluster, where a job waits longer for more cores. A command
    # that runs nothing, such as --report, has no cores.
    return lambda wildcards: (
        max(plan.study.threads, min(_SUMMARY_THREADS, workflow.resource_settings.cores or 1))
        if workflow.local_exec
        else plan.study.threads
    )


def gpu_resources(workflow: Any, gpu: Callable[[Any], int]) -> dict[str, Any]:
    """Functions of a job's GPU, for a workstation and for a cluster; gpu: 0 or 1 of a job's wildcards.

    A cluster's job gets the generic resource `gres` of the profile's default-resources, such as "gpu:a100:1",
    or else "gpu:1".
    """
    default = (workflow.resource_settings.default_resources or {}).get("gres")
    gres = str(default.raw).strip("'\"") if default else "gpu:1"
    # The SLURM executor would make --gpus of `gpu`, which some clusters refuse. Only in a run it is known
    # whether there is a cluster.
    return {
        "gpu": lambda wildcards: gpu(wildcards) if workflow.local_exec else 0,
        "gres": lambda wildcards: "" if workflow.local_exec or not gpu(wildcards) else gres,
    }
