"""Words rank by BM25 and fit by coverage; two ways join by their ranks."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discreet.assistant.search import RANK_CONSTANT, Found, Fused, Words

PAIRS = [
    ("Why do I sleep badly after coffee?", "Caffeine keeps people awake."),
    ("What is a fever?", "A fever is a temperature of 38 degrees or more."),
    ("How do I treat a small cut?", "Wash it with water and cover it."),
]


def rarity(holding: int) -> float:
    """BM25's inverse document frequency among three texts."""
    return math.log(1 + (len(PAIRS) - holding + 0.5) / (holding + 0.5))


def test_coverage_is_the_share_of_rare_words_that_a_text_holds() -> None:
    (found,) = Words.build(PAIRS).rank("fever trumpet")
    assert found.place == 1
    assert found.fit == pytest.approx(rarity(1) / (rarity(1) + rarity(0)))


def test_words_that_carry_no_subject_count_for_nothing() -> None:
    words = Words.build(PAIRS)
    assert words.rank("What should I do about a fever?") == words.rank("fever")
    assert words.rank("what should I do about it") == []


def test_stop_words_and_stems_follow_the_language() -> None:
    pairs = [("Que faire contre la fièvre ?", "Boire."), ("Que faire contre la toux ?", "Du thé.")]
    french = Words.build(pairs, "fr")
    assert french.rank("comment faire") == []
    assert [found.place for found in french.rank("les fièvres")] == [0]
    assert Words.build(pairs, "en").rank("comment faire") != []


def test_single_digits_are_words() -> None:
    words = Words.build([("What is 3 x 7?", "21."), ("What is 4 x 9?", "36.")])
    assert words.rank("3 x 7")[0] == Found(0, 1.0)


@dataclass
class Listed:
    """Finds places in a given order, all with one fit."""

    places: Sequence[int]
    fit: float

    def rank(self, question: str) -> list[Found]:
        return [Found(place, self.fit) for place in self.places]


@given(st.permutations(range(5)), st.permutations(range(5)), st.integers(0, 5))
def test_fusion_is_the_sum_of_reciprocal_ranks(
    first: list[int], second: list[int], kept: int
) -> None:
    """Against the sum written out; a way that finds nothing has no say."""
    shown = first[:kept]
    found = Fused(Listed(shown, 0.4), Listed(second, 0.8), 5).rank("")
    score = {
        place: 1 / (RANK_CONSTANT + 1 + second.index(place))
        + (1 / (RANK_CONSTANT + (shown.index(place) + 1 if place in shown else 5)) if kept else 0)
        for place in range(5)
    }
    assert sorted(one.place for one in found) == list(range(5))
    scores = [score[one.place] for one in found]
    assert scores == pytest.approx(sorted(scores, reverse=True))
    for one in found:
        assert one.fit == pytest.approx(0.4 + (0.2 if one.place in shown else 0))
