"""Pixels and kept visual tokens are two routes to the same scores, in every family."""

import pytest
import torch

from discreet.model import (
    FAMILIES,
    IGNORED,
    IMAGE_TOKEN,
    Batch,
    FamilyName,
    FrozenPrefix,
    LoraSpec,
    Request,
    Vlm,
    answer_all,
    answer_logits,
    attach_lora,
    base_of,
    build_prompt,
    collate,
    encode_dialogue,
    encode_images,
    load,
    pad_rows,
)
from discreet.model.probes import noise, probe_features, probe_rows
from discreet.model.prompt import encode_prompt
from discreet.model.shapes import SHAPES, picture_inputs, shape_of, told_inputs
from tests.model.folders import PARTS_TEMPLATE, TEMPLATE, save_member

Saved = pytest.TempPathFactory
TALK = [
    {"role": "user", "content": "Why rest?"},
    {"role": "assistant", "content": "It heals."},
    {"role": "user", "content": "How long?"},
    {"role": "assistant", "content": "Seven hours."},
]


@pytest.fixture(scope="module", params=FAMILIES)
def member(request: pytest.FixtureRequest, tmp_path_factory: Saved) -> Vlm:
    """A base of each family, read from the folder that a lab would bring."""
    name: FamilyName = request.param
    return load(str(save_member(name, tmp_path_factory.mktemp("members") / name)))


@pytest.fixture(scope="module")
def paligemma(tmp_path_factory: Saved) -> Vlm:
    return load(str(save_member("paligemma", tmp_path_factory.mktemp("members") / "paligemma")))


@torch.no_grad()
def test_pixels_and_kept_visual_tokens_give_the_same_scores(member: Vlm) -> None:
    batch = collate(member, probe_rows())
    found, labels = answer_logits(member, batch, probe_features(member))
    base = base_of(member)
    mask = batch.attention_mask
    told = told_inputs(
        base.config,
        batch.input_ids,
        attention_mask=mask,
        is_answer=batch.labels != IGNORED,
        model=base,
    )
    if member.shape.told == "grid":  # let the model count places
        told = {"mm_token_type_ids": (batch.input_ids == member.image_token_id).long()}
    given = picture_inputs(base.config, member.image_processor, [noise(0), noise(1)])
    if given["pixel_values"].ndim == 5:  # a row without a picture has an empty place for one
        given = {
            name: torch.stack([value[0], torch.zeros_like(value[0]), value[1]])
            for name, value in given.items()
        }
    pixels = base(
        input_ids=batch.input_ids, attention_mask=mask, use_cache=False, **given, **told
    ).logits
    torch.testing.assert_close(found, pixels[:, -labels.shape[1] - 1 : -1], rtol=1e-4, atol=1e-4)


def test_every_picture_has_as_many_visual_tokens_as_placeholders(member: Vlm) -> None:
    sizes = [(60, 40), (1, 1), (1, 300), (3, 3), (900, 2)]
    seen = encode_images(member, [noise(0).resize(size) for size in sizes])
    assert seen.shape[:2] == (len(sizes), member.image_tokens)
    assert seen.isfinite().all()
    row = encode_prompt(member, [{"role": "user", "content": f"a {IMAGE_TOKEN} b"}])
    assert row.count(member.image_token_id) == member.image_tokens


def test_a_turn_ends_with_the_token_of_the_template(member: Vlm) -> None:
    assert member.tokenizer.eos_token == "<end_of_turn>"
    row = encode_dialogue(member, TALK)
    assert row is not None
    said = member.tokenizer.decode(row.input_ids[row.is_answer])
    assert said == "It heals.<end_of_turn>Seven hours.<end_of_turn>"


@torch.no_grad()
def test_answers_to_several_are_those_to_each_alone(member: Vlm) -> None:
    """Rows with one picture, another and none, of different lengths, after one reading."""
    seen = probe_features(member)
    asked: list[tuple[str, torch.Tensor | None]] = [
        ("Why?", seen[:1]),
        ("How long should I rest?", seen[1:]),
        ("Why not?", None),
    ]
    requests = [
        Request(
            messages=build_prompt(
                words, note="So.", person="a child" if features is None else IMAGE_TOKEN
            ),
            image_features=features,
            max_new_tokens=6,
        )
        for words, features in asked
    ]
    together = answer_all(member, requests)
    assert together == [answer_all(member, [request])[0] for request in requests]
    if member.shape.told != "prefix":
        assert len({answer.text for answer in together}) > 1


def test_a_template_that_reads_parts_gives_the_same_ids(tmp_path_factory: Saved) -> None:
    folder = tmp_path_factory.mktemp("members")
    words, parts = (
        load(str(save_member("smolvlm", folder / name, template=template)))
        for name, template in (("words", TEMPLATE), ("parts", PARTS_TEMPLATE))
    )
    messages = [{"role": "user", "content": f"{IMAGE_TOKEN} Why?"}]
    assert encode_prompt(words, messages) == encode_prompt(parts, messages)


def test_a_cache_of_frozen_layers_is_refused_where_more_than_ids_is_told(member: Vlm) -> None:
    if member.shape.told == "nothing":
        pytest.skip("this family reads ids and mask alone")
    spec = LoraSpec(r=2, layers=1)
    adapted = attach_lora(member, spec)
    try:
        with pytest.raises(ValueError, match="reads ids and mask alone"):
            FrozenPrefix(adapted)
    finally:
        adapted.model.unload()


def test_an_unknown_family_is_named_with_those_that_are_known() -> None:
    class Config:
        model_type = "other"

    with pytest.raises(ValueError, match="llava, smolvlm, .* got 'other'"):
        shape_of(Config())
    assert set(SHAPES) == set(FAMILIES)


def by_hand(vlm: Vlm, batch: Batch) -> torch.Tensor:
    """Return logits under a mask written place by place, from embeddings."""
    base = base_of(vlm)
    ids, labels, real = batch.input_ids, batch.labels, batch.attention_mask.bool()
    rows, width = ids.shape
    mask = torch.full((rows, 1, width, width), torch.finfo(torch.float32).min)
    for row in range(rows):
        answers = (labels[row] != IGNORED).nonzero().flatten().tolist()
        first = answers[0]
        for place in range(width):
            for seen in range(width):
                whole = place < first and seen < first
                if real[row, seen] and (whole or seen <= place):
                    mask[row, 0, place, seen] = 0.0
    words = base.get_input_embeddings()(ids)
    states = base.model.language_model(
        inputs_embeds=words,
        attention_mask=mask,
        position_ids=torch.arange(width)[None].expand(rows, -1) + 1,
        use_cache=False,
    ).last_hidden_state
    logits: torch.Tensor = base.lm_head(states)
    return logits


@torch.no_grad()
def test_paligemma_sees_its_prefix_whole_and_its_answers_in_order(paligemma: Vlm) -> None:
    """transformers' mask, with what it is told, is the one that is written by hand."""
    talks = [encode_dialogue(paligemma, TALK[:2]), encode_dialogue(paligemma, TALK)]
    batch = pad_rows(paligemma, [talk for talk in talks if talk is not None])
    found, labels = answer_logits(paligemma, batch, None)
    wanted = by_hand(paligemma, batch)[:, -labels.shape[1] - 1 : -1]
    is_said = labels != IGNORED
    torch.testing.assert_close(found[is_said], wanted[is_said], rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_a_question_behind_an_answer_is_no_prefix(paligemma: Vlm) -> None:
    """If it were one, what comes before the answer would see it, and through it the answer."""
    talk = encode_dialogue(paligemma, TALK)
    assert talk is not None
    batch = pad_rows(paligemma, [talk])
    ids, is_answer = batch.input_ids, batch.labels != IGNORED
    place = int(is_answer[0].nonzero()[2])
    other = ids.clone()
    other[0, place] = ids[0, place + 1] if ids[0, place + 1] != ids[0, place] else ids[0, 0]

    def before(words: torch.Tensor, token_type_ids: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = paligemma.model(
            input_ids=words,
            attention_mask=batch.attention_mask,
            token_type_ids=token_type_ids,
            use_cache=False,
        ).logits[:, :place]
        return logits

    config = paligemma.model.config
    told = told_inputs(config, ids, attention_mask=batch.attention_mask, is_answer=is_answer)[
        "token_type_ids"
    ]
    one, two = before(ids, told), before(other, told)
    torch.testing.assert_close(one, two, rtol=0, atol=1e-6)
    naive = is_answer.long()
    assert (before(ids, naive) - before(other, naive)).abs().max() > 1e-4
