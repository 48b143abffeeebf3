"""Examples that no owner learnt from, made as theirs were: without them nothing can be told apart.

One function for each kind of example; what a plan learns from chooses.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from discreet.data import build_examples, load_portraits, load_questions, split_questions
from discreet.errors import DataError
from discreet.federated import (
    AssistantTask,
    ConversationLessons,
    Lessons,
    PortraitLessons,
    PreferenceLessons,
    VisualTokens,
    other_conversations,
    other_preferences,
)
from discreet.types import OwnerId

NO_CONVERSATIONS = (
    "Expected conversations that no owner learnt from, to tell members from, got none: nothing of "
    "that kind is packaged. Name a file of `discreet data share` with --others."
)


class HeldOut(Protocol):
    """Makes examples of one kind that no owner learnt from."""

    def __call__(self, task: AssistantTask, owner: OwnerId, *, path: Path | None) -> Lessons:
        """Return examples like those of an owner, of whom nobody holds any."""


def portraits_like(
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


def conversations_like(
    task: AssistantTask, owner: OwnerId, *, path: Path | None = None
) -> ConversationLessons:
    """Return the conversations of a file that no owner learnt from.

    Raises:
        DataError: if there is no file, or it cannot be used.
    """
    if path is None:
        raise DataError(NO_CONVERSATIONS)
    return other_conversations(task.vlm, task.config, path)


def preferences_like(
    task: AssistantTask, owner: OwnerId, *, path: Path | None = None
) -> PreferenceLessons:
    """Return the packaged pairs of held-out questions."""
    return other_preferences(task.vlm, task.config)


HELD_OUT: Mapping[str, HeldOut] = {
    "portraits": portraits_like,
    "conversations": conversations_like,
    "preference_pairs": preferences_like,
}
"""What one private example is -> what makes others like it."""
