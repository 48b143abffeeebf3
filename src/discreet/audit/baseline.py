"""The same federation without privacy: the baseline that shows what privacy cost.

It shares data, base, adapter, sampling and loop with the private run. It neither clips nor adds
noise, and it has the optimiser that suits that: Adam with a rate of its own. Nothing is promised of
what it learns from: it is for public data, and for an auditor who keeps nothing of it.
"""

from collections.abc import Callable

import torch

from discreet.aggregation import make_combine
from discreet.federated import AssistantTask, draw_generators, train_plainly
from discreet.model import adapter_parameters, adapter_state, load_adapter_state
from discreet.privacy import draw_as_planned
from discreet.types import OwnerId

LEARNING_RATE = 3e-2
"""Of Adam; its first steps move every coordinate by about this much. Chosen by hand among 0.01,
0.03 and 0.1, on validation people."""


def run_without_privacy(
    task: AssistantTask, *, on_step: Callable[[], None] | None = None
) -> dict[str, torch.Tensor]:
    """Return the averaged adapter after all rounds of `task.config`, trained in the clear."""
    state = task.initial_state()
    for server_round in range(1, task.config.num_rounds + 1):
        shapes = {name: tuple(value.shape) for name, value in state.items()}
        mean = make_combine("mean", shapes, hostile=0)
        for owner in task.taking_part:
            load_adapter_state(task.vlm, state)
            _train(task, owner, server_round, on_step)
            mean.add(adapter_state(task.vlm))
        state = mean.result()
    return state


def _train(
    task: AssistantTask, owner: OwnerId, server_round: int, on_step: Callable[[], None] | None
) -> None:
    """Take the owner's local steps with the sampling of the private run."""
    lessons = task.lessons_of(owner)
    chance = draw_generators(task.config, owner=owner, server_round=server_round)
    train_plainly(
        lessons.losses,
        torch.optim.Adam(adapter_parameters(task.vlm).values(), lr=LEARNING_RATE),
        draw=draw_as_planned(task.plan, len(lessons), chance.sampling),
        steps=task.config.local_steps,
        expected_batch_size=task.config.expected_batch_size,
        max_physical_batch=task.config.max_physical_batch,
        on_step=None if on_step is None else lambda step: on_step(),
    )
