"""Training from kept states is training: same losses, same gradients of every example."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
import transformers as hf
from PIL.Image import Image
from torch.nn.functional import cross_entropy

from discreet.model import (
    FrozenPrefix,
    LoraSpec,
    Row,
    Vlm,
    adapter_parameters,
    answer_logits,
    answer_losses,
    attach_lora,
    base_of,
    collate,
    encode_dialogue,
    encode_images,
    load,
    pad_rows,
)
from discreet.privacy import ExampleGradients

LAYERS = 4
PICTURED = [1, 3]
"""Rows of the fixture that hold a picture."""
TEXT = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 8,
    "max_position_embeddings": 4096,
    "tie_word_embeddings": True,
}
DECODERS = {
    "llama": hf.LlamaConfig,
    "mistral": hf.MistralConfig,
    "qwen2": hf.Qwen2Config,
    "qwen3": hf.Qwen3Config,
    "gemma2": hf.Gemma2Config,
}


def build(text: Any, spec: LoraSpec) -> Vlm:
    """Return `tiny` around another decoder, with a random adapter."""
    tiny = load("tiny")
    config = tiny.model.config
    with torch.random.fork_rng():
        torch.manual_seed(0)
        settings = {**config.to_dict(), "text_config": text.to_dict()}
        vlm = replace(tiny, model=hf.LlavaForConditionalGeneration(type(config)(**settings)))
        vlm.model.eval().requires_grad_(False)
        vlm = attach_lora(vlm, spec)
        for parameter in adapter_parameters(vlm).values():
            parameter.data.normal_(std=0.1)
    return vlm


def deep(
    kind: str = "llama", *, layers: int = 2, targets: Sequence[str] = ("v_proj",), **changes: Any
) -> Vlm:
    vocabulary = load("tiny").model.config.text_config.vocab_size
    config = DECODERS[kind](**{**TEXT, "vocab_size": vocabulary, "pad_token_id": 0, **changes})
    return build(config, LoraSpec(layers=layers, target_modules=tuple(targets), freeze_a=False))


def gradients_of(vlm: Vlm, losses: torch.Tensor) -> torch.Tensor:
    """Return each example's gradient, (R, P), from one backward pass for each."""
    learning = list(adapter_parameters(vlm).values())
    return torch.stack(
        [
            torch.cat([g.flatten() for g in torch.autograd.grad(x, learning, retain_graph=True)])
            for x in losses
        ]
    )


def parts_of(
    rows: list[Row], features: torch.Tensor, chosen: list[int]
) -> tuple[list[Row], torch.Tensor | None]:
    """Return some rows and the pictures that they hold."""
    places = [PICTURED.index(row) for row in chosen if row in PICTURED]
    return [rows[row] for row in chosen], features[places] if places else None


def assert_same(
    vlm: Vlm, prefix: FrozenPrefix, rows: list[Row], features: torch.Tensor, chosen: list[int]
) -> None:
    own, seen = parts_of(rows, features, chosen)
    batch = collate(vlm, own)
    wanted = answer_losses(vlm, batch, seen)
    found = prefix.answer_losses(batch, seen, keys=chosen)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5)
    first, second = gradients_of(vlm, wanted), gradients_of(vlm, found)
    assert float(((second - first).norm(dim=1) / first.norm(dim=1)).max()) <= 1e-5


@pytest.mark.parametrize("targets", [("v_proj",), ("q_proj", "v_proj", "down_proj")], ids=str)
@pytest.mark.parametrize("layers", [1, 2, LAYERS])
def test_losses_and_gradients_are_those_of_the_whole_model(
    rows: list[Row], faces: list[Image], layers: int, targets: tuple[str, ...]
) -> None:
    """Batches change between keeping and use, and so does the padding of a row."""
    vlm = deep(layers=layers, targets=targets)
    features = encode_images(vlm, faces[:2])
    prefix = FrozenPrefix(vlm)
    assert prefix.start == LAYERS - layers
    for chosen in ([1, 0], [3], [0, 1, 2, 3], [3, 2], [0], [2, 1, 3]):
        assert_same(vlm, prefix, rows, features, chosen)


@pytest.mark.parametrize("kind", DECODERS)
def test_decoders_are_exact(rows: list[Row], faces: list[Image], kind: str) -> None:
    vlm = deep(kind)
    features = encode_images(vlm, faces[:2])
    prefix = FrozenPrefix(vlm)
    for chosen in ([0, 1], [0, 1, 2, 3], [3, 0]):
        assert_same(vlm, prefix, rows, features, chosen)


@pytest.mark.parametrize("targets", [("v_proj",), ("v_proj", "up_proj", "o_proj")], ids=str)
def test_gradients_of_examples_are_taken_from_kept_states(
    rows: list[Row], faces: list[Image], targets: tuple[str, ...]
) -> None:
    vlm = deep(targets=targets)
    features = encode_images(vlm, faces[:2])
    batch = collate(vlm, rows)
    wanted = gradients_of(vlm, answer_losses(vlm, batch, features))
    prefix = FrozenPrefix(vlm)
    with ExampleGradients(vlm.model, capacity=4) as gradients:
        for _ in range(2):
            losses = prefix.answer_losses(batch, features, keys=range(4))
            total = torch.zeros(gradients.size)
            gradients.add_clipped(losses, torch.arange(4), total, 1e9)
            error = (gradients.by_example() - wanted).norm(dim=1) / wanted.norm(dim=1)
            assert float(error.max()) <= 1e-5


def test_rows_with_several_pictures_and_answers_are_exact(faces: list[Image]) -> None:
    """Some rows are kept when the others come, so that pictures have to be told apart."""
    vlm = deep(targets=("q_proj", "down_proj"))
    shown = [(0,), (), (1, 2, 3), (2,), (4, 0)]
    dialogues = [
        [
            {"role": "user", "content": "<image>" * (len(own) - 1) + "Who?" * (n + 1)},
            {"role": "assistant", "content": "Somebody." * (n + 1)},
            {"role": "user", "content": "<image> And?" if own else "And?"},
            {"role": "assistant", "content": "Nobody."},
        ]
        for n, own in enumerate(shown)
    ]
    rows = [encode_dialogue(vlm, said) for said in dialogues]
    prefix = FrozenPrefix(vlm)
    for chosen in ([3, 1], [0, 1, 2, 3, 4], [4, 2, 0], [1]):
        batch = pad_rows(vlm, [row for n in chosen if (row := rows[n])])
        pictures = [faces[place] for n in chosen for place in shown[n]]
        features = encode_images(vlm, pictures) if pictures else None
        wanted = answer_losses(vlm, batch, features)
        found = prefix.answer_losses(batch, features, keys=chosen)
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5)
        first, second = gradients_of(vlm, wanted), gradients_of(vlm, found)
        assert float(((second - first).norm(dim=1) / first.norm(dim=1)).max()) <= 1e-5


def test_kept_rows_skip_the_lower_layers(rows: list[Row]) -> None:
    vlm = deep()
    calls = []
    lowest = base_of(vlm).model.language_model.layers[0]
    prefix = FrozenPrefix(vlm)
    hook = lowest.register_forward_pre_hook(lambda *_: calls.append(1))
    for _ in range(3):
        prefix.answer_losses(collate(vlm, rows[:1]), None, keys=["a"])
    assert len(calls) == 1
    prefix.forget()
    assert prefix.size_bytes == 0
    prefix.answer_losses(collate(vlm, rows[:1]), None, keys=["a"])
    hook.remove()
    assert len(calls) == 2


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
def test_memory_is_counted_and_rounding_is_small(
    rows: list[Row], faces: list[Image], dtype: torch.dtype
) -> None:
    """A rounded state moves a gradient by some roundings of its own length."""
    vlm = deep()
    features, batch = encode_images(vlm, faces[:2]), collate(vlm, rows)
    prefix = FrozenPrefix(vlm, dtype=dtype)
    wanted = gradients_of(vlm, answer_losses(vlm, batch, features))
    found = [
        gradients_of(vlm, prefix.answer_losses(batch, features, keys=range(4))) for _ in range(2)
    ]
    assert torch.equal(*found), "a first epoch is rounded as later ones are"
    assert prefix.size_bytes == int(batch.attention_mask.sum()) * 16 * dtype.itemsize
    error = float(((found[0] - wanted).norm(dim=1) / wanted.norm(dim=1)).max())
    assert error <= max(1e-5, 8 * torch.finfo(dtype).eps)
    assert dtype == torch.float32 or error > 0


def test_the_limit_is_kept_and_rows_beyond_it_are_computed(
    rows: list[Row], faces: list[Image]
) -> None:
    vlm = deep()
    features = encode_images(vlm, faces[:2])
    each = [int(collate(vlm, [row]).attention_mask.sum()) * 16 * 4 for row in rows]
    prefix = FrozenPrefix(vlm, limit_bytes=each[0] + each[1])
    for _ in range(2):
        assert_same(vlm, prefix, rows, features, [0, 1, 2, 3])
        assert prefix.size_bytes == each[0] + each[1]


@pytest.fixture
def untouched() -> Iterator[Vlm]:
    """A model whose modules have to be as they were when the test ends."""
    vlm = deep()

    def parts() -> dict[str, tuple[Any, ...]]:
        return {
            name: (type(module), set(vars(module)), [id(m) for m in module.children()])
            for name, module in vlm.model.named_modules()
        }

    before = parts()
    yield vlm
    assert parts() == before
    assert all(p.grad is None for p in vlm.model.parameters())


def test_the_model_is_never_changed(untouched: Vlm, rows: list[Row]) -> None:
    batch = collate(untouched, [rows[0], rows[2]])
    prefix = FrozenPrefix(untouched)
    prefix.answer_losses(batch, None, keys=[0, 2])
    with pytest.raises(ValueError, match="Expected 2 keys"):
        prefix.answer_losses(batch, None, keys=[0])
    with pytest.raises(ValueError, match="another row"):
        prefix.answer_losses(batch, None, keys=[2, 0])
    with pytest.raises(ValueError, match="as many visual tokens as placeholders"):
        prefix.answer_losses(collate(untouched, [rows[1]]), None, keys=[1])


def test_what_was_kept_is_not_used_after_the_frozen_layers_changed(rows: list[Row]) -> None:
    vlm = deep()
    batch = collate(vlm, rows[:1])
    prefix = FrozenPrefix(vlm)
    prefix.answer_losses(batch, None, keys=["a"])
    upper, lower = (base_of(vlm).model.language_model.layers[place] for place in (-1, 0))
    upper.mlp.down_proj.weight.mul_(1.1)
    prefix.answer_losses(batch, None, keys=["a"])
    lower.mlp.down_proj.weight.requires_grad_(True)
    with pytest.raises(RuntimeError, match="Make a new cache"):
        prefix.answer_losses(batch, None, keys=["a"])
    lower.mlp.down_proj.weight.requires_grad_(False).mul_(1.1)
    with pytest.raises(RuntimeError, match="Make a new cache"):
        prefix.answer_losses(batch, None, keys=["a"])


def test_frozen_layers_in_training_mode_are_refused(rows: list[Row]) -> None:
    vlm = deep()
    prefix = FrozenPrefix(vlm)
    vlm.model.train()
    with pytest.raises(RuntimeError, match="evaluation mode"):
        prefix.answer_losses(collate(vlm, rows[:1]), None, keys=["a"])


def test_what_cannot_start_in_the_middle_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="got none"):
        FrozenPrefix(load("tiny"))
    vlm = deep()
    projector = base_of(vlm).model.multi_modal_projector.linear_1.weight
    projector.requires_grad_(True)
    with pytest.raises(ValueError, match=r"got model.multi_modal_projector.linear_1.weight too"):
        FrozenPrefix(vlm)
    rope = {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}
    with pytest.raises(ValueError, match="rope_type=dynamic in LlamaModel"):
        FrozenPrefix(deep(rope_parameters=rope))


def test_a_decoder_that_scales_what_it_reads_is_found_out_by_trying() -> None:
    class Scaling(type(base_of(deep()).model.language_model)):  # type: ignore[misc]
        def forward(self, *args: Any, inputs_embeds: torch.Tensor, **kwargs: Any) -> Any:
            return super().forward(*args, inputs_embeds=inputs_embeds * 3 + 1, **kwargs)

    vlm = deep()
    base_of(vlm).model.language_model.__class__ = Scaling
    with pytest.raises(ValueError, match="got Scaling, which then differs"):
        FrozenPrefix(vlm)


@pytest.mark.slow
def test_small_is_exact(small: Vlm, rows: list[Row], faces: list[Image]) -> None:
    """Against its own logits with a loss in float64: 49,153 words are summed up here."""
    vlm = attach_lora(small, LoraSpec(layers=10))
    try:
        draw = torch.Generator().manual_seed(0)
        for parameter in adapter_parameters(vlm).values():
            parameter.data.normal_(std=0.05, generator=draw)
        features, batch = encode_images(vlm, faces[:2]), collate(vlm, rows)
        logits, labels = answer_logits(vlm, batch, features)
        tokens = cross_entropy(logits.double().transpose(1, 2), labels, reduction="none")
        losses = tokens.sum(1) / (labels != -100).sum(1)
        wanted = gradients_of(vlm, losses)
        prefix = FrozenPrefix(vlm)
        prefix.answer_losses(collate(vlm, rows[:1]), None, keys=[0])
        found = prefix.answer_losses(batch, features, keys=range(4))
        torch.testing.assert_close(found, losses.float(), rtol=1e-5, atol=1e-5)
        error = (gradients_of(vlm, found) - wanted).norm(dim=1) / wanted.norm(dim=1)
        assert float(error.max()) <= 1e-3
    finally:
        vlm.model.unload()
