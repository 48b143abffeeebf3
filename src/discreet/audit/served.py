"""How people whom nobody trained on are served, by kind of person: answers, and what is seen.

Kinds are audit labels, which only audits read; texts do not depend on them, so that no difference
by them is warranted. Losses are in nats a token of the answer that is right for somebody.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from discreet.audit.held_out import portraits_like
from discreet.audit.pools import Part
from discreet.audit.subject import Numbers, Subject
from discreet.data import Portrait
from discreet.fairness import Gap, measure_gap, odds_gap
from discreet.leakage import WITHHELD
from discreet.perception import CLASSES, Attribute, Perceiver
from discreet.types import OwnerId

HELD_OUT_PEOPLE = OwnerId("held-out")
"""Asks about topics as no owner's skew has them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Served:
    """What is measured of people whom nobody trained on."""

    people: Sequence[str] = field(repr=False)
    """(N,) who is in each picture."""
    labels: Mapping[str, Sequence[str]] = field(repr=False)
    """(N,) for each audit label that the data have."""
    examples: Part = field(repr=False)

    @property
    def count(self) -> int:
        """Return how many people there are."""
        return len(set(self.people))

    def gaps(self, values: Numbers) -> dict[str, Gap | None]:
        """Return the largest gap of (N,) measurements by each label."""
        return {label: measure_gap(values, own, self.people) for label, own in self.labels.items()}


def held_out_people(subject: Subject, *, people: int, pictures: int) -> Served:
    """Return people whom nobody trained on, with at most so many pictures of each.

    Args:
        subject: The run.
        people: The first ones.
        pictures: Of each at most.

    Raises:
        DataError: if the data hold nobody out.
    """
    is_portraits = subject.plan.examples == "portraits"
    lessons = portraits_like(
        subject.task, HELD_OUT_PEOPLE, path=subject.data if is_portraits else None
    )
    first = set(list(dict.fromkeys(lessons.users))[:people])
    kept = [i for i in first_of_each(lessons.users, pictures) if lessons.users[i] in first]
    chosen = Part(lessons, kept)
    shown: list[Portrait] = [
        lessons.visual.pictures[lessons.examples[place].portrait]  # type: ignore[misc]
        for place in kept
    ]
    return Served(
        people=[one.identity_id for one in shown], labels=labels_of(shown), examples=chosen
    )


def labels_of(portraits: Sequence[Portrait]) -> dict[str, list[str]]:
    """Return the audit labels that every portrait has, those of which there are two values."""
    found = {label: [one.audit_labels.get(label, "") for one in portraits] for label in WITHHELD}
    return {label: own for label, own in found.items() if all(own) and len(set(own)) > 1}


def first_of_each(people: Sequence[str], count: int) -> list[int]:
    """Return the places of the first pictures of each person, at most `count` of one.

    >>> first_of_each(["a", "a", "b", "a"], 2)
    [0, 1, 2]
    """
    seen: dict[str, int] = {}
    kept = []
    for place, person in enumerate(people):
        seen[person] = seen.get(person, 0) + 1
        if seen[person] <= count:
            kept.append(place)
    return kept


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """How people are seen by the perceiver that the assistant has."""

    silent: Mapping[str, Gap | None]
    """By label: in how many pictures nothing is said of a face."""
    right: Mapping[str, Mapping[str, Gap | None]]
    """By label, then `attribute: truth`: how often that is said of those of whom it is true."""


def see_people(
    perceiver: Perceiver, portraits: Sequence[Portrait], *, pictures: int
) -> tuple[Seen, int]:
    """Return gaps in what is seen of people, and of how many people.

    Args:
        perceiver: Of the assistant.
        portraits: Of people on whom it was not fitted.
        pictures: Of each person at most.
    """
    shown = [portraits[i] for i in first_of_each([p.identity_id for p in portraits], pictures)]
    found = [
        {one.attribute: one.value for one in perceiver.observe(portrait.image)}
        for portrait in shown
    ]
    people = [one.identity_id for one in shown]
    silent = np.array([not said for said in found], dtype=np.float64)
    truth: dict[Attribute, list[str]] = {
        "age_band": [one.age_band for one in shown],
        "expression": [one.expression for one in shown],
    }
    labels = labels_of(shown)
    right: dict[str, dict[str, Gap | None]] = {label: {} for label in labels}
    for label, groups in labels.items():
        for attribute in CLASSES:
            hits = [
                said.get(attribute) == true
                for said, true in zip(found, truth[attribute], strict=True)
            ]
            gaps = odds_gap(hits, truth[attribute], groups, people)
            right[label] |= {f"{attribute}: {value}": gap for value, gap in gaps.items()}
    seen = Seen(
        silent={label: measure_gap(silent, groups, people) for label, groups in labels.items()},
        right=right,
    )
    return seen, len(set(people))
