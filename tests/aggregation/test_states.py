"""Which tensor is which factor, and what they add."""

import doctest
import importlib

import pytest
import torch

from aggregation.owners import LAYERS, a_of, b_of, make_round
from discreet.aggregation import layers_of, product

R = "m.lora_R.default.weight"


@pytest.mark.parametrize("name", ["aggregation", "aggregation.states", "aggregation.products"])
def test_the_examples_in_docstrings_run(name: str) -> None:
    module = importlib.import_module(f"discreet.{name}")
    outcome = doctest.testmod(module, extraglobs={"torch": torch})
    assert outcome.attempted > 0
    assert outcome.failed == 0


def test_layers_are_told_by_name_and_other_tensors_left_out() -> None:
    names = [a_of("x.q"), b_of("x.q"), "x.q.delta", R, "0.weight", "model.delta_net.weight"]
    assert layers_of(dict.fromkeys(names)) == {
        "x.q": {"A": names[0], "B": names[1], "delta": names[2]},
        "m": {"R": R},
    }


def test_names_are_those_that_peft_gives() -> None:
    from peft import LoraConfig, get_peft_model

    model = get_peft_model(
        torch.nn.Sequential(torch.nn.Linear(3, 2)), LoraConfig(r=2, target_modules=["0"])
    )
    names = [n for n, _ in model.named_parameters() if "lora" in n]
    assert list(layers_of(dict.fromkeys(names)).values()) == [{"A": names[0], "B": names[1]}]


def test_a_product_is_the_delta_and_b_r_a() -> None:
    state = make_round(owners=1, r=2, out=3, inside=4, seed=0).previous
    layer = LAYERS[0]
    b, a = state[b_of(layer)], state[a_of(layer)]
    core, delta = torch.randn(2, 2), torch.randn(3, 4)
    full = {**state, f"{layer}.lora_R.default.weight": core, f"{layer}.delta": delta}
    assert torch.allclose(product(state, layer), b @ a, atol=1e-6)
    assert torch.allclose(product(full, layer), delta + b @ core @ a, atol=1e-5)
    assert torch.equal(product({f"{layer}.delta": delta}, layer), delta)
    assert product(full, layer).dtype == torch.float32


@pytest.mark.parametrize("state", [{}, {b_of("q"): torch.ones(2, 1)}])
def test_a_product_of_half_an_adapter_is_an_error(state: dict[str, torch.Tensor]) -> None:
    with pytest.raises(ValueError, match="Expected A and B or a delta"):
        product(state, "q")
