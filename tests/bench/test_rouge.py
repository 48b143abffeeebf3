"""ROUGE-L against every common subsequence, and against a published example."""

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discreet.bench.rouge import longest_common, rouge_at_length

words = st.lists(st.sampled_from("abc"), max_size=7)


@given(first=words, second=words)
def test_the_longest_common_subsequence_is_that_of_brute_force(
    first: list[str], second: list[str]
) -> None:
    def parts(own: list[str], size: int) -> set[tuple[str, ...]]:
        return set(combinations(own, size))

    sizes = range(1, len(first) + 1)
    most = max((size for size in sizes if parts(first, size) & parts(second, size)), default=0)
    assert longest_common(first, second) == most


def test_the_sentences_of_the_paper() -> None:
    """Lin 2004, section 3.1: S2 has ROUGE-L 3/4 and S3 2/4 of S1."""
    reference = "police killed the gunman"
    assert rouge_at_length("police kill the gunman", reference) == pytest.approx(3 / 4)
    assert rouge_at_length("the gunman kill police", reference) == pytest.approx(2 / 4)


def test_going_on_and_on_is_no_better() -> None:
    reference = "Wash both hands well."
    long = "Wash hands now. Both hands, and well, with water. Wash both hands well."
    assert rouge_at_length(long, reference) == rouge_at_length("Wash hands now both", reference)
    assert rouge_at_length(reference, reference) == 1
    assert rouge_at_length("", reference) == 0
    assert rouge_at_length("Wash", reference) == pytest.approx(2 / 5), "too short pays by recall"
