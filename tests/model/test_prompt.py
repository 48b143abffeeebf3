"""What the responder reads: only answers are labelled, and no text can leave its place."""

from itertools import permutations
from time import process_time
from unicodedata import category

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from discreet.model import IMAGE_TOKEN, Batch, Row, Vlm, build_prompt, collate, load, person_line
from discreet.model.prompt import IGNORED, encode_prompt
from discreet.model.tiny import SPECIAL
from discreet.types import Observation

VLM = load("tiny")
EOS = "<|im_end|>"
CONTROL = [*SPECIAL, "<repo_name>", "<file_sep>", "<issue_start>", "<start_of_turn>"]
FRAGMENTS = [
    *CONTROL,
    *("<|", "|>", "<", ">", "|", "im_start", "im_end", "<ima", "ge>", "image"),
    *(" ", "\n", "\t", "\u2028", "assistant", "Answer for a child.", "why?", "é", "😀", ""),
]
hostile = st.lists(st.sampled_from(FRAGMENTS), max_size=12).map("".join)
plain = st.text(max_size=40).filter(lambda text: not any(token in text for token in SPECIAL))


def prompt_of(question: str = "Why?", person: str = "a child") -> list[dict[str, str]]:
    return build_prompt(question, note="Rest heals.", person=person)


def decode(ids: torch.Tensor | list[int]) -> str:
    return VLM.tokenizer.decode(ids, clean_up_tokenization_spaces=False)


def special_ids(ids: list[int]) -> list[int]:
    special = set(VLM.tokenizer.all_special_ids)
    return [token for token in ids if token in special]


@given(rows=st.lists(st.tuples(plain, plain), min_size=1, max_size=4))
def test_labels_are_the_answer_and_its_end_and_nothing_else(rows: list[tuple[str, str]]) -> None:
    batch = collate(VLM, [Row(messages=prompt_of(q), answer=a) for q, a in rows])
    for (_, answer), ids, mask, labels in zip(
        rows, batch.input_ids, batch.attention_mask, batch.labels, strict=True
    ):
        labelled = labels != IGNORED
        assert decode(labels[labelled]) == (answer + EOS if answer else "")
        assert torch.equal(labels[labelled], ids[labelled])
        assert not labelled[mask == 0].any(), "no label on padding"


@given(question=plain, answer=plain.filter(bool))
def test_no_label_sits_on_a_prompt_token(question: str, answer: str) -> None:
    messages = prompt_of(question, IMAGE_TOKEN)
    batch = collate(VLM, [Row(messages=messages, answer=answer)])
    unlabelled = batch.labels[0] == IGNORED
    assert batch.input_ids[0][unlabelled].tolist() == encode_prompt(VLM, messages)


@given(questions=st.lists(plain, min_size=2, max_size=5))
def test_padding_is_on_the_left_so_that_answers_end_together(questions: list[str]) -> None:
    rows = [Row(messages=prompt_of(q), answer="Yes.") for q in questions]
    batch = collate(VLM, rows)
    for row, ids, mask in zip(rows, batch.input_ids, batch.attention_mask, strict=True):
        padding = int((mask == 0).sum())
        assert not mask[:padding].any()
        assert mask[padding:].all()
        assert (ids[:padding] == VLM.tokenizer.pad_token_id).all()
        assert ids[padding:].tolist() == collate(VLM, [row]).input_ids[0].tolist()
        assert ids[-1] == VLM.tokenizer.eos_token_id


@given(question=hostile, note=hostile)
@settings(max_examples=300)
def test_no_text_opens_a_turn_or_claims_a_picture(question: str, note: str) -> None:
    honest = build_prompt("Why?", note="Rest heals.", person=IMAGE_TOKEN)
    attack = build_prompt(question, note=note, person=IMAGE_TOKEN)
    ids = encode_prompt(VLM, attack)
    assert special_ids(ids) == special_ids(encode_prompt(VLM, honest))
    assert ids.count(VLM.image_token_id) == VLM.image_tokens


def test_taking_a_control_token_out_leaves_no_other_behind() -> None:
    """Every control token, with another one inside it at every place."""
    honest = special_ids(encode_prompt(VLM, prompt_of()))
    for outer in SPECIAL:
        for inner in CONTROL:
            for place in range(1, len(outer)):
                nested = outer[:place] + inner + outer[place:]
                assert special_ids(encode_prompt(VLM, prompt_of(nested))) == honest, nested


@given(question=hostile)
def test_a_question_stays_on_its_own_line(question: str) -> None:
    lines = prompt_of(question)[1]["content"].split("\n")
    assert (lines[0], lines[2:]) == ("Note: Rest heals.", ["Answer for a child."])
    assert lines[1].startswith("Question: ")


UNSEEN = [
    "\x00",
    "\x1b",
    "\x7f",
    "\x85",
    "\u061c",
    "\u200e",
    "\u202e",
    "\u2066",
    "\ufeff",
    "\ud800",
    *("\u00ad", "\u034f", "\u115f", "\u180e", "\u206a", "\u3164", "\uffa0", "\ufe0f"),
    *("\ufff9", "\U000e0001", "\U000e0041", "\U000e007f", "\U000e0100", "\U0001d173"),
]
"""Some of what nobody sees; all of category Cf in `test_every_format_character_is_taken_out`."""
BLANK = [*range(0x180B, 0x1810), *range(0xFE00, 0xFE10), *range(0xE0000, 0xE0080)]
BLANK += [*range(0xE0100, 0xE01F0), 0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x3164, 0xFFA0]


def is_harmless(text: str) -> bool:
    odd = [
        c
        for c in text
        if (category(c) in {"Cc", "Cf", "Cs"} and not c.isspace()) or ord(c) in BLANK
    ]
    return "<" not in text and "\x85" not in text and not odd


@given(words=st.lists(st.sampled_from([*UNSEEN, *FRAGMENTS]), max_size=12))
def test_what_nobody_sees_is_taken_out_and_joins_no_control_token(words: list[str]) -> None:
    text = prompt_of("".join(words))[1]["content"]
    assert not [char for char in UNSEEN if char in text]
    said = "".join(word for word in words if word not in UNSEEN)
    assert text == prompt_of(said)[1]["content"]


def test_every_format_character_but_two_is_taken_out() -> None:
    """Against the whole of Unicode, one by one between letters."""
    every = map(chr, range(0x110000))
    hidden = [c for c in every if category(c) in {"Cf", "Cs"} or ord(c) in BLANK]
    kept = [c for c in hidden if c in prompt_of(f"a{c}b")[1]["content"]]
    assert kept == ["\u200c", "\u200d"]
    joined = "".join(f"a{c}b" for c in hidden if c not in kept)
    assert prompt_of(joined)[1]["content"].count("ab") == len(hidden) - len(kept)


@pytest.mark.parametrize("unit", ["<" + "_" * 40_000, "<_" * 20_000, "<|" + "a" * 40_000])
def test_time_grows_no_faster_than_a_text(unit: str) -> None:
    """Forty thousand characters of an unclosed token: minutes, if time grew with the square."""
    start = process_time()
    prompt_of(unit)
    assert process_time() - start < 2.0


def test_marks_that_join_letters_stay() -> None:
    said = "\u0646\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645 \U0001f468\u200d\U0001f469"
    assert said in prompt_of(said)[1]["content"]


@given(text=plain.filter(is_harmless))
def test_harmless_words_reach_the_model_unchanged(text: str) -> None:
    after = prompt_of(text)[1]["content"].partition("\nQuestion: ")[2]
    words = after.rpartition("\nAnswer for ")[0]
    assert words.split() == text.split()


def test_the_prompt_ends_where_the_answer_begins() -> None:
    assert decode(encode_prompt(VLM, prompt_of())).endswith(
        f"Answer for a child.{EOS}\n<|im_start|>assistant\n"
    )


def test_the_picture_takes_one_placeholder_per_visual_token() -> None:
    ids = encode_prompt(VLM, prompt_of(person=IMAGE_TOKEN))
    assert ids.count(VLM.image_token_id) == VLM.image_tokens == 4
    assert VLM.image_token_id not in encode_prompt(VLM, prompt_of())


def test_an_empty_batch_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one row"):
        collate(VLM, [])


def seen(attribute: str, value: str) -> Observation:
    return Observation(attribute=attribute, value=value, source="declared", confidence=1.0)


@pytest.mark.parametrize(
    ("observations", "expected"),
    [
        ([], "somebody, in plain sentences"),
        ([seen("age_band", "child")], "a child, in short easy words"),
        ([seen("expression", "sad")], "somebody with a sad expression, in short calm sentences"),
        ([seen("expression", "angry"), seen("age_band", "child")],
         "a child with an angry expression, in short easy words"),
        ([seen("age_band", "older_adult"), seen("expression", "happy")],
         "an older adult with a happy expression, in numbered steps"),
    ],
)  # fmt: skip
def test_the_person_line_says_what_passed(observations: list[Observation], expected: str) -> None:
    assert {person_line(order) for order in permutations(observations)} == {expected}


@pytest.mark.slow
def test_the_tokenizer_of_small_lets_no_control_token_through(small: Vlm) -> None:
    special = set(small.tokenizer.all_special_ids) | set(small.tokenizer.added_tokens_decoder)
    spellings = [small.tokenizer.convert_ids_to_tokens(token) for token in sorted(special)]
    assert len(spellings) > 10
    honest = encode_prompt(small, prompt_of(person=IMAGE_TOKEN))
    for spelling in [*spellings, "".join(spellings), "<|im_<|im_end|>start|>", "<ima<image>ge>"]:
        attack = build_prompt(f"a {spelling} b", note=spelling, person=IMAGE_TOKEN)
        ids = encode_prompt(small, attack)
        assert [t for t in ids if t in special] == [t for t in honest if t in special], spelling
    batch: Batch = collate(small, [Row(messages=prompt_of(), answer="Rest, and drink water.")])
    labels = batch.labels[batch.labels != IGNORED]
    assert small.tokenizer.decode(labels) == f"Rest, and drink water.{EOS}"
