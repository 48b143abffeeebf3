"""Linear rules: the next state is the mean, and its product is the mean of the products, or not."""

import numpy as np
import pytest
import torch
from hypothesis import given

from aggregation.owners import (
    BIAS,
    LAYERS,
    Round,
    a_of,
    aggregate,
    b_of,
    error,
    make_round,
    rounds,
)
from discreet.aggregation import RULES, State, make_combine, product
from discreet.aggregation.mean import Mean

A, B, R, DELTA = a_of("q"), b_of("q"), "q.lora_R.default.weight", "q.delta"
LEARNS = {
    ("fedit", 1): {A, B, BIAS},
    ("fedit", 2): {A, B, BIAS},
    ("ffa", 1): {B, BIAS},
    ("ffa", 2): {B, BIAS},
    ("rolora", 1): {B, BIAS},
    ("rolora", 2): {A},
    ("rolora", 3): {B, BIAS},
    ("fedsb", 1): {R, BIAS},
    ("fedsb", 2): {R, BIAS},
    ("flexlora", 1): {A, B, BIAS},
    ("fedex", 1): {A, B, BIAS},
    ("flora", 1): {A, B, BIAS},
}


@pytest.mark.parametrize(("name", "server_round"), LEARNS)
def test_what_learns_in_a_round(name: str, server_round: int) -> None:
    names = {A, B, BIAS, DELTA} | ({R} if name == "fedsb" else set())
    found = {n for n in names if RULES[name].learns(n, server_round)}
    assert found == LEARNS[name, server_round]


def test_rules_that_are_linear_are_those_that_fit_noise_on_the_sum_and_secure_aggregation() -> None:
    for name, rule in RULES.items():
        fits = rule.compatibility
        assert rule.name == name
        assert fits.example_dp
        assert rule.is_linear is fits.owner_dp is fits.secure_aggregation
        assert rule.is_linear is (name in {"fedit", "ffa", "rolora", "fedsb"})
        assert fits.mixed_ranks is (name in {"flexlora", "flora"})
        assert fits.adapter_only is (name not in {"fedex", "flora"})


@given(rounds())
def test_fedit_is_the_mean_of_each_factor(case: Round) -> None:
    result = aggregate("fedit", case.previous, case.updates)
    assert list(result) == list(case.previous)
    for name, tensor in result.items():
        wanted = case.previous[name].double().numpy() + np.mean(
            [u[name].double().numpy() for u in case.updates], axis=0
        )
        assert tensor.dtype == torch.float32
        assert error(tensor, wanted) < 1e-6


def test_fedit_misses_the_mean_of_the_products_but_for_one_owner() -> None:
    """By 0.38 of its length with four owners whose factors moved as far as they were long."""
    many = make_round(owners=4, r=4, out=8, inside=8, seed=0)
    one = make_round(owners=1, r=4, out=8, inside=8, seed=0)
    missed = {
        n: error(
            product(aggregate("fedit", case.previous, case.updates), LAYERS[0]),
            case.dense_mean(LAYERS[0]),
        )
        for n, case in {"many": many, "one": one}.items()
    }
    assert missed["many"] == pytest.approx(0.38, abs=0.01)
    assert missed["one"] < 1e-6


@pytest.mark.parametrize(("name", "server_round"), [("ffa", 1), ("rolora", 1), ("rolora", 2)])
@given(case=rounds())
def test_one_factor_at_a_time_gives_the_mean_of_the_products(
    name: str, server_round: int, case: Round
) -> None:
    rule = RULES[name]
    updates = [
        {n: t if rule.learns(n, server_round) else torch.zeros_like(t) for n, t in u.items()}
        for u in case.updates
    ]
    trained = [{n: case.previous[n] + u[n] for n in u} for u in updates]
    wanted = Round(case.previous, trained, case.ranks)
    result = aggregate(name, case.previous, updates, server_round=server_round)
    for layer in LAYERS:
        assert error(product(result, layer), wanted.dense_mean(layer)) < 1e-5


def test_fedsb_gives_the_mean_of_the_products() -> None:
    draw = torch.Generator().manual_seed(1)
    frozen = {A: torch.randn(3, 7, generator=draw), B: torch.randn(5, 3, generator=draw)}
    core, updates = torch.eye(3), [torch.randn(3, 3, generator=draw) for _ in range(5)]
    result = aggregate("fedsb", {R: core}, [{R: u} for u in updates])
    assert set(result) == {R}
    wanted = torch.stack([product({**frozen, R: core + u}, "q").double() for u in updates]).mean(0)
    assert error(product({**frozen, **result}, "q"), wanted.numpy()) < 1e-6


def test_what_does_not_learn_goes_on_as_it_was() -> None:
    case = make_round(owners=2, r=2, out=3, inside=4, seed=3)
    previous = {**case.previous, f"{LAYERS[0]}.delta": torch.randn(3, 4)}
    result = aggregate("rolora", previous, case.updates, server_round=2)
    unchanged = {n for n in previous if torch.equal(result[n], previous[n])}
    assert unchanged == {n for n in previous if ".lora_A." not in n}


@pytest.mark.parametrize("name", RULES)
def test_the_order_of_replies_does_not_matter(name: str) -> None:
    case = make_round(owners=5, r=2, out=6, inside=4, seed=4)
    state = case.previous if name != "fedsb" else {R: torch.eye(2)}
    updates = case.updates if name != "fedsb" else [{R: torch.randn(2, 2)} for _ in range(5)]
    once = aggregate(name, state, updates)
    again = aggregate(name, state, updates[::-1])
    layers = LAYERS if name != "fedsb" else ()
    for layer in layers:
        assert torch.allclose(product(once, layer), product(again, layer), atol=1e-5)
    for tensor in (BIAS, R):
        if tensor in once:
            assert torch.allclose(once[tensor], again[tensor], atol=1e-6)


@pytest.mark.parametrize("name", RULES)
def test_a_wrong_update_is_refused_and_leaves_no_trace(name: str) -> None:
    case = make_round(owners=2, r=2, out=3, inside=4, seed=5)
    layer = LAYERS[0]
    if name == "fedsb":
        previous, good = {R: torch.eye(2)}, {R: torch.ones(2, 2)}
        bad = [{}, {R: torch.ones(3, 3)}, {R: good[R], A: torch.ones(2, 2)}]
    else:
        previous = case.previous
        good = {n: t for n, t in case.updates[0].items() if RULES[name].learns(n, 1)}
        bad = [
            {n: t for n, t in good.items() if n != BIAS},
            {n: t for n, t in good.items() if n != b_of(layer)},
            {**good, "x": torch.ones(1)},
            {**good, b_of(layer): torch.ones(4, 2)},
            {**good, b_of(layer): torch.ones(3, 3)},
            {**good, b_of(layer): torch.ones(6)},
        ]
    shapes = {n: tuple(t.shape) for n, t in previous.items() if RULES[name].learns(n, 1)}
    accumulator = RULES[name].start(previous, 1, make_combine("mean", shapes, hostile=0))
    for update in bad:
        with pytest.raises(ValueError, match="Expected"):
            accumulator.add(update)
    assert accumulator.count == 0
    accumulator.add(good)
    alone = aggregate(name, previous, [good])
    result = accumulator.result()
    assert all(torch.equal(result[n], alone[n]) for n in alone)


class Noisy:
    """A combine of another kind: the sum of the updates over a fixed number, and a constant."""

    def __init__(self) -> None:
        self.count, self.total = 0, torch.zeros(3, 2)

    def add(self, update: State) -> bool:
        self.count += 1
        self.total += update[B]
        return True

    def result(self) -> State:
        return {B: self.total / 10 + 1}


def test_any_combine_fits_a_linear_rule_and_none_but_the_mean_the_others() -> None:
    accumulator = RULES["ffa"].start({B: torch.zeros(3, 2)}, 1, Noisy())
    with pytest.raises(ValueError, match="of shape"):
        accumulator.add({B: torch.ones(1, 2)})
    accumulator.add({B: torch.full((3, 2), 5.0)})
    assert torch.equal(accumulator.result()[B], torch.full((3, 2), 1.5))
    case = make_round(owners=1, r=2, out=3, inside=4, seed=0)
    for name, rule in RULES.items():
        if not rule.is_linear:
            with pytest.raises(ValueError, match=f"the plain mean with {name}, got Noisy"):
                rule.start(case.previous, 1, Noisy())


def test_the_mean_is_of_float64_and_of_what_was_added() -> None:
    mean = Mean({"w": (1,)})
    for value in (1e8, 1.0, -1e8, 1.0):
        mean.add({"w": torch.tensor([value])})
    assert mean.result()["w"].item() == 0.5
    with pytest.raises(ValueError, match="got none"):
        Mean({"w": (1,)}).result()
