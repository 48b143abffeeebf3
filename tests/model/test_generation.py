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
from discreet.model.generation import PLAUSIBLE
from discreet.model.prompt import encode_prompt
from tests.model.conftest import talkative

TOKENS = 24


@pytest.fixture
def tiny(tiny: Vlm) -> Vlm:
    """`tiny` with larger weights that says words; as built, it repeats the prompt's last token."""
    return talkative(tiny)


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


def guided_loop(
    vlm: Vlm,
    messages: list[dict[str, str]],
    contrast: list[dict[str, str]],
    guidance: float,
    image: Image | None = None,
) -> str:
    """Return the guided answer from probabilities: p(t) (p(t) / q(t))^(guidance - 1), p plausible.

    Each prompt alone, nothing padded and nothing kept between steps.
    """
    answer: list[int] = []
    pixels = None if image is None else pixel_values(vlm, [image])
    with torch.no_grad():
        while len(answer) < TOKENS:
            asked, plain = (
                vlm.model(input_ids=torch.tensor([encode_prompt(vlm, each) + answer]), **seen)
                .logits[0, -1]
                .double()
                .softmax(-1)
                for each, seen in ((messages, {"pixel_values": pixels}), (contrast, {}))
            )
            score = asked * (asked / plain) ** (guidance - 1)
            for token in [said[7] for said in windows(answer) if said[:7] == (*answer[-7:],)]:
                asked[token] = 0
            score[asked < PLAUSIBLE * asked.max()] = -1
            answer.append(int(score.argmax()))
            if answer[-1] == vlm.tokenizer.eos_token_id:
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


LONG = "somebody who would like to be told all of it, slowly and with every detail"


@pytest.mark.parametrize("guidance", [1.25, 1.5, 3.0])
@pytest.mark.parametrize(("asked", "plain"), [("a child", LONG), (LONG, "a child")])
def test_guidance_is_that_of_two_prompts_alone(
    tiny: Vlm, asked: str, plain: str, guidance: float
) -> None:
    text = generate(
        tiny,
        prompt(asked),
        contrast=prompt(plain),
        guidance=guidance,
        max_new_tokens=TOKENS,
    )
    assert text == guided_loop(tiny, prompt(asked), prompt(plain), guidance)


def test_guidance_moves_away_from_the_answer_without_the_picture(
    tiny: Vlm, faces: list[Image]
) -> None:
    moved = 0
    for face in faces[:4]:
        features = encode_images(tiny, [face])
        answers = [
            generate(
                tiny,
                prompt(),
                image_features=features,
                contrast=prompt("somebody"),
                guidance=guidance,
                max_new_tokens=TOKENS,
            )
            for guidance in (1.0, 2.0)
        ]
        assert answers[0] == greedy_loop(tiny, prompt(), face)
        assert answers[1] == guided_loop(tiny, prompt(), prompt("somebody"), 2.0, face)
        moved += answers[0] != answers[1]
    assert moved


def test_a_contrast_with_the_prompt_itself_changes_nothing(tiny: Vlm) -> None:
    same = prompt("a child")
    text = generate(tiny, same, contrast=same, guidance=2.0, max_new_tokens=TOKENS)
    assert text == greedy_loop(tiny, same)


@pytest.mark.parametrize("guidance", [0.99, 0.0, -1.0, float("nan"), float("inf")])
def test_a_guidance_that_means_nothing_is_refused(tiny: Vlm, guidance: float) -> None:
    with pytest.raises(ValueError, match="guidance of 1 or more"):
        generate(tiny, prompt("a child"), contrast=prompt("somebody"), guidance=guidance)


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
@pytest.mark.parametrize("guidance", [1.0, 1.5])
def test_streamed_pieces_join_to_the_answer(
    tiny: Vlm, faces: list[Image], person: str, guidance: float
) -> None:
    features = encode_images(tiny, faces[:1]) if person == IMAGE_TOKEN else None
    pieces: list[str] = []
    text = generate(
        tiny,
        prompt(person),
        image_features=features,
        contrast=prompt("somebody"),
        guidance=guidance,
        max_new_tokens=64,
        on_text=pieces.append,
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
