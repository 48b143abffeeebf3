"""Portraits with questions: to fit vetted facts to the person who asks.

Each private example is presented twice, as the picture's visual tokens and as text that passed the
gate, and counts once: its two losses are averaged before its gradient is clipped.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from discreet.data import (
    Example,
    Portrait,
    build_examples,
    load_portraits,
    load_questions,
    partition_by_owner,
    split_questions,
)
from discreet.errors import DataError, ImageError
from discreet.federated.config import TrainConfig
from discreet.federated.lessons import (
    NOT_STATED,
    OWN,
    Lessons,
    Shared,
    VisualTokens,
    prefix_of,
    within_plan,
)
from discreet.federated.planting import planted_examples
from discreet.model import (
    IMAGE_TOKEN,
    FrozenPrefix,
    Row,
    Vlm,
    answer_losses,
    build_prompt,
    collate,
    person_line,
)
from discreet.types import Observation, OwnerId

ROWS_PER_EXAMPLE = 2
"""Gated text and visual tokens."""
PACKAGED_LICENCE = "Apache-2.0; portraits rendered from CC0 1.0 assets (docs/cards/people.md)"


def presentations(example: Example) -> tuple[Row, Row]:
    """Return an example as gated text and as visual tokens, with the same answer."""
    return tuple(
        Row(
            messages=build_prompt(example.question, note=example.note, person=person),
            answer=example.answer,
        )
        for person in (person_line(_allowed(example)), IMAGE_TOKEN)
    )  # type: ignore[return-value]


def _allowed(example: Example) -> list[Observation]:
    """Return what a policy lets through: never an expression in tutoring."""
    values = {"age_band": example.age_band}
    if example.domain == "healthcare":
        values["expression"] = example.expression  # type: ignore[assignment]
    return [
        Observation(attribute=name, value=value, source="declared", confidence=1.0)  # type: ignore[arg-type]
        for name, value in values.items()
    ]


def example_losses(
    vlm: Vlm,
    visual: VisualTokens,
    examples: Sequence[Example],
    *,
    prefix: FrozenPrefix | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the losses of the gated and of the native presentation, (N,) each.

    With a `prefix`, rows that were seen before start at the lowest layer that learns.
    """
    batch = collate(vlm, [row for example in examples for row in presentations(example)])
    features = visual.of([example.portrait for example in examples])
    if prefix is None:
        losses = answer_losses(vlm, batch, features)
    else:
        ways = range(ROWS_PER_EXAMPLE)
        keys = [(one.question_id, one.portrait, way) for one in examples for way in ways]
        losses = prefix.answer_losses(batch, features, keys=keys)
    gated, native = losses.view(-1, ROWS_PER_EXAMPLE).unbind(1)
    return gated, native


@dataclass(frozen=True, kw_only=True, slots=True)
class PortraitLessons:
    """One owner's portraits, each with a question."""

    vlm: Vlm
    visual: VisualTokens = field(repr=False)
    examples: Sequence[Example] = field(repr=False)
    prefix: FrozenPrefix | None = field(default=None, repr=False)

    @property
    def rows_per_example(self) -> int:
        """Two: gated text and visual tokens."""
        return ROWS_PER_EXAMPLE

    @property
    def users(self) -> list[str]:
        """The person of each example."""
        return [example.identity_id for example in self.examples]

    def __len__(self) -> int:
        """Return how many examples there are."""
        return len(self.examples)

    def losses(self, indices: Sequence[int]) -> torch.Tensor:
        """Return the mean loss of both presentations of some examples, (N,)."""
        chosen = [self.examples[index] for index in indices]
        gated, native = example_losses(self.vlm, self.visual, chosen, prefix=self.prefix)
        return (gated + native) / 2


def share_portraits(
    vlm: Vlm, config: TrainConfig, path: Path | None = None, *, is_own: bool = False
) -> Shared:
    """Return what owners learn from portraits and the questions that are private.

    Args:
        vlm: The model, with its adapter.
        config: The public plan.
        path: A Parquet file of portraits; the packaged train people by default.
        is_own: It is the data of this device's owner, and not to be shared out to simulated ones.

    Raises:
        DataError: if the file or a picture in it cannot be used, or an owner's own data are to
            hold canaries.
    """
    if is_own and config.canaries:
        raise DataError(
            f"Expected a plan without canaries for an owner's own data, got {config.canaries}. "
            "They are planted among simulated owners: set canaries = 0."
        )
    portraits = load_portraits("train", path=path)
    if path is not None:
        _decode_all(portraits)
    parts = (
        {OWN: list(range(len(portraits)))}
        if is_own
        else partition_by_owner(
            portraits, config.num_owners, alpha=config.dirichlet_alpha, seed=config.seed
        )
    )
    questions = split_questions(load_questions()).private
    visual, prefix = VisualTokens(vlm, portraits), prefix_of(vlm, config)
    owned: dict[OwnerId, Lessons] = {}
    for owner, indices in parts.items():
        kept = within_plan((portraits[index].identity_id for index in indices), config)
        examples = build_examples(
            portraits,
            questions,
            indices=[indices[place] for place in kept],
            alpha=config.dirichlet_alpha,
            owner=owner,
            seed=config.seed,
        )
        examples += planted_examples(config, owner, portraits)
        owned[owner] = PortraitLessons(
            vlm=vlm, visual=visual, examples=_by_length(examples), prefix=prefix
        )
    return Shared(owned=owned, licence=PACKAGED_LICENCE if path is None else NOT_STATED)


def _by_length(examples: list[Example]) -> list[Example]:
    """Return examples from short to long: batches are drawn in order and need less padding."""
    return sorted(examples, key=lambda e: len(e.note) + len(e.question) + len(e.answer))


def _decode_all(portraits: Sequence[Portrait]) -> None:
    """Refuse data with a damaged picture before anything is charged.

    Found in a step, it would cost that step, and say that the example was drawn.
    """
    for row, portrait in enumerate(portraits, 1):
        try:
            _ = portrait.image
        except ImageError as error:
            raise DataError(f"In portrait {row} of {len(portraits)}: {error}") from None
