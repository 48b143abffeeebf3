"""Gradients of examples against one backward pass for each, on every family and kind of layer."""

import copy
import warnings

import pytest
import torch
from peft import (
    AdaLoraConfig,
    IA3Config,
    LNTuningConfig,
    LoHaConfig,
    LoKrConfig,
    LoraConfig,
    OFTConfig,
    PeftConfig,
    PrefixTuningConfig,
    PromptEncoderConfig,
    PromptTuningConfig,
    VeraConfig,
    get_peft_model,
)
from peft.tuners.lora import LoraLayer
from torch import nn
from torch.utils.checkpoint import checkpoint
from transformers import LlamaForCausalLM

from discreet.model import PARTS, Family, build_family
from discreet.model.core import put_core
from discreet.privacy import ExampleGradients, rows_of_counts
from discreet.privacy.clipping import grid_of

from .conftest import tiny_llama
from .families import (
    EXACT,
    Base,
    Checkpointing,
    Setting,
    adapted,
    all_settings,
    by_example,
    checkpoint_activations,
    errors_of,
    is_exact,
    one_by_one,
    quantise,
    some_settings,
    triples_of,
    worst_error,
)

SETTINGS = some_settings()


def assert_equal(found: torch.Tensor, wanted: torch.Tensor) -> None:
    assert worst_error(found, wanted) <= EXACT["float32"]


@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_every_family_is_exact_in_every_setting(setting: Setting) -> None:
    errors = errors_of(setting)
    assert is_exact(setting, errors), errors


def test_any_three_of_the_settings_meet() -> None:
    """Family, parts, pictures, base, checkpointing and padding; a tenth of the product."""
    met = {triple for setting in SETTINGS for triple in triples_of(setting)}
    assert met == {triple for setting in all_settings() for triple in triples_of(setting)}
    assert len(SETTINGS) < len(all_settings()) / 8


@pytest.mark.parametrize("mode", ["reentrant", "non-reentrant"])
def test_checkpointing_really_computes_layers_twice(mode: Checkpointing) -> None:
    """The settings above would otherwise say nothing."""
    family = adapted("llava")
    checkpoint_activations(family.model, mode)
    layers = [m for n, m in family.model.named_modules() if n.endswith("layers.0.self_attn.q_proj")]
    calls: list[nn.Module] = []
    for layer in layers:
        layer.register_forward_hook(lambda module, *_: calls.append(module))
    by_example(family, family.draw([1, 1], seed=0), "right")
    assert [calls.count(layer) for layer in layers] == [2, 2]


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


def learn_cores(family: Family, also: tuple[str, ...] = ()) -> None:
    """Put a random core into every layer that has LoRA, and let nothing else learn but `also`."""
    draw = torch.Generator().manual_seed(2)
    for module in family.model.modules():
        if isinstance(module, LoraLayer):
            put_core(module, "default", draw)
            module.lora_R["default"].weight.data.normal_(generator=draw)
    for name, parameter in family.model.named_parameters():
        parameter.requires_grad_(any(f".{kind}." in name for kind in ("lora_R", *also)))


@pytest.mark.parametrize("base", ["float64", "float32", "int8", "nf4"])
@pytest.mark.parametrize("also", [(), ("lora_A",), ("lora_B",)], ids=str)
def test_cores_are_exact_whatever_learns_beside_them(base: Base, also: tuple[str, ...]) -> None:
    family = adapted("llava", PARTS, base)
    learn_cores(family, also)
    samples = family.draw([2, 1, 3], seed=0)
    wanted = one_by_one(family.model, [family.losses([s]).sum() for s in samples])
    assert worst_error(by_example(family, samples, "right"), wanted) <= EXACT[base]


def test_cores_clipped_layer_by_layer_are_parts_of_the_whole() -> None:
    """With a bound that no layer's gradient reaches, only rounding to the grid changes them."""
    family = adapted("qwen2_vl")
    learn_cores(family)
    samples = family.draw([1, 2], seed=0)
    wanted = one_by_one(family.model, [family.losses([s]).sum() for s in samples])
    by_layer = wanted.view(2, -1, 4 * 4)
    bound = 1.01 * float(by_layer.norm(dim=2).max()) * by_layer.shape[1] ** 0.5
    with ExampleGradients(family.model, capacity=2, grouped=True) as gradients:
        total = torch.zeros(gradients.size, dtype=torch.float64)
        gradients.add_clipped(family.losses(samples), family.rows(samples), total, bound)
    error = float((total - wanted.sum(0)).norm())
    assert error <= 2 * grid_of(bound, len(total)) / 2 * len(total) ** 0.5
    assert error < 0.02 * float(wanted.sum(0).norm())


@pytest.mark.parametrize("kind", ["lora_A", "lora_B"])
@pytest.mark.parametrize("base", ["float32", "nf4"])
def test_one_factor_alone_is_exact(kind: str, base: Base) -> None:
    """What rules that alternate between A and B train in a round."""
    family = adapted("smolvlm", PARTS, base)
    for name, parameter in family.model.named_parameters():
        parameter.requires_grad_(f".{kind}." in name)
    samples = family.draw([1, 1, 1], seed=0)
    wanted = one_by_one(family.model, [family.losses([s]).sum() for s in samples])
    assert worst_error(by_example(family, samples, "left"), wanted) <= EXACT[base]


T = {"target_modules": ["q_proj", "v_proj"]}
REFUSED = {
    "DoRA": (LoraConfig(r=2, use_dora=True, **T), "magnitude"),
    "aLoRA": (
        LoraConfig(r=2, alora_invocation_tokens=[3], task_type="CAUSAL_LM", **T),
        "q_proj.lora_A",
    ),
    "embedding": (LoraConfig(r=2, target_modules=["embed_tokens"]), "lora_embedding"),
    "trainable tokens": (LoraConfig(r=2, trainable_token_indices=[3, 4], **T), "trainable_tokens"),
    "bare parameters": (
        LoraConfig(r=2, target_modules=[], target_parameters=["q_proj.weight"]),
        "q_proj.lora_A",
    ),
    "AdaLoRA": (AdaLoraConfig(init_r=4, target_r=2, total_step=9, **T), "lora_E"),
    "IA3": (IA3Config(feedforward_modules=[], **T), "ia3_l"),
    "VeRA": (VeraConfig(r=2, target_modules=["q_proj"]), "vera_lambda"),
    "LoHa": (LoHaConfig(r=2, **T), "hada_w1"),
    "LoKr": (LoKrConfig(r=2, **T), "lokr_w1"),
    "OFT": (OFTConfig(oft_block_size=4, **T), "oft_R"),
    "prompt": (PromptTuningConfig(num_virtual_tokens=3, task_type="CAUSAL_LM"), "prompt_encoder"),
    "p-tuning": (
        PromptEncoderConfig(num_virtual_tokens=3, encoder_hidden_size=8, task_type="CAUSAL_LM"),
        "prompt_encoder",
    ),
}


@pytest.mark.parametrize(("config", "named"), REFUSED.values(), ids=REFUSED)
def test_what_has_no_exact_gradient_is_refused_by_name(config: PeftConfig, named: str) -> None:
    model = get_peft_model(small_llama(), config)
    with pytest.raises(ValueError, match=named):
        ExampleGradients(model, capacity=2)


@pytest.mark.filterwarnings("ignore:Unsupported layer type")
@pytest.mark.parametrize(
    "config",
    [
        LNTuningConfig(target_modules=["input_layernorm", "norm"]),
        PrefixTuningConfig(num_virtual_tokens=3, task_type="CAUSAL_LM"),
        LoraConfig(r=2, layer_replication=[[0, 2], [0, 2]], **T),
        LoraConfig(r=2, rank_pattern={"q_proj": 3}, alpha_pattern={"v_proj": 7}, **T),
    ],
    ids=["norms", "prefix", "replicated layers", "ranks of their own"],
)
def test_other_adapters_that_are_exact(config: PeftConfig) -> None:
    model = get_peft_model(small_llama(), config)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data.normal_(std=0.3, generator=torch.Generator().manual_seed(1))
    wanted = one_by_one(model, [text_losses(model, row[None]).sum() for row in IDS])
    with ExampleGradients(model, capacity=4) as gradients:
        gradients.add_clipped(
            text_losses(model, IDS), torch.arange(4), torch.zeros(gradients.size), 1.0
        )
        assert_equal(gradients.by_example(), wanted)


def test_a_convolution_that_learns_is_refused() -> None:
    model = nn.Sequential(nn.Conv1d(2, 3, 1), nn.Flatten(), nn.Linear(6, 1))
    with pytest.raises(ValueError, match=r"0\.bias, 0\.weight"):
        ExampleGradients(model, capacity=2)


def test_a_layer_whose_forward_was_replaced_is_refused() -> None:
    """Libraries that move layers between devices do this; ours would be put in its place."""
    model = nn.Linear(3, 2)
    model.forward = lambda inputs: nn.Linear.forward(model, inputs * 2)  # type: ignore[method-assign]
    with pytest.raises(ValueError, match=r"forward\(\) was replaced"):
        ExampleGradients(model, capacity=2)


# Layers that mix examples


@pytest.mark.parametrize("learns", [True, False])
def test_batch_normalisation_is_refused(learns: bool) -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    model[1].requires_grad_(learns)
    with pytest.raises(ValueError, match="batch normalisation in training mode.*got '1'"):
        ExampleGradients(model, capacity=2)
    model.eval()
    if not learns:
        ExampleGradients(model, capacity=2)


@torch.no_grad()
def test_an_int8_base_with_a_threshold_mixes_examples_and_is_refused() -> None:
    """An outlier in one example moves the loss of another by the way of the columns it is in.

    In evaluation mode bitsandbytes computes on the CPU as it does on CUDA in both modes.
    """
    moved = {}
    for threshold in (0.0, 3.0):
        family = build_family("llava")
        quantise(family.model, "int8", threshold=threshold)
        family.model.eval()
        kept, *others = (family.draw([1, 1], seed=seed) for seed in (0, 1, 2))
        losses = [family.losses([kept[0], other[1]])[0] for other in others]
        moved[threshold] = float((losses[0] - losses[1]).abs())
    assert moved[0.0] == 0 < 1e-5 < moved[3.0]
    with pytest.raises(ValueError, match=r"llm_int8_threshold=0\.0"):
        ExampleGradients(get_peft_model(family.model, LoraConfig(r=2, **T)), capacity=2)


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
    # Each of five is rounded to the grid, and clipped by as much as this may add.
    torch.testing.assert_close(total, wanted, rtol=2e-3, atol=2.5 * grid_of(bound, len(total)))


def test_tied_weights_cannot_be_clipped_one_by_one() -> None:
    """In two layers at once they would be as long as two parts: 1.04 of the bound, measured."""
    model = small_llama(tied=True).requires_grad_(False)
    model.model.embed_tokens.weight.requires_grad_(True)
    with pytest.raises(ValueError, match="tied weights"):
        ExampleGradients(model, capacity=2, grouped=True)


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


def test_sums_over_examples_do_not_stay_on_the_parameters() -> None:
    model = Direct()
    model.layer.weight.grad = torch.ones(2, 3)
    with ExampleGradients(model, capacity=2) as gradients:
        assert model.layer.weight.grad is None
        with pytest.raises(RuntimeError, match="got 1"):
            gradients.add_clipped(
                model(torch.ones(2, 3)).sum(1), torch.zeros(1).long(), torch.zeros(8), 1.0
            )
    assert model.layer.weight.grad is None


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


class OverRows(nn.Module):
    """A normalisation over the first dimension, affine in what learns."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(4))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return (inputs - inputs.mean(0)) * self.weight


def test_a_normalisation_over_rows_is_refused() -> None:
    with pytest.raises(ValueError, match="got 1 other tensors"):
        ExampleGradients(nn.Sequential(nn.Linear(4, 4), OverRows()), capacity=2)
