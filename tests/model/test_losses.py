"""One loss per row that no other row touches, and pictures that may be encoded beforehand."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL.Image import Image

from discreet.model import (
    IMAGE_TOKEN,
    Row,
    Vlm,
    answer_losses,
    build_prompt,
    collate,
    encode_images,
    generate,
    load,
    pixel_values,
)
from discreet.model.losses import as_encoder_outputs
from discreet.model.prompt import encode_prompt

PICTURED = [1, 3]
"""Rows of the fixture that hold a picture."""


def slow_loss(vlm: Vlm, row: Row, image: Image | None) -> float:
    """Return a row's loss token by token, from pixels, without padding."""
    prompt = encode_prompt(vlm, row.messages)
    answer = vlm.tokenizer(row.answer, add_special_tokens=False)["input_ids"]
    ids = [*prompt, *answer, vlm.tokenizer.eos_token_id]
    pixels = None if image is None else pixel_values(vlm, [image])
    with torch.no_grad():
        logits = vlm.model(input_ids=torch.tensor([ids]), pixel_values=pixels).logits[0]
    losses = []
    for place in range(len(prompt), len(ids)):
        scores = logits[place - 1]
        losses.append(float(torch.logsumexp(scores, 0) - scores[ids[place]]))
    return sum(losses) / len(losses)


def test_losses_equal_a_loop_over_tokens(tiny: Vlm, rows: list[Row], faces: list[Image]) -> None:
    pictures = dict(zip(PICTURED, faces, strict=False))
    fast = answer_losses(tiny, collate(tiny, rows), encode_images(tiny, list(pictures.values())))
    slow = [slow_loss(tiny, row, pictures.get(index)) for index, row in enumerate(rows)]
    torch.testing.assert_close(fast, torch.tensor(slow), atol=1e-5, rtol=0)


def test_a_row_alone_has_the_loss_it_has_in_a_batch(
    tiny: Vlm, rows: list[Row], faces: list[Image]
) -> None:
    features = encode_images(tiny, faces[:2])
    together = answer_losses(tiny, collate(tiny, rows), features)
    for index, row in enumerate(rows):
        own = features[[PICTURED.index(index)]] if index in PICTURED else None
        alone = answer_losses(tiny, collate(tiny, [row]), own)
        torch.testing.assert_close(alone[0], together[index], atol=1e-5, rtol=0)


VLM = load("tiny")
texts = st.text(alphabet="abc .?é😀", min_size=1, max_size=30)


@given(texts, texts, st.lists(st.tuples(texts, texts), max_size=3))
@settings(max_examples=30)
def test_neighbours_of_any_length_change_no_loss(
    question: str, answer: str, others: list[tuple[str, str]]
) -> None:
    batch = [
        Row(messages=build_prompt(q, note="Rest.", person="a child"), answer=a)
        for q, a in [(question, answer), *others]
    ]
    together = answer_losses(VLM, collate(VLM, batch), None)[0]
    alone = answer_losses(VLM, collate(VLM, batch[:1]), None)[0]
    torch.testing.assert_close(alone, together, atol=1e-5, rtol=0)


def test_no_gradient_flows_from_one_row_to_the_picture_of_another(
    tiny: Vlm, rows: list[Row], faces: list[Image]
) -> None:
    features = encode_images(tiny, faces[:2]).requires_grad_()
    losses = answer_losses(tiny, collate(tiny, rows), features)
    for row, place in zip(PICTURED, range(2), strict=True):
        (gradient,) = torch.autograd.grad(losses[row], features, retain_graph=True)
        assert gradient[place].abs().sum() > 0
        assert (gradient[1 - place] == 0).all()


def test_pictures_go_to_rows_in_order(tiny: Vlm, rows: list[Row], faces: list[Image]) -> None:
    features = encode_images(tiny, faces[:2])
    pictured = [rows[1], replace(rows[1])]
    first, second = answer_losses(tiny, collate(tiny, pictured), features)
    swapped = answer_losses(tiny, collate(tiny, pictured), features.flip(0))
    assert abs(first - second) > 1e-4
    torch.testing.assert_close(swapped, torch.stack([second, first]), atol=1e-5, rtol=0)


def test_a_row_without_an_answer_has_no_loss(tiny: Vlm, rows: list[Row]) -> None:
    silent = replace(rows[0], answer="")
    losses = answer_losses(tiny, collate(tiny, [rows[0], silent]), None)
    assert losses[1] == 0
    assert losses[0] > 0
    assert answer_losses(tiny, collate(tiny, [silent]), None).tolist() == [0]


@pytest.mark.parametrize("given_features", [None, 1, 3])
def test_pictures_and_placeholders_must_match(
    tiny: Vlm, rows: list[Row], faces: list[Image], given_features: int | None
) -> None:
    features = None if given_features is None else encode_images(tiny, faces[:given_features])
    with pytest.raises(ValueError, match="as many visual tokens as placeholders"):
        answer_losses(tiny, collate(tiny, rows), features)


def test_a_picture_for_text_alone_is_refused(
    tiny: Vlm, rows: list[Row], faces: list[Image]
) -> None:
    with pytest.raises(ValueError, match="got 4 for 0"):
        answer_losses(tiny, collate(tiny, rows[:1]), encode_images(tiny, faces[:1]))


def test_a_batch_cut_inside_a_picture_is_refused(
    tiny: Vlm, rows: list[Row], faces: list[Image]
) -> None:
    features, whole = encode_images(tiny, faces[:1]), collate(tiny, [rows[1]])
    start = int((whole.input_ids[0] == tiny.image_token_id).nonzero()[0])
    for keep, fits in ((start, True), (start + 1, False), (start + 4, False)):
        cut = replace(
            whole,
            input_ids=whole.input_ids[:, keep:],
            attention_mask=whole.attention_mask[:, keep:],
            labels=whole.labels[:, keep:],
        )
        if fits:
            answer_losses(tiny, cut, features)
            continue
        with pytest.raises(ValueError, match="Truncation"):
            answer_losses(tiny, cut, features)


def test_visual_tokens_do_not_depend_on_the_other_pictures(tiny: Vlm, faces: list[Image]) -> None:
    many = (faces * 5)[:35]  # more than one chunk
    features = encode_images(tiny, many)
    assert features.shape == (35, tiny.image_tokens, 16)
    alone = torch.cat([encode_images(tiny, [face]) for face in many])
    torch.testing.assert_close(features, alone, atol=1e-5, rtol=0)


def forward_both_ways(
    vlm: Vlm, rows: Sequence[Row], images: Sequence[Image]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return logits from pixels, as Hugging Face computes them, and from visual tokens."""
    batch = collate(vlm, rows)
    text = {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask}
    with torch.no_grad():
        pixels = vlm.model(**text, pixel_values=pixel_values(vlm, images)).logits
        kept = as_encoder_outputs(vlm, encode_images(vlm, images))
        cached = vlm.model(**text, mm_encoder_outputs=kept).logits
    return pixels, cached


def test_cached_visual_tokens_give_the_logits_of_pixels(
    tiny: Vlm, rows: list[Row], faces: list[Image]
) -> None:
    pixels, cached = forward_both_ways(tiny, rows, faces[:2])
    assert torch.equal(pixels, cached)
    other, _ = forward_both_ways(tiny, rows, faces[2:4])
    assert not torch.allclose(pixels, other), "the picture has a say"


@pytest.mark.slow
def test_small_reads_cached_visual_tokens_as_it_reads_pixels(
    small: Vlm, rows: list[Row], faces: list[Image]
) -> None:
    pixels, cached = forward_both_ways(small, rows, faces[:2])
    torch.testing.assert_close(cached, pixels, atol=1e-4, rtol=1e-4)
    messages = build_prompt("Why?", note="Rest heals.", person=IMAGE_TOKEN)
    ids = torch.tensor([encode_prompt(small, messages)])
    output = small.model.generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        pixel_values=pixel_values(small, faces[:1]),
        do_sample=False,
        max_new_tokens=6,
    )
    expected = small.tokenizer.decode(output[0, ids.shape[1] :], skip_special_tokens=True)
    features = encode_images(small, faces[:1])
    assert generate(small, messages, image_features=features, max_new_tokens=6) == expected.strip()
    assert features.shape == (1, 4, small.model.config.text_config.hidden_size)
