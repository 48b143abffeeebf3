"""The membership audit of an owner's examples, on the resident model of a task.

    audit = auditor(task, OwnerId("owner-1"), held_out_like(task, OwnerId("owner-1")))
    audit(state).auc

Losses stay here; what comes out are an area, its interval and counts.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from discreet.audit import Membership, measure_membership, membership_scores
from discreet.data import build_examples, load_portraits, load_questions, split_questions
from discreet.federated import AssistantTask, Lessons, PortraitLessons, State, VisualTokens
from discreet.model import load_adapter_state
from discreet.types import OwnerId


def held_out_like(
    task: AssistantTask, owner: OwnerId, *, path: Path | None = None
) -> PortraitLessons:
    """Return examples of people whom no owner holds, made as those of an owner were.

    Args:
        task: Of portraits.
        owner: With whose skew of topics questions are drawn.
        path: A Parquet file of portraits with a test split; the packaged people by default.

    Raises:
        DataError: if the file cannot be used.
    """
    people = [*load_portraits("validation", path=path), *load_portraits("test", path=path)]
    config = task.config
    examples = build_examples(
        people,
        split_questions(load_questions()).private,
        indices=range(len(people)),
        alpha=config.dirichlet_alpha,
        owner=owner,
        seed=config.seed,
    )
    return PortraitLessons(vlm=task.vlm, visual=VisualTokens(task.vlm, people), examples=examples)


def auditor(
    task: AssistantTask, owner: OwnerId, held_out: Lessons
) -> Callable[[State], Membership]:
    """Return what measures how well an adapter's losses tell an owner's examples from others.

    The reference is the adapter before training, which is the base.
    """
    lessons = (task.lessons_of(owner), held_out)
    reference = [losses_under(task, one, task.initial_state()) for one in lessons]

    def audit(state: State) -> Membership:
        members, others = (
            membership_scores(base, losses_under(task, one, state))
            for base, one in zip(reference, lessons, strict=True)
        )
        return measure_membership(members, others, lessons[0].users, lessons[1].users)

    return audit


def losses_under(task: AssistantTask, lessons: Lessons, state: State) -> npt.NDArray[np.float64]:
    """Return the loss of each example under an adapter, (N,)."""
    load_adapter_state(task.vlm, state)
    size = task.config.max_physical_batch
    with torch.no_grad():
        parts = [
            lessons.losses(range(start, min(start + size, len(lessons))))
            for start in range(0, len(lessons), size)
        ]
    return torch.cat(parts).double().cpu().numpy()
