"""Adapters: what is added, what learns, what travels, and that a base comes back bit by bit."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from discreet.model import (
    FrozenPrefix,
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
    load_adapter_state,
    set_learning,
    without_adapter,
)
from discreet.model.lora import adapted_layers
from tests.model.conftest import shake
from tests.privacy.families import quantise

SPEC = LoraSpec(r=2, alpha=4, layers=1)


def losses(vlm: Vlm) -> torch.Tensor:
    messages = build_prompt("Why?", note="Rest heals.", person="a child")
    with torch.no_grad():
        return answer_losses(vlm, collate(vlm, [Row(messages=messages, answer="Rest.")]), None)


def all_adapter_tensors(vlm: Vlm) -> dict[str, torch.Tensor]:
    return {n: p.detach().clone() for n, p in vlm.model.named_parameters() if ".lora_" in n}


def sums_of(vlm: Vlm, *, rank: int = 1, seed: int = 0) -> dict[str, torch.Tensor]:
    """Return a dense sum of some rank for each layer."""
    draw = torch.Generator().manual_seed(seed)
    return {
        f"{name}.delta": torch.randn(layer.out_features, rank, generator=draw)
        @ torch.randn(rank, layer.in_features, generator=draw)
        for name, layer in adapted_layers(vlm).items()
    }


def weights_of(vlm: Vlm) -> dict[str, torch.Tensor]:
    """Return copies of all that is frozen."""
    named = vlm.model.named_parameters()
    return {n: p.detach().clone() for n, p in named if ".lora_" not in n}


def same(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[n], right[n]) for n in left)


@pytest.fixture
def adapted(tiny: Vlm) -> Vlm:
    return attach_lora(tiny, SPEC)


def test_a_fresh_adapter_changes_nothing(tiny: Vlm) -> None:
    before = losses(tiny)
    assert torch.equal(losses(attach_lora(tiny, SPEC)), before)


@pytest.mark.parametrize("freeze_a", [True, False])
def test_only_b_learns_unless_a_is_freed(tiny: Vlm, freeze_a: bool) -> None:
    adapted = attach_lora(tiny, LoraSpec(r=2, layers=1, freeze_a=freeze_a))
    kinds = {"lora_A" if "lora_A" in name else "lora_B" for name in adapter_parameters(adapted)}
    assert kinds == ({"lora_B"} if freeze_a else {"lora_A", "lora_B"})
    learning = {name for name, p in adapted.model.named_parameters() if p.requires_grad}
    assert learning == set(adapter_parameters(adapted))
    assert all(".lora_" in name for name in learning)


@pytest.mark.parametrize("layers", [1, 2])
def test_the_topmost_language_layers_are_adapted_and_no_other(tiny: Vlm, layers: int) -> None:
    spec = LoraSpec(r=2, layers=layers, target_modules=("q_proj", "v_proj", "down_proj"))
    names = adapter_parameters(attach_lora(tiny, spec))
    places = {name.partition("language_model.layers.")[2].partition(".")[0] for name in names}
    assert places == {"1"} if layers == 1 else {"0", "1"}
    assert not [name for name in names if "vision" in name or "projector" in name]
    assert len(names) == 3 * layers, "one B for each target module"


def test_a_follows_from_the_public_seed_alone(tiny: Vlm) -> None:
    torch.manual_seed(1)
    first = all_adapter_tensors(attach_lora(tiny, SPEC))
    state = torch.get_rng_state()
    again = all_adapter_tensors(attach_lora(load("tiny"), SPEC))
    assert torch.equal(torch.get_rng_state(), state), "the caller's chance is left alone"
    assert same(first, again)
    other = all_adapter_tensors(attach_lora(load("tiny"), LoraSpec(r=2, layers=1, seed=1)))
    assert not any(torch.equal(first[n], other[n]) for n in first if "lora_A" in n)


def test_a_base_with_fewer_layers_adapts_them_all(tiny: Vlm) -> None:
    names = adapter_parameters(attach_lora(tiny, LoraSpec(layers=30)))
    assert len(names) == 2, "two layers, value projections by default"


def test_target_modules_that_do_not_exist_are_refused(tiny: Vlm) -> None:
    with pytest.raises(ValueError, match="[Tt]arget modules"):
        attach_lora(tiny, LoraSpec(layers=1, target_modules=("nowhere",)))


@pytest.mark.parametrize("name", ["r", "alpha", "layers"])
def test_sizes_below_one_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} >= 1"):
        LoraSpec(**{name: 0})


def test_a_base_without_an_adapter_has_no_adapter_state(tiny: Vlm) -> None:
    with pytest.raises(ValueError, match="attach_lora"):
        adapter_state(tiny)


def test_a_state_is_a_copy_and_comes_back_exactly(adapted: Vlm) -> None:
    state = adapter_state(shake(adapted))
    before, kept = losses(adapted), {name: value.clone() for name, value in state.items()}
    assert all(value.dtype == torch.float32 and not value.requires_grad for value in state.values())
    shake(adapted, seed=2)
    assert same(state, kept), "a copy"
    base_of(adapted).model.multi_modal_projector.load_state_dict(
        load("tiny").model.model.multi_modal_projector.state_dict()
    )
    load_adapter_state(adapted, state)
    assert torch.equal(losses(adapted), before)
    assert same(adapter_state(adapted), state)


def without_one(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return dict(list(state.items())[1:])


def with_one_more(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {**state, "lora_B.extra": torch.zeros(2)}


def with_one_transposed(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    name, value = list(state.items())[-1]
    return {**state, name: value.T.contiguous()}


def renamed(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {f"x.{name}": value for name, value in state.items()}


BREAKS = [without_one, with_one_more, with_one_transposed, renamed]


@pytest.mark.parametrize("spoil", [*BREAKS, lambda state: {}])
def test_a_state_that_does_not_fit_is_refused_and_changes_nothing(
    adapted: Vlm, spoil: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]
) -> None:
    before = all_adapter_tensors(shake(adapted))
    wrong = spoil({name: torch.ones_like(value) for name, value in adapter_state(adapted).items()})
    with pytest.raises(ValueError, match="other LoRA settings"):
        load_adapter_state(adapted, wrong)
    assert same(all_adapter_tensors(adapted), before)


# What learns in a round


def test_one_factor_learns_while_both_travel(tiny: Vlm) -> None:
    vlm = shake(attach_lora(tiny, LoraSpec(r=2, layers=2, freeze_a=False)))
    state, frozen = adapter_state(vlm), frozen_adapter_hash(vlm)
    for kind in ("lora_A", "lora_B", "lora_"):
        set_learning(vlm, lambda name, kind=kind: kind in name)
        assert list(adapter_parameters(vlm)) == [name for name in state if kind in name]
        assert same(adapter_state(vlm), state)
        assert frozen_adapter_hash(vlm) == frozen
        load_adapter_state(vlm, state)


def test_nothing_frozen_can_be_made_to_learn(adapted: Vlm) -> None:
    set_learning(adapted, lambda name: True)
    assert all(".lora_B." in name for name in adapter_parameters(adapted))
    with pytest.raises(ValueError, match="at least one of the 1 tensors"):
        set_learning(adapted, lambda name: ".lora_A." in name)
    assert adapter_parameters(adapted)


# Dense sums


@pytest.fixture
def wide(tiny: Vlm) -> Vlm:
    """Two kinds of weights, one of which is not square."""
    spec = LoraSpec(r=2, alpha=6, layers=2, target_modules=("v_proj", "down_proj"), freeze_a=False)
    return shake(attach_lora(tiny, spec))


def test_a_dense_sum_adds_its_multiple_to_the_weight(wide: Vlm) -> None:
    state, sums = adapter_state(wide), sums_of(wide)
    before = weights_of(wide)
    load_adapter_state(wide, {**state, **sums})
    for name, value in weights_of(wide).items():
        added = sums.get(name.replace(".base_layer.weight", ".delta"))
        wanted = before[name] if added is None else before[name] + 3 * added
        assert torch.equal(value, wanted)
    assert same(adapter_state(wide), {**state, **sums})


@settings(max_examples=25, deadline=None)
@given(
    dtype=st.sampled_from([torch.float32, torch.bfloat16, torch.float16]),
    order=st.lists(st.tuples(st.integers(0, 3), st.sampled_from([1e-6, 1.0, 1e4])), max_size=4),
)
def test_the_base_comes_back_bit_by_bit(dtype: torch.dtype, order: list[tuple[int, float]]) -> None:
    """Whatever sums stood in it, in whatever layers, and however large they were."""
    vlm = attach_lora(load("tiny"), LoraSpec(r=2, layers=2, target_modules=("v_proj", "up_proj")))
    for layer in adapted_layers(vlm).values():
        layer.base_layer.to(dtype)
    before, state = weights_of(vlm), adapter_state(vlm)
    for seed, size in order:
        some = list(sums_of(vlm, seed=seed).items())[seed:]
        sums = {name: size * value for name, value in some}
        load_adapter_state(vlm, {**state, **sums})
        assert same(adapter_state(vlm), {**state, **sums})
    load_adapter_state(vlm, state)
    assert same(weights_of(vlm), before)
    assert not vlm.deltas


def test_without_the_adapter_the_base_speaks_without_its_sums(wide: Vlm) -> None:
    with without_adapter(wide):
        base = losses(wide)
    load_adapter_state(wide, {**adapter_state(wide), **sums_of(wide)})
    whole, weights = losses(wide), weights_of(wide)

    def stop_inside() -> None:
        with without_adapter(wide):
            assert torch.equal(losses(wide), base)
            raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        stop_inside()
    assert same(weights_of(wide), weights)
    assert torch.equal(losses(wide), whole)


def elsewhere(sums: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {f"{name.removesuffix('.delta')}.extra.delta": value for name, value in sums.items()}


def transposed(sums: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: value.T for name, value in sums.items()}


@pytest.mark.parametrize("spoil", [elsewhere, transposed])
def test_a_sum_that_does_not_fit_is_refused_and_changes_nothing(
    wide: Vlm, spoil: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]
) -> None:
    load_adapter_state(wide, {**adapter_state(wide), **sums_of(wide)})
    before, weights = adapter_state(wide), weights_of(wide)
    wrong = {name: value for name, value in sums_of(wide, seed=1).items() if "down" in name}
    factors = {name: value + 1 for name, value in before.items() if ".lora_" in name}
    with pytest.raises(ValueError, match="other LoRA settings"):
        load_adapter_state(wide, {**factors, **spoil(wrong)})
    assert same(adapter_state(wide), before)
    assert same(weights_of(wide), weights)


def test_a_packed_weight_takes_no_sum(tiny: Vlm) -> None:
    quantise(tiny.model, "nf4")
    vlm = attach_lora(tiny, SPEC)
    state, before = adapter_state(vlm), weights_of(vlm)
    moved = {name: value + 1 for name, value in state.items()}
    with pytest.raises(ValueError, match=r"got torch.uint8 for '.*v_proj.delta': it would"):
        load_adapter_state(vlm, {**moved, **sums_of(vlm)})
    assert same(adapter_state(vlm), state)
    assert same(weights_of(vlm), before)


def test_kept_states_are_not_used_after_a_sum_below_them(tiny: Vlm) -> None:
    """Above where a cache starts, a sum is part of what is computed each time."""
    whole = attach_lora(tiny, LoraSpec(r=2, layers=2))
    set_learning(whole, lambda name: ".layers.1." in name)
    vlm = replace(whole, travels=tuple(adapter_parameters(whole)))
    state, sums = adapter_state(vlm), sums_of(vlm)
    lower, upper = sums
    prefix = FrozenPrefix(vlm)
    assert prefix.start == 1
    messages = build_prompt("Why?", note="Rest heals.", person="a child")
    batch = collate(vlm, [Row(messages=messages, answer="Rest.")])
    first = prefix.answer_losses(batch, None, keys=["a"])
    load_adapter_state(vlm, {**state, upper: sums[upper]})
    second = prefix.answer_losses(batch, None, keys=["a"])
    assert not torch.allclose(first, second)
    torch.testing.assert_close(second, answer_losses(vlm, batch, None), rtol=0, atol=1e-5)
    load_adapter_state(vlm, {**state, lower: sums[lower]})
    with pytest.raises(RuntimeError, match="Make a new cache"):
        prefix.answer_losses(batch, None, keys=["a"])
