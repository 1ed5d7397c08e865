"""RO-Crate of a study's results: files, jobs, software, settings and sources.

RO-Crate 1.1 with the profile Provenance Run Crate 0.5 (Leo et al., PLOS ONE 2024, 19(9):e0309210): the run of
the workflow is one action, and each job another. The crate holds times of the run, so its bytes differ from
run to run, like those of the provenance beside each file. Recordings, windows, features and models are not
part of the crate: they are named as what jobs read and wrote.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import quote

from rocrate.model import ContextEntity, File
from rocrate.rocrate import ROCrate

import pulseveil
from pulseveil.cohorts import Article, Origin, origin_of
from pulseveil.core.identity import file_hash
from pulseveil.study.licence import results_licence
from pulseveil.study.study import Study
from pulseveil.summary.description import DESCRIPTIONS
from pulseveil.summary.job_runs import JobRun

NAME = "ro-crate-metadata.json"
WORKFLOW = "workflow/Snakefile"
_RUN_PROFILES = {"process": "Process", "workflow": "Workflow", "provenance": "Provenance"}
_RUN_VERSION = "0.5"
_WORKFLOW_PROFILE, _WORKFLOW_VERSION = "https://w3id.org/workflowhub/workflow-ro-crate", "1.0"
# RO-Crate 1.1 has no term for a checksum: this one is of the Workflow Run profiles.
_TERMS = {"sha256": "https://w3id.org/ro/terms/workflow-run#sha256"}
_FORMATS = {
    # The file of the workflow has no ending.
    "": "text/plain",
    ".csv": "text/csv",
    ".h5": "application/x-hdf5",
    ".html": "text/html",
    ".json": "application/json",
    ".pdf": "application/pdf",
    ".png": "image/png",
    ".smk": "text/plain",
    ".svg": "image/svg+xml",
    ".tex": "application/x-tex",
    ".txt": "text/plain",
}
_DEVELOPERS = "#developers"
_SOFTWARE = "#pulseveil"
_AGENT = "#agent"
_OWN_LICENCE = "MIT"
_NO_LICENCE = "#licence-not-named"
_STUDY = Article(
    "https://doi.org/10.3390/s24103052",
    "Generating Synthetic Health Sensor Data for Privacy-Preserving Wearable Stress Detection",
    ("Lucas Lange", "Nils Wenzlitschke", "Erhard Rahm"),
    "2024",
    "Sensors 24(10), 3052",
)


def crate(
    study: Study, folder: Path, files: Sequence[Path], run: Mapping[str, Any], jobs: Sequence[JobRun]
) -> dict[str, Any]:
    """RO-Crate metadata of a study's results as JSON-LD: `files` in `folder` with sizes and sha256.

    `files` hold the workflow, `WORKFLOW`. `run`: versions and times, as `describe_run` returns them. `jobs`:
    all jobs of the study. The last one, the summary, made all files that no other job made.

    Raises:
        ValueError: a file lies outside `folder`.
    """
    found = ROCrate(gen_preview=False, version="1.1")
    found.metadata.extra_terms |= _TERMS
    _add_licences(found, study)
    _add_articles(found, study)
    sources = {name: _source(found, name, settings.kind) for name, settings in study.cohort_settings.items()}
    listed = {path.relative_to(folder).as_posix(): path for path in files}
    entities = {name: _file(found, name, path) for name, path in listed.items() if name != WORKFLOW}
    workflow = _workflow(found, listed[WORKFLOW])
    software = _pulseveil(found, run)
    agent = _add(
        found,
        _AGENT,
        "Organization",
        name="Who ran the study",
        description="Results name neither people nor machines. Put in a name before you publish this crate.",
    )
    # The settings and the rules went into the run: they are objects of the action, not results.
    objects = [name for name in entities if name == "study.json" or name.startswith("workflow/")]
    results = [name for name in entities if name not in objects]
    actions = _actions(found, jobs, entities, results, sources, software, agent)
    whole = _add(
        found,
        "#run",
        "CreateAction",
        name=f"Run of the study {study.name}",
        description="From recordings to tables, figures and report. Planned by study.json.",
        instrument=workflow,
        object=[*(entities[name] for name in objects), *sources.values()],
        result=[entities[name] for name in results],
        startTime=min(job.run["started"] for job in jobs if job.run),
        endTime=run["finished"],
        agent=agent,
    )
    _describe(
        workflow,
        hasPart=list({action["instrument"].id: action["instrument"] for action in actions}.values()),
        license={"@id": _licence(_OWN_LICENCE)},
        creator=software["creator"],
        version=pulseveil.__version__,
    )
    _describe(
        found.root_dataset,
        name=f"Results of the PulseVeil study {study.name}",
        description=_description(study),
        datePublished=run["finished"],
        license={"@id": _licence(named) if (named := results_licence(study)) else _NO_LICENCE},
        conformsTo=_profiles(found),
        citation={"@id": _STUDY.doi},
        isBasedOn=list(sources.values()),
        mentions=[whole, *actions],
    )
    metadata: dict[str, Any] = found.metadata.generate()
    return metadata


def settings_file(study: Study) -> dict[str, Any]:
    """Settings of a study as JSON values, without the paths of its recordings."""
    # Recordings enter every hash by their content: results do not depend on these paths.
    settings = study.model_dump(mode="json", exclude_none=True)
    for name, cohort in study.cohort_settings.items():
        locations = [key for key, value in cohort.model_dump().items() if isinstance(value, Path)]
        settings["cohorts"][name] = {
            key: value for key, value in settings["cohorts"][name].items() if key not in locations
        }
    return settings


def _description(study: Study) -> str:
    sentences = [
        study.note,
        f"Stress detection from wrist recordings by protocol {study.protocol}.",
        "Scores, tables and figures on real recordings are outside any privacy guarantee; statement.txt says "
        "what is protected. The recordings are not part of this data set.",
    ]
    return " ".join(filter(None, sentences))


def _file(found: ROCrate, name: str, path: Path) -> Any:
    return found.add(File(found, source=path, dest_path=name, properties=_of_file(name, path)))


def _of_file(name: str, path: Path) -> dict[str, Any]:
    """Properties of a file of the crate."""
    properties = {
        "name": name,
        "encodingFormat": _FORMATS.get(path.suffix, "application/octet-stream"),
        "contentSize": str(path.stat().st_size),
        "sha256": file_hash(path),
    }
    if name.startswith("scores/"):
        properties["description"] = "Scores of the tested windows of one cell and seed."
    elif name in DESCRIPTIONS:
        properties["description"] = DESCRIPTIONS[name]
    return properties


def _workflow(found: ROCrate, path: Path) -> Any:
    """The main file of the workflow, which is the main entity of the crate."""
    return found.add_workflow(
        path,
        WORKFLOW,
        properties=_of_file(WORKFLOW, path),
        main=True,
        lang="snakemake",
        lang_version=metadata.version("snakemake"),
    )


def _profiles(found: ROCrate) -> list[Any]:
    """The profiles of the crate, from the general to the special one."""
    profiles = {
        f"https://w3id.org/ro/wfrun/{name}/{_RUN_VERSION}": (f"{title} Run Crate", _RUN_VERSION)
        for name, title in _RUN_PROFILES.items()
    }
    profiles[f"{_WORKFLOW_PROFILE}/{_WORKFLOW_VERSION}"] = ("Workflow RO-Crate", _WORKFLOW_VERSION)
    return [
        _add(found, profile, "CreativeWork", name=name, version=version)
        for profile, (name, version) in profiles.items()
    ]


def _actions(
    found: ROCrate,
    jobs: Sequence[JobRun],
    entities: Mapping[str, Any],
    results: Sequence[str],
    sources: Mapping[str, Any],
    software: Any,
    agent: Any,
) -> list[Any]:
    """One action per job, with what it read and wrote, its times and the software that it loaded."""
    of_others = {name for job in jobs[:-1] for name in job.files}
    last = tuple(name for name in results if name not in of_others)
    written = {job.name: _written(found, job.name, job.files, entities) for job in jobs[:-1]}
    written[jobs[-1].name] = _written(found, jobs[-1].name, last, entities)
    tools: dict[tuple[Any, ...], Any] = {}
    return [
        _add(
            found,
            f"#{quote(job.name)}",
            "CreateAction",
            name=job.name,
            description=f"A job of the rule {job.rule}.",
            instrument=_tool(found, job, tools, software),
            object=[
                *(sources[cohort] for cohort in job.cohorts),
                *(entity for name in job.reads for entity in written[name]),
            ],
            result=written[job.name],
            agent=agent,
            **({"startTime": job.run["started"], "endTime": job.run["finished"]} if job.run else {}),
        )
        for job in jobs
    ]


def _written(found: ROCrate, name: str, files: Sequence[str], entities: Mapping[str, Any]) -> list[Any]:
    """The files of a job in the crate, or one entity for all its files outside."""
    if files and all(file in entities for file in files):
        return [entities[file] for file in files]
    described = f"{len(files)} files, which are not part of this crate."
    return [_add(found, f"#{quote(name)}/files", "Dataset", name=f"Files of {name}", description=described)]


def _tool(found: ROCrate, job: JobRun, tools: dict[tuple[Any, ...], Any], software: Any) -> Any:
    """The program of a job's rule with the versions that the job loaded; jobs with equal ones share it."""
    key = (job.rule, job.run.get("git"), *job.run.get("packages", {}).items())
    if key not in tools:
        number = sum(rule == job.rule for rule, *_ in tools) + 1
        described = _versions(found, job.run) if job.run else {}
        tools[key] = _add(
            found,
            f"#{job.rule}.{number}",
            "SoftwareApplication",
            name=f"Rule {job.rule}",
            isPartOf=software,
            **described,
        )
    return tools[key]


def _versions(found: ROCrate, run: Mapping[str, Any]) -> dict[str, Any]:
    """Versions of PulseVeil and of the packages that a job loaded."""
    packages = {"Python": run["python"], **run["packages"]}
    own = packages.pop("pulseveil")
    revision = {"identifier": f"git commit {run['git']}"} if run["git"] else {}
    requirements = [_package(found, name, version) for name, version in packages.items()]
    return {"softwareVersion": own, "softwareRequirements": requirements, **revision}


def _package(found: ROCrate, name: str, version: str) -> Any:
    """A package of others; its address is of one version."""
    home = f"https://pypi.org/project/{name}/{version}/"
    if name == "Python":
        home = f"https://www.python.org/downloads/release/python-{version.replace('.', '')}/"
    known = found.get(home)
    if known is not None:
        return known
    return _add(found, home, "SoftwareApplication", name=name, softwareVersion=version, url=home)


def _pulseveil(found: ROCrate, run: Mapping[str, Any]) -> Any:
    """PulseVeil with its developers and its licence."""
    revision = {"identifier": f"git commit {run['git']}"} if run["git"] else {}
    return _add(
        found,
        _SOFTWARE,
        "SoftwareApplication",
        name="PulseVeil",
        description="A Snakemake workflow over generators, detectors, evaluations, seeds and folds.",
        softwareVersion=pulseveil.__version__,
        license={"@id": _licence(_OWN_LICENCE)},
        creator=_add(found, _DEVELOPERS, "Organization", name="The PulseVeil developers"),
        **revision,
    )


def _source(found: ROCrate, name: str, kind: str) -> Any:
    """A data set entity for the recordings of a cohort, which the crate does not include."""
    origin = origin_of(kind)
    cited: dict[str, Any] = {"citation": {"@id": origin.article.doi}} if origin.article else {}
    return _add(
        found,
        f"#cohort-{name}",
        "Dataset",
        name=f"Cohort {name}",
        description=f"Recordings of kind {kind}: {origin.source}.",
        # Terms without an SPDX identifier are given as text.
        license={"@id": _licence(origin.license)} if origin.license else origin.terms,
        **cited,
    )


def _add_licences(found: ROCrate, study: Study) -> None:
    of_cohorts = [origin.license for origin in _origins(study) if origin.license]
    of_results = results_licence(study)
    if of_results is None:
        _add(
            found,
            _NO_LICENCE,
            "CreativeWork",
            name="No licence named",
            description="The study names no licence. Ask its authors; the terms of the recordings apply too.",
        )
    for name in sorted({_OWN_LICENCE, *of_cohorts, *([of_results] if of_results else [])}):
        _add(
            found,
            _licence(name),
            "CreativeWork",
            name=name,
            description=f"The licence with the SPDX identifier {name}.",
        )


def _origins(study: Study) -> list[Origin]:
    return [origin_of(settings.kind) for settings in study.cohort_settings.values()]


def _licence(name: str) -> str:
    return f"https://spdx.org/licenses/{name}"


def _add_articles(found: ROCrate, study: Study) -> None:
    of_cohorts = [origin.article for origin in _origins(study) if origin.article]
    # Two cohorts may cite one article, and an RO-Crate holds each entity once.
    for article in dict.fromkeys((_STUDY, *of_cohorts)):
        authors = [_add(found, f"#{name.replace(' ', '-')}", "Person", name=name) for name in article.authors]
        _add(
            found,
            article.doi,
            "ScholarlyArticle",
            name=article.title,
            author=authors,
            datePublished=article.year,
            publisher=article.journal,
        )


def _add(found: ROCrate, entity_id: str, kind: str, /, **properties: Any) -> Any:
    """Add a contextual entity of type `kind` to the crate."""
    entity = found.add(ContextEntity(found, entity_id, properties={"@type": kind}))
    _describe(entity, **properties)
    return entity


def _describe(entity: Any, /, **properties: Any) -> None:
    """Set properties of an entity; a list of one value becomes the value."""
    for name, value in properties.items():
        entity[name] = value[0] if isinstance(value, list) and len(value) == 1 else value
