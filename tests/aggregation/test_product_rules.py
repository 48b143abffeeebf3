"""FlexLoRA, FedEx-LoRA and FLoRA against dense means and NumPy's singular values."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from aggregation.owners import (
    BIAS,
    LAYERS,
    Round,
    a_of,
    aggregate,
    b_of,
    cut,
    error,
    make_round,
    rounds,
)
from discreet.aggregation import RULES, State, make_combine, product
from discreet.aggregation.products import ProductMean

EVERY = rounds() | rounds(is_mixed=True)


def best_part(matrix: np.ndarray, r: int) -> np.ndarray:
    """The best approximation of rank r (Eckart and Young 1936), by NumPy."""
    u, s, vh = np.linalg.svd(matrix, full_matrices=False)
    return (u[:, :r] * s[:r]) @ vh[:r]


@given(EVERY)
def test_flora_is_exact_at_any_ranks(case: Round) -> None:
    result = aggregate("flora", case.previous, case.updates)
    for layer in LAYERS:
        assert error(product(result, layer), case.dense_mean(layer)) < 1e-6
        assert not result[b_of(layer)].any()


@given(rounds())
def test_fedex_is_exact(case: Round) -> None:
    result = aggregate("fedex", case.previous, case.updates)
    plain = aggregate("fedit", case.previous, case.updates)
    for layer in LAYERS:
        wanted = case.dense_mean(layer)
        scale = float((result[b_of(layer)].norm() * result[a_of(layer)].norm()).double())
        gap = product(result, layer).double().numpy() - wanted
        assert np.linalg.norm(gap) < 1e-6 * (np.linalg.norm(wanted) + scale)
        assert torch.equal(result[a_of(layer)], plain[a_of(layer)])
        assert torch.equal(result[b_of(layer)], plain[b_of(layer)])


def test_fedex_puts_the_rounding_of_its_factors_into_the_delta_as_well() -> None:
    """In float64: factors in float32 alone are off by 6e-8 or so."""
    case = make_round(owners=1, r=3, out=6, inside=5, seed=8)
    result = {n: t.double() for n, t in aggregate("fedex", case.previous, case.updates).items()}
    for layer in LAYERS:
        got = result[b_of(layer)] @ result[a_of(layer)]
        assert error(got, case.dense_mean(layer)) > 1e-9
        assert error(got + result[f"{layer}.delta"], case.dense_mean(layer)) < 1e-13


@given(EVERY)
def test_flexlora_is_the_best_part_of_the_mean_for_every_rank_up_to_r(case: Round) -> None:
    result = aggregate("flexlora", case.previous, case.updates)
    for layer in LAYERS:
        wanted = case.dense_mean(layer)
        a, b = result[a_of(layer)].double().numpy(), result[b_of(layer)].double().numpy()
        for q in range(1, len(a) + 1):
            # Where singular values are close, other parts of rank q are as good: compare how good.
            least = np.linalg.norm(wanted - best_part(wanted, q))
            assert np.linalg.norm(wanted - b[:, :q] @ a[:q]) <= least + 1e-5 * np.linalg.norm(
                wanted
            )


@given(EVERY)
def test_flexlora_is_balanced_and_sorted(case: Round) -> None:
    result = aggregate("flexlora", case.previous, case.updates)
    for layer in LAYERS:
        s = np.linalg.svd(case.dense_mean(layer), compute_uv=False)
        r = len(result[a_of(layer)])
        wanted = np.pad(s, (0, max(0, r - len(s))))[:r]
        is_held = wanted > 1e-5 * wanted[0]
        a, b = result[a_of(layer)].double().numpy(), result[b_of(layer)].double().numpy()
        np.testing.assert_allclose((b**2).sum(0)[is_held], wanted[is_held], rtol=1e-4)
        np.testing.assert_allclose((a**2).sum(1)[is_held], wanted[is_held], rtol=1e-4)
        assert not b[:, wanted < 1e-9 * wanted[0]].any()


@given(EVERY)
def test_what_is_no_factor_is_averaged(case: Round) -> None:
    wanted = case.previous[BIAS] + torch.stack([u[BIAS] for u in case.updates]).mean(0)
    for name in ("flexlora", "flora"):
        result = aggregate(name, case.previous, case.updates)
        assert torch.allclose(result[BIAS], wanted, atol=1e-5)


@pytest.mark.parametrize("name", ["flexlora", "fedex", "flora"])
def test_an_owner_alone_gets_back_what_it_trained(name: str) -> None:
    case = make_round(owners=1, r=3, out=6, inside=5, seed=2)
    result = aggregate(name, case.previous, case.updates)
    for layer in LAYERS:
        assert error(product(result, layer), case.dense_mean(layer)) < 1e-5


def test_flexlora_leaves_a_delta_as_it_was_sent() -> None:
    case = make_round(owners=2, r=2, out=3, inside=4, seed=0)
    delta = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    result = aggregate("flexlora", {**case.previous, f"{LAYERS[0]}.delta": delta}, case.updates)
    assert torch.equal(result[f"{LAYERS[0]}.delta"], delta)


def test_an_owner_of_a_low_rank_counts_with_its_own_product_and_zeros_beside_it() -> None:
    """By hand: owners of rank 1 and 2 and zero-padded factors multiply to the same mean."""
    case = make_round(owners=2, r=2, out=5, inside=4, seed=6)
    low = {n: cut(n, t, 1) for n, t in case.trained[0].items()}
    mixed = Round(case.previous, [low, case.trained[1]], [1, 2])
    layer = LAYERS[0]
    padded_a = torch.cat([low[a_of(layer)], torch.zeros(1, 4)]).double()
    padded_b = torch.cat([low[b_of(layer)], torch.zeros(5, 1)], 1).double()
    whole = case.trained[1][b_of(layer)].double() @ case.trained[1][a_of(layer)].double()
    wanted = ((padded_b @ padded_a + whole) / 2).numpy()
    assert error(product(aggregate("flora", mixed.previous, mixed.updates), layer), wanted) < 1e-6


def with_product(b: torch.Tensor, a: torch.Tensor, old_a: torch.Tensor) -> State:
    """The state that FlexLoRA makes of two owners who both trained B A."""
    previous = {a_of("q"): old_a, b_of("q"): torch.zeros_like(b)}
    update = {a_of("q"): a - old_a, b_of("q"): b}
    return aggregate("flexlora", previous, [update, update])


def test_a_round_in_which_nobody_learned_leaves_an_adapter_that_can_learn() -> None:
    old = torch.randn(3, 5, generator=torch.Generator().manual_seed(0))
    result = with_product(torch.zeros(4, 3), old, old)
    assert torch.equal(result[a_of("q")], old)
    assert not result[b_of("q")].any()


@given(rank=st.integers(1, 3), seed=st.integers(0, 1000))
def test_directions_without_a_singular_value_keep_a_row_of_a(rank: int, seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    old = torch.randn(4, 6, generator=draw)
    b = torch.randn(5, rank, generator=draw) @ torch.randn(rank, 4, generator=draw)
    result = with_product(b, old, old)
    a_new, b_new = result[a_of("q")], result[b_of("q")]
    assert torch.equal(a_new[rank:], old[rank:])
    assert not b_new[:, rank:].any()
    assert bool((b_new[:, :rank].norm(dim=0) > 0).all())
    assert torch.allclose(b_new @ a_new, b @ old, atol=1e-4)


def test_equal_singular_values_are_no_trouble() -> None:
    unit = torch.eye(4)
    result = with_product(unit, unit, torch.ones(4, 4))
    assert torch.allclose(product(result, "q"), unit, atol=1e-6)


def test_products_that_cancel_are_zero() -> None:
    case = make_round(owners=1, r=3, out=5, inside=5, seed=1)
    previous = {n: t for n, t in case.previous.items() if n != BIAS}
    up = {n: case.trained[0][n] - t for n, t in previous.items()}
    down = {n: (up[n] if ".lora_A." in n else -2 * t - up[n]) for n, t in previous.items()}
    result = aggregate("flexlora", previous, [up, down])
    sizes = [product(result, layer).norm() / product(previous, layer).norm() for layer in LAYERS]
    assert max(sizes) < 1e-6
    assert all(torch.isfinite(t).all() for t in result.values())


def test_a_delta_grows_over_rounds_and_stays_exact() -> None:
    for name in ("fedex", "flora"):
        state = make_round(owners=1, r=2, out=6, inside=5, seed=0).previous
        for number in range(1, 6):
            case = make_round(owners=3, r=2, out=6, inside=5, seed=number)
            moved = [{n: u[n] for n in u} for u in case.updates]
            trained = [{n: state[n] + u[n] for n in u} for u in moved]
            wanted = {
                layer: Round(state, trained, [2] * 3).dense_mean(layer)
                + state.get(f"{layer}.delta", torch.zeros(6, 5)).double().numpy()
                for layer in LAYERS
            }
            state = aggregate(name, state, moved, server_round=number)
            assert set(state) == {*case.previous, *(f"{layer}.delta" for layer in LAYERS)}
            for layer in LAYERS:
                assert error(product(state, layer), wanted[layer]) < 1e-5


def test_floras_a_is_fresh_in_each_round_and_layer_and_the_same_when_a_round_is_repeated() -> None:
    case = make_round(owners=2, r=3, out=6, inside=400, seed=0)
    first, again, later = (
        aggregate("flora", case.previous, case.updates, server_round=n) for n in (1, 1, 2)
    )
    a = first[a_of(LAYERS[0])]
    assert torch.equal(a, again[a_of(LAYERS[0])])
    assert not torch.isclose(a, later[a_of(LAYERS[0])]).all()
    assert not torch.isclose(a, first[a_of(LAYERS[1])]).all()
    assert not torch.isclose(a, case.previous[a_of(LAYERS[0])]).all()
    # Uniform within 1/20: variance (1/20)**2 / 3. 1,200 numbers: five standard errors are 0.13.
    assert a.abs().max() <= 0.05
    assert abs(float(a.var()) / (0.05**2 / 3) - 1) < 0.13


def test_a_product_that_float32_cannot_hold_is_refused() -> None:
    case = make_round(owners=1, r=2, out=3, inside=4, seed=0)
    huge = {n: torch.full_like(t, 1e25) for n, t in case.previous.items()}
    rule, shapes = RULES["flora"], {n: tuple(t.shape) for n, t in case.previous.items()}
    accumulator = rule.start(case.previous, 1, make_combine("mean", shapes, hostile=0))
    with pytest.raises(ValueError, match="float32 holds"):
        accumulator.add(huge)
    assert accumulator.count == 0


@pytest.mark.parametrize("kind", ["A", "B", "R"])
def test_a_layer_without_both_factors_or_with_a_core_is_refused(kind: str) -> None:
    state = {f"q.lora_{kind}.default.weight": torch.ones(2, 2)}
    shapes = {n: tuple(t.shape) for n, t in state.items()}
    with pytest.raises(ValueError, match=rf"Expected A and B of 'q' with fedex, got {kind}"):
        RULES["fedex"].start(state, 1, make_combine("mean", shapes, hostile=0))


@pytest.mark.parametrize("rank", [0, 3])
def test_a_rank_of_none_or_above_the_servers_is_refused(rank: int) -> None:
    state = {a_of("q"): torch.ones(2, 4), b_of("q"): torch.ones(3, 2)}
    shapes = {n: tuple(t.shape) for n, t in state.items()}
    accumulator = RULES["flexlora"].start(state, 1, make_combine("mean", shapes, hostile=0))
    with pytest.raises(ValueError, match="of shape"):
        accumulator.add({a_of("q"): torch.ones(rank, 4), b_of("q"): torch.ones(3, rank)})


@given(
    out=st.integers(1, 7), inside=st.integers(1, 7), q=st.integers(1, 4), owners=st.integers(1, 9)
)
def test_stacked_factors_never_take_more_than_the_smaller_side(
    out: int, inside: int, q: int, owners: int
) -> None:
    draw = torch.Generator().manual_seed(out + 8 * inside)
    mean, dense = ProductMean(), torch.zeros(out, inside, dtype=torch.float64)
    for _ in range(owners):
        left = torch.randn(out, q, generator=draw, dtype=torch.float64)
        right = torch.randn(q, inside, generator=draw, dtype=torch.float64)
        mean.add(left, right)
        dense += left @ right / owners
        assert mean._left.numel() + mean._right.numel() <= min(out, inside) * (out + inside)
    assert torch.allclose(mean.dense(), dense, atol=1e-12)
    u, s, vh = mean.decompose(min(out, inside))
    assert torch.allclose((u * s) @ vh, dense, atol=1e-12)
    wanted = torch.linalg.svdvals(dense)
    assert torch.allclose(s, wanted, atol=1e-12)
