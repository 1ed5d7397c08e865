"""Which trainings a membership audit compares: with and without a record, all else being equal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from pulseveil.audit.bounds import Floats
from pulseveil.audit.lira import Flags, record_means
from pulseveil.contracts import FeatureSet, WindowSet
from pulseveil.errors import InputError
from pulseveil.randomness import Stream, child

Records = TypeVar("Records", FeatureSet, WindowSet)
Train = Callable[[Records, Stream], Callable[[Records], Floats]]
"""Trains on rows, with a stream of its own; the trained model answers each row with one number (rows)."""


@dataclass(frozen=True, eq=False)
class Design:
    """The models of an audit, by the records that they see.

    members (models, records): what a model is trained on. compared (models, records): for which records it
    counts: where it differs from the other models in that record alone, or in others at random.
    """

    members: Flags
    compared: Flags


def leave_one_out(records: int, trainings: int) -> Design:
    """`trainings` models of all records and as many without each one: for people, who are few.

    A model that lacks one record counts for no other: it is no neighbour of the models of all records there.
    """
    lacked = np.repeat(np.arange(-1, records), trainings)[:, np.newaxis]
    members = lacked != np.arange(records)
    return Design(members, ~members | (lacked == -1))


def random_halves(records: int, trainings: int, generator: np.random.Generator) -> Design:
    """2 `trainings` models, each record in a random half of them, independently of the other records."""
    half = np.arange(2 * trainings)[:, np.newaxis] < trainings
    members = generator.permuted(np.broadcast_to(half, (2 * trainings, records)), axis=0)
    return Design(members, np.ones_like(members))


def train_design(
    train: Train[Records], rows: Records, record: NDArray[np.str_], design: Design, stream: Stream
) -> Floats:
    """Train all models of a design: scores (models, records), NaN where a model does not count.

    record (n): the name of the record that one of `rows` belongs to, the person or the window itself;
    records in sorted order. A score is the mean over the record's rows of the model's answer.
    """
    names, owner = np.unique(record, return_inverse=True)
    if len(names) != design.members.shape[1]:
        raise InputError(f"audit: a design of {design.members.shape[1]} records, but {len(names)} were found")
    scores = np.empty(design.members.shape)
    for i, members in enumerate(design.members):
        answer = train(rows.take(members[owner]), child(stream, "model", i))
        scores[i] = record_means(answer(rows), record)
    return np.where(design.compared, scores, np.nan)
