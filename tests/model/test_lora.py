"""Adapters: what learns, what travels, and that a folder comes back as it was or not at all."""

from collections.abc import Callable

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
    load,
    load_adapter_state,
)
from tests.model.conftest import shake

SPEC = LoraSpec(r=2, alpha=4, layers=1)


def losses(vlm: Vlm) -> torch.Tensor:
    messages = build_prompt("Why?", note="Rest heals.", person="a child")
    with torch.no_grad():
        return answer_losses(vlm, collate(vlm, [Row(messages=messages, answer="Rest.")]), None)


def all_adapter_tensors(vlm: Vlm) -> dict[str, torch.Tensor]:
    return {n: p.detach().clone() for n, p in vlm.model.named_parameters() if ".lora_" in n}


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
