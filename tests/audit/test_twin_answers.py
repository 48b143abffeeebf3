"""A model is asked only where words differ, once for each, and its answers flip no more often."""

from collections.abc import Sequence

import pytest

from discreet.audit import measure_answers, write_for_lines
from discreet.audit.twin_answers import PARTS, Asked
from discreet.data import Question
from discreet.model import Vlm, build_prompt, generate
from tests.audit.test_twins import PAIRS, PEOPLE

CHILD, ADULT = "a child, in short easy words", "a young adult, in plain sentences"


class Writer:
    """Writes a fixed answer for each line, and remembers what it was asked."""

    def __init__(self, answers: dict[str, str]) -> None:
        self.answers, self.asked = answers, list[Asked]()

    def __call__(self, asked: Sequence[Asked]) -> list[str]:
        self.asked += asked
        return [self.answers[line] for _, line in asked]


def lines(every: int) -> list[tuple[str, str]]:
    """One of so many pairs differs."""
    return [(CHILD, ADULT if n % every == 0 else CHILD) for n in range(len(PAIRS))]


def test_each_question_is_asked_once_for_each_line_that_differs(
    questions: list[Question],
) -> None:
    writer = Writer({CHILD: "Coffee.", ADULT: "Tea."})
    found = measure_answers(PAIRS, lines(4), questions[:2], writer)
    assert sorted((q.id, line) for q, line in writer.asked) == sorted(
        (q.id, line) for q in questions[:2] for line in (CHILD, ADULT)
    )
    assert (found.questions, found.asked) == (2, 4)
    whole = found.parts["words"].whole
    assert whole is not None
    assert whole.value == 0.25
    assert whole.people == PEOPLE


def test_nobody_is_asked_where_no_words_differ(questions: list[Question]) -> None:
    writer = Writer({})
    found = measure_answers(PAIRS, [(CHILD, CHILD)] * len(PAIRS), questions, writer)
    assert not writer.asked
    assert all(part.whole is not None and part.whole.high == 0 for part in found.parts.values())


def test_answers_flip_in_what_was_planted_and_never_more_often_than_words(
    questions: list[Question],
) -> None:
    """The fact goes in one of the two, and only in the first question; both are no refusal."""
    answers = {CHILD: "Coffee keeps people awake.", ADULT: "Tea keeps people awake."}
    found = measure_answers(PAIRS, lines(2), questions[:2], Writer(answers))
    values = {name: part.whole.value for name, part in found.parts.items() if part.whole}
    assert values == {"words": 0.5, "form": 0, "facts": 0.25, "refusal": 0}
    refused = {CHILD: "I cannot answer that question.", ADULT: "Tea keeps people awake."}
    found = measure_answers(PAIRS, lines(2), questions[:1], Writer(refused))
    assert found.parts["refusal"].whole is not None
    assert found.parts["refusal"].whole.value == 0.5
    assert set(found.parts) == set(PARTS)


def test_without_a_question_nothing_is_measured() -> None:
    with pytest.raises(ValueError, match="at least one question"):
        measure_answers(PAIRS, lines(2), [], Writer({}))


def test_a_model_writes_what_it_writes_to_each_alone(tiny: Vlm, questions: list[Question]) -> None:
    asked = [(question, line) for question in questions for line in (CHILD, ADULT)]
    done: list[int] = []
    together = write_for_lines(tiny, asked, batch=4, on_done=done.append)
    assert done == [4, 2]
    alone = [
        generate(tiny, build_prompt(q.question, note=q.note, person=line), max_new_tokens=110)
        for q, line in asked
    ]
    assert together == alone
