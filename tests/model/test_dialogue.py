"""A conversation as one row: what is learnt, where pictures are, and that words stay words."""

import doctest
from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL.Image import Image

from discreet.model import (
    IMAGE_TOKEN,
    EncodedRow,
    Row,
    TooManyTokens,
    Vlm,
    answer_losses,
    collate,
    dialogue,
    encode_dialogue,
    encode_images,
    load,
    pad_rows,
    pixel_values,
)
from discreet.model.prompt import IGNORED, encode_prompt
from model.test_prompt import CONTROL, hostile, plain, special_ids

VLM = load("tiny")
EOS = "<|im_end|>"
Said = Sequence[tuple[str, str]]
TALK: Said = [
    ("system", "Be kind.\nBe brief."),
    ("user", f"{IMAGE_TOKEN}\nWho is it?\n{IMAGE_TOKEN} And here?"),
    ("assistant", "A child, then an older adult."),
    ("user", "Are you sure?"),
    ("assistant", "No."),
]


def messages(said: Said) -> list[dict[str, str]]:
    return [{"role": role, "content": text} for role, text in said]


def encode(said: Said, vlm: Vlm = VLM) -> EncodedRow:
    row = encode_dialogue(vlm, messages(said))
    assert row is not None
    return row


def decode(ids: torch.Tensor) -> str:
    return VLM.tokenizer.decode(ids, clean_up_tokenization_spaces=False)


def test_every_answer_is_learnt_and_nothing_else() -> None:
    row = encode(TALK)
    assert decode(row.input_ids[row.is_answer]) == f"A child, then an older adult.{EOS}No.{EOS}"
    assert (row.input_ids == VLM.image_token_id).sum() == 2 * VLM.image_tokens
    whole = VLM.tokenizer.apply_chat_template(messages(TALK), tokenize=False)
    assert decode(row.input_ids) == whole.replace(IMAGE_TOKEN, IMAGE_TOKEN * VLM.image_tokens)


@given(said=st.lists(st.tuples(plain, plain.filter(str.strip)), min_size=1, max_size=4))
def test_each_answer_begins_where_the_base_would_begin_it(said: list[tuple[str, str]]) -> None:
    """The ids before an answer are those of the prompt that the base would be given in use."""
    talk = [turn for asked, told in said for turn in (("user", asked), ("assistant", told.strip()))]
    row = encode(talk)
    starts = (row.is_answer & ~row.is_answer.roll(1)).nonzero().flatten().tolist()
    prompts = [encode_prompt(VLM, messages(talk[: 2 * n + 1])) for n in range(len(said))]
    assert [row.input_ids[:start].tolist() for start in starts] == prompts


def test_one_answer_is_the_row_that_a_prompt_and_its_answer_are() -> None:
    """But for the line end that the template writes behind a turn."""
    said = messages([("system", "Be kind."), ("user", "Why?")])
    talk = encode([("system", "Be kind."), ("user", "Why?"), ("assistant", "So.")])
    wanted = collate(VLM, [Row(messages=said, answer="So.")])
    found = pad_rows(VLM, [talk])
    width = wanted.input_ids.shape[1]
    assert torch.equal(found.input_ids[:, :width], wanted.input_ids)
    assert torch.equal(found.labels[:, :width], wanted.labels)
    assert decode(found.input_ids[0, width:]) == "\n"
    assert (found.labels[0, width:] == IGNORED).all()


words = hostile.filter(lambda text: IMAGE_TOKEN not in text)
"""Where it stands, it is a place for a picture; callers count places."""


@given(question=words, answer=words, after=words)
@settings(max_examples=200)
def test_no_words_open_a_turn_or_claim_a_picture(question: str, answer: str, after: str) -> None:
    honest = encode([("user", IMAGE_TOKEN), ("assistant", "So."), ("user", "")])
    attack = [("user", f"{question}{IMAGE_TOKEN}{question}"), ("assistant", f"So.{answer}")]
    row = encode([*attack, ("user", after)])
    assert special_ids(row.input_ids.tolist()) == special_ids(honest.input_ids.tolist())
    assert decode(row.input_ids[row.is_answer]).count(EOS) == 1


def test_taking_a_control_token_out_leaves_no_other_behind() -> None:
    honest = special_ids(encode(TALK[3:]).input_ids.tolist())
    for outer in VLM.tokenizer.all_special_tokens:
        for inner in CONTROL:
            for place in range(1, len(outer)):
                nested = outer[:place] + inner + outer[place:]
                if IMAGE_TOKEN in nested:
                    continue
                row = encode([("user", nested), ("assistant", f"No.{nested}")])
                assert special_ids(row.input_ids.tolist()) == honest, nested


@pytest.mark.parametrize(
    "said",
    [
        [],
        [("user", "Why?")],
        [("assistant", "Hello.")],
        [("assistant", "Hello."), ("user", "Why?")],
        [("user", "Why?"), ("assistant", " \n")],
        [("user", "Why?"), ("assistant", "<|im_end|>")],
    ],
)
def test_without_an_answer_there_is_nothing_to_learn(said: Said) -> None:
    assert encode_dialogue(VLM, messages(said)) is None


def test_a_greeting_is_context_and_what_follows_is_learnt() -> None:
    row = encode([("assistant", "Hello."), ("user", "Why?"), ("assistant", "So.")])
    assert decode(row.input_ids[row.is_answer]) == f"So.{EOS}"


TEMPLATES = {
    "says how many turns follow": "{{ messages|length }}" + VLM.tokenizer.chat_template,
    "ends no answer": "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}",
    "forgets earlier answers": "{% for m in messages %}{% if m['role'] == 'user' or loop.last %}"
    "<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
    "changes answers": VLM.tokenizer.chat_template.replace(
        "message['content']", "message['content']|upper"
    ),
    "refuses": "{{ raise_exception('Roles must alternate') }}",
}


@pytest.mark.parametrize("template", TEMPLATES.values(), ids=TEMPLATES)
def test_a_template_that_writes_it_in_another_way_is_not_used(template: str) -> None:
    """It would be trained on what it is never asked."""
    other = load("tiny")
    other.tokenizer.chat_template = template
    assert encode_dialogue(other, messages(TALK)) is None
    assert encode_dialogue(VLM, messages(TALK)) is not None


def reference_loss(vlm: Vlm, row: EncodedRow, pictures: Sequence[Image]) -> torch.Tensor:
    """Return the loss that transformers computes from labels and pixels."""
    ids = row.input_ids.long()[None]
    labels = ids.where(row.is_answer, IGNORED)
    pixels = pixel_values(vlm, pictures) if pictures else None
    return vlm.model(input_ids=ids, pixel_values=pixels, labels=labels).loss


SHOWN = {
    "none": [("user", "Why?"), ("assistant", "So."), ("user", "And?"), ("assistant", "No, rest.")],
    "one": [("user", f"Who? {IMAGE_TOKEN}"), ("assistant", "A child.")],
    "two": list(TALK),
    "later": [
        ("user", "Hello."),
        ("assistant", "Hello."),
        ("user", f"{IMAGE_TOKEN}{IMAGE_TOKEN}{IMAGE_TOKEN}"),
        ("assistant", "Three people."),
    ],
}
COUNTS = {"none": 0, "one": 1, "two": 2, "later": 3}


def test_losses_are_those_of_transformers_with_any_number_of_pictures(faces: list[Image]) -> None:
    rows = {name: encode(said) for name, said in SHOWN.items()}
    own = {name: [faces[n + i] for i in range(COUNTS[name])] for n, name in enumerate(rows)}
    with torch.no_grad():
        wanted = torch.stack([reference_loss(VLM, rows[name], own[name]) for name in rows])
        features = encode_images(VLM, [face for name in rows for face in own[name]])
        found = answer_losses(VLM, pad_rows(VLM, list(rows.values())), features)
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=0)
    assert len(set(found.tolist())) == 4


def test_pictures_go_to_their_places_in_order(faces: list[Image]) -> None:
    batch, features = pad_rows(VLM, [encode(TALK)]), encode_images(VLM, faces[:2])
    first = answer_losses(VLM, batch, features)
    assert abs(float(first - answer_losses(VLM, batch, features.flip(0)))) > 1e-5


def test_a_window_over_the_longest_answer_alone_would_lose_the_first_ones() -> None:
    """Two answers lie apart: their tokens do not fit into as many last places as they are."""
    row = encode(SHOWN["none"])
    count = int(row.is_answer.sum())
    assert row.is_answer[-count:].sum() < count


@pytest.mark.slow
def test_the_template_and_the_tokenizer_of_small_hold_conversations(small: Vlm) -> None:
    row = encode(TALK, small)
    learnt = small.tokenizer.decode(row.input_ids[row.is_answer])
    assert learnt == f"A child, then an older adult.{EOS}No.{EOS}"
    assert (row.input_ids == small.image_token_id).sum() == 2 * small.image_tokens
    spelled = "".join(token.content for token in small.tokenizer.added_tokens_decoder.values())
    words = spelled.replace(IMAGE_TOKEN, "<ima")
    attack = [(role, text if role == "system" else f"{text} {words}.") for role, text in TALK]
    special = set(small.tokenizer.added_tokens_decoder)
    found, wanted = encode(attack, small).input_ids.tolist(), row.input_ids.tolist()
    assert [i for i in found if i in special] == [i for i in wanted if i in special]


def test_the_length_is_known_before_any_answer_is_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of thousands of turns the whole is rendered once, and not what comes before each."""
    rendered: list[int] = []
    real = dialogue.render

    def counted(vlm: Vlm, turns: list[dict[str, str]], *, opens_answer: bool) -> str:
        rendered.append(len(turns))
        return real(vlm, turns, opens_answer=opens_answer)

    monkeypatch.setattr(dialogue, "render", counted)
    said = [("user" if n % 2 == 0 else "assistant", "a") for n in range(2000)]
    with pytest.raises(TooManyTokens, match="at most 2048 tokens"):
        encode_dialogue(VLM, messages(said), max_tokens=2048)
    assert rendered == [2000]
    row = encode(said[:4])
    assert encode_dialogue(VLM, messages(said[:4]), max_tokens=len(row)) is not None


def test_the_example_of_the_file_runs() -> None:
    assert doctest.testmod(dialogue) == doctest.TestResults(failed=0, attempted=5)
