"""Privacy statement of a ledger in plain English: what is protected, from whom, how much, and what is not."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pulseveil.privacy import accounting
from pulseveil.privacy.ledger import Entry
from pulseveil.privacy.models import ModelGroup, Setting, Together, model_kinds, table_entries, together
from pulseveil.windows.reach import PIECE_S
from pulseveil.windows.scaling import scalings

# The published delta, that of the headline and a stricter one: epsilon at one delta alone can flatter.
DELTAS = (1e-3, 1e-5, 1e-6)
_WIDTH = 100

UNIT_NAMES = {"subject": "one whole person", "window": "one window"}
UNITS = {
    "subject": "One whole person. All windows of a person enter as one vector, clipped as one: everything "
    "that a model can hold of this person is covered, over all recordings.",
    "window": "One window of one person, taken by itself. A minute of life touches several windows, and a "
    "person has many: the columns `any 60 s` and `person` give their epsilon.",
}
FROM_WHOM = (
    "Anybody who sees the released models, or whatever is computed from them and public data (such as "
    "synthetic data), with any knowledge of all other people's data.",
    "Two data sets are neighbours when one record's contribution is zero in one of them (zero-out). A result "
    "of one is at most exp(epsilon) times as likely as with the other, except with probability about delta. "
    "The column `exchanged` is epsilon for neighbours that exchange one record for any other.",
    "`epsilon` is computed by privacy loss distributions, `RDP` by Renyi differential privacy, which is "
    "looser. `unamplified` is the value if the secret draws of records become known. `mu` is the parameter "
    "of Gaussian differential privacy, where it is exact.",
)
NOT_PROTECTED = (
    "That a person took part, and what was taken as public (below).",
    "The people that a model is tested on: their scores, and every quality, audit and accuracy number and "
    "figure on real data, are computed without noise.",
    "Anything, once the key of noise and draws is revealed. The key is destroyed when a training ends.",
    "A choice of models, settings or checkpoints by a score on real data.",
)
OF_PIECES = (
    "Any {piece} s of a person's recording change up to {windows}: the windows that they touch, and windows "
    "up to {reach:g} s further, as far as filters carry a raw second."
)
OF_CONSTANTS = (
    "At unit window: constants that scale a person's signals ({constants}) are computed from other windows "
    "of that person and taken as fixed. A minute that changes a constant changes all windows of the person: "
    "for such a minute the column `person` holds."
)
OF_WHOLE_RECORDINGS = (
    "At unit window: a step before the windows uses the whole recording and spreads each raw second over all "
    "windows of the person. There is no guarantee for raw seconds, only for windows: the column `any 60 s` "
    "has no bound."
)
OF_LEFT_OUT = (
    "Windows of which a sensor measured too little are left out (key `measured`). How many are left out "
    "depends on a person's recording. The number of records and every divisor stay those of the plan: a "
    "window that is left out counts as a record of zeros and changes no public constant."
)
OF_FILES = (
    "All times in files of the study. Beside the results, logs and benchmarks (which count what was read of "
    "each person) and .snakemake (hashes of files) must not leave.",
    "Real data without noise in these files of the study (`*`: any name, `**`: any folders):",
)
OF_OTHER_MODELS = (
    "A ledger names models with a budget only. If models without a budget learn from the same people, "
    "nothing that is published of them is protected; the totals hold for the private ones alone."
)
LIMITS = (
    "Digits of noised sums do not reveal data (Mironov 2012): the noised sums of networks lie on a public "
    "grid, under noise of 96 bits per number, whose finite bits cost at most 1e-4 of epsilon and, up to "
    "epsilon 10, 1e-10 of delta. Small models and single queries use whole numbers and an exact discrete "
    "Gaussian from the operating system's randomness.",
    "What remains of floating point: clipped gradients of networks are added up in float32, whose rounding "
    "can let one record count for some 1e-5 of the clip norm more than epsilon assumes. dp_backend "
    "tensorflow_privacy adds that library's own float32 noise, whose digits can be read: it is for "
    "comparison. Attacks on timing (Jin et al. 2022) are outside of epsilon.",
    "Noise of networks comes from a generator that is not cryptographic (Threefry, with seeds of 64 bits); "
    "its seeds are derived from a 256-bit key of the operating system.",
    "Epsilon adds up over everything that is published. A release spends least as one model, trained once on "
    "all people, with fold models and keys deleted.",
    "For public recordings, epsilon is that of the same training on private recordings of the same size.",
)
REPRODUCIBLE_NOISE = (
    "NOT PRIVATE (reproducible noise). The noise of at least one mechanism comes from the seeds of the "
    "study: whoever has the seeds can subtract it. The epsilons below are those of secret noise."
)


@dataclass(frozen=True)
class Unbudgeted:
    """Models without a budget on the people of a ledger: name, evaluations that use them, number trained."""

    name: str
    evaluations: tuple[str, ...]
    models: int


def statement(
    entries: Sequence[Entry],
    setting: Setting,
    unprotected_files: Sequence[str] = (),
    unbudgeted: Sequence[Unbudgeted] | None = None,
) -> str:
    """Privacy statement (lines of up to 100 characters) of a ledger of one model, a cell, or a whole study.

    Args:
        unprotected_files: one sentence per kind of file that holds real data without noise.
        unbudgeted: all models without a budget on the same people; None if only the ledger is known.

    Guarantee:
        Each epsilon is computed again from the ledger's mechanisms, and totals compose all models of the
        ledger by the people that each learns from. What the ledger and the arguments do not name is not in
        them: other models on the same people, and results on real data.
    """
    if not entries:
        return "This ledger is empty: no model was trained privately, and nothing is protected.\n"
    kinds = model_kinds(entries)
    units = sorted({entry.unit for entry in entries})
    protected = [UNITS[unit] for unit in units]
    unprotected: tuple[str, ...] = NOT_PROTECTED
    if "window" in units:
        protected += _of_pieces(setting)
        unprotected += _of_windows(setting)
    if unprotected_files:
        unprotected += (*OF_FILES, *unprotected_files)
    sections = [
        # First of all: nobody may read an epsilon of reproducible noise as a guarantee.
        *([] if all(entry.is_private for entry in entries) else [_wrap(REPRODUCIBLE_NOISE)]),
        _section("What is protected", protected),
        _section("From whom", FROM_WHOM),
        _section("Not protected", unprotected),
        _section("Taken as public", [*_public(entries), OF_LEFT_OUT]),
        "Each model\n\n" + "\n\n".join(_model(kind, setting) for kind in kinds),
        "Models together\n\n" + "\n\n".join([*_together(entries, kinds, setting), *_beside(unbudgeted)]),
        _section("Limits", LIMITS),
    ]
    return "\n\n".join(sections) + "\n"


def _of_pieces(setting: Setting) -> list[str]:
    """Sentence on the column of any 60 s; none if a raw second has no bound."""
    if math.isinf(setting.reach_s):
        return []
    windows = " and ".join(
        f"{setting.piece_windows(stride_s):.0f} windows of {setting.window_s} s every {stride_s} s"
        for stride_s in dict.fromkeys(setting.strides_s)
    )
    return [OF_PIECES.format(piece=PIECE_S, windows=windows, reach=setting.reach_s)]


def _of_windows(setting: Setting) -> tuple[str, ...]:
    """Sentences on what the unit window does not protect."""
    constants = scalings()[setting.scaling].constants
    of_constants = (OF_CONSTANTS.format(constants=constants),) if constants else ()
    return of_constants + ((OF_WHOLE_RECORDINGS,) if math.isinf(setting.reach_s) else ())


def _public(entries: Sequence[Entry]) -> list[str]:
    named = dict.fromkeys(quantity for entry in entries for quantity in entry.public_quantities)
    sizes = dict.fromkeys(f"{entry.n} {entry.unit}s" for entry in entries)
    return ["Number of records: " + " or ".join(sizes) + ".", *(f"{quantity}." for quantity in named)]


def _model(kind: ModelGroup, setting: Setting) -> str:
    lines = [_wrap(kind.name), *(_wrap(_mechanism(entry), "  ") for entry in kind.entries)]
    head = ("delta", "epsilon", "RDP", "unamplified", "exchanged", f"any {PIECE_S} s", "person", "mu")
    return "\n".join([*lines, _table(head, [_row(kind, setting, delta) for delta in _deltas(kind.entries)])])


def _mechanism(entry: Entry) -> str:
    draws = {
        "full batch": f"all {entry.n} {entry.unit}s in each step",
        "poisson": f"each of {entry.n} {entry.unit}s drawn with probability {entry.q:.4g} in each step",
        "truncated poisson": f"each of {entry.n} {entry.unit}s drawn with probability {entry.q:.4g} in each "
        f"step, larger draws cut to {entry.capacity} at random",
    }[entry.sampler]
    secret = "noise from a secret key" if entry.is_private else "not private (reproducible noise)"
    return (
        f"{entry.mechanism}: {entry.steps_noised} noised steps, {draws}; clipped to {entry.clip_norm:g}, "
        f"noise {entry.noise_multiplier:.4g} times that on the sum; {secret}"
    )


# The table's columns, in the order of `_model`'s head.
def _row(kind: ModelGroup, setting: Setting, delta: float) -> list[float | None]:
    alone = kind.mechanisms
    return [
        delta,
        accounting.epsilon_pld(alone, delta),
        accounting.epsilon_rdp(alone, delta),
        accounting.epsilon_unamplified(alone, delta),
        accounting.epsilon_replace_one(alone, delta),
        accounting.epsilon_of_groups(kind.groups(setting, whole_person=False), delta),
        accounting.epsilon_of_groups(kind.groups(setting, whole_person=True), delta),
        accounting.gaussian_mu(alone),
    ]


def _together(entries: Sequence[Entry], kinds: Sequence[ModelGroup], setting: Setting) -> list[str]:
    """Paragraphs with the epsilons of parts of the ledger that are published together."""
    parts = []
    for detector in kinds:
        for generator in kinds:
            if detector.learns_from(generator):
                names = f"Generator and detector of one cell: {generator.name}; {detector.name}"
                parts.append(_composed(names, Together(((generator, detector),)), setting))
    # With one evaluation, its table would be all models of the ledger again.
    evaluations = dict.fromkeys(str(kind.inputs.get("evaluation", "")) for kind in kinds)
    for evaluation in evaluations if len(evaluations) > 1 else ():
        if evaluation:
            published = together(table_entries(entries, evaluation))
            name = f"All models of the table {evaluation}, {_counted(published)}"
            parts.append(_composed(name, published, setting))
    everything = together(entries)
    parts.append(_composed(f"All models of this ledger, {_counted(everything)}", everything, setting))
    return parts


def _beside(unbudgeted: Sequence[Unbudgeted] | None) -> list[str]:
    """Sentence on models that the totals leave out, if there are or may be any."""
    if unbudgeted is None:
        return [_wrap(OF_OTHER_MODELS)]
    return [_wrap(without_budget(unbudgeted))] if unbudgeted else []


def without_budget(unbudgeted: Sequence[Unbudgeted]) -> str:
    """Sentence on models without a budget, which the totals of private models leave out."""
    names = ", ".join(dict.fromkeys(of_name.name for of_name in unbudgeted))
    number = sum(of_name.models for of_name in unbudgeted)
    return (
        f"{number:,} models without a budget learn from the same people ({names}): nothing that is published "
        "of them is protected; the totals hold for the private ones alone."
    )


def _counted(published: Together) -> str:
    return f"each person in at most {published.copies} of them"


def _composed(name: str, published: Together, setting: Setting) -> str:
    rows = [
        [delta, *(published.epsilon(setting, delta, whole_person=whole) for whole in (False, True))]
        for delta in _deltas(entry for share in published.shares for kind in share for entry in kind.entries)
    ]
    return "\n".join([_wrap(name), _table(("delta", f"any {PIECE_S} s", "person"), rows)])


def _table(head: Sequence[str], rows: Iterable[Sequence[float | None]]) -> str:
    cells = [head, *([_number(value) for value in row] for row in rows)]
    return "\n".join("".join(f"{cell:>13}" for cell in row).rstrip() for row in cells)


def _number(value: float | None) -> str:
    if value is None:
        return ""
    if math.isinf(value):
        return "no bound"
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def _deltas(entries: Iterable[Entry]) -> list[float]:
    return sorted({*DELTAS, *(entry.delta for entry in entries)}, reverse=True)


def _section(title: str, paragraphs: Iterable[str]) -> str:
    return "\n".join([title, "", *(_wrap(paragraph, "- ") for paragraph in paragraphs)])


def _wrap(text: str, indent: str = "") -> str:
    return textwrap.fill(text, _WIDTH, initial_indent=indent, subsequent_indent=" " * len(indent))
