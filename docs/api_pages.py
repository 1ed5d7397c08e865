"""A hook of MkDocs: one page of the API per package, with what its `__all__` names, and the page of files."""

import json
from importlib import import_module

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

import pulseveil
from pulseveil.summary import file_page


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """The files of the site, with the pages `api/PACKAGE.md` and `files.md`."""
    for package in pulseveil.__all__:
        name = f"pulseveil.{package}"
        face = json.dumps(getattr(import_module(name), "__all__", []))
        page = f"::: {name}\n    options: {{members: {face}}}\n"
        files.append(File.generated(config, f"api/{package}.md", content=page))
    files.append(File.generated(config, "files.md", content=file_page.markdown()))
    return files
