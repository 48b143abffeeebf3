"""Chance comes from the operating system unless the plan says that it may be repeated."""

import pytest

from discreet.federated.chance import chance_for
from federated.tiny import tiny_config

USE = "noise/0/1/owner-0"


@pytest.mark.parametrize(("reproducible", "alike"), [(True, True), (False, False)])
def test_only_a_reproducible_plan_draws_the_same_again(reproducible: bool, alike: bool) -> None:
    config = tiny_config(reproducible=reproducible)
    one, other = (chance_for(config, USE).uniform(8).tolist() for _ in range(2))
    assert (one == other) is alike


def test_each_use_has_a_stream_of_its_own() -> None:
    config = tiny_config(reproducible=True)
    one, other = (chance_for(config, use).uniform(8).tolist() for use in (USE, USE + "0"))
    assert one != other
