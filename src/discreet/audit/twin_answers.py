"""Does an answer differ because a picture does? Asked of a model where the words it is told differ.

Where both pictures of a pair give the same words, greedy answers are the same and nothing is asked.
There are few different words, so each question is asked once for each of them. A pair is compared
in what is written, in the forms that it has, in the key facts that it says and in whether it
refuses (rules of `bench/adaptation.py`). Each share is over all pairs, so that it is at most that
of pairs whose words differ (`twins.py`).

    >>> sorted(PARTS)
    ['facts', 'form', 'refusal', 'words']
"""

import re
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass

from discreet.audit.twins import Flips, compare_twins, count_flips
from discreet.data import Question, TwinPortraits, faults_in
from discreet.model import Request, Vlm, answer_all, build_prompt, person_line
from discreet.readers import READERS, fits_reader

MAX_NEW_TOKENS = 110
"""More than any shipped reference answer has."""
Asked = tuple[Question, str]
"""A question and the words for the person who asks it."""
PARTS: Mapping[str, Callable[[str, Question], Hashable]] = {
    "words": lambda answer, question: answer,
    "form": lambda answer, question: frozenset(
        reader for reader in READERS if fits_reader(answer, reader, question.language)
    ),
    "facts": lambda answer, question: frozenset(
        fact.name for fact in question.key_facts if re.search(fact.pattern, answer)
    ),
    "refusal": lambda answer, question: "over_refusal" in faults_in(answer, question.language),
}
"""What of two answers is compared; each follows from the answer alone."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AnswerFlips:
    """How often answers to twins differ, as shares of pairs and questions."""

    questions: int
    asked: int
    """Answers that were written: different words times questions."""
    parts: Mapping[str, Flips]
    """For each of `PARTS`."""


def measure_answers(
    pairs: Sequence[TwinPortraits],
    lines: Sequence[tuple[str, str]],
    questions: Sequence[Question],
    write: Callable[[Sequence[Asked]], Sequence[str]],
) -> AnswerFlips:
    """Return how often answers to pairs differ, asking only where their words do.

    Args:
        pairs: The twins.
        lines: What a responder is told of both pictures of each.
        questions: Asked by everybody.
        write: Returns greedy answers; `write_for_lines` of a model, for example.

    Raises:
        ValueError: if there is no question.
    """
    if not questions:
        raise ValueError("Expected at least one question, got none.")
    words = sorted({line for both in lines if both[0] != both[1] for line in both})
    asked = [(question, line) for question in questions for line in words]
    answers = {
        (question.id, line): answer
        for (question, line), answer in zip(asked, write(asked), strict=True)
    }

    def share(seen: Callable[[str, Question], Hashable]) -> Flips:
        made = {(q.id, line): seen(answers[q.id, line], q) for q, line in asked}

        def difference(one: str, other: str) -> float:
            if one == other:
                return 0.0
            return sum(made[q.id, one] != made[q.id, other] for q in questions) / len(questions)

        return count_flips(compare_twins(pairs, lines, difference))

    parts = {name: share(seen) for name, seen in PARTS.items()}
    return AnswerFlips(questions=len(questions), asked=len(asked), parts=parts)


def write_for_lines(
    vlm: Vlm,
    asked: Sequence[Asked],
    *,
    guidance: float = 1.0,
    batch: int = 8,
    on_done: Callable[[int], None] = lambda count: None,
) -> list[str]:
    """Return a model's greedy answers to questions by people of whom words are told.

    Args:
        vlm: The model.
        asked: Questions and words.
        guidance: How far answers lean towards the person, over a prompt of nobody in particular.
        batch: Answers in one pass.
        on_done: Told after each pass how many answers it gave.
    """
    answers: list[str] = []
    for start in range(0, len(asked), batch):
        requests = [
            Request(
                messages=build_prompt(question.question, note=question.note, person=line),
                contrast=build_prompt(
                    question.question, note=question.note, person=person_line([])
                ),
                guidance=guidance,
                max_new_tokens=MAX_NEW_TOKENS,
            )
            for question, line in asked[start : start + batch]
        ]
        answers += [answer.text for answer in answer_all(vlm, requests)]
        on_done(len(requests))
    return answers
