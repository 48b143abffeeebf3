"""What people would be shown is measured, and not what a responder wrote."""

from pathlib import Path

import pytest

from discreet.bench import as_answers, ask_all, repeat_note
from discreet.cli.bench_adapt import _served, _serving
from discreet.data import LANGUAGES, Language, load_questions
from discreet.model import load
from discreet.types import DOMAINS


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_ask_is_answered_from_its_own_note(language: Language, tmp_path: Path) -> None:
    """`tiny` says nothing that keeps to a note, so that the note speaks; French ones always do."""
    questions = [load_questions(domain, language=language)[0] for domain in DOMAINS]
    asks = ask_all(questions)
    serving = _serving(load("tiny"), language, guidance=1.0, drafts=2, cache=tmp_path)
    told: list[int] = []
    answers = _served(serving, asks, told.append)
    assert len(answers) == len(asks) == sum(told)
    for ask, answer in zip(asks, answers, strict=True):
        assert ask.question.note in answer
        assert answer.endswith(ask.question.safety)
    if language == "fr":
        assert answers == repeat_note(asks)


def test_answers_are_written_beside_what_was_asked() -> None:
    asks = ask_all(load_questions("healthcare")[:1])
    notes = repeat_note(asks)
    found = as_answers({"the note itself": notes, "nobody": [""] * len(asks)}, asks)
    assert [row["reader"] for row in found] == [ask.reader for ask in asks]
    assert [row["answers"] for row in found] == [
        {"the note itself": note, "nobody": ""} for note in notes
    ]
