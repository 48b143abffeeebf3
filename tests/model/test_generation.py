"""Answers are greedy, the same from pixels and from kept visual tokens, and stream as they are."""

import pytest
import torch
from PIL.Image import Image

from discreet.model import (
    IMAGE_TOKEN,
    LoraSpec,
    Vlm,
    attach_lora,
    build_prompt,
    encode_images,
    generate,
    pixel_values,
)
from discreet.model.prompt import encode_prompt

TOKENS = 24


@pytest.fixture
def tiny(tiny: Vlm) -> Vlm:
    """`tiny` with larger weights that says words; as built, it repeats the prompt's last token."""
    draw = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in tiny.model.parameters():
            parameter.normal_(generator=draw)
        table = tiny.model.get_input_embeddings().weight
        for token in range(len(tiny.tokenizer)):
            if tiny.tokenizer.decode([token]) not in " abcdefgh":
                table[token] = 0
    return tiny


def prompt(person: str = IMAGE_TOKEN) -> list[dict[str, str]]:
    return build_prompt("Why rest?", note="Rest heals.", person=person)


def greedy_loop(
    vlm: Vlm, messages: list[dict[str, str]], image: Image | None = None, tokens: int = TOKENS
) -> str:
    """Return the answer by the likeliest token that closes no loop, nothing kept between steps."""
    ids, answer = encode_prompt(vlm, messages), list[int]()
    pixels = None if image is None else pixel_values(vlm, [image])
    with torch.no_grad():
        while len(answer) < tokens:
            logits = vlm.model(input_ids=torch.tensor([ids + answer]), pixel_values=pixels).logits
            for token in logits[0, -1].argsort(descending=True).tolist():
                if (*answer[-7:], token) not in windows(answer):
                    break
            answer.append(token)
            if token == vlm.tokenizer.eos_token_id:
                break
    return vlm.tokenizer.decode(answer, skip_special_tokens=True).strip()


def windows(tokens: list[int]) -> list[tuple[int, ...]]:
    return [tuple(tokens[i : i + 8]) for i in range(len(tokens) - 7)]


def test_an_answer_does_not_loop_but_may_quote_its_note(tiny: Vlm) -> None:
    text = generate(tiny, prompt("a child"), max_new_tokens=160)
    assert text == greedy_loop(tiny, prompt("a child"), tokens=160)
    said = windows(tiny.tokenizer.encode(text, add_special_tokens=False))
    assert len(said) > 50
    assert len(said) == len(set(said))
    known = build_prompt("Why rest?", note=text, person="a child")
    assert generate(tiny, known, max_new_tokens=160) == greedy_loop(tiny, known, tokens=160)


def test_the_answer_is_the_greedy_one_from_pixels(tiny: Vlm, faces: list[Image]) -> None:
    answers = set()
    for face in faces[:3]:
        features = encode_images(tiny, [face])
        text = generate(tiny, prompt(), image_features=features, max_new_tokens=TOKENS)
        assert text == greedy_loop(tiny, prompt(), face)
        answers.add(text)
    assert len(answers) > 1, "the picture has a say"


@pytest.mark.parametrize("tokens", [1, 5, TOKENS])
def test_the_answer_is_the_greedy_one_from_text(tiny: Vlm, tokens: int) -> None:
    text = generate(tiny, prompt("a child"), max_new_tokens=tokens)
    assert text == greedy_loop(tiny, prompt("a child"), tokens=tokens)


def test_an_adapter_has_a_say_in_the_answer(tiny: Vlm) -> None:
    before = generate(tiny, prompt("a child"), max_new_tokens=TOKENS)
    adapted = attach_lora(tiny, LoraSpec(layers=2, r=2))
    assert generate(adapted, prompt("a child"), max_new_tokens=TOKENS) == before
    with torch.no_grad():
        for name, parameter in adapted.model.named_parameters():
            if "lora_B" in name:
                parameter.fill_(0.5)
    assert generate(adapted, prompt("a child"), max_new_tokens=TOKENS) != before


@pytest.mark.parametrize("person", ["a child", IMAGE_TOKEN])
def test_streamed_pieces_join_to_the_answer(tiny: Vlm, faces: list[Image], person: str) -> None:
    features = encode_images(tiny, faces[:1]) if person == IMAGE_TOKEN else None
    pieces: list[str] = []
    text = generate(
        tiny, prompt(person), image_features=features, max_new_tokens=64, on_text=pieces.append
    )
    assert "".join(pieces).strip() == text
    assert len(pieces) > 2, "word by word"
    assert all(pieces), "no empty piece"


@pytest.mark.parametrize(
    ("person", "pictures"), [(IMAGE_TOKEN, 0), ("a child", 1), (IMAGE_TOKEN, 2)]
)
def test_a_prompt_and_its_picture_must_match(
    tiny: Vlm, faces: list[Image], person: str, pictures: int
) -> None:
    features = encode_images(tiny, faces[:pictures]) if pictures else None
    with pytest.raises(ValueError, match="placeholders"):
        generate(tiny, prompt(person), image_features=features, max_new_tokens=1)
