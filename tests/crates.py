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


def broken_requirements(crate: Path, folder: Path) -> list[str]:
    """What a crate lacks that Process Run Crate 0.5 and RO-Crate 1.1 require; `folder` keeps the cache.

    The validator asks for the address of the context. Its answer comes from the cache: the context of the
    rocrate package, a later version with the same meaning of all words of 1.1.
    """
    _fill(folder / "cache")
    settings = ValidationSettings(
        rocrate_uri=str(crate),
        profile_identifier="process-run-crate",
        requirement_severity=Severity.REQUIRED,
        offline=True,
        cache_path=folder / "cache",
    )
    return [issue.message or "" for issue in validate(settings).get_issues()]


def _fill(cache: Path) -> None:
    context = json.loads(files("rocrate").joinpath("data/ro-crate.jsonld").read_text())["@context"]
    content = json.dumps({"@context": context}).encode()
    response = requests.Response()
    response.status_code = 200
    response.url = CONTEXT
    response.headers["Content-Type"] = "application/ld+json"
    response.request = requests.Request("GET", CONTEXT).prepare()
    response.raw = HTTPResponse(BytesIO(content), headers=response.headers, status=200, preload_content=False)
    response._content = content
    with CachedSession(str(cache), backend="sqlite", expire_after=-1) as session:
        session.cache.save_response(response)
