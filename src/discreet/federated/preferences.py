"""Preference pairs: of two answers to somebody, the better one is to become the likelier one.

One private example is one pair: both answers are two rows of one loss, whose gradient is clipped
once. Owners hold the shipped pairs of private questions. All pairs of a request belong to one
person, who asked it and judged the answers; that person is the user where users are hidden. Safety
lines are no part of an answer, as everywhere where something is learnt.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from discreet.data import Part, PreferencePair, partition_pairs, preference_pairs
from discreet.federated.config import TrainConfig
from discreet.federated.lessons import Lessons, Shared, prefix_of, within_plan
from discreet.model import ROWS_PER_PAIR, AnswerPair, Comparisons, Vlm, answer_pair
from discreet.types import OwnerId

PAIRS_LICENCE = "Apache-2.0; synthetic pairs (docs/cards/conversations.md)"


@dataclass(frozen=True, kw_only=True, slots=True)
class PreferenceLessons:
    """One owner's pairs."""

    comparisons: Comparisons = field(repr=False)
    """Of all owners in this process, with what the base says of them."""
    places: Sequence[int] = field(repr=False)
    """Which of these are the owner's."""
    users: Sequence[str] = field(repr=False)
    """The request that each pair answers: it stands for the person."""

    @property
    def rows_per_example(self) -> int:
        """Two: the chosen answer and the rejected one."""
        return ROWS_PER_PAIR

    def __len__(self) -> int:
        """Return how many pairs there are."""
        return len(self.places)

    def losses(self, indices: Sequence[int]) -> torch.Tensor:
        """Return the losses of some pairs, (N,)."""
        return self.comparisons.losses([self.places[index] for index in indices])


def share_preferences(vlm: Vlm, config: TrainConfig) -> Shared:
    """Return what simulated owners learn from the pairs that are private.

    Args:
        vlm: The model, with its adapter.
        config: The public plan.

    Raises:
        ValueError: if there are fewer requests than owners.
    """
    pairs, comparisons = _compared(vlm, config, "private")
    parts = partition_pairs(
        pairs, config.num_owners, alpha=config.dirichlet_alpha, seed=config.seed
    )
    owned: dict[OwnerId, Lessons] = {}
    for owner, indices in parts.items():
        kept = within_plan((pairs[index].question for index in indices), config)
        places = [indices[place] for place in kept]
        users = [pairs[place].question for place in places]
        owned[owner] = PreferenceLessons(comparisons=comparisons, places=places, users=users)
    return Shared(owned=owned, licence=PAIRS_LICENCE)


def other_preferences(vlm: Vlm, config: TrainConfig) -> PreferenceLessons:
    """Return pairs that no owner learnt from: those of held-out questions."""
    pairs, comparisons = _compared(vlm, config, "held_out")
    return PreferenceLessons(
        comparisons=comparisons,
        places=range(len(pairs)),
        users=[pair.question for pair in pairs],
    )


def _compared(
    vlm: Vlm, config: TrainConfig, part: Part
) -> tuple[list[PreferencePair], Comparisons]:
    """Return the pairs of one part of the questions, from short to long."""
    pairs = preference_pairs(part=part, seed=config.seed, safety=False)
    pairs.sort(key=_length)
    rows = [rows_of(pair) for pair in pairs]
    return pairs, Comparisons(vlm, rows, beta=config.beta, prefix=prefix_of(vlm, config))


def rows_of(pair: PreferencePair) -> AnswerPair:
    """Return a pair as the model reads it."""
    return answer_pair(
        pair.question, note=pair.note, band=pair.band, chosen=pair.chosen, rejected=pair.rejected
    )


def _length(pair: PreferencePair) -> int:
    """Return about how long a pair is: batches are drawn in order and need less padding."""
    return len(pair.note) + len(pair.question) + max(len(pair.chosen), len(pair.rejected))
