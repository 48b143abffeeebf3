"""Cores: what they add, what stands around them, and how much of a gradient that lets through."""

import pytest
import torch

from discreet.model import (
    LoraSpec,
    Row,
    Vlm,
    adapter_parameters,
    adapter_state,
    answer_losses,
    attach_lora,
    base_of,
    build_prompt,
    collate,
    frozen_adapter_hash,
    load,
    without_adapter,
)
from discreet.model.lora import adapted_layers
from tests.model.conftest import shake
from tests.model.test_lora import losses

CORE = LoraSpec(r=3, alpha=6, layers=2, target_modules=("v_proj", "down_proj"), core=True)


def test_a_core_alone_learns_and_travels_and_starts_at_nothing(tiny: Vlm) -> None:
    before = losses(tiny)
    vlm = attach_lora(tiny, CORE)
    assert torch.equal(losses(vlm), before)
    assert list(adapter_parameters(vlm)) == list(adapter_state(vlm))
    assert {name.partition(".lora_")[2] for name in adapter_state(vlm)} == {"R.default.weight"}
    assert {tuple(value.shape) for value in adapter_state(vlm).values()} == {(3, 3)}


def test_a_core_adds_scale_b_r_a(tiny: Vlm) -> None:
    vlm = shake(attach_lora(tiny, CORE))
    found = losses(vlm)
    for layer in adapted_layers(vlm).values():
        a, r, b = (getattr(layer, f"lora_{kind}")["default"].weight for kind in "ARB")
        layer.base_layer.weight.data += 2 * b @ r @ a
    with without_adapter(vlm):
        torch.testing.assert_close(losses(vlm), found, rtol=1e-5, atol=1e-5)


def test_what_stands_around_a_core_is_orthonormal_and_follows_from_the_seed(tiny: Vlm) -> None:
    vlm = attach_lora(tiny, CORE)
    for layer in adapted_layers(vlm).values():
        a, b = layer.lora_A["default"].weight, layer.lora_B["default"].weight
        for product in (a @ a.T, b.T @ b):
            torch.testing.assert_close(product, torch.eye(3), rtol=0, atol=2**-7)
    same_seed = attach_lora(load("tiny"), CORE)
    other = attach_lora(
        load("tiny"), LoraSpec(r=3, layers=2, target_modules=("v_proj", "down_proj"), core=True,
                               seed=1)
    )  # fmt: skip
    assert frozen_adapter_hash(vlm) == frozen_adapter_hash(same_seed)
    assert frozen_adapter_hash(vlm) != frozen_adapter_hash(other)


@pytest.mark.parametrize("kind", ["lora_A", "lora_B"])
def test_the_frozen_hash_covers_both_factors_around_a_core(tiny: Vlm, kind: str) -> None:
    vlm = attach_lora(tiny, CORE)
    before = frozen_adapter_hash(vlm)
    shake(vlm)
    assert frozen_adapter_hash(vlm) == before, "what learns is not in it"
    *_, layer = adapted_layers(vlm).values()
    getattr(layer, kind)["default"].weight.data[0, 0] += 1e-3
    assert frozen_adapter_hash(vlm) != before


def test_a_core_that_does_not_fit_is_refused_before_the_base_is_changed(tiny: Vlm) -> None:
    with pytest.raises(ValueError, match=r"core of rank r <= \d+, the narrowest"):
        attach_lora(tiny, LoraSpec(r=1000, core=True))
    assert not any(".lora_" in name for name, _ in tiny.model.named_parameters())
    with pytest.raises(ValueError, match="Expected freeze_a with a core"):
        LoraSpec(core=True, freeze_a=False)
    with pytest.raises(ValueError, match="core as true or false"):
        LoraSpec(core=1)  # type: ignore[arg-type]


def test_peft_cannot_merge_a_core_and_lose_it(tiny: Vlm) -> None:
    vlm = attach_lora(tiny, CORE)
    for safe in (False, True):
        with pytest.raises(NotImplementedError):
            vlm.model.merge_and_unload(safe_merge=safe)


SAID = {
    "What is a fever?": "A fever is a body temperature of 38 degrees or more.",
    "How long should I sleep?": "Adults need seven hours or more of sleep a night.",
    "Why wash hands?": "Washing hands removes germs that make people ill.",
    "What is asthma?": "Asthma narrows the airways and makes breathing hard.",
    "Can I take two painkillers?": "Never take two products with the same ingredient.",
    "How much water should I drink?": "Six to eight glasses a day are enough for most.",
}


@pytest.mark.slow
def test_random_factors_let_more_of_a_gradient_through_than_the_bases_own_on_v_proj(
    small: Vlm,
) -> None:
    """The share of a weight's gradient that a core's can hold, in the mean of 16 layers, r = 8."""
    vlm = attach_lora(small, LoraSpec(core=True))
    layers = list(adapted_layers(vlm).values())
    try:
        rows = [
            Row(messages=build_prompt(asked, note=said, person="an adult"), answer=said)
            for asked, said in SAID.items()
        ]
        weights = [layer.base_layer.weight.requires_grad_(True) for layer in layers]
        found = torch.autograd.grad(answer_losses(vlm, collate(vlm, rows), None).mean(), weights)
        shares = torch.zeros(2)
        for layer, gradient in zip(layers, found, strict=True):
            left, _, right = torch.linalg.svd(layer.base_layer.weight.detach())
            random = layer.lora_B["default"].weight, layer.lora_A["default"].weight
            for place, (b, a) in enumerate([random, (left[:, :8], right[:8])]):
                held = (b.T @ gradient @ a.T).detach()
                shares[place] += held.square().sum() / gradient.square().sum() / len(layers)
        assert 2e-4 < shares[0] < 2e-3
        assert shares[1] < shares[0] / 2
    finally:
        vlm.model.unload()
        base_of(small).requires_grad_(False)
