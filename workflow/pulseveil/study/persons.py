"""People who have several names in the cohorts of a study, as its key `same_person` states."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from pulseveil.core.errors import InputError, refuse
from pulseveil.core.settings import explain_choice
from pulseveil.evaluation.protocols import Fold, Outline

# Cohorts and names of one person.
Person = frozenset[tuple[str, str]]


def apart(people: Sequence[Person], folds: Sequence[Fold], train: str, test: str) -> tuple[Fold, ...]:
    """The folds, which do not train on other names of the people whom they test.

    train, test: the cohort on which the folds train, and the tested one.

    Raises:
        InputError: nobody is left for training.
    """
    found = []
    for fold in folds:
        tested = {(test, name) for name in fold.test_subjects}
        others = {member for person in people if person & tested for member in person}
        left = tuple(name for name in fold.train_subjects if (train, name) not in others)
        if fold.train_subjects and not left:
            raise InputError(f"fold {fold.name}: by same_person it tests everybody on whom it would train")
        found.append(fold.model_copy(update={"train_subjects": left}))
    return tuple(found)


def marked(people: Sequence[Person], cohort: str, names: Collection[str]) -> frozenset[str]:
    """The names of a cohort, and a mark for each of its people in `people`, the same in all cohorts."""
    members = {(cohort, name) for name in names}
    return frozenset((*names, *(f"same_person[{i}]" for i, person in enumerate(people) if person & members)))


def other_names(people: Sequence[Person], cohort: str) -> dict[str, tuple[str, ...]]:
    """For each person of a cohort in `people`, the names in other cohorts, as COHORT/NAME."""
    return {
        name: tuple(f"{other}/{alias}" for other, alias in sorted(person) if other != cohort)
        for person in people
        for own, name in sorted(person)
        if own == cohort
    }


def shared(people: Sequence[Person], first: str, second: str) -> bool:
    """Whether a person is in both cohorts."""
    return any({first, second} <= _cohorts(person) for person in people)


def require_known(people: Sequence[Person], outlines: Mapping[str, Outline]) -> None:
    """Raise InputError if a cohort has no person of a name."""
    refuse(
        [
            explain_choice(f"same_person[{i}]", cohort, name, tuple(outlines[cohort]))
            for i, person in enumerate(people)
            for cohort, name in sorted(person)
            if name not in outlines[cohort]
        ]
    )


def require_one_budget(people: Sequence[Person], private: Collection[str]) -> None:
    """Raise InputError if a person has several names in cohorts with private trainings."""
    faults = []
    for i, person in enumerate(people):
        names = sorted({name for cohort, name in person if cohort in private})
        if len(names) > 1:
            faults.append(
                f"same_person[{i}]: {' and '.join(names)} are one person in private trainings, where each "
                "name has a budget of its own; give the person one name in all cohorts, and merge the labels "
                "within a cohort"
            )
    refuse(faults)


def require_not_learnt(people: Sequence[Person], train: str, test: str) -> None:
    """Raise InputError if the generator of all people of a cohort learns from a person tested in another."""
    refuse(
        [
            f"same_person[{i}]: a tested person of cohort {test} is in cohort {train}, on which one "
            "generator is trained for all folds; set generator_shared: false"
            for i, person in enumerate(people)
            if train != test and {train, test} <= _cohorts(person)
        ]
    )


def _cohorts(person: Person) -> set[str]:
    return {cohort for cohort, _ in person}
