"""Gradients of examples against one backward pass for each, on every family and kind of layer."""

import copy
import re
import warnings
from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn
from torch.utils.checkpoint import checkpoint
from transformers import LlamaForCausalLM

from discreet.model import FAMILIES, Family, FamilyName, build_family
from discreet.privacy import ExampleGradients, part_of, rows_of_counts

from .conftest import tiny_llama

PICTURES = ([1, 1, 1], [2, 1, 3], [2, 1, 0], [0, 0, 0])
PARTS = ("language", "vision", "connector")
EXACT = {torch.float32: 1e-5, torch.float64: 1e-6}
"""Relative to the length of an example's gradient; all families compute partly in float32."""


def adapted(name: FamilyName, parts: Sequence[str], dtype: torch.dtype = torch.float64) -> Family:
    """Return a family with LoRA on attention of the towers, and on the connector."""
    family = build_family(name)
    chosen = []
    for layer, module in family.model.named_modules():
        if not isinstance(module, nn.Linear):
            continue
        part = part_of(layer)
        wanted = family.connector if part == "connector" else r".*\.(q_proj|v_proj|qkv|attn\.proj)"
        if part in parts and wanted and re.fullmatch(wanted, layer):
            chosen.append(layer)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        config = LoraConfig(r=4, target_modules=chosen, init_lora_weights=False)
        return replace(family, model=get_peft_model(family.model, config).to(dtype))


def one_by_one(model: nn.Module, losses: Sequence[torch.Tensor]) -> torch.Tensor:
    """Return (N, P) from one backward pass for each loss."""
    learning = [p for p in model.parameters() if p.requires_grad]
    rows = []
    for loss in losses:
        found = torch.autograd.grad(loss, learning, allow_unused=True, retain_graph=True)
        pairs = zip(found, learning, strict=True)
        rows.append(
            torch.cat([(torch.zeros_like(p) if g is None else g).flatten() for g, p in pairs])
        )
    return torch.stack(rows)


def assert_equal(found: torch.Tensor, wanted: torch.Tensor) -> None:
    """Compare each example's gradient relative to its length."""
    assert (wanted.norm(dim=1) > 0).all()
    worst = ((found - wanted).norm(dim=1) / wanted.norm(dim=1)).max()
    assert worst <= EXACT[found.dtype], float(worst)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("padding", ["left", "right"])
@pytest.mark.parametrize("pictures", PICTURES, ids=str)
@pytest.mark.parametrize("parts", [PARTS[:1], PARTS[:2], PARTS], ids="+".join)
@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_is_exact_with_any_number_of_pictures(
    name: FamilyName, parts: Sequence[str], pictures: list[int], padding: str, dtype: torch.dtype
) -> None:
    family = adapted(name, parts, dtype)
    samples = family.draw(pictures, seed=0)
    wanted = one_by_one(family.model, [family.losses([s]).sum() for s in samples])
    with ExampleGradients(family.model, capacity=3) as gradients:
        losses = family.losses(samples, padding=padding)  # type: ignore[arg-type]
        total = torch.zeros(gradients.size, dtype=dtype)
        gradients.add_clipped(losses, family.rows(samples), total, 1e9)
        assert_equal(gradients.by_example(), wanted)
        torch.testing.assert_close(total, wanted.sum(0), rtol=1e-3, atol=1e-5)


# Kinds of layers


def small_llama(*, tied: bool = False) -> LlamaForCausalLM:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return tiny_llama(vocab_size=40, tie_word_embeddings=tied)


def text_losses(model: nn.Module, ids: torch.Tensor) -> torch.Tensor:
    """Return the mean loss of each row, (rows,)."""
    logits = model(input_ids=ids).logits[:, :-1].float()
    tokens = nn.functional.cross_entropy(logits.transpose(1, 2), ids[:, 1:], reduction="none")
    return tokens.mean(1)


IDS = torch.randint(1, 40, (4, 9), generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    "settings",
    [
        {"use_rslora": True},
        {"lora_bias": True},
        {"target_modules": ["q_proj", "lm_head"]},
        {"modules_to_save": ["lm_head"]},
        {"modules_to_save": ["embed_tokens"]},
        {"modules_to_save": ["input_layernorm", "norm"]},
        {"modules_to_save": ["embed_tokens", "lm_head"]},
    ],
    ids=str,
)
@pytest.mark.parametrize("order", [[0, 1, 2, 3], [1, 0, 1, 0], [0, 0, 0, 1]], ids=str)
def test_kinds_of_layers_are_exact(settings: dict, order: list[int]) -> None:
    """Rows of an example apart, together, and of unequal number."""
    config = LoraConfig(**{"r": 2, "target_modules": ["q_proj", "v_proj", "down_proj"], **settings})
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="`lora_bias=True` was passed")
        model = get_peft_model(small_llama(), config)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            parameter.data.normal_(std=0.3, generator=torch.Generator().manual_seed(1))
    index = torch.tensor(order)
    count = int(index.max()) + 1
    wanted = one_by_one(
        model, [text_losses(model, IDS[index == example]).sum() for example in range(count)]
    )
    with ExampleGradients(model, capacity=4) as gradients:
        losses = torch.zeros(count).index_add(0, index, text_losses(model, IDS))
        gradients.add_clipped(losses, index, torch.zeros(gradients.size), 1.0)
        assert_equal(gradients.by_example(), wanted)


def test_tied_weights_gather_both_gradients() -> None:
    model = small_llama(tied=True).requires_grad_(False)
    model.model.embed_tokens.weight.requires_grad_(True)
    assert model.lm_head.weight is model.model.embed_tokens.weight
    wanted = one_by_one(model, [text_losses(model, row[None]).sum() for row in IDS])
    with ExampleGradients(model, capacity=4) as gradients:
        gradients.add_clipped(
            text_losses(model, IDS), rows_of_counts([1] * 4), torch.zeros(gradients.size), 1.0
        )
        assert_equal(gradients.by_example(), wanted)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"use_dora": True}, "magnitude"),
        ({"target_modules": ["embed_tokens"]}, "lora_embedding"),
        ({"trainable_token_indices": [3, 4]}, "trainable_tokens"),
    ],
    ids=["DoRA", "embedding", "trainable tokens"],
)
def test_what_has_no_exact_gradient_is_refused_by_name(settings: dict, named: str) -> None:
    config = LoraConfig(**{"r": 2, "target_modules": ["q_proj"], **settings})
    model = get_peft_model(small_llama(), config)
    with pytest.raises(ValueError, match=named):
        ExampleGradients(model, capacity=2)


class Direct(nn.Module):
    """Uses a layer's weight without calling the layer."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 2)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return inputs @ self.layer.weight.T + self.layer(inputs)


def test_weights_that_are_used_directly_are_refused() -> None:
    model = Direct()
    with (
        ExampleGradients(model, capacity=2) as gradients,
        pytest.raises(RuntimeError, match="used directly"),
    ):
        gradients.add_clipped(
            model(torch.ones(2, 3)).sum(1), rows_of_counts([1, 1]), torch.zeros(8), 1.0
        )
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize("use_reentrant", [True, False])
def test_gradient_checkpointing_changes_nothing(use_reentrant: bool) -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
    inputs = torch.randn(3, 3, requires_grad=True, generator=torch.Generator().manual_seed(0))
    wanted = one_by_one(model, list(model(inputs).squeeze(1)))
    with ExampleGradients(model, capacity=3) as gradients:
        losses = checkpoint(model, inputs, use_reentrant=use_reentrant).squeeze(1)
        gradients.add_clipped(losses, torch.arange(3), torch.zeros(gradients.size), 1.0)
        assert_equal(gradients.by_example(), wanted)


# Clipping


@pytest.mark.parametrize("bound", [0.01, 0.3, 100.0])
def test_grouped_clipping_is_that_of_each_layer_alone(bound: float) -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2, bias=False))
    inputs = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    whole = one_by_one(model, list(model(inputs).square().sum(1)))
    wanted = torch.zeros(whole.shape[1])
    for gradient in whole:
        for part in (slice(0, 16), slice(16, None)):
            length = float(gradient[part].norm())
            wanted[part] += gradient[part] * min(1.0, bound / 2**0.5 / length)
    with ExampleGradients(model, capacity=5, grouped=True) as gradients:
        total = torch.zeros(gradients.size)
        gradients.add_clipped(model(inputs).square().sum(1), torch.arange(5), total, bound)
    torch.testing.assert_close(total, wanted, rtol=1e-5, atol=1e-7)


def test_a_layer_that_is_called_twice_cannot_be_clipped_alone() -> None:
    model = nn.Linear(3, 3)
    with ExampleGradients(model, capacity=2, grouped=True) as gradients:
        losses = model(model(torch.ones(2, 3))).sum(1)
        with pytest.raises(RuntimeError, match="called twice"):
            gradients.add_clipped(losses, torch.arange(2), torch.zeros(12), 1.0)


@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("poison", [float("nan"), float("inf")])
def test_an_example_that_is_not_finite_adds_nothing(grouped: bool, poison: float) -> None:
    model = nn.Linear(3, 1)
    inputs = torch.randn(3, 3, generator=torch.Generator().manual_seed(0))
    factors = torch.tensor([1.0, poison, 1.0])
    totals = []
    for rows in ([0, 1, 2], [0, 2]):
        with ExampleGradients(model, capacity=3, grouped=grouped) as gradients:
            total = torch.zeros(4)
            losses = model(inputs[rows]).squeeze(1) * factors[rows]
            rejected = gradients.add_clipped(losses, torch.arange(len(rows)), total, 1.0)
            totals.append(total)
            assert rejected == (1 if len(rows) == 3 else 0)
    torch.testing.assert_close(*totals)


@pytest.mark.parametrize(
    ("rows", "error"),
    [
        (torch.tensor([0, 1]), "2 rows|each of the 3"),
        (torch.tensor([0, 1, 3]), "examples 0 to 2"),
        (torch.tensor([0, -1, 2]), "examples 0 to 2"),
        (torch.tensor([0.0, 1.0, 2.0]), "int64"),
        ({"vision": torch.arange(3)}, "part 'language'"),
    ],
)
def test_rows_that_cannot_be_are_refused(rows: torch.Tensor, error: str) -> None:
    model = nn.Linear(3, 1)
    with (
        ExampleGradients(model, capacity=3) as gradients,
        pytest.raises((ValueError, RuntimeError), match=error),
    ):
        gradients.add_clipped(model(torch.ones(3, 3)).squeeze(1), rows, torch.zeros(4), 1.0)


def test_the_model_comes_back_as_it_was() -> None:
    model = get_peft_model(small_llama(), LoraConfig(r=2, target_modules=["q_proj"]))
    names = {name: set(vars(module)) for name, module in model.named_modules()}
    state = copy.deepcopy(model.state_dict())
    with ExampleGradients(model, capacity=4) as gradients:
        gradients.add_clipped(
            text_losses(model, IDS), torch.arange(4), torch.zeros(gradients.size), 1.0
        )
        assert all(p.grad is None for p in model.parameters())
    assert {name: set(vars(module)) for name, module in model.named_modules()} == names
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
