"""A question finds the text whose direction is nearest; the shipped encoder finds other words."""

from collections.abc import Sequence

import pytest
import torch

from discreet.assistant import Note, Notes
from discreet.assistant.meaning import Meaning


class Letters:
    """Encodes a text as the letters a to z that it has, scaled to length one."""

    def encode(self, texts: Sequence[str]) -> torch.Tensor:
        counts = torch.tensor(
            [[float(t.lower().count(chr(97 + n))) for n in range(26)] for t in texts]
        )
        return torch.nn.functional.normalize(counts, dim=1)


PAIRS = [("abc", "abd"), ("xyz", "xy"), ("mno", "abc")]


def test_the_fit_is_the_mean_of_the_cosines_with_question_and_whole() -> None:
    encoder = Letters()
    found = Meaning.build(PAIRS, encoder).rank("abca")
    asked = encoder.encode(["abca"])[0]
    expected = {
        place: float(encoder.encode([q, f"{q} {t}"]).matmul(asked).mean())
        for place, (q, t) in enumerate(PAIRS)
    }
    assert {one.place: one.fit for one in found} == pytest.approx(expected)
    assert [one.place for one in found] == sorted(expected, key=lambda p: -expected[p])
    assert expected[0] > expected[2] > expected[1] == 0


@pytest.mark.parametrize("question", ["", " ", "?", "\x00"])
def test_a_question_that_says_nothing_finds_nothing(question: str) -> None:
    assert Meaning.build(PAIRS, Letters()).rank(question) == []


def test_other_words_find_the_note() -> None:
    asked = {
        "nose": "How do I stop a nosebleed?",
        "ankle": "What helps when an ankle is twisted?",
        "fever": "What helps when someone has a fever?",
        "tooth": "What should I do about a toothache?",
    }
    build = [
        Note(id=name, question=q, text="Ask a doctor.", context="h") for name, q in asked.items()
    ]
    notes = Notes.build(build, find="meaning")
    for said, name in {
        "blood keeps dripping out of my nostrils": "nose",
        "i rolled my foot playing football": "ankle",
        "What should I do about a fever?": "fever",
        "my molar is killing me": "tooth",
    }.items():
        assert notes.rank(said, "h")[0].note.id == name
    assert notes.find("Who won the football match last night?", "h") is None
