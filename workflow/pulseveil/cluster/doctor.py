"""Is a cluster ready for a plan? Looks before anything is submitted, and says how to mend what is wrong."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from rich import box
from rich.table import Table
from rich.text import Text

from pulseveil.cluster.checks import CHECKS, GPU_CHECK, Visit
from pulseveil.cluster.diagnosis import State
from pulseveil.cluster.request import Setup
from pulseveil.cluster.trial_job import Waits

__all__ = ["Finding", "Setup", "Waits", "examine", "render"]

_STYLES: Mapping[State, str] = {"ok": "green", "wrong": "bold red", "unknown": "yellow"}


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at; mend: one sentence, empty where nothing is wrong."""

    subject: str
    state: State
    found: str
    mend: str = ""


def examine(setup: Setup, environment: Mapping[str, str], waits: Waits | None = None) -> Iterator[Finding]:
    """Look at everything that a study needs from the cluster, one finding after the other.

    environment: of the commands of SLURM, as the study would run them.
    """
    visit = Visit(setup, environment, waits or Waits())
    causes: dict[str, str] = {}
    for check in (*CHECKS, GPU_CHECK) if setup.gpus else CHECKS:
        if cause := next((causes[need] for need in check.needs if need in causes), None):
            causes[check.subject] = cause
            yield Finding(check.subject, "unknown", "not looked at", f"First mend this: {cause}.")
            continue
        verdict = check.look(visit)
        if verdict.state != "ok":
            causes[check.subject] = check.subject
        yield Finding(check.subject, verdict.state, verdict.found, verdict.mend)


def render(findings: Iterable[Finding]) -> Table:
    """The findings as a table for a terminal."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("", "looked at", "found"):
        table.add_column(heading, no_wrap=heading != "found")
    for finding in findings:
        # Not as markup: the cluster's words may hold brackets.
        found = Text(finding.found)
        if finding.mend:
            found.append(f"\n{finding.mend}", style="bold")
        table.add_row(Text(finding.state, style=_STYLES[finding.state]), finding.subject, found)
    return table
