"""The baseline is the private run without clipping and noise: same people, batches and average."""

from dataclasses import replace
from pathlib import Path

import torch

from discreet.artifacts import RunFolder
from discreet.audit.baseline import LEARNING_RATE, run_without_privacy
from discreet.bench import shelve_baseline
from discreet.federated import AssistantTask, TrainConfig, draw_generators, example_losses
from discreet.model import (
    adapter_parameters,
    load,
    load_adapter,
    load_adapter_state,
)
from discreet.privacy import poisson
from discreet.registry import resolve
from discreet.types import OwnerId

PLAN = TrainConfig(
    base="tiny",
    num_owners=2,
    num_rounds=2,
    local_steps=2,
    sample_rate=0.004,
    expected_batch_size=5,
    reproducible=True,
)


def test_it_is_the_mean_over_owners_of_adam_on_the_same_poisson_batches() -> None:
    task = AssistantTask.build(PLAN)
    found = run_without_privacy(task)

    state = {name: torch.zeros_like(value) for name, value in found.items()}
    for server_round in (1, 2):
        local = []
        for owner, lessons in task.owned.items():
            load_adapter_state(task.vlm, state)
            weights = list(adapter_parameters(task.vlm).values())
            adam = torch.optim.Adam(weights, lr=LEARNING_RATE)
            chance = draw_generators(PLAN, owner=owner, server_round=server_round)
            draw = poisson(len(lessons), PLAN.sample_rate, chance.sampling)
            for _ in range(2):
                adam.zero_grad()
                total = torch.zeros((), requires_grad=True)
                for index in draw():
                    own = [lessons.examples[index]]
                    both = example_losses(task.vlm, lessons.visual, own)
                    total = total + (both[0] + both[1]).sum() / 2
                gradients = torch.autograd.grad(total / 5, weights, allow_unused=True)
                for weight, gradient in zip(weights, gradients, strict=True):
                    weight.grad = gradient
                adam.step()
            local.append([weight.detach().clone() for weight in weights])
        state = dict(zip(state, map(torch.stack, zip(*local, strict=True)), strict=True))
        state = {name: value.mean(0) for name, value in state.items()}

    assert any(value.abs().max() > 0 for value in state.values())
    for name, value in state.items():
        # Adam turns a gradient near zero into a full step of either sign; few are so near.
        close = torch.isclose(found[name], value, rtol=1e-2, atol=1e-5)
        assert close.float().mean() > 0.98, name


def test_owners_whom_the_plan_leaves_out_are_not_learnt_from() -> None:
    """Whom owner-1 alone would make, and not the mean with the others."""
    plan = replace(PLAN, absent_owners="0", min_replies=1)
    task = AssistantTask.build(plan)
    assert task.taking_part == [OwnerId(f"owner-{n}") for n in range(1, PLAN.num_owners)]
    found = run_without_privacy(task)
    own = {owner: task.owned[owner] for owner in task.taking_part}
    only = replace(task, shared=replace(task.shared, owned=own))
    for name, value in run_without_privacy(only).items():
        assert torch.equal(found[name], value), name
    everybody = run_without_privacy(AssistantTask.build(PLAN))
    assert any(not torch.equal(found[name], value) for name, value in everybody.items())


def test_what_is_shelved_is_that_adapter_and_promises_nothing(tmp_path: Path) -> None:
    found = run_without_privacy(AssistantTask.build(PLAN))
    task = AssistantTask.build(PLAN)
    shelve_baseline(task, RunFolder.create(tmp_path / "plain"))
    adapter = resolve("plain", tmp_path)
    assert adapter.card.worst is None
    loaded = load_adapter(load("tiny"), adapter.folder)
    written = dict(loaded.model.named_parameters())
    trained = [written[name] for name in sorted(written) if "lora_B" in name]
    assert len(trained) == len(found)
    for value, name in zip(trained, sorted(found), strict=True):
        assert torch.equal(value, found[name]), name


def test_every_step_of_every_owner_is_told() -> None:
    steps: list[None] = []
    run_without_privacy(AssistantTask.build(PLAN), on_step=lambda: steps.append(None))
    assert len(steps) == 2 * 2 * 2
