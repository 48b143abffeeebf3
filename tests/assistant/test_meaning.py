"""A question finds the text whose direction is nearest; the shipped encoder finds other words."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save

from discreet.assistant import Note, Notes
from discreet.assistant.meaning import Meaning, kept


@dataclass
class Letters:
    """Encodes a text as the letters a to z that it has, scaled to length one."""

    identity: str = "letters"
    size: int = 26
    passes: int = 0

    def encode(self, texts: Sequence[str]) -> torch.Tensor:
        self.passes += 1
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


def test_other_words_find_the_note(tmp_path: Path) -> None:
    asked = {
        "nose": "How do I stop a nosebleed?",
        "ankle": "What helps when an ankle is twisted?",
        "fever": "What helps when someone has a fever?",
        "tooth": "What should I do about a toothache?",
    }
    build = [
        Note(id=name, question=q, text="Ask a doctor.", context="h") for name, q in asked.items()
    ]
    notes = Notes.build(build, find="meaning", keep_in=tmp_path)
    again = Notes.build(build, find="meaning", keep_in=tmp_path)
    fresh = Notes.build(build, find="meaning")
    (file,) = tmp_path.iterdir()
    assert load_file(file)["vectors"].shape == (2 * len(build), 384)
    for said, name in {
        "blood keeps dripping out of my nostrils": "nose",
        "i rolled my foot playing football": "ankle",
        "What should I do about a fever?": "fever",
        "my molar is killing me": "tooth",
    }.items():
        assert notes.rank(said, "h")[0].note.id == name
        assert notes.rank(said, "h") == again.rank(said, "h") == fresh.rank(said, "h")
    assert notes.find("Who won the football match last night?", "h") is None


TEXTS = ["abc", "xyz", "mno"]
FRESH = Letters().encode(TEXTS)
SOUND = save({"vectors": FRESH})


def test_kept_vectors_are_those_that_were_made_and_are_made_once(tmp_path: Path) -> None:
    encoder = Letters()
    for _ in range(3):
        assert torch.equal(kept(TEXTS, encoder, tmp_path / "new"), FRESH)
    assert encoder.passes == 1
    (file,) = (tmp_path / "new").iterdir()
    assert torch.equal(load_file(file)["vectors"], FRESH)


def test_what_could_change_a_vector_changes_the_file(tmp_path: Path) -> None:
    encoder = Letters()
    others = [TEXTS, ["abc", "xyz", "mnop"], TEXTS[::-1], TEXTS[:2], ["ab", "cxyz", "mno"]]
    for texts in others:
        assert torch.equal(kept(texts, encoder, tmp_path), Letters().encode(texts))
    kept(TEXTS, replace(encoder, identity="letters, second edition"), tmp_path)
    assert len(list(tmp_path.iterdir())) == len(others) + 1


DAMAGED = {
    "nothing": b"",
    "half": SOUND[: len(SOUND) // 2],
    "no tensors": b"not what it was",
    "another name": save({"others": FRESH}),
    "too few": save({"vectors": FRESH[:2].contiguous()}),
    "too narrow": save({"vectors": torch.nn.functional.normalize(FRESH[:, :25], dim=1)}),
    "flat": save({"vectors": FRESH.flatten()}),
    "rounded": save({"vectors": FRESH.half()}),
    "too long": save({"vectors": 1.01 * FRESH}),
    "zeros": save({"vectors": torch.zeros_like(FRESH)}),
    "not a number": save({"vectors": torch.full_like(FRESH, torch.nan)}),
    "infinite": save({"vectors": torch.full_like(FRESH, torch.inf)}),
}


@pytest.mark.parametrize("how", DAMAGED)
def test_a_damaged_file_is_made_again(how: str, tmp_path: Path) -> None:
    kept(TEXTS, Letters(), tmp_path)
    (file,) = tmp_path.iterdir()
    file.write_bytes(DAMAGED[how])
    encoder = Letters()
    assert torch.equal(kept(TEXTS, encoder, tmp_path), FRESH)
    assert (encoder.passes, file.read_bytes()) == (1, SOUND)


@given(data=st.data())
def test_no_bytes_at_all_stop_a_start(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Any change of the header, and a cut anywhere, either leaves the vectors or is mended."""
    folder = tmp_path_factory.mktemp("kept")
    kept(TEXTS, Letters(), folder)
    (file,) = folder.iterdir()
    header = len(SOUND) - FRESH.nbytes
    torn = bytearray(SOUND[: data.draw(st.integers(0, len(SOUND)))])
    for place in data.draw(st.lists(st.integers(0, header - 1), max_size=3)):
        torn[place : place + 1] = data.draw(st.binary(min_size=1, max_size=1))
    file.write_bytes(torn)
    assert torch.equal(kept(TEXTS, Letters(), folder), FRESH)


def test_a_folder_that_cannot_be_written_to_is_no_error(tmp_path: Path) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.write_text("here")
    assert torch.equal(kept(TEXTS, Letters(), in_the_way), FRESH)
    assert torch.equal(kept(TEXTS, Letters(), in_the_way / "below"), FRESH)
    assert [path.name for path in tmp_path.rglob("*")] == ["file"]


def test_notes_are_kept_and_a_question_never_is(tmp_path: Path) -> None:
    def lies_there() -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in tmp_path.rglob("*")}

    encoder = Letters()
    meaning = Meaning.build(PAIRS, encoder, keep_in=tmp_path)
    built = lies_there()
    (data,) = built.values()
    asked = ["abc", "why do i feel so sad", "xyz abc"]
    before = encoder.passes
    assert all(meaning.rank(question) for question in asked)
    assert encoder.passes == before + len(asked)
    assert lies_there() == built
    whole = [question for question, _ in PAIRS] + [" ".join(pair) for pair in PAIRS]
    assert data == save({"vectors": Letters().encode(whole)}), "vectors of notes, nothing else"
    kept(asked, encoder, tmp_path)
    assert lies_there() != built, "a question that was kept would show"
    Meaning.build(PAIRS, encoder)
    assert len(lies_there()) == 2, "nothing is kept unless a folder is named"
