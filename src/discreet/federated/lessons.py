"""What an owner has to learn from, and what every kind of it shares.

A private example is one thing that an owner has: a portrait with a question, a conversation, or a
pair of answers. A kind is a class beside this file (`portraits`, `conversations`, `preferences`);
`task` trains on any.
"""

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from PIL.Image import Image

from discreet.federated.config import TrainConfig
from discreet.model import FrozenPrefix, Vlm, encode_images
from discreet.types import OwnerId

OWN = OwnerId("own")
"""Key of the examples of a device that holds one owner's data only."""
NOT_STATED = "held by the owners, not stated here"


class Lessons(Protocol):
    """The examples of one owner; how many there are, and all else, stays on the device."""

    @property
    def rows_per_example(self) -> int:
        """Rows that the model sees of each example; they are clipped as one gradient."""

    @property
    def users(self) -> Sequence[Hashable]:
        """Whose each example is, in their order."""

    def __len__(self) -> int:
        """Return how many examples there are."""

    def losses(self, indices: Sequence[int]) -> torch.Tensor:
        """Return the losses of some examples, (N,), each of its own example only."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Shared:
    """What owners have, and what may be said of all of it."""

    owned: dict[OwnerId, Lessons] = field(repr=False)
    """Simulated owners by name, or the one owner of this device under `OWN`."""
    licence: str = NOT_STATED
    """Of the data, for the card."""
    left_out: Mapping[str, int] = field(default_factory=dict)
    """Why something cannot be learnt from -> how much; local, as every count is."""


class Pictured(Protocol):
    """Something with a picture, which is decoded when it is asked for."""

    @property
    def image(self) -> Image:
        """The picture."""


@dataclass(slots=True)
class VisualTokens:
    """Visual tokens of pictures, computed when first needed and kept in memory only.

    Kept as float16, and rounded so whether they are kept or not: 18 kB a picture for `small`.
    """

    vlm: Vlm
    pictures: Sequence[Pictured] = field(repr=False)
    limit_bytes: int = 2**30
    """Of what is kept; pictures beyond it are opened and computed anew each time."""
    size_bytes: int = 0
    """Memory that is taken by what is kept."""
    _kept: dict[int, torch.Tensor] = field(default_factory=dict, repr=False)

    def of(self, indices: Sequence[int]) -> torch.Tensor:
        """Return (len(indices), image_tokens, hidden_size) float32; one index or more."""
        found = {index: self._kept[index] for index in indices if index in self._kept}
        missing = sorted(set(indices) - found.keys())
        if missing:
            fresh = encode_images(self.vlm, [self.pictures[index].image for index in missing])
            found.update(zip(missing, fresh.half(), strict=True))
            for index in missing:
                self._keep(index, found[index])
        return torch.stack([found[index].float() for index in indices])

    def _keep(self, index: int, tokens: torch.Tensor) -> None:
        """Keep a picture's tokens if there is room."""
        if self.size_bytes + tokens.nbytes <= self.limit_bytes:
            self._kept[index] = tokens.clone()  # a part of a batch would hold all of it
            self.size_bytes += tokens.nbytes


def prefix_of(vlm: Vlm, config: TrainConfig) -> FrozenPrefix | None:
    """Return what keeps the states of frozen layers, if the plan has room for it."""
    room = config.activations_mib * 2**20
    return FrozenPrefix(vlm, limit_bytes=room) if room else None


def within_plan(users: Iterable[Hashable], config: TrainConfig) -> list[int]:
    """Return the places of examples less those by which a person has more than the plan allows.

    Where examples are drawn and users are hidden, the bound is part of the guarantee. Each person
    is looked at alone, so that one person more leaves the others as they were.
    """
    most = config.examples_per_user
    is_bounded = config.unit == "user" and config.sampled == "example" and most is not None
    seen: Counter[Hashable] = Counter()
    kept = []
    for place, user in enumerate(users):
        seen[user] += 1
        if not is_bounded or seen[user] <= (most or 0):
            kept.append(place)
    return kept
