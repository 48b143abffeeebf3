"""Robust combines against their definitions as plain loops, and owners who send anything."""

import itertools

import numpy as np
import pytest
import torch
from flwr.app import Array, ArrayRecord, RecordDict
from flwr.serverapp.strategy.multikrum import compute_distances, select_multikrum
from hypothesis import given
from hypothesis import strategies as st

from discreet.aggregation import COMBINES, Combine, State, least_updates, make_combine
from discreet.aggregation.robust import MultiKrum
from discreet.errors import FederationError

SHAPES = {"a": (2, 3), "b": (4,)}
ROBUST = sorted(set(COMBINES) - {"mean"})


def drawn(owners: int, seed: int) -> list[State]:
    draw = torch.Generator().manual_seed(seed)
    return [{n: torch.randn(s, generator=draw) for n, s in SHAPES.items()} for _ in range(owners)]


def combined(name: str, updates: list[State], hostile: int) -> State:
    combine: Combine = make_combine(name, SHAPES, hostile=hostile)
    for update in updates:
        combine.add(update)
    assert combine.count == len(updates)
    return combine.result()


def flat(state: State) -> np.ndarray:
    return np.concatenate([state[n].double().numpy().ravel() for n in SHAPES])


def median_of(values: list[float]) -> float:
    """The one-dimensional median (Yin et al. 2018, Definition 1)."""
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def trimmed_mean_of(values: list[float], cut: int) -> float:
    """What is left without the smallest and largest `cut` values (Definition 2)."""
    left = list(values)
    for _ in range(cut):
        left.remove(max(left))
        left.remove(min(left))
    return sum(left) / len(left)


def krum_scores(vectors: list[np.ndarray], hostile: int) -> list[float]:
    """Sums of squared distances to the n - f - 2 nearest others (Blanchard et al. 2017)."""
    closest = len(vectors) - hostile - 2
    return [
        sum(sorted(float(((v - w) ** 2).sum()) for j, w in enumerate(vectors) if j != i)[:closest])
        for i, v in enumerate(vectors)
    ]


@given(owners=st.integers(3, 9), hostile=st.integers(1, 3), seed=st.integers(0, 10**4))
def test_median_and_trimmed_mean_are_those_of_a_loop(owners: int, hostile: int, seed: int) -> None:
    updates = drawn(owners, seed)
    columns = np.stack([flat(u) for u in updates]).T.tolist()
    if owners < 2 * hostile + 1:
        return
    got = flat(combined("median", updates, hostile))
    np.testing.assert_allclose(got, [median_of(c) for c in columns], rtol=1e-6, atol=1e-7)
    got = flat(combined("trimmed_mean", updates, hostile))
    wanted = [trimmed_mean_of(c, hostile) for c in columns]
    np.testing.assert_allclose(got, wanted, rtol=1e-6, atol=1e-7)


@given(extra=st.integers(0, 4), hostile=st.integers(1, 3), seed=st.integers(0, 10**4))
def test_multi_krum_is_the_mean_of_the_lowest_scores(extra: int, hostile: int, seed: int) -> None:
    updates = drawn(2 * hostile + 3 + extra, seed)
    vectors = [flat(u) for u in updates]
    count = len(vectors) - hostile - 2
    best = np.argsort(krum_scores(vectors, hostile))[:count]
    got = flat(combined("multi_krum", updates, hostile))
    wanted = np.mean([vectors[i] for i in best], axis=0)
    np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-7)


@given(hostile=st.integers(1, 3), seed=st.integers(0, 10**4))
def test_multi_krum_chooses_as_flowers_does(hostile: int, seed: int) -> None:
    updates = drawn(2 * hostile + 4, seed)
    krum = MultiKrum(SHAPES, hostile)
    for update in updates:
        krum.add(update)
    records = [
        RecordDict({"arrays": ArrayRecord({n: Array(u[n].numpy()) for n in u})}) for u in updates
    ]
    theirs = select_multikrum(records, hostile, len(updates) - hostile - 2)
    assert set(krum.chosen()) == {next(i for i, r in enumerate(records) if r is t) for t in theirs}


def test_multi_krum_sees_small_differences_of_long_updates() -> None:
    """Updates of length 2,000 that differ by 0.01: Flower's float32 squares cancel to noise."""
    near = drawn(7, seed=3)
    updates = [{n: 1000 + 0.01 * t for n, t in u.items()} for u in near]
    krum = MultiKrum(SHAPES, 1)
    for update in updates:
        krum.add(update)
    vectors = [flat(u) for u in updates]
    assert set(krum.chosen()) == set(np.argsort(krum_scores(vectors, 1))[:4])
    records = [ArrayRecord({n: Array(u[n].numpy()) for n in u}) for u in updates]
    wanted = [[float(((v - w) ** 2).sum()) for w in vectors] for v in vectors]
    np.testing.assert_allclose(krum._distances().numpy(), wanted, rtol=1e-12)
    assert np.abs(compute_distances(records) - wanted).max() > 100 * np.max(wanted)


@pytest.mark.parametrize("name", ROBUST)
@pytest.mark.parametrize("value", [1e30, -1e30, 3.4e38])
def test_hostile_owners_cannot_move_the_result_out_of_what_honest_ones_sent(
    name: str, value: float
) -> None:
    hostile = 2
    honest = drawn(least_updates(name, hostile=hostile) - hostile, seed=5)
    lies = [{n: torch.full(s, value) for n, s in SHAPES.items()} for _ in range(hostile)]
    got = flat(combined(name, [lies[0], *honest, lies[1]], hostile))
    sent = np.stack([flat(u) for u in honest])
    assert (sent.min(0) <= got).all()
    assert (got <= sent.max(0)).all()
    moved = flat(combined("mean", [*honest, *lies], 0))
    assert np.abs(moved).max() > 1e29


@pytest.mark.parametrize("name", COMBINES)
def test_the_order_of_replies_does_not_matter(name: str) -> None:
    updates = drawn(6, seed=0)
    hostile = 0 if name == "mean" else 1
    results = [
        flat(combined(name, list(order), hostile))
        for order in itertools.islice(itertools.permutations(updates), 0, 720, 37)
    ]
    for result in results:
        np.testing.assert_allclose(result, results[0], rtol=1e-6)


def test_of_equal_scores_the_shorter_update_comes_first_in_any_order() -> None:
    """Scores 8, 20 and 20 of 5, 7 and 3: two are chosen, and 3 is shorter than 7."""
    points = [5.0, 7.0, 3.0, 100.0, 200.0]
    chosen = set()
    for order in itertools.permutations(points):
        krum = MultiKrum({"w": (1,)}, 1)
        for point in order:
            krum.add({"w": torch.tensor([point])})
        chosen.add(frozenset(order[i] for i in krum.chosen()))
    assert chosen == {frozenset({5.0, 3.0})}


@pytest.mark.parametrize(
    ("name", "hostile", "least"),
    [
        ("mean", 0, 1),
        ("median", 1, 3),
        ("trimmed_mean", 2, 5),
        ("multi_krum", 1, 5),
        ("multi_krum", 2, 7),
    ],
)
def test_fewer_updates_than_needed_are_an_error(name: str, hostile: int, least: int) -> None:
    assert least_updates(name, hostile=hostile) == least
    combined(name, drawn(least, seed=1), hostile)
    with pytest.raises((FederationError, ValueError), match="or more"):
        combined(name, drawn(least - 1, seed=1), hostile)


@pytest.mark.parametrize(
    ("name", "hostile"), [("mean", 1), ("median", 0), ("trimmed_mean", -1), ("mode", 0)]
)
def test_a_word_or_a_number_that_does_not_fit_is_refused(name: str, hostile: int) -> None:
    with pytest.raises(ValueError, match="Expected (combine|hostile_owners)"):
        make_combine(name, SHAPES, hostile=hostile)


@pytest.mark.parametrize("name", COMBINES)
def test_an_update_of_another_shape_is_refused(name: str) -> None:
    combine = make_combine(name, SHAPES, hostile=int(name != "mean"))
    for bad in ({"a": torch.ones(2, 3)}, {"a": torch.ones(2, 3), "b": torch.ones(5)}):
        with pytest.raises(ValueError, match="Expected"):
            combine.add(bad)
    assert combine.count == 0
