"""Counts of groups are those of a plain loop; names and captions are never among them."""

from collections import Counter
from itertools import product

import numpy as np
import pytest

from discreet.sources import LabelCounts, Tally, gaps_of
from discreet.sources.balance import MAX_VALUES

AGES, RACES = ("child", "adult", "old"), ("A", "B")


def drawn(count: int = 500) -> list[tuple[dict[str, str], dict[str, str]]]:
    draw = np.random.default_rng(0)
    records = []
    for _ in range(count):
        labels = {"age": str(draw.choice(AGES, p=(0.6, 0.4, 0.0)))}
        if draw.random() < 0.1:
            labels = {}
        records.append((labels, {"race": str(draw.choice(RACES, p=(0.9, 0.1)))}))
    return records


def test_counts_are_those_of_a_loop() -> None:
    records = drawn()
    tally = Tally({"age": AGES, "race": RACES})
    for labels, audit_labels in records:
        tally.add(labels, audit_labels)
    balance = tally.balance()
    told = {counts.label: counts for counts in balance.labels}
    ages = Counter(labels["age"] for labels, _ in records if labels)
    assert told["age"].counts == {age: ages[age] for age in AGES}
    assert told["age"].missing == sum(not labels for labels, _ in records)
    assert (told["age"].is_audit, told["race"].is_audit) == (False, True)
    (pair,) = balance.pairs
    together = Counter((labels["age"], audit["race"]) for labels, audit in records if labels)
    assert pair.counts == {values: together[values] for values in product(AGES, RACES)}


def test_shares_are_over_those_of_a_balanced_set() -> None:
    counts = LabelCounts(label="x", is_audit=False, counts={"a": 30, "b": 10, "c": 0}, missing=5)
    assert counts.share("a") == pytest.approx(0.75)
    assert counts.times_equal("a") == pytest.approx(2.25)
    assert counts.times_equal("c") == 0


def test_gaps_are_values_and_combinations_that_nobody_has() -> None:
    tally = Tally({"age": AGES, "race": RACES})
    for age, race, count in (("child", "A", 5), ("child", "B", 1), ("adult", "A", 9)):
        for _ in range(count):
            tally.add({"age": age}, {"race": race})
    assert gaps_of(tally.balance()) == ["age = old", "age = adult and race = B"]


def test_gaps_that_are_least_expected_come_first() -> None:
    tally = Tally({})
    for a, b, count in (("x", "1", 50), ("y", "2", 3), ("z", "1", 40), ("z", "2", 30)):
        for _ in range(count):
            tally.add({"a": a, "b": b}, {})
    assert gaps_of(tally.balance()) == ["a = x and b = 2", "a = y and b = 1"]


def test_values_that_tell_people_apart_are_not_shown() -> None:
    tally = Tally({})
    for number in range(200):
        tally.add({"caption": f"text {number}", "name": f"n{number // 2 % 20}"}, {})
    for number in range(20):
        tally.add({"rare": f"r{number}"}, {})
    balance = tally.balance()
    assert [counts.label for counts in balance.labels] == ["name"]
    assert balance.not_shown == ["caption", "rare"]
    assert balance.pairs == []


def test_what_a_tally_holds_does_not_grow_with_the_set() -> None:
    tally = Tally({})
    for number in range(5000):
        tally.add({f"label {n}": str(number * n % 1000) for n in range(12)}, {})
    held = [counts for counts in tally._counts.values() if counts]
    assert all(len(counts) <= MAX_VALUES for counts in held)
    assert all(len(counts) <= MAX_VALUES**2 for counts in tally._pairs.values())


def test_values_that_may_name_people_are_shown_where_many_records_have_each() -> None:
    for fewest, is_shown in ((9, False), (10, True)):
        tally = Tally({}, ("label",))
        for value in ["Aaron_Eckhart"] * fewest + ["Zoe_Example"] * 20:
            tally.add({"label": value}, {})
        balance = tally.balance()
        assert [told.label for told in balance.labels] == ["label"] * is_shown
        assert balance.not_shown == ["label"] * (not is_shown)
