"""What a task is given: chance of its own for each use, and nothing that prints what is private."""

import torch

from discreet.federated import Assignment, LocalResult, TrainConfig, draw_generators
from discreet.privacy import CounterGenerator
from discreet.types import OwnerId

OWNER = OwnerId("owner-0")


def numbers(generator: CounterGenerator) -> tuple[float, ...]:
    return tuple(generator.normal(4).tolist())


def test_without_a_seed_chance_comes_from_the_operating_system() -> None:
    config = TrainConfig(reproducible=False)
    drawn = set()
    for _ in range(3):
        chance = draw_generators(config, owner=OWNER, server_round=1)
        drawn |= {numbers(chance.sampling), numbers(chance.noise), numbers(chance.wire)}
    assert len(drawn) == 9


def test_only_a_reproducible_plan_has_chance_that_others_can_draw_again() -> None:
    for reproducible in (False, True):
        config = TrainConfig(reproducible=reproducible)
        chance = draw_generators(config, owner=OWNER, server_round=1)
        assert chance.sampling.is_secret is chance.noise.is_secret is not reproducible
        assert not chance.sampling.is_same_stream(chance.noise)


def test_with_a_seed_each_owner_round_and_use_has_its_own_stream() -> None:
    drawn = {}
    for seed in (0, 1):
        for owner in ("owner-0", "owner-1"):
            for server_round in (1, 2):
                chance = draw_generators(
                    TrainConfig(reproducible=True, seed=seed),
                    owner=OwnerId(owner),
                    server_round=server_round,
                )
                key = (seed, owner, server_round)
                drawn[(*key, "sampling")] = numbers(chance.sampling)
                drawn[(*key, "noise")] = numbers(chance.noise)
                drawn[(*key, "wire")] = numbers(chance.wire)
    assert len(set(drawn.values())) == len(drawn) == 24
    again = draw_generators(TrainConfig(reproducible=True), owner=OWNER, server_round=1)
    assert numbers(again.noise) == drawn[(0, "owner-0", 1, "noise")]


def test_neither_losses_nor_tensors_are_in_what_is_printed() -> None:
    state = {"a": torch.tensor([1234.5])}
    result = LocalResult(statement=None, steps=1, state=state, losses=(6789.5,))
    given = Assignment(server_round=1, learns=frozenset("a"), rank=8, correction=state)
    assert not any(text in repr((result, given)) for text in ("1234", "6789"))
