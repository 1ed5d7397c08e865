"""RO-Crates under the validator of the RO-Crate community, without network."""

from __future__ import annotations

import json
from importlib.resources import files
from io import BytesIO
from pathlib import Path

import requests
from requests_cache import CachedSession
from rocrate_validator.models import Severity, ValidationSettings
from rocrate_validator.services import validate
from urllib3 import HTTPResponse

CONTEXT = "https://w3id.org/ro/crate/1.1/context"
WORDS_OF_1_1 = {
    word: f"https://bioschemas.org/{word}" for word in ("ComputationalWorkflow", "FormalParameter")
}


def broken_requirements(crate: Path, folder: Path) -> list[str]:
    """What a crate lacks that Provenance Run Crate 0.5 requires; `folder` keeps the cache.

    The profile includes Workflow Run Crate, Process Run Crate, Workflow RO-Crate and RO-Crate 1.1.

    The validator asks for the address of the context. Its answer comes from the cache: the context of the
    rocrate package, a later version, with the words of 1.1 that have another meaning there.
    """
    _fill(folder / "cache")
    settings = ValidationSettings(
        rocrate_uri=str(crate),
        profile_identifier="provenance-run-crate",
        requirement_severity=Severity.REQUIRED,
        offline=True,
        cache_path=folder / "cache",
    )
    return [issue.message or "" for issue in validate(settings).get_issues()]


def _fill(cache: Path) -> None:
    context = json.loads(files("rocrate").joinpath("data/ro-crate.jsonld").read_text())["@context"]
    content = json.dumps({"@context": context | WORDS_OF_1_1}).encode()
    response = requests.Response()
    response.status_code = 200
    response.url = CONTEXT
    response.headers["Content-Type"] = "application/ld+json"
    response.request = requests.Request("GET", CONTEXT).prepare()
    response.raw = HTTPResponse(BytesIO(content), headers=response.headers, status=200, preload_content=False)
    response._content = content
    with CachedSession(str(cache), backend="sqlite", expire_after=-1) as session:
        session.cache.save_response(response)
