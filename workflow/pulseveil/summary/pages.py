"""HTML pages from the package's templates."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import jinja2


def render(template: str, **values: Any) -> str:
    """A template of `pulseveil.summary` with its values, escaped; raises UndefinedError for one left out."""
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_source),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template(template).render(**values)


def _source(template: str) -> str:
    return files("pulseveil.summary").joinpath(template).read_text(encoding="utf-8")
