"""Who is asked: equally often and never too often, or on coins at the planned rate."""

import time
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from discreet.errors import FederationError
from discreet.federated import TrainConfig
from discreet.federated.choice import choose, connected, is_secret_choice
from federated.conftest import filled, nodes, says
from federated.tiny import tiny_config

HIDDEN = {"unit": "owner", "sampled": "owner", "max_update_norm": 1.0}


def owners_of(config: TrainConfig, *, rounds: int | None = None) -> list[tuple[int, ...]]:
    """Who is asked in each round, if all are connected and every round is played."""
    taken: Counter[int] = Counter()
    asked = []
    for server_round in range(1, (rounds or config.num_rounds) + 1):
        asked.append(choose(config, range(config.num_owners), taken, server_round))
        taken.update(asked[-1])
    return asked


@given(
    owners=st.integers(1, 9),
    share=st.floats(0.01, 1.0),
    rounds=st.integers(1, 12),
    seed=st.integers(0, 99),
)
@settings(max_examples=50)
def test_everybody_takes_part_equally_often_and_never_too_often(
    owners: int, share: float, rounds: int, seed: int
) -> None:
    asked = max(1, round(share * owners))
    config = tiny_config(
        num_owners=owners, owners_per_round=asked, num_rounds=rounds, min_replies=1, seed=seed
    )
    chosen = owners_of(config)
    assert [len(set(some)) for some in chosen] == [asked] * rounds
    times = Counter(node for some in chosen for node in some)
    counts = [times[node] for node in range(owners)]
    assert max(counts) - min(counts) <= 1
    assert max(counts) <= config.rounds_per_owner


def test_whoever_took_part_least_is_asked_first() -> None:
    config = tiny_config(num_owners=4, owners_per_round=2, num_rounds=4)
    assert choose(config, (7, 8, 9, 10), {7: 1, 9: 1}, 2) == (8, 10)


def test_whoever_took_part_as_often_as_planned_is_not_asked() -> None:
    config = tiny_config(num_owners=2, num_rounds=3)
    assert choose(config, (7, 8), {7: 3}, 3) == (8,)
    assert choose(config, (7, 8), {7: 3, 8: 4}, 3) == ()


def test_ties_are_broken_by_the_public_seed() -> None:
    def first(seed: int) -> tuple[int, ...]:
        config = tiny_config(num_owners=20, owners_per_round=5, seed=seed, reproducible=False)
        return choose(config, range(20), {}, 1)

    assert first(0) == first(0)
    assert len({first(seed) for seed in range(5)}) == 5


def test_secret_coins_fall_at_the_planned_rate_and_each_alone() -> None:
    """False alarm: 5 standard deviations of 4,000 coins, 6e-7, and of 2,000 pairs, as much."""
    config = tiny_config(num_owners=8, owners_per_round=2, reproducible=False, **HIDDEN)
    asked = owners_of(config, rounds=500)
    count = sum(map(len, asked))
    assert abs(count - 1000) < 5 * (4000 * 0.25 * 0.75) ** 0.5
    pairs = sum({a, a + 1} <= set(some) for some in asked for a in (0, 2, 4, 6))
    assert abs(pairs - 125) < 5 * (2000 * 0.0625 * 0.9375) ** 0.5
    assert len({len(some) for some in asked}) > 3, "the number is by chance, too"


def test_secret_coins_do_not_look_at_who_took_part() -> None:
    """The accountant counts on it."""
    config = tiny_config(num_owners=6, owners_per_round=3, **HIDDEN)
    often = dict.fromkeys(range(6), 100)
    for server_round in range(1, 20):
        chosen = choose(config, range(6), {}, server_round)
        assert chosen == choose(config, range(6), often, server_round)


def test_only_a_reproducible_plan_has_coins_that_fall_again() -> None:
    for is_reproducible in (True, False):
        config = tiny_config(
            num_owners=50, owners_per_round=25, reproducible=is_reproducible, **HIDDEN
        )
        again = [choose(config, range(50), {}, 1) for _ in range(4)]
        assert (len(set(again)) == 1) is is_reproducible
        assert choose(config, range(50), {}, 2) not in again


def test_the_choice_is_secret_where_the_servers_noise_hides_owners() -> None:
    secure = {"secure_aggregation": True, "num_owners": 4, "min_replies": 3}
    assert is_secret_choice(tiny_config(**HIDDEN))
    assert not is_secret_choice(tiny_config())
    assert not is_secret_choice(tiny_config(**HIDDEN, **secure))


def test_nodes_are_connected_in_order_and_not_waited_for_once_all_are_there() -> None:
    grid = nodes(*[says(filled(1.0))] * 3)
    start = time.monotonic()
    assert connected(grid, tiny_config(num_owners=3, node_wait_seconds=60.0)) == (1000, 1001, 1002)
    assert time.monotonic() - start < 5


def test_a_round_starts_without_those_who_do_not_come_in_time() -> None:
    grid = nodes(*[says(filled(1.0))] * 3)
    config = tiny_config(num_owners=4, min_replies=3, node_wait_seconds=0.01)
    assert connected(grid, config) == (1000, 1001, 1002)


def test_too_few_nodes_are_waited_for_and_then_an_error() -> None:
    grid = nodes(says(filled(1.0)))
    config = tiny_config(num_owners=3, min_replies=2, node_wait_seconds=0.2)
    start = time.monotonic()
    with pytest.raises(FederationError, match="2 or more connected nodes, got 1 after"):
        connected(grid, config)
    assert time.monotonic() - start >= 0.2
