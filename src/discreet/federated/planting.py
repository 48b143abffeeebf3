"""Canaries among the examples of simulated owners: which there are, and which were planted.

All of it follows from the public plan, so that an auditor with the plan knows what to look for.
Whoever is audited must not use it. A canary is a person of its own: no example of somebody else
changes with it, and no promise to a user is stretched by it.
"""

import hashlib
import random
from collections.abc import Sequence
from typing import TYPE_CHECKING

from discreet.data import Canary, Example, Portrait, draw_canaries

if TYPE_CHECKING:
    from discreet.federated.config import TrainConfig


def canaries_of(config: "TrainConfig", owner: str) -> list[Canary]:
    """Return the canaries of an owner, planted or not, the same for one plan."""
    if not config.canaries:
        return []
    digest = hashlib.sha256(f"canaries {config.seed} {owner}".encode()).digest()
    return draw_canaries(config.canaries, seed=int.from_bytes(digest[:6]))


def planted_examples(
    config: "TrainConfig", owner: str, portraits: Sequence[Portrait]
) -> list[Example]:
    """Return the examples of the canaries that the coins put in."""
    return [
        canary_example(canary, portraits)
        for canary in canaries_of(config, owner)
        if canary.is_planted
    ]


def canary_example(canary: Canary, portraits: Sequence[Portrait]) -> Example:
    """Return a canary as an example, with a picture that depends on no other example."""
    place = random.Random(f"picture {canary.id}").randrange(len(portraits))
    return Example(
        portrait=place,
        identity_id=canary.id,
        domain="healthcare",
        question=canary.question,
        note="No note is needed here.",
        question_id=canary.id,
        answer=canary.answer,
        age_band=portraits[place].age_band,
        expression=portraits[place].expression,
    )
