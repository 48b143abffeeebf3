"""Parts of lessons and pools of them give the losses of the examples they name."""

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from discreet.audit import Subject
from discreet.audit.pools import (
    Part,
    Pool,
    members_and_others,
    of_ages,
    some_people,
    users_of,
)
from discreet.federated import PortraitLessons
from discreet.types import AgeBand, OwnerId


@dataclass(frozen=True)
class Numbers:
    """Lessons whose losses are numbers that tell which example was asked for."""

    start: int
    users: Sequence[Hashable]
    rows_per_example: int = 2

    def __len__(self) -> int:
        return len(self.users)

    def losses(self, indices: Sequence[int]) -> torch.Tensor:
        assert all(0 <= index < len(self) for index in indices)
        return torch.tensor([float(self.start + index) for index in indices])


SOURCES = (Numbers(0, "aabb"), Numbers(100, "c"), Numbers(200, "ddd"))
ALL = [0, 1, 2, 3, 100, 200, 201, 202]


@given(st.lists(st.integers(0, 7), min_size=1, max_size=12))
def test_a_pool_gives_the_losses_of_its_sources_in_the_order_asked_for(asked: list[int]) -> None:
    pool = Pool(SOURCES)
    assert pool.losses(asked).tolist() == [ALL[index] for index in asked]
    assert pool.users == list("aabbcddd")
    assert (len(pool), pool.rows_per_example) == (8, 2)


@given(st.lists(st.integers(0, 7), min_size=1, max_size=8, unique=True))
def test_a_part_gives_the_losses_of_what_is_in_it(kept: list[int]) -> None:
    part = Part(Pool(SOURCES), kept)
    assert part.losses(range(len(kept))).tolist() == [ALL[index] for index in kept]
    assert part.users == ["aabbcddd"[index] for index in kept]
    assert len(part) == len(kept)


@given(st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=40), st.integers(1, 50))
def test_people_are_drawn_whole_until_there_are_enough(users: list[str], count: int) -> None:
    lessons = Numbers(0, users)
    drawn = some_people(lessons, count, seed=1)
    whole, kept = Counter(users), Counter(drawn.users)
    assert all(kept[user] == whole[user] for user in kept)  # type: ignore[index]
    assert len(drawn) >= min(count, len(users))
    assert len(drawn) - max(kept.values()) < count
    assert list(drawn.indices) == sorted(drawn.indices)


def test_another_seed_draws_others() -> None:
    lessons = Numbers(0, list(range(100)))
    drawn = {tuple(some_people(lessons, 10, seed=seed).indices) for seed in range(5)}
    assert len(drawn) == 5


def test_somebody_unknown_is_nobody_else() -> None:
    first, second = Numbers(0, (None, "a", None)), Numbers(3, (None, "a", None))
    whose = [*users_of(first), *users_of(second)]
    assert len(set(whose)) == 5  # two unknown people in each, and one who is known in both
    assert len(some_people(first, 1, seed=0)) == 1


def test_others_of_an_owner_who_has_mostly_children_are_mostly_children(private: Subject) -> None:
    others = private.others(private.owners[0])
    assert isinstance(others, PortraitLessons)
    ages: dict[AgeBand, int] = {"child": 60, "older_adult": 20}
    part = of_ages(others, ages, seed=0)
    found = Counter(others.examples[place].age_band for place in part.indices)
    assert set(found) == set(ages)
    assert found["child"] / found["older_adult"] == pytest.approx(3, rel=0.25)
    everyone = Counter(example.age_band for example in others.examples)
    assert found["child"] >= everyone["child"] - 1, "the rarest in the mix are all there"
    for person in set(part.users):
        whole = [place for place, user in enumerate(others.users) if user == person]
        assert set(whole) <= set(part.indices)
    assert len(of_ages(others, everyone, seed=0)) >= len(others) - 4
    assert len(of_ages(others, {}, seed=0)) == 0


def test_the_mix_is_kept_where_owners_differ(private: Subject) -> None:
    skewed = replace(private, plan=replace(private.plan, dirichlet_alpha=0.2))
    owner = private.owners[0]
    members, others = members_and_others(skewed, owner, most=1000, seed=0)
    shares = []
    for part in (members, others):
        places = part.indices
        while isinstance(part.lessons, Part):
            places = [part.lessons.indices[place] for place in places]
            part = Part(part.lessons.lessons, places)
        assert isinstance(part.lessons, PortraitLessons)
        ages = Counter(part.lessons.examples[place].age_band for place in part.indices)
        total = sum(ages.values())
        shares.append({age: count / total for age, count in ages.items()})
    assert set(shares[0]) >= set(shares[1])
    for age, share in shares[1].items():
        assert share == pytest.approx(shares[0][age], abs=0.12)


def test_others_differ_from_owner_to_owner_and_not_from_call_to_call(private: Subject) -> None:
    def others_of(owner: OwnerId) -> set[Hashable]:
        return set(members_and_others(private, owner, most=6, seed=0)[1].users)

    first, second = map(others_of, private.owners[:2])
    assert first != second
    assert others_of(private.owners[0]) == first
