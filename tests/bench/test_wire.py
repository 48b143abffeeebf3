"""Sizes are those that Flower counts, and errors those of another way to compute them."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from flwr.app import Array, ArrayRecord

from discreet.bench import WireCost, as_wire_table, measure_wire, reference_update
from discreet.bench.wire import message_bytes
from discreet.federated import CODECS, AssistantTask, State, TrainConfig, make_codec
from discreet.federated.messages import pack
from discreet.privacy import CounterGenerator

PLAN = TrainConfig()
ALL_LAYERS = replace(
    PLAN,
    lora_layers=30,
    lora_modules="q_proj,k_proj,v_proj,o_proj,gate_proj,up_proj,down_proj",
)


@pytest.fixture(scope="module")
def costs() -> dict[str, WireCost]:
    return {cost.codec: cost for cost in measure_wire(reference_update(), repeats=1)}


def test_the_update_is_that_of_the_default_plan() -> None:
    """B of 16 layers for values of 3 heads of 64, as a client of `small` sends it."""
    update = reference_update()
    assert len(update) == PLAN.lora_layers
    assert {tuple(value.shape) for value in update.values()} == {(192, PLAN.lora_r)}
    assert all(name.endswith("v_proj.lora_B.default.weight") for name in update)
    assert all(float(value.abs().max()) > 0 for value in update.values())


@pytest.mark.parametrize("name", CODECS)
def test_bytes_are_those_that_flower_counts(name: str, costs: dict[str, WireCost]) -> None:
    arrays = make_codec(name).encode(reference_update(), CounterGenerator.from_os())
    record = ArrayRecord({name: Array(array) for name, array in arrays.items()})
    assert costs[name].bytes_up == record.count_bytes() == message_bytes(arrays)


def test_float32_is_what_a_request_holds(costs: dict[str, WireCost]) -> None:
    codec = make_codec("float32")
    assert (
        costs["float32"].bytes_up
        == pack(reference_update(), codec, CounterGenerator.from_os()).count_bytes()
    )
    assert costs["float32"].relative_error == 0


def test_a_codec_that_leaves_numbers_out_is_for_one_direction(costs: dict[str, WireCost]) -> None:
    assert costs["topk"].bytes_down == costs["float32"].bytes_down > costs["topk"].bytes_up
    assert costs["int8"].bytes_down == costs["int8"].bytes_up < costs["float32"].bytes_up / 3


def test_the_error_of_topk_is_what_it_leaves_out(costs: dict[str, WireCost]) -> None:
    left = total = 0.0
    for value in reference_update().values():
        energy = value.double().flatten().square().sort(descending=True).values
        left += float(energy[-(-len(energy) // 10) :].sum())
        total += float(energy.sum())
    assert costs["topk"].relative_error == pytest.approx((left / total) ** 0.5, rel=1e-5)


def test_errors_of_rounding_are_within_what_the_codecs_state(costs: dict[str, WireCost]) -> None:
    assert 0 < costs["float16"].relative_error < 2**-11
    assert costs["float16"].relative_error < costs["bfloat16"].relative_error < 2**-8
    steps = [float(value.abs().max()) / 127 for value in reference_update().values()]
    length = torch.cat([v.flatten() for v in reference_update().values()]).norm()
    bound = sum(step**2 * 192 * PLAN.lora_r for step in steps) ** 0.5 / float(length)
    assert bound / 4 < costs["int8"].relative_error < bound


def int8_bytes(state: State) -> int:
    """Size of a message in int8, by the codec's specs alone."""
    specs = make_codec("int8").specs({name: tuple(value.shape) for name, value in state.items()})
    return message_bytes({name: np.zeros(shape, dtype) for name, (dtype, shape) in specs.items()})


def test_int8_keeps_a_round_of_small_within_two_megabytes(costs: dict[str, WireCost]) -> None:
    """Each way, by the default plan and with B on all linear layers, by the specs alone."""
    assert costs["int8"].bytes_up == costs["int8"].bytes_down == 31_584
    first = AssistantTask.without_data(ALL_LAYERS).first
    assert len(first) == 30 * 7
    assert sum(value.numel() for value in first.values()) == 1_244_160
    assert int8_bytes(first) == 1_335_340 <= 2_000_000


def test_both_factors_of_all_layers_are_more_than_two_megabytes() -> None:
    """As `fedit` sends them, each way."""
    both = replace(ALL_LAYERS, aggregation="fedit")
    assert int8_bytes(AssistantTask.without_data(both).first) == 2_624_600 > 2_000_000


def test_the_total_is_over_rounds_owners_and_both_directions() -> None:
    cost = WireCost(
        codec="float32",
        bytes_up=2**20,
        bytes_down=2**19,
        relative_error=0.0,
        encode_ms=0.0,
        decode_ms=0.0,
    )
    assert cost.total_mib(rounds=200, owners=4) == 1200
    assert "| 1,200.0 | 0.600% |" in as_wire_table([cost], rounds=200, owners=4)
