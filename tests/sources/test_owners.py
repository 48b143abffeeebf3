"""Sharing out: a person stays whole, everybody stays put, and alpha does what it says."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from discreet.errors import DataError
from discreet.sources import Medium, Origin, Record, Turn, partition

ROOT = Path("/set")


def record(name: str, person: str | None = None, **labels: str) -> Record:
    return Record(
        kind="picture",
        media=(Medium(role="picture", path=ROOT / name, root=ROOT),),
        labels=labels,
        person=person,
        origin=Origin(file="list.csv", line=1),
    )


def people(count: int = 400, shots: int = 3, groups: int = 4) -> list[Record]:
    return [
        record(f"{person}-{shot}.jpg", f"p{person}", age=str(person % groups))
        for person in range(count)
        for shot in range(shots)
    ]


def homes(records: list[Record], **options: object) -> dict[str, str]:
    shared = partition(records, 10, **options)  # type: ignore[arg-type]
    return {one.media[0].name: owner for owner, one in shared}


MIXED = {"alpha": 0.5, "label": "age"}


@pytest.mark.parametrize("options", [{}, MIXED])
def test_all_records_of_a_person_go_to_one_owner(options: dict[str, object]) -> None:
    owners: dict[str | None, set[str]] = {}
    for owner, one in partition(people(), 10, **options):  # type: ignore[arg-type]
        owners.setdefault(one.person, set()).add(owner)
    assert all(len(held) == 1 for held in owners.values())
    assert len({next(iter(held)) for held in owners.values()}) == 10


def test_a_person_with_several_groups_stays_whole() -> None:
    records = [record(f"{n}.jpg", f"p{n // 5}", mood=str(n % 5)) for n in range(500)]
    owners: dict[str | None, set[str]] = {}
    for owner, one in partition(records, 10, alpha=0.1, label="mood"):
        owners.setdefault(one.person, set()).add(owner)
    assert all(len(held) == 1 for held in owners.values())


@pytest.mark.parametrize("options", [{}, MIXED])
def test_a_row_more_or_less_moves_nobody_else(options: dict[str, object]) -> None:
    records = people()
    before = homes(records, **options)
    more = [record("new.jpg", "new", age="9"), *records[::-1]]
    after = homes(more, **options)
    assert {name: after[name] for name in before} == before
    fewer = homes(records[7:], **options)
    assert fewer == {name: before[name] for name in fewer}


def test_records_without_a_person_follow_their_file_and_not_their_line() -> None:
    records = [record(f"{n}.jpg") for n in range(200)]
    before = homes(records)
    assert homes([record("new.jpg"), *records]).items() >= before.items()
    assert len(set(before.values())) == 10


def test_the_seed_decides() -> None:
    assert homes(people(), seed=1) == homes(people(), seed=1) != homes(people(), seed=2)
    assert homes(people(), **MIXED, seed=1) != homes(people(), **MIXED, seed=2)


def test_people_are_shared_out_evenly_without_alpha() -> None:
    """Chi-square of 10 owners; 27.9 is passed by chance once in a thousand."""
    counts = Counter(owner for owner, _ in partition(people(5000, shots=1), 10))
    chi2 = sum((count - 500) ** 2 / 500 for count in counts.values())
    assert chi2 < 27.9


def test_owners_differ_the_more_the_smaller_alpha_is() -> None:
    def distance(alpha: float) -> float:
        """Mean total variation between an owner's mix of groups and that of all."""
        mixes: dict[str, Counter[str]] = {}
        for owner, one in partition(people(4000, shots=1), 10, alpha=alpha, label="age"):
            mixes.setdefault(owner, Counter())[one.labels["age"]] += 1
        told = [
            sum(abs(mix[str(group)] / mix.total() - 0.25) for group in range(4)) / 2
            for mix in mixes.values()
        ]
        return float(np.mean(told))

    assert distance(0.1) > distance(1.0) > distance(100.0)
    assert distance(100.0) < 0.15


def test_shares_of_a_group_are_a_dirichlet_draw() -> None:
    """The largest of ten shares under alpha 1 has mean H(10) / 10 = 0.2929 (David and Nagaraja).

    Over 200 groups its standard error is below 0.007; four of them are one in ten thousand.
    """
    largest = []
    for group in range(200):
        records = [record(f"{group}-{n}.jpg", age=str(group)) for n in range(300)]
        counts = Counter(owner for owner, _ in partition(records, 10, alpha=1.0, label="age"))
        largest.append(max(counts.values()) / 300)
    assert np.mean(largest) == pytest.approx(0.2929, abs=0.04)


def test_what_stays_together_can_be_chosen() -> None:
    records = [record(f"{n}.jpg", f"p{n // 10}", clinic=str(n % 3)) for n in range(90)]
    by_clinic: dict[str, set[str]] = {}
    for owner, one in partition(records, 10, by="clinic"):
        by_clinic.setdefault(one.labels["clinic"], set()).add(owner)
    assert all(len(held) == 1 for held in by_clinic.values())
    alone = {owner for owner, one in partition(records, 10, by="record") if one.person == "p0"}
    assert len(alone) > 1


def test_conversations_about_one_picture_stay_together() -> None:
    def said(name: str, text: str) -> Record:
        turns = (Turn(role="user", text=text),)
        media = (Medium(role="picture", path=ROOT / name, root=ROOT),) if name else ()
        origin = Origin(file="c.jsonl", line=1)
        return Record(kind="conversation", media=media, labels={}, turns=turns, origin=origin)

    records = [said("1.jpg", f"text {n}") for n in range(30)]
    assert len({owner for owner, _ in partition(records, 10)}) == 1
    without = [said("", f"text {n}") for n in range(30)]
    assert len({owner for owner, _ in partition(without, 10)}) > 5


def test_records_are_taken_one_at_a_time() -> None:
    taken = []

    def lazily() -> Iterator[Record]:
        for one in people(10, shots=1):
            taken.append(one)
            yield one

    shared = partition(lazily(), 3)
    next(shared)
    assert len(taken) == 1


@pytest.mark.parametrize(
    ("owners", "options"),
    [
        (0, {}),
        (3, {"alpha": 0.0, "label": "age"}),
        (3, {"alpha": float("nan"), "label": "age"}),
        (3, {"alpha": 1.0}),
        (3, {"label": "age"}),
    ],
)
def test_wrong_settings_are_refused(owners: int, options: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="Expected"):
        partition([], owners, **options)  # type: ignore[arg-type]


def test_a_label_that_no_record_has_is_an_error_and_not_one_large_group() -> None:
    for options in ({"alpha": 1.0, "label": "agee"}, {"by": "clinic"}):
        with pytest.raises(DataError, match="in some record, found none"):
            list(partition(people(5), 3, **options))  # type: ignore[arg-type]


def test_many_groups_take_no_more_memory_and_change_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    expected = homes(people(groups=40), **MIXED)
    monkeypatch.setattr("discreet.sources.owners._KNOWN_GROUPS", 2)
    assert homes(people(groups=40), **MIXED) == expected


def test_extremes_of_alpha_give_every_record_an_owner() -> None:
    for alpha in (1e-6, 1e6):
        assert len(list(partition(people(50), 7, alpha=alpha, label="age"))) == 150
