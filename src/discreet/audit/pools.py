"""Parts of owners' examples, and examples of several kinds together, as one can train on them.

half = Part(lessons, [0, 2, 4])
pool = Pool((subject.members(owner), half))
"""

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch

from discreet.audit.subject import Subject
from discreet.federated import Lessons, PortraitLessons, canaries_of
from discreet.types import AgeBand, OwnerId

Seed = int | tuple[int, int]
"""Of a draw; two numbers for an owner's own."""


@dataclass(frozen=True, slots=True)
class Part:
    """Some of an owner's examples."""

    lessons: Lessons = field(repr=False)
    indices: Sequence[int] = field(repr=False)

    @property
    def rows_per_example(self) -> int:
        """Rows that the model sees of each."""
        return self.lessons.rows_per_example

    @property
    def users(self) -> list[Hashable]:
        """Whose each is."""
        users = users_of(self.lessons)
        return [users[index] for index in self.indices]

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.indices)

    def losses(self, indices: Sequence[int]) -> torch.Tensor:
        """Return the losses of some of them, (N,)."""
        return self.lessons.losses([self.indices[index] for index in indices])


@dataclass(frozen=True, slots=True)
class Pool:
    """Examples of two or more sources, one after the other."""

    sources: tuple[Lessons, ...] = field(repr=False)

    @property
    def rows_per_example(self) -> int:
        """Rows that the model sees of each; the same for all sources."""
        return self.sources[0].rows_per_example

    @property
    def users(self) -> list[Hashable]:
        """Whose each is."""
        return [user for source in self.sources for user in source.users]

    def __len__(self) -> int:
        """Return how many there are."""
        return sum(map(len, self.sources))

    def losses(self, indices: Sequence[int]) -> torch.Tensor:
        """Return the losses of some of them, (N,), in the order asked for."""
        starts = np.cumsum([0, *map(len, self.sources)])
        where = np.searchsorted(starts, np.asarray(indices), "right") - 1
        found: dict[int, torch.Tensor] = {}
        for number, source in enumerate(self.sources):
            places = np.flatnonzero(where == number)
            if len(places):
                own = source.losses([indices[int(p)] - int(starts[number]) for p in places])
                found |= dict(zip(places.tolist(), own, strict=True))
        return torch.stack([found[place] for place in range(len(indices))])


def users_of(lessons: Lessons) -> list[Hashable]:
    """Return whose each example is; one of somebody unknown is of a person of its own."""
    return [
        (id(lessons), place) if user is None else user for place, user in enumerate(lessons.users)
    ]


def some_people(lessons: Lessons, count: int, *, seed: Seed) -> Part:
    """Return the examples of people drawn until there are `count` examples, in their order.

    Examples of one person stay together: they are told apart as one.
    """
    by_person: dict[Hashable, list[int]] = {}
    for index, user in enumerate(users_of(lessons)):
        by_person.setdefault(user, []).append(index)
    people = list(by_person.values())
    kept: list[int] = []
    for place in np.random.default_rng(seed).permutation(len(people)):
        if len(kept) >= count:
            break
        kept += people[place]
    return Part(lessons, sorted(kept))


def halves_of(people: Sequence[Hashable]) -> npt.NDArray[np.bool_]:
    """Return (N,) whether an example is of the first of two halves of the people."""
    first = set(list(dict.fromkeys(people))[::2])
    return np.array([person in first for person in people])


def members_and_others(
    subject: Subject, owner: OwnerId, *, most: int, seed: int
) -> tuple[Part, Part]:
    """Return members and as many others, whole people, at most about `most` examples of each.

    Canaries are left out: no other person is like them, so that any attack would tell them. Where
    owners differ in whom they have, others are of the owner's own mix of ages: else their ages
    would be told, and not who was trained on. Each owner has other others: all owners together are
    told from as many people as possible.
    """
    lessons = subject.members(owner)
    planted = {canary.id for canary in canaries_of(subject.plan, owner)}
    kept = [place for place, user in enumerate(lessons.users) if user not in planted]
    members = some_people(Part(lessons, kept), most, seed=seed)
    others, own = subject.others(owner), (seed, subject.owners.index(owner))
    if subject.plan.dirichlet_alpha is not None and isinstance(others, PortraitLessons):
        assert isinstance(lessons, PortraitLessons), "members and others are of one kind"
        ages = Counter(lessons.examples[place].age_band for place in kept)
        return members, some_people(of_ages(others, ages, seed=own), most, seed=own)
    return members, some_people(others, most, seed=own)


def of_ages(others: PortraitLessons, ages: Mapping[AgeBand, int], *, seed: Seed) -> Part:
    """Return examples of whole people whose ages are mixed as asked, as many as the rarest allows.

    Args:
        others: Of all ages.
        ages: Examples of each age band in the mix; one that nobody has among others is left out.
        seed: Of who is drawn.
    """
    places: dict[AgeBand, dict[Hashable, list[int]]] = {}
    for place, example in enumerate(others.examples):
        own = places.setdefault(example.age_band, {})
        own.setdefault(example.identity_id, []).append(place)
    wanted = {age: count for age, count in ages.items() if count and age in places}
    have = {age: sum(map(len, places[age].values())) for age in wanted}
    times = min((have[age] / count for age, count in wanted.items()), default=0.0)
    draw, kept = np.random.default_rng(seed), list[int]()
    for age, count in sorted(wanted.items()):
        people, room = list(places[age].values()), times * count + 1e-9
        for number in draw.permutation(len(people)):
            if len(people[number]) <= room:
                kept += people[number]
                room -= len(people[number])
    return Part(others, sorted(kept))
