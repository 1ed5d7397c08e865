"""What each rule hands to its script: arguments, files and resources, all from the plan."""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pulseveil.core import identity, paths, registry
from pulseveil.core.errors import InputError
from pulseveil.core.identity import number_label, parse_number
from pulseveil.study import audits, costs, spending
from pulseveil.study.audit_settings import Part
from pulseveil.study.cells import AuditedCell, Budgets, DetectorPack, GeneratorCell, GeneratorPack
from pulseveil.study.plan import NONE, Plan, make_plan
from pulseveil.study.study import check_study, load_yaml

__all__ = ["number_label"]


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


def require_plain_words(*places: Path) -> None:
    """Raise InputError for a place that the command of a cluster's job would not carry.

    Snakemake hands such commands through several shells and does not quote them for each: a blank breaks the
    command, and `$(...)` runs.
    """
    for place in places:
        if shlex.quote(str(place)) != str(place):
            raise InputError(
                f"{place}: jobs of a cluster need a path without blanks, quotes and characters that a shell "
                "reads; move it to one of letters, digits and @%+=:,./_-"
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


def cohort_arguments(plan: Plan, cohort: str, windows: str) -> list[str]:
    """Arguments of scripts/prepare_cohort.py."""
    study = plan.study
    settings = study.cohort_settings[cohort]
    stride = study.stride_s.generator if windows == "generator" else study.stride_s.detector
    return [
        *("--study", study.name, "--settings", settings.model_dump_json()),
        *("--protocol", study.protocol, "--windows", windows),
        *("--channels", study.channels, "--scaling", study.scaling),
        *("--window-s", str(study.window_s), "--stride-s", str(stride)),
        *("--calibration-s", str(study.calibration_s)),
        *("--version", str(identity.COHORT)),
    ]


def cohort_version(plan: Plan, cohort: str) -> int:
    """The version of the cohort's kind: a new one makes its recordings be read again."""
    return int(registry.load("cohorts", plan.study.cohort_settings[cohort].kind).version)


def feature_arguments(plan: Plan) -> list[str]:
    """Arguments of scripts/extract_features.py."""
    study = plan.study
    return [
        *("--study", study.name, "--protocol", study.protocol, "--pairing", study.pairing),
        *("--version", str(identity.FEATURES)),
    ]


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


def cohort_windows(plan: Plan) -> list[str]:
    """The detector windows of every cohort, whose summaries the report shows."""
    return [
        paths.WINDOWS.format(study=plan.study.name, cohort=cohort, windows="detector")
        for cohort in plan.study.cohorts
    ]


def generator_job(plan: Plan, wildcards: Any, pack: GeneratorPack) -> str:
    """The GeneratorJob of a pack, as JSON."""
    return plan.generator_job(_generator_cell(wildcards), pack.seeds).model_dump_json()


def synthesis_arguments(plan: Plan, cohort: str) -> list[str]:
    """Arguments of scripts/synthesize.py; the version makes a changed stage run again."""
    subjects = plan.synthetic_subjects(cohort)
    return ["--subjects", str(subjects), "--version", str(identity.SYNTHESIS)]


def detector_job(plan: Plan, wildcards: Any, pack: DetectorPack) -> str:
    """The DetectorJob of a pack, as JSON."""
    return plan.detector_job(pack, wildcards.detector, _privacy(wildcards)).model_dump_json()


def audit_job(plan: Plan, wildcards: Any, part: Part) -> str:
    """The AuditJob of a generator or detector, as JSON."""
    return audits.audit_job(plan, _audited_cell(wildcards, part)).model_dump_json()


def audited_beside(plan: Plan, wildcards: Any) -> list[str]:
    """The synthetic features that an audited detector learns from beside real ones: none, or of one seed."""
    return audits.synthetic_paths(plan, _audited_cell(wildcards, "detector"))


def _generator_cell(wildcards: Any) -> GeneratorCell:
    epsilon = parse_number(wildcards.epsilon_generator)
    return GeneratorCell(wildcards.cohort, wildcards.generator, wildcards.unit, epsilon)


def _privacy(wildcards: Any) -> Budgets:
    epsilons = (wildcards.epsilon_generator, wildcards.epsilon_detector)
    return Budgets(wildcards.unit, *map(parse_number, epsilons))


def _audited_cell(wildcards: Any, part: Part) -> AuditedCell:
    words = (wildcards.cohort, wildcards.generator, getattr(wildcards, "detector", NONE), wildcards.unit)
    epsilons = (wildcards.epsilon_generator, getattr(wildcards, "epsilon_detector", "inf"))
    return AuditedCell(part, *words, *map(parse_number, epsilons))


def quality_arguments() -> list[str]:
    """Arguments of scripts/assess_quality.py."""
    return ["--version", str(identity.QUALITY)]


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


def resources(plan: Plan) -> dict[str, Any]:
    """Resources of a job that trains no network; memory and time grow with each retry."""
    return _resources(plan, lambda wildcards: 0.0, lambda wildcards: 0)


def generator_resources(plan: Plan, pack: GeneratorPack) -> dict[str, Any]:
    """Resources of a job of `pack`."""

    def seconds(wildcards: Any) -> float:
        return costs.generator_seconds(plan, _generator_cell(wildcards), pack)

    def gpu(wildcards: Any) -> int:
        kind = plan.study.generator(wildcards.generator).kind
        return plan.study.resources.gpu * int(registry.load("generators", kind).uses_tensorflow)

    return _resources(plan, seconds, gpu)


def quality_resources(plan: Plan, pack: GeneratorPack) -> dict[str, Any]:
    """Resources of the quality job of `pack`."""

    def seconds(wildcards: Any) -> float:
        return costs.assessment_seconds(plan, wildcards.cohort, pack)

    return _resources(plan, seconds, lambda wildcards: 0)


def detector_resources(plan: Plan, pack: DetectorPack) -> dict[str, Any]:
    """Resources of a job of `pack`."""

    def seconds(wildcards: Any) -> float:
        return costs.detector_seconds(plan, wildcards.detector, pack, _privacy(wildcards))

    def gpu(wildcards: Any) -> int:
        kind = plan.study.detector(wildcards.detector).kind
        return plan.study.resources.gpu * int(registry.load("detectors", kind).uses_tensorflow)

    return _resources(plan, seconds, gpu)


def audit_resources(plan: Plan, part: Part) -> dict[str, Any]:
    """Resources of the audit of a generator or detector."""

    def seconds(wildcards: Any) -> float:
        return costs.audit_seconds(plan, _audited_cell(wildcards, part))

    def gpu(wildcards: Any) -> int:
        kind = costs.audited_kind(plan, _audited_cell(wildcards, part))
        return plan.study.resources.gpu * int(kind.uses_tensorflow)

    return _resources(plan, seconds, gpu)


def _resources(plan: Plan, seconds: Any, gpu: Any) -> dict[str, Any]:
    return {
        "mem_mb": lambda wildcards, attempt: plan.study.resources.mem_mb * attempt,
        "runtime": lambda wildcards, attempt: (
            attempt * costs.limit_minutes(plan, seconds(wildcards), gpu(wildcards))
        ),
        "gpu": gpu,
    }
