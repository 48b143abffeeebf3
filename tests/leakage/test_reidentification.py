"""People are found where they can be, and a gallery that nothing is known of names nobody."""

from itertools import combinations, permutations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from discreet.leakage import identify, is_first_of_person
from discreet.leakage.reidentification import Identification, Metric, score_people

Floats = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.int64]
SHOTS = 4
METRICS: tuple[Metric, ...] = ("cosine", "euclidean")


def planted(people: int, signal: float, seed: int, width: int = 16) -> tuple[Floats, Numbers]:
    """Return vectors of four pictures of each person, and whose they are."""
    draw = np.random.default_rng(seed)
    who = np.repeat(np.arange(people), SHOTS)
    own = signal * draw.normal(size=(people, width))
    return own[who] + draw.normal(size=(len(who), width)), who


def looked_up(x: Floats, who: Numbers, metric: Metric = "cosine") -> Identification:
    first = is_first_of_person(who)
    return identify(x[first], who[first], x[~first], who[~first], metric=metric)


def by_brute_force(scores: Floats, own: Numbers, people: Numbers, within: int, size: int) -> float:
    """Return the share within a rank: each order of ties, each gallery of a size, each person."""
    of_person: dict[int, list[float]] = {}
    for row, mate, person in zip(scores, own, people, strict=True):
        others = [place for place in range(len(row)) if place != mate]
        hits = []
        for part in combinations(others, size - 1):
            for order in permutations((mate, *part)):
                ranked = sorted(order, key=lambda place: -row[place])  # stable: ties stay in order
                hits.append(ranked.index(mate) < within)
        of_person.setdefault(person, []).append(float(np.mean(hits)))
    return float(np.mean([np.mean(own) for own in of_person.values()]))


@settings(max_examples=30)
@given(
    levels=st.integers(1, 3),
    own=st.lists(st.integers(0, 4), min_size=3, max_size=6).filter(lambda one: len(set(one)) > 1),
    seed=st.integers(0, 1000),
)
def test_curves_are_those_of_brute_force(levels: int, own: list[int], seed: int) -> None:
    """Few levels make many ties; vectors are rows of scores, held against those of a basis."""
    scores = np.random.default_rng(seed).integers(1, levels + 1, size=(len(own), 5)).astype(float)
    scores = np.c_[scores, np.sqrt(99 - (scores**2).sum(1))]  # of one length: cosines keep order
    gallery, people = np.eye(5, 6), np.arange(5)
    found = identify(gallery, people, scores, np.array(own), ranks=(1, 2, 9))
    for rank in range(1, 6):
        expected = by_brute_force(scores[:, :5], np.array(own), np.array(own), rank, 5)
        assert found.cumulative[rank - 1] == pytest.approx(expected)
    for size, share in found.by_gallery:
        expected = by_brute_force(scores[:, :5], np.array(own), np.array(own), 1, size)
        assert share == pytest.approx(expected)
    assert [rank.rank for rank in found.ranks] == [1, 2]
    assert [size for size, _ in found.by_gallery] == [2, 5]


@pytest.mark.parametrize("metric", METRICS)
def test_planted_people_are_found_and_shuffled_ones_are_not(metric: Metric) -> None:
    x, who = planted(100, 3.0, 0)
    found = looked_up(x, who, metric)
    assert found.first.share > 0.95
    assert found.first.is_above_chance
    assert (found.gallery, found.people, found.pictures) == (100, 100, 300)
    shuffled = looked_up(x, np.random.default_rng(1).permutation(who), metric)
    for rank in shuffled.ranks:
        assert rank.low <= rank.chance <= rank.high


def test_intervals_hold_chance_where_there_is_nothing() -> None:
    """Of 100 draws 12 or more misses have chance 0.004 at 1 in 20, less as finds are discrete."""
    missed = above = 0
    for seed in range(100):
        first = looked_up(*planted(40, 0.0, seed)).first
        missed += not first.low <= first.chance <= first.high
        above += first.is_above_chance
    assert missed < 12
    assert above < 8


def test_intervals_hold_what_other_people_would_show() -> None:
    """The truth is the mean over many people looked up in galleries of the same size.

    Of 60 draws 9 or more misses have chance 0.003 at 1 in 20.
    """
    found = [looked_up(*planted(40, 0.7, seed)).first for seed in range(60)]
    truth = float(np.mean([first.share for first in found]))
    assert 0.2 < truth < 0.8
    assert sum(not first.low <= truth <= first.high for first in found) < 9


def test_a_picture_that_tells_nothing_gets_exactly_chance() -> None:
    """All scores are equal: an order that is kept by accident would name the first person."""
    who = np.repeat(np.arange(20), SHOTS)
    found = looked_up(np.ones((80, 3)), who)
    assert found.cumulative == pytest.approx(np.arange(1, 21) / 20)
    assert dict(found.by_gallery)[5] == pytest.approx(1 / 5)
    assert found.first.advantage == pytest.approx(0)


def test_a_group_is_searched_and_no_more() -> None:
    """Who is known to be of one of two groups of ten is one of ten."""
    who = np.repeat(np.arange(20), SHOTS)
    found = looked_up(np.eye(2)[who % 2], who)
    assert found.first.share == pytest.approx(1 / 10)
    assert found.cumulative[9] == pytest.approx(1)


def test_one_who_is_pictured_often_does_not_carry_the_share() -> None:
    """An attack that always names the same person is at chance, whomever most pictures show."""
    who = np.r_[np.zeros(50, dtype=int), np.arange(1, 10)]
    found = identify(np.eye(10), np.arange(10), np.eye(10)[np.zeros(59, dtype=int)], who)
    assert found.first.share == pytest.approx(1 / 10)


def test_bits_that_agree_are_ties_however_they_are_computed() -> None:
    draw = np.random.default_rng(0)
    bits = draw.integers(2, size=(30, 24)) * 2.0 - 1
    turn = np.linalg.qr(draw.normal(size=(24, 24)))[0]
    who = np.arange(30)
    twice = np.r_[who, who + 30]  # two people of each code
    for x, again in ((bits, bits), (bits @ turn, (bits * 3 @ turn) / 3)):
        for metric in METRICS:
            found = identify(np.r_[x, again], twice, x, who, metric=metric)
            assert found.first.share == pytest.approx(0.5)


def test_the_best_of_several_pictures_counts() -> None:
    gallery, people = np.array([[1.0, 0], [0, 1], [0.8, 0.8]]), np.array(["a", "a", "b"])
    names, scores = score_people(gallery, people, np.array([[0.0, 2.0]]), metric="euclidean")
    assert names.tolist() == ["a", "b"]
    assert scores[0, 0] / scores[0, 1] == pytest.approx(1 / (0.8**2 + 1.2**2))


def test_the_first_picture_of_each_person_is_the_gallery() -> None:
    assert is_first_of_person(np.array(["b", "a", "b", "c", "a"])).tolist() == [
        True,
        True,
        False,
        True,
        False,
    ]


@pytest.mark.parametrize(
    ("probes", "who", "said"),
    [
        (np.ones((2, 3)), [0, 7], "in the gallery"),
        (np.ones((2, 3)), [0, 0], "two people"),
        (np.full((2, 3), np.nan), [0, 1], "finite"),
        (np.ones((2, 2)), [0, 1], "one width"),
        (np.ones((0, 3)), [], "a picture to look up"),
    ],
)
def test_what_cannot_be_looked_up_is_refused(probes: Floats, who: list[int], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        identify(np.eye(3), np.arange(3), probes, np.array(who, dtype=int))
