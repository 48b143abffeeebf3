"""Adapters that are taken apart and put together again, against losses computed one by one."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from discreet.bench import (
    HeldOut,
    LossChange,
    as_loss_table,
    count_scored,
    load_held_out,
    measure_wire_loss,
    reference_update,
)
from discreet.bench.wire import relative_error
from discreet.bench.wire_loss import _estimate, owner_updates, received, update_noise
from discreet.federated import (
    CODECS,
    AssistantTask,
    State,
    TrainConfig,
    VisualTokens,
    example_losses,
    make_codec,
)
from discreet.model import load_adapter_state
from discreet.registry import REFERENCE, REFERENCE_DIR, resolve

PLAN = TrainConfig.load(REFERENCE_DIR / "config.toml")
TINY = replace(PLAN, base="tiny", lora_layers=1)


@pytest.fixture(scope="module")
def task() -> AssistantTask:
    return AssistantTask.without_data(TINY)


@pytest.fixture(scope="module")
def learnt(task: AssistantTask) -> State:
    draw = torch.Generator().manual_seed(0)
    return {n: torch.randn(v.shape, generator=draw) for n, v in task.first.items()}


@pytest.fixture(scope="module")
def held_out() -> HeldOut:
    return load_held_out(examples=12, trios=0)


def flat(state: State) -> torch.Tensor:
    return torch.cat([value.flatten() for value in state.values()])


@pytest.mark.parametrize(("rounds", "owners"), [(1, 1), (2, 4), (3, 2)])
def test_updates_of_owners_add_up_to_the_adapter(learnt: State, rounds: int, owners: int) -> None:
    config = replace(TINY, num_rounds=rounds, num_owners=owners, min_replies=1)
    updates = owner_updates(learnt, config)
    assert [len(own) for own in updates] == [owners] * rounds
    total = sum(flat(own) for step in updates for own in step) / owners
    assert float((total - flat(learnt)).abs().max()) < 1e-5
    assert relative_error(received(make_codec("float32"), updates), learnt) < 1e-6


def test_an_update_has_the_noise_of_its_plan() -> None:
    """Two updates differ by the noise of both: 8 draws less their mean keep all of it."""
    updates = [own for step in owner_updates(reference_update(), PLAN) for own in step]
    for one, other in ((0, 1), (0, 4), (3, 7)):
        apart = (flat(updates[one]) - flat(updates[other])).std()
        assert float(apart) == pytest.approx(math.sqrt(2) * update_noise(PLAN), rel=0.02)


def test_the_noise_is_what_the_shipped_adapter_is_mostly_made_of() -> None:
    """The sum over 2 rounds of the mean of 4 owners has a variance of 2/4 of an update's."""
    noise = update_noise(PLAN) * math.sqrt(PLAN.num_rounds / PLAN.num_owners)
    assert noise < float(flat(reference_update()).std()) < 1.1 * noise


@given(seed=st.integers(0, 2**31), share=st.floats(0.05, 0.9))
def test_topk_pays_in_later_rounds_what_it_left_out(seed: int, share: float) -> None:
    """After zeros have been sent for long enough, all of the first round has come."""
    draw = torch.Generator().manual_seed(seed)
    first = [{"b": torch.randn(5, 4, generator=draw)} for _ in range(3)]
    nothing = [{"b": torch.zeros(5, 4)} for _ in range(3)]
    codec = make_codec("topk", share=share)
    wanted = sum(update["b"] for update in first) / 3
    at_once = received(codec, [first])["b"]
    later = received(codec, [first, *[nothing] * math.ceil(1 / share)])["b"]
    assert float((later - wanted).abs().max()) < 1e-6
    largest = [u["b"] * (u["b"].abs() >= least(u["b"], share)) for u in first]
    assert torch.allclose(at_once, sum(largest) / 3)


def least(value: torch.Tensor, share: float) -> torch.Tensor:
    """Return the smallest magnitude that is sent."""
    kept = math.ceil(share * value.numel())
    return value.abs().flatten().sort(descending=True).values[kept - 1]


def test_owners_average_the_rounding_of_int8_away(learnt: State) -> None:
    """Unbiased and independent: 16 owners with one update are off by a quarter of one's error."""
    codec = make_codec("int8")
    alone = relative_error(received(codec, [[learnt]]), learnt)
    together = relative_error(received(codec, [[learnt] * 16]), learnt)
    assert together == pytest.approx(alone / 4, rel=0.15)


def test_changes_are_those_of_losses_computed_one_by_one(
    task: AssistantTask, learnt: State, held_out: HeldOut
) -> None:
    done: list[int] = []
    found = measure_wire_loss(task.vlm, learnt, TINY, held_out, on_done=done.append)
    assert sum(done) == count_scored(len(held_out.examples))
    names = [name for name in CODECS if name != "float32"]
    assert [c.codec for c in found.once] == [c.codec for c in found.rounds] == names
    exact = losses(task, learnt, held_out)
    assert [found.gated_loss, found.native_loss] == pytest.approx(exact.mean(1).tolist())
    nothing = {name: torch.zeros_like(value) for name, value in learnt.items()}
    check(found.without, losses(task, nothing, held_out) - exact)
    codec = make_codec("topk", share=0.1)
    whole = received(codec, [[learnt]])
    check(found.once[-1], losses(task, whole, held_out) - exact)
    parts = received(codec, owner_updates(learnt, TINY))
    check(found.rounds[-1], losses(task, parts, held_out) - exact)
    assert found.without.relative_error == 1
    assert found.rounds[-1].relative_error == pytest.approx(relative_error(parts, learnt))
    table = as_loss_table(found)
    assert table.count("\n") == 2 + 2 * len(names)
    assert f"| int8, {TINY.num_rounds} rounds of {TINY.num_owners} owners | " in table


@torch.no_grad()
def losses(task: AssistantTask, state: State, held_out: HeldOut) -> torch.Tensor:
    """Return (2, N), each example alone and through all layers."""
    load_adapter_state(task.vlm, state)
    visual = VisualTokens(task.vlm, held_out.portraits)
    rows = [torch.cat(example_losses(task.vlm, visual, [e])) for e in held_out.examples]
    return torch.stack(rows, 1)


def check(change: LossChange, wanted: torch.Tensor) -> None:
    """Require the mean differences, inside of their intervals."""
    for own, values in zip((change.gated, change.native), wanted, strict=True):
        assert own.value == pytest.approx(float(values.mean()), abs=1e-5)
        assert own.low <= own.value <= own.high
        assert own.n == len(values)


def test_the_interval_is_as_wide_as_people_or_questions_make_it(held_out: HeldOut) -> None:
    """Values that say who asks: drawn by question alone, the interval would be too narrow."""
    few = [
        replace(held_out.examples[0], identity_id=f"person-{i % 2}", question_id=f"question-{i}")
        for i in range(12)
    ]
    values = torch.tensor([float(i % 2) for i in range(12)])
    found = _estimate(few, values)
    swapped = [replace(e, identity_id=e.question_id, question_id=e.identity_id) for e in few]
    assert (found.low, found.value, found.high) == (0, 0.5, 1)
    assert _estimate(swapped, values) == found


@pytest.mark.slow
def test_the_plan_gives_the_frozen_half_that_ships() -> None:
    """Else the loss would be that of B with another A."""
    vlm = AssistantTask.without_data(PLAN).vlm
    own = dict(vlm.model.named_parameters())
    shipped = load_file(resolve(REFERENCE, Path()).folder / "adapter_model.safetensors")
    for name, value in shipped.items():
        if ".lora_A." in name:
            assert torch.equal(own[name.replace(".lora_A.", ".lora_A.default.")], value)
