"""The draft that is shown has the least shortcomings, and drafts differ by chance alone."""

from itertools import permutations, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discreet.assistant.drafts import best_of, falls_short, reader_told, redrafts
from discreet.assistant.guard import Guarded
from discreet.data import compose_answer, load_questions
from discreet.model import CALM, PLAIN, Request, person_line
from discreet.readers import READERS, Reader
from discreet.types import AGE_BANDS, EXPRESSIONS, Observation

QUESTION = next(q for q in load_questions() if q.domain == "healthcare")
GOOD: dict[Reader, str] = {
    **{band: compose_answer(QUESTION, band) for band in AGE_BANDS},
    "distressed": compose_answer(QUESTION, "young_adult", expression="sad"),
}


def answer(text: str = "Rest.", **found: object) -> Guarded:
    return Guarded(**{"text": text, "replaced": None, "added": 0, "unsaid": 0, **found})  # type: ignore[arg-type]


def told(**values: str) -> list[Observation]:
    return [
        Observation(attribute=name, value=value, source="declared", confidence=1)  # type: ignore[arg-type]
        for name, value in values.items()
    ]


@pytest.mark.parametrize("reader", READERS)
def test_each_reader_is_shown_what_was_written_for_them(reader: Reader) -> None:
    """Of the five answers to a question; an older adult's steps fit nobody else."""
    for drafts in permutations([answer(GOOD["older_adult"]), answer(GOOD[reader])]):
        assert best_of(drafts, reader, "en").text == GOOD[reader]
    assert not falls_short(answer(GOOD[reader]), reader, "en")


def test_what_is_worse_is_worse_whatever_else_is_said() -> None:
    """The note alone, another form, words of its own, added facts, sentences left out."""
    fits, steps = GOOD["child"], GOOD["older_adult"]
    from_bad_to_good = [
        answer(fits, replaced="a reason"),
        answer(steps, added=0),
        answer(fits, new_words=3),
        answer(fits, new_words=1, added=2),
        answer(fits, new_words=1),
        answer(fits, added=2),
        answer(fits, added=1, unsaid=9),
        answer(fits, added=1, unsaid=1),
        answer(fits, unsaid=1),
        answer(fits),
    ]
    for place, worse in enumerate(from_bad_to_good):
        for better in from_bad_to_good[place + 1 :]:
            assert best_of([worse, better], "child", "en") is better
            assert best_of([better, worse], "child", "en") is better
    short = [falls_short(one, "child", "en") for one in from_bad_to_good]
    assert short == [True, True, False, True, False, True, True, True, False, False]


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 3), st.integers(0, 3)), min_size=1))
def test_of_equal_drafts_the_first_is_shown(found: list[tuple[bool, int, int]]) -> None:
    """The likeliest one comes first. By brute force over all drafts, without a reader."""
    drafts = [
        answer(replaced="x" if bad else None, added=added, unsaid=unsaid)
        for bad, added, unsaid in found
    ]
    best = best_of(drafts, None, "en")
    place = next(n for n, draft in enumerate(drafts) if draft is best)
    assert all(found[place] < other for other in found[:place])
    assert all(found[place] <= other for other in found[place:])


def test_drafts_have_one_prompt_and_a_seed_each() -> None:
    first = Request(messages=[{"role": "user", "content": "Why?"}], max_new_tokens=7)
    assert redrafts(first, 1) == []
    others = redrafts(first, 4)
    assert len({other.seed for other in others}) == 3
    assert others == redrafts(first, 4)
    for other in others:
        assert (other.messages, other.max_new_tokens) == (first.messages, 7)
        assert other.temperature > first.temperature == 0


def test_an_answer_is_judged_by_the_form_that_was_asked_for() -> None:
    """What `person_line` asks for and what is counted are the same reader's."""
    for band, face in product((None, *AGE_BANDS), (None, *EXPRESSIONS)):
        values = {"age_band": band, "expression": face}
        passed = told(**{name: value for name, value in values.items() if value})
        reader, line = reader_told(passed), person_line(passed)
        assert (reader == "distressed") == line.endswith(CALM)
        assert reader in ("distressed", band or "young_adult")
        assert band or reader == "distressed" or line.endswith(PLAIN)


@pytest.mark.parametrize(
    ("known", "reader"),
    [
        ({}, "child"),
        ({"age_band": "middle_aged"}, "child"),
        ({"age_band": "older_adult"}, "older_adult"),
        ({"expression": "sad"}, "distressed"),
    ],
    ids=str,
)
def test_who_wants_plain_words_gets_the_form_that_the_prompt_asks_for(
    known: dict[str, str], reader: Reader
) -> None:
    observations = told(reading="plain", **known)
    assert reader_told(observations) == reader
    assert person_line(observations).endswith(person_line(told(age_band="child"))[8:]) == (
        reader == "child"
    )
