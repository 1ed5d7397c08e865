"""Hooks of MkDocs: pages of the API, with what each `__all__` names, page of files, and reproduced cells."""

import json
from importlib import import_module
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

import pulseveil
from pulseveil.summary import file_page, published


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """The files of the site, with the pages `api/PACKAGE.md` and `files.md`."""
    for package in pulseveil.__all__:
        name = f"pulseveil.{package}"
        face = json.dumps(getattr(import_module(name), "__all__", []))
        page = f"::: {name}\n    options: {{members: {face}}}\n"
        files.append(File.generated(config, f"api/{package}.md", content=page))
    files.append(File.generated(config, "files.md", content=file_page.markdown()))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """The text of a page; that on the published study is followed by all of its cells."""
    if page.file.src_uri != "reproduction/index.md":
        return markdown
    table = published.markdown(Path(config.docs_dir) / "reproduction" / "reproduction.csv")
    return f"{markdown}\n## All published cells\n\n{table}"
