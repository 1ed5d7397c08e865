"""The command `pulseveil`: one name for the scripts of a checkout, with examples."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pulseveil.core.errors import InputError, run_command
from pulseveil.core.settings import explain_choice

# What other packages may use, in reading order.
__all__ = [  # noqa: RUF022
    "Command",
    "COMMANDS",
    "table",
    "main",
]

PROJECT = Path(__file__).resolve().parents[3]


@dataclass(frozen=True)
class Command:
    """A subcommand: the program that does the work, what it is for, and an example.

    program: path in the project. arguments: those that come before the user's own.
    """

    name: str
    program: str
    purpose: str
    example: str
    arguments: tuple[str, ...] = ()


COMMANDS = (
    Command(
        "plan", "scripts/plan.py", "runs, hours and spend of a study before it runs", "config/people.yaml"
    ),
    Command("run", "scripts/run.py", "run a study on this machine; without a file the demo", "my-study.yaml"),
    Command(
        "check-data",
        "scripts/check_data.py",
        "read all recordings of a study, and tell what is wrong or repaired",
        "my-study.yaml",
    ),
    Command(
        "generate",
        "scripts/generate.py",
        "synthetic people from a trained generator, with cards and proof",
        "release/posterior/model.h5 --subjects 20",
    ),
    Command(
        "score",
        "scripts/score.py",
        "stress in new recordings, by a trained detector",
        "release/logistic/model.h5 recordings --kind empatica --labels labels.csv --out scores.csv",
    ),
    Command(
        "compare",
        "scripts/compare.py",
        "the main tables of two studies, or of a study and its earlier self, side by side",
        "demo people",
    ),
    Command(
        "archive",
        "scripts/archive.py",
        "the finished runs of a study in one file, to resume it elsewhere",
        "config/people.yaml NOT-PRIVATE_people.tar.xz --not-private",
    ),
    Command(
        "restore",
        "scripts/restore.py",
        "finished runs of a study from an archive",
        "config/people.yaml NOT-PRIVATE_people.tar.xz",
    ),
    Command(
        "statement",
        "scripts/statement.py",
        "a ledger in plain English: what is protected and what is not",
        "results/people/ledger.json",
    ),
    Command(
        "release",
        "scripts/release.py",
        "one model on all people, its data sets and their proof, to give away",
        "config/demo.yaml --model posterior --unit subject --epsilon 10 --out release/posterior",
    ),
    Command(
        "verify",
        "scripts/verify.py",
        "check files and epsilons of a release against its ledger",
        "release/posterior",
    ),
    Command("app", "workflow/pulseveil/app/__main__.py", "the front end in the browser", "--port 8600"),
    Command(
        "submit",
        "scripts/submit.py",
        "run a study on a cluster, by a controller that outlives the login",
        "--configfile my-study.yaml",
    ),
    Command(
        "doctor",
        "scripts/submit.py",
        "whether this cluster can run a study",
        "--configfile my-study.yaml",
        ("--check",),
    ),
)


def table() -> str:
    """All commands as a Markdown table, for the README."""
    rows = [f"| `{c.name}` | {c.purpose} | `pulseveil {c.name} {c.example}` |" for c in COMMANDS]
    return "\n".join(["| command | what it does | example |", "| --- | --- | --- |", *rows])


def main() -> None:
    """Run the subcommand that the command line names, or list all of them."""
    run_command(lambda: _run(sys.argv[1:]))


def _run(words: Sequence[str]) -> None:
    if not words or words[0] in ("-h", "--help"):
        print(_overview())
        return
    found = {command.name: command for command in COMMANDS}
    if words[0] not in found:
        raise InputError(explain_choice("pulseveil", "command", words[0], list(found)))
    command = found[words[0]]
    program = PROJECT / command.program
    if not program.exists():
        raise InputError(
            f"{program}: no such file; `pulseveil {command.name}` needs a checkout of PulseVeil with its "
            "scripts: install it there by `pip install -e .`; `import pulseveil` works without one"
        )
    # Not as __main__, for which runpy would show the name of the file in the usage.
    program_main = runpy.run_path(str(program))["main"]
    sys.argv = [f"pulseveil {command.name}", *command.arguments, *words[1:]]
    if {"-h", "--help"} & set(words):
        print(f"example: pulseveil {command.name} {command.example}\n")
    program_main()


def _overview() -> str:
    width = max(len(command.name) for command in COMMANDS)
    lines = [f"  {command.name:<{width}}  {command.purpose}" for command in COMMANDS]
    examples = [f"  pulseveil {command.name} {command.example}" for command in COMMANDS]
    return "\n".join(
        [
            "usage: pulseveil COMMAND [options]; pulseveil COMMAND --help tells the options",
            "",
            *lines,
            "",
            "examples:",
            *examples,
        ]
    )
