"""Audit: what kind of person is this? Read from what is handed on, and from one owner's update.

For each onlooker (`onlookers.py`) and each label that the packaged people have, the best of three
probes is taught on train people and reads people whom it has never seen. It counts as read if it is
right more often than the best constant guess, for sure, with all probes, labels and onlookers taken
into account.
"""

from collections.abc import Sequence
from dataclasses import asdict

from discreet.audit.asked import Asking, Audit, OnDone
from discreet.audit.chances import below_holm, p_of_estimate
from discreet.audit.onlookers import (
    LESS_SURE,
    answers_by_onlookers,
    portraits_of,
    seen_by_onlookers,
)
from discreet.audit.owner_labels import OwnerLabel, guess_owners_labels
from discreet.audit.subject import Subject
from discreet.evidence import Evidence, Interval, Intervals, Table
from discreet.federated import kept_updates
from discreet.leakage import LABELS, Finding, Score, as_records, measure_leakage, truth_of

PICTURES = {"quick": 140, "usual": 700, "thorough": 1_000_000}
"""Of each split that are looked at, whole people."""
ANSWERED = {"quick": 84, "usual": 280, "thorough": 1000}
"""Of each split about which the model answers."""
QUESTIONS = {"quick": 1, "usual": 2, "thorough": 3}
_NEW_TOKENS = {"quick": 12, "usual": 24, "thorough": 48}
OWNERS_PEOPLE = {"quick": 0, "usual": 60, "thorough": 200}
"""Of whom owners are made up; quickly none are."""
READ = tuple(label for label in LABELS if label != "identity")
_Z = 1.96
_LIMITS = (
    LESS_SURE,
    "The people are rendered and packaged; nothing is said of photographs.",
    "What the perceiver says is taken whole; a policy lets less of it through.",
    "Age band and expression are meant to be told: that they are read is no leak by itself.",
)


def examine(subject: Subject, asking: Asking, on_done: OnDone) -> Evidence:
    """Let probes read labels of unseen people, from each onlooker, and from owners' updates."""
    effort = asking.effort
    people = portraits_of(PICTURES[effort], seed=asking.seed)
    shown = seen_by_onlookers(subject, people, on_done=on_done)
    truth = {split: truth_of(own) for split, own in people.items()}

    def tell(name: str) -> None:
        on_done(f"probing {name}")

    found = measure_leakage(shown, truth, labels=READ, familiarities=("unseen",), on_done=tell)
    asked = portraits_of(ANSWERED[effort], seed=asking.seed)
    answers = answers_by_onlookers(
        subject,
        asked,
        questions=QUESTIONS[effort],
        max_new_tokens=_NEW_TOKENS[effort],
        on_done=on_done,
    )
    truth = {split: truth_of(own) for split, own in asked.items()}
    found += measure_leakage(answers, truth, labels=READ, familiarities=("unseen",), on_done=tell)
    owners = None
    if _can_guess_owners(subject) and OWNERS_PEOPLE[effort]:
        owners = guess_owners_labels(
            subject, people=OWNERS_PEOPLE[effort], seed=asking.seed, on_done=on_done
        )
    return evidence_of_findings(found, owners)


def evidence_of_findings(
    found: Sequence[Finding], owners: Sequence[OwnerLabel] | None = None
) -> Evidence:
    """Return what probes read, and what was guessed of owners; None: no update was read."""
    read = surely_read(found)
    tables = [_table(found, read)]
    says = [_verdict(found, read)]
    says.append(_of_owners(owners))
    if owners:
        tables.append(_owners_table(owners))
    return Evidence(
        audit="attributes",
        title="What kind of person it is",
        says=tuple(says),
        tables=tuple(tables),
        plots=(_plot(found),),
        limits=(
            *_LIMITS,
            *(
                ("Made-up owners share people, so that their interval is too short.",)
                * bool(owners)
            ),
        ),
        values={
            "findings": as_records(found),
            "read": [
                {"representation": f.representation, "label": f.label}
                for f, is_read in zip(found, read, strict=True)
                if is_read
            ],
            "owners": None if owners is None else [asdict(one) for one in owners],
        },
    )


def surely_read(found: Sequence[Finding]) -> list[bool]:
    """Return of which findings a probe is above the best constant guess, all asked at once."""
    scores = [(place, score) for place, one in enumerate(found) for score in one.attacks]
    is_sure = below_holm([_chance(score) for _, score in scores])
    read = [False] * len(found)
    for (place, _), sure in zip(scores, is_sure, strict=True):
        read[place] |= sure
    return [is_read and one.best.is_above_chance for is_read, one in zip(read, found, strict=True)]


def _chance(score: Score) -> float:
    spread = (score.advantage_high - score.advantage_low) / (2 * _Z)
    return p_of_estimate(score.advantage, spread, score.people)


def _verdict(found: Sequence[Finding], read: Sequence[bool]) -> str:
    told: dict[str, list[str]] = {}
    for one, is_read in zip(found, read, strict=True):
        if is_read:
            share = f"{one.label} ({one.best.accuracy:.0%}, guessing {one.best.chance:.0%})"
            told.setdefault(one.representation, []).append(share)
    if not told:
        return (
            f"In none of {len(found)} questions is a label of unseen people read more often than "
            "the best constant guess."
        )
    parts = "; ".join(f"from {name}: {', '.join(labels)}" for name, labels in told.items())
    return f"Read of unseen people more often than by the best constant guess: {parts}."


def _of_owners(owners: Sequence[OwnerLabel] | None) -> str:
    if owners is None:
        return (
            "No owner's update was read: that needs a run on portraits with --keep-updates, and "
            "the effort 'usual' or more."
        )
    told = [one.label for one in owners if one.simulated.is_above_chance]
    if not told:
        return (
            f"The share of a label among an owner's people is not told by its update: of "
            f"{len(owners)} labels, none is guessed nearer than by the best constant."
        )
    return (
        "The step of one owner, without clipping and noise, tells what share of its people has a "
        f"label, nearer than the best constant: {', '.join(told)}."
    )


def _table(found: Sequence[Finding], read: Sequence[bool]) -> Table:
    return Table(
        title="Labels of unseen people, read by the best of the probes",
        columns=("seen", "label", "read rightly (95 % interval)", "constant guess", "read"),
        rows=tuple(
            (
                one.representation,
                one.label,
                f"{one.best.accuracy:.1%} ({one.best.low:.1%} to {one.best.high:.1%})",
                f"{one.best.chance:.1%}",
                "yes" if is_read else "not shown",
            )
            for one, is_read in zip(found, read, strict=True)
        ),
    )


def _owners_table(owners: Sequence[OwnerLabel]) -> Table:
    return Table(
        title="Share of an owner's people with a label, guessed from one update",
        columns=("label", "error", "error of a constant", "nearer by (95 % interval)", "owners"),
        rows=tuple(
            (
                f"{one.label}: {one.value}",
                f"{one.simulated.error:.3f}",
                f"{one.simulated.constant_error:.3f}",
                f"{one.simulated.advantage:+.3f} ({one.simulated.low:+.3f} to "
                f"{one.simulated.high:+.3f})",
                "; ".join(_owner(one, name) for name in one.guesses),
            )
            for one in owners
        ),
    )


def _owner(one: OwnerLabel, name: str) -> str:
    true = f", true {one.shares[name]:.2f}" if name in one.shares else ""
    return f"{name} {one.guesses[name]:.2f}{true}"


def _plot(found: Sequence[Finding]) -> Intervals:
    return Intervals(
        title="Read above the best constant guess",
        unit="share of portraits, 95 % interval over people",
        rows=tuple(
            Interval(
                name=f"{one.label}, {one.representation}",
                value=one.best.advantage,
                low=one.best.advantage_low,
                high=one.best.advantage_high,
            )
            for one in found
        ),
        reference=0.0,
        reference_name="the best constant guess",
    )


def _can_guess_owners(subject: Subject) -> bool:
    return subject.plan.examples == "portraits" and bool(kept_updates(subject.run, subject.first))


def _seconds(subject: Subject, asking: Asking) -> float:
    effort = asking.effort
    looked, answered = min(PICTURES[effort], 2000), 2 * ANSWERED[effort] * QUESTIONS[effort]
    owners = 2 * OWNERS_PEOPLE[effort] if _can_guess_owners(subject) else 0
    per_example = subject.seconds_per_example
    tokens = _NEW_TOKENS[effort]
    return 40 + 0.5 * looked + per_example * (answered * tokens / 8 + 4 * owners)


AUDIT = Audit(
    name="attributes",
    question="What kind of person is it, read from what is handed on or from one owner's update?",
    examine=examine,
    seconds=_seconds,
)
