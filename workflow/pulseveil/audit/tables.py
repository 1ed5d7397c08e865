"""Table rows of audits: each bound with its ceiling, its counts and its verdict.

A refuted claim ends an audit, and with it the run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pulseveil.audit import canaries, membership
from pulseveil.audit.bounds import LEVEL, AttackCounts, CanaryGuesses, canaries_needed
from pulseveil.audit.membership import Design, RecordAttack, Records, Train
from pulseveil.audit.release import Reidentification
from pulseveil.audit.trade_off import TradeOff, epsilon_of_mu
from pulseveil.audit.verdict import AuditFailure, Claim, Defence, Evidence, Verdict, judge, judge_curve
from pulseveil.core.errors import InputError
from pulseveil.core.randomness import Stream, child, generator
from pulseveil.privacy.budget import Unit
from pulseveil.study.audit_settings import AuditSettings

Row = Mapping[str, Any]


def judged_rows(attacks: Sequence[RecordAttack], claim: Claim, audits: int) -> tuple[Row, ...]:
    """Rows of membership attacks with a verdict, one per record.

    Bounds and intervals are at 95 %, verdicts at the level corrected for `audits` verdicts. `epsilon_low` and
    the verdict rest on calls of "in", `epsilon_low_out` on calls of "out".
    """
    return tuple(
        {
            **_membership(attack),
            **_judged(f"membership of {attack.record}", attack.counts, claim, audits),
            "epsilon_low_out": attack.counts.mirrored.epsilon_lower_bound(claim.delta, LEVEL),
        }
        for attack in attacks
    )


def descriptive_row(attack: RecordAttack) -> Row:
    """Row of an attack without a known error rate (pooled over records): no bound, no verdict."""
    return _membership(attack)


def guess_rows(
    guesses: CanaryGuesses, claim: Claim, curve: TradeOff | None, audits: int, asked: str = ""
) -> tuple[Row, ...]:
    """Rows of one-run canaries: one for the claimed epsilon and, if it is known, one for the claimed curve.

    The column `canaries_needed` is the number of canaries that, if all are guessed right, test the claimed
    epsilon at delta 0.

    Args:
        asked: the part of the model that gives the scores, if it is not the whole model.
    """
    counted = {
        "canaries": guesses.canaries,
        "guesses": guesses.guesses,
        "correct": guesses.correct,
        "canaries_needed": canaries_needed(claim.epsilon),
    }
    return _rows(_attack("canaries", asked), counted, guesses, claim, curve, audits)


def repetition_rows(
    counts: AttackCounts, claim: Claim, curve: TradeOff | None, audits: int, asked: str = ""
) -> tuple[Row, ...]:
    """Rows of one canary in many trainings; arguments as in `guess_rows`."""
    return _rows(_attack("repeated canary", asked), _counted(counts), counts, claim, curve, audits)


def reidentification_row(attack: str, found: Reidentification) -> Row:
    """Row of a re-identification: rate with its 95 % interval, beside chance."""
    # No bound on epsilon: people share the releases, so that links are not independent trainings.
    low, high = found.interval(LEVEL)
    return {
        "attack": attack,
        "people": found.people,
        "correct": found.correct,
        "rate": found.rate,
        "rate_low": low,
        "rate_high": high,
        "chance": found.chance,
        "p": found.p_value(),
    }


def _attack(name: str, asked: str) -> str:
    return f"{name}, {asked}" if asked else name


def _rows(
    attack: str, counted: Row, evidence: Evidence, claim: Claim, curve: TradeOff | None, audits: int
) -> tuple[Row, ...]:
    by_epsilon = {"attack": attack, **counted, **_judged(attack, evidence, claim, audits)}
    if curve is None:
        return (by_epsilon,)
    # The curve has a bound and a verdict of its own: it can refute claims above the ceiling of epsilon.
    by_curve = {
        "attack": f"{attack}, trade-off curve",
        **counted,
        "mu_low": evidence.mu_lower_bound(LEVEL),
        "epsilon_low": epsilon_of_mu(evidence.mu_lower_bound(LEVEL), claim.delta),
        "epsilon_ceiling": epsilon_of_mu(evidence.flawless.mu_lower_bound(LEVEL), claim.delta),
        **_verdict(claim, judge_curve(claim, curve, attack, evidence, audits)),
    }
    return by_epsilon, by_curve


def _membership(attack: RecordAttack) -> dict[str, Any]:
    auc_low, auc_high = attack.auc_interval(LEVEL)
    # Rates at the threshold that leaves no false alarm; counts and bounds use the fixed threshold.
    tpr_low, tpr_high = attack.strictest.true_positive_rate(LEVEL)
    return {
        "attack": "membership",
        "record": attack.record,
        **_counted(attack.counts),
        "auc": attack.auc,
        "auc_low": auc_low,
        "auc_high": auc_high,
        "tpr_at_no_false_alarm": attack.strictest.hits / attack.strictest.members,
        "tpr_low": tpr_low,
        "tpr_high": tpr_high,
        "fpr_high": attack.strictest.false_positive_rate(LEVEL)[1],
    }


def _counted(counts: AttackCounts) -> dict[str, int]:
    return {
        "trainings_in": counts.members,
        "hits": counts.hits,
        "trainings_out": counts.non_members,
        "false_alarms": counts.false_alarms,
    }


def _judged(attack: str, evidence: Evidence, claim: Claim, audits: int) -> dict[str, Any]:
    return {
        "epsilon_low": evidence.epsilon_lower_bound(claim.delta, LEVEL),
        # A bound says little without the one that an attack without an error would have given.
        "epsilon_ceiling": evidence.flawless.epsilon_lower_bound(claim.delta, LEVEL),
        "mu_low": evidence.mu_lower_bound(LEVEL),
        **_verdict(claim, judge(claim, attack, evidence, audits)),
    }


def _verdict(claim: Claim, verdict: Verdict) -> dict[str, Any]:
    return {
        "epsilon_claimed": claim.epsilon,
        "delta": claim.delta,
        "level": verdict.level,
        "failed": isinstance(verdict, AuditFailure),
        "verdict": verdict.text,
    }


def require_no_refutation(table: pd.DataFrame) -> None:
    """Refuse a table in which a verdict refutes its claim.

    Raises:
        InputError: there is such a verdict; the message holds the sentences of all of them.
    """
    # Rows without a verdict have no value in `failed`: neither true nor false.
    refuted = table.verdict[table.failed.eq(True)].tolist()
    if refuted:
        raise InputError(
            f"audit: {'; '.join(refuted)}. The training gives away more than it claims: do not release its "
            "models before the cause is found"
        )


def membership_rows(
    train: Train[Records], rows: Records, settings: AuditSettings, defence: Defence, stream: Stream
) -> list[Row]:
    """Rows of the membership attack: one of all records together and, at unit subject, one per person.

    At unit subject each person is attacked and gets a verdict. Windows are too many for that: they are
    attacked together, without a verdict.
    """
    unit = defence.claim.unit
    record = _records(rows, unit)
    names = np.unique(record)
    design = _design(len(names), unit, settings.trainings, child(stream, "design"))
    scores = membership.train_design(train, rows, record, design, stream)
    found = [descriptive_row(membership.pooled(scores, design.members))]
    if unit == "subject":
        attacks = membership.attack_records(scores, design.members, names.tolist())
        found.extend(judged_rows(attacks, defence.claim, defence.audits))
    return found


def _records(rows: Records, unit: Unit) -> NDArray[np.str_]:
    """Name (n) of the record of each row: the person, or the window itself."""
    if unit == "subject":
        return rows.subject
    # Padded numbers: `train_design` takes records in sorted order of names.
    return np.array([f"window {i:06d}" for i in range(len(rows))])


def _design(records: int, unit: Unit, trainings: int, stream: Stream) -> Design:
    if unit == "subject":
        return membership.leave_one_out(records, trainings)
    return membership.random_halves(records, trainings, generator(stream))


def canary_rows(
    training: Callable[[int, Stream], canaries.Training],
    settings: AuditSettings,
    defence: Defence,
    stream: Stream,
    asked: str = "",
) -> list[Row]:
    """Rows of the canary audits: many canaries per run and, with `repetitions`, one canary in many runs.

    Args:
        training: from a number of canaries and their own stream to the canary training.
        asked: the part of the model that gives the scores, if it is not the whole model.
    """
    # Runs and guesses are those of the settings: fixed before any training, as the p-value assumes.
    guesses = canaries.audit(
        training(settings.canaries, child(stream, "one run")),
        canaries=settings.canaries,
        guesses=settings.guesses,
        runs=settings.runs,
    )
    rows = [*guess_rows(guesses, defence.claim, defence.curve, defence.audits, asked)]
    if settings.repetitions:
        counts = canaries.audit_repeatedly(training(1, child(stream, "repeated")), settings.repetitions)
        rows.extend(repetition_rows(counts, defence.claim, defence.curve, defence.audits, asked))
    return rows
