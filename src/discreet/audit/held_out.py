"""Examples that no owner learnt from, made as theirs were: without them nothing can be told apart.

One function for each kind of example; what a plan learns from chooses.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from discreet.data import build_examples, load_portraits, load_questions, split_questions
from discreet.errors import DataError
from discreet.federated import AssistantTask, Lessons, PortraitLessons, VisualTokens
from discreet.types import OwnerId


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


def none_like(task: AssistantTask, owner: OwnerId, *, path: Path | None = None) -> Lessons:
    """Refuse: of this kind nothing is held out."""
    raise DataError(
        f"Expected a run on portraits, got one on {task.config.examples}: of those nobody is held "
        "out, so that members have nobody to be told from."
    )


HELD_OUT: Mapping[str, Callable[..., Lessons]] = {
    "portraits": portraits_like,
    "conversations": none_like,
    "preference_pairs": none_like,
}
"""What one private example is -> what makes others like it."""
