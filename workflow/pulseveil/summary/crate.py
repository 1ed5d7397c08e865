"""RO-Crate of a study's results: files, software, settings and sources.

RO-Crate 1.1 with the profile Process Run Crate 0.5 (Leo et al., PLOS ONE 2024, 19(9):e0309210): one run of
the workflow is the action, and the files are its results. The crate holds the time of the run, so its bytes
differ from run to run, like those of the provenance beside each file. Recordings, windows, features and
models are not part of the crate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rocrate.model import ContextEntity, File
from rocrate.rocrate import ROCrate

import pulseveil
from pulseveil.cohorts import Article, Origin, origin_of
from pulseveil.core.identity import file_hash
from pulseveil.study.study import Study
from pulseveil.summary.description import DESCRIPTIONS

NAME = "ro-crate-metadata.json"
PROFILE = "https://w3id.org/ro/wfrun/process/0.5"
# RO-Crate 1.1 has no term for a checksum: this one is of the Workflow Run profiles.
_TERMS = {"sha256": "https://w3id.org/ro/terms/workflow-run#sha256"}
_FORMATS = {
    ".csv": "text/csv",
    ".h5": "application/x-hdf5",
    ".html": "text/html",
    ".json": "application/json",
    ".pdf": "application/pdf",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".tex": "application/x-tex",
    ".txt": "text/plain",
}
_HOMES = {
    "Python": "https://www.python.org/",
    "numpy": "https://numpy.org/",
    "scipy": "https://scipy.org/",
    "pandas": "https://pandas.pydata.org/",
    "tensorflow": "https://www.tensorflow.org/",
    "scikit-learn": "https://scikit-learn.org/",
}
_DEVELOPERS = "#developers"
_SOFTWARE = "#pulseveil"
_OWN_LICENCE = "MIT"
_STUDY = Article(
    "https://doi.org/10.3390/s24103052",
    "Generating Synthetic Health Sensor Data for Privacy-Preserving Wearable Stress Detection",
    ("Lucas Lange", "Nils Wenzlitschke", "Erhard Rahm"),
    "2024",
    "Sensors 24(10), 3052",
)


def crate(study: Study, folder: Path, files: Sequence[Path], run: Mapping[str, Any]) -> dict[str, Any]:
    """RO-Crate metadata of a study's results as JSON-LD: `files` in `folder` with sizes and sha256.

    `run`: versions and times, as `describe_run` returns them.

    Raises:
        ValueError: a file lies outside `folder`.
    """
    found = ROCrate(gen_preview=False, version="1.1")
    found.metadata.extra_terms |= _TERMS
    _add_licences(found, study)
    _add_articles(found, study)
    sources = [_source(found, name, settings.kind) for name, settings in study.cohort_settings.items()]
    listed = {path.relative_to(folder).as_posix(): path for path in files}
    entities = {name: _file(found, name, path) for name, path in listed.items()}
    software = _software(found, run)
    # The settings went into the run: study.json is an object of the action, not a result.
    settings = [entity for name, entity in entities.items() if name == "study.json"]
    action = _add(
        found,
        "#run",
        "CreateAction",
        name=f"Run of the study {study.name}",
        description="From recordings to tables, figures and report. Planned by study.json.",
        instrument=software,
        object=[*settings, *sources],
        result=[entity for name, entity in entities.items() if name != "study.json"],
        endTime=run["finished"],
    )
    _describe(
        found.root_dataset,
        name=f"Results of the PulseVeil study {study.name}",
        description=_description(study),
        datePublished=run["finished"],
        license={"@id": _licence(study.license)},
        conformsTo=_add(found, PROFILE, "CreativeWork", name="Process Run Crate", version="0.5"),
        citation={"@id": _STUDY.doi},
        isBasedOn=sources,
        mentions=action,
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
    return found.add(File(found, source=path, dest_path=name, properties=properties))


def _software(found: ROCrate, run: Mapping[str, Any]) -> Any:
    """PulseVeil with its developers, its licence and the packages that the run used."""
    versions = {"Python": run["python"], **run["packages"]}
    packages = [
        _add(found, home, "SoftwareApplication", name=name, softwareVersion=versions[name], url=home)
        for name, home in _HOMES.items()
        if name in versions
    ]
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
        softwareRequirements=packages,
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
    for name in sorted({study.license, _OWN_LICENCE, *of_cohorts}):
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
