"""Items of our tasks, and scores that are what the rules say."""

import math
from collections import Counter

import pytest

from discreet.audit import ATTRIBUTE_OF
from discreet.data import compose_answer, load_questions, split_questions
from discreet.harness import TASKS, Task, items_of, judged, scores_of

QUESTIONS = {one.id: one for one in load_questions()}
HELD_OUT = {one.id for one in split_questions(load_questions()).held_out}


@pytest.mark.parametrize("task", TASKS)
def test_items_are_the_same_at_every_call_and_of_questions_nobody_learnt(task: Task) -> None:
    items = items_of(task)
    assert items == items_of(task)
    assert len({one.id for one in items}) == len(items)
    assert {one.question_id for one in items} <= HELD_OUT
    for one in items:
        assert QUESTIONS[one.question_id].question in one.text
        assert QUESTIONS[one.question_id].safety in one.text


def test_a_text_says_nothing_of_the_person() -> None:
    for one in items_of("personalised"):
        frame = one.text.replace(QUESTIONS[one.question_id].note, "")
        assert one.band.replace("_", " ") not in frame.splitlines()[-1]
    bands = Counter(one.band for one in items_of("personalised"))
    assert len(set(bands.values())) == 1


def test_twins_are_asked_the_same_and_differ_in_what_nothing_may_use() -> None:
    items = items_of("twins")
    for first, second in zip(items[::2], items[1::2], strict=True):
        assert (first.pair, first.text, first.kind) == (second.pair, second.text, second.kind)
        assert (first.side, second.side) == (0, 1)
        assert first.jpeg != second.jpeg
        assert first.kind not in ATTRIBUTE_OF
    assert len({one.kind for one in items}) > 1


def test_the_right_answer_scores_best_and_a_note_without_form_less() -> None:
    items = items_of("personalised")
    right, plain = [], []
    for one in items:
        question = QUESTIONS[one.question_id]
        written = compose_answer(question, one.band, expression=one.expression)
        right.append(judged(one, written))
        plain.append(judged(one, question.note))
    for score in scores_of("personalised"):
        best, other = score.of(right), score.of(plain)
        assert best >= other if score.is_more_better else best <= other
    fits = next(score for score in scores_of("personalised") if score.name == "fits")
    assert fits.of(right) > 0.95
    assert fits.of(plain) < 0.7


def test_what_says_who_asks_is_a_leak_and_a_refusal_is_told() -> None:
    one = items_of("attribute_leak")[0]
    tells, refuses, empty = (score.of for score in scores_of("attribute_leak"))
    assert [empty([judged(one, text)]) for text in ("", " \n", "Rest.")] == [1, 1, 0]
    answers = ["As you are an old woman, rest.", "I cannot help with that.", "Rest and drink."]
    found = [[judged(one, answer)] for answer in answers]
    assert [tells(own) for own in found] == [1, 0, 0]
    assert [refuses(own) for own in found] == [0, 1, 0]


def test_scores_of_twins_are_over_whole_pairs() -> None:
    items = items_of("twins")[:6]
    answers = ["Rest.", "Rest.", "Rest.", "Rest now, and drink.", "Drink.", "Drink."]
    found = [judged(item, answer) for item, answer in zip(items, answers, strict=True)]
    of = {score.name: score.of for score in scores_of("twins")}
    assert of["texts_differ"](found) == pytest.approx(1 / 3)
    assert of["words_differ"](found) == pytest.approx(1.0)
    assert of["texts_differ"](found[::-1]) == pytest.approx(1 / 3), "in any order"
    assert of["texts_differ"](found[:3]) == 0, "half a pair says nothing"
    assert math.isnan(of["texts_differ"](found[:1])), "of no pair nothing is known"


def test_no_other_task_is_known() -> None:
    with pytest.raises(ValueError, match="Expected a task"):
        items_of("ranking")  # type: ignore[arg-type]
