"""Which tensors travel, in which form, and which of them learn."""

import pytest
import torch

from discreet.federated import State, make_codec
from discreet.federated.terms import CONTROL, Terms, of_prefix, with_prefix
from federated.tiny import tiny_config

A, B, DELTA = "q.lora_A.default.weight", "q.lora_B.default.weight", "q.delta"


def adapter(*names: str) -> State:
    shapes = {A: (8, 3), B: (5, 8), DELTA: (5, 3), "q.lora_R.default.weight": (8, 8)}
    return {name: torch.ones(shapes[name]) for name in names}


LEARNS = {
    "ffa": ((B,), [{B}, {B}]),
    "fedit": ((A, B), [{A, B}, {A, B}]),
    "rolora": ((A, B), [{B}, {A}]),
    "fedsb": (("q.lora_R.default.weight",), [{"q.lora_R.default.weight"}] * 2),
    "flexlora": ((A, B), [{A, B}, {A, B}]),
    "fedex": ((A, B, DELTA), [{A, B}, {A, B}]),
    "flora": ((A, B, DELTA), [{A, B}, {A, B}]),
}


@pytest.mark.parametrize("rule", LEARNS)
def test_what_learns_is_what_the_rule_says(rule: str) -> None:
    names, rounds = LEARNS[rule]
    terms = Terms.of(tiny_config(aggregation=rule), state := adapter(*names))
    for server_round, expected in enumerate(rounds, start=1):
        assert set(terms.learns(server_round)) == expected
        (up,) = terms.shapes_up(server_round)
        assert up == {name: tuple(state[name].shape) for name in expected}
    assert set(terms.shapes) == set(names), "all of it travels down"


def test_control_variates_travel_down_and_do_not_learn() -> None:
    terms = Terms.of(tiny_config(local_rule="scaffold", aggregation="rolora"), adapter(A, B))
    assert set(terms.shapes) == {A, B, CONTROL + A, CONTROL + B}
    assert terms.learns(1) == [B]
    assert terms.learns(2) == [A]


def test_an_update_has_the_shapes_of_one_of_the_plans_ranks() -> None:
    config = tiny_config(aggregation="flexlora", lora_ranks="2, 8,4,2")
    found = Terms.of(config, adapter(A, B)).shapes_up(1)
    assert found == [{A: (rank, 3), B: (5, rank)} for rank in (8, 4, 2)]


def test_each_way_has_a_form_of_its_own() -> None:
    config = tiny_config(wire="topk", topk_share=0.3, wire_down="int8")
    terms = Terms.of(config, adapter(B))
    assert (terms.up, terms.down) == (make_codec("topk", share=0.3), make_codec("int8"))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [({}, False), ({"local_rule": "scaffold"}, True), ({"wire": "topk"}, True)],
)
def test_owners_keep_something_where_a_later_round_needs_it(
    changes: dict[str, object], expected: bool
) -> None:
    assert Terms.of(tiny_config(**changes), adapter(B)).has_memory is expected


def test_prefixes_keep_kinds_of_tensors_apart() -> None:
    state = adapter(A, B)
    mixed = state | with_prefix(CONTROL, state)
    assert Terms.adapter_of(mixed) == state
    assert of_prefix(CONTROL, mixed) == state
    assert of_prefix("left/", mixed) == {}
