"""From scores of canaries to guesses: who is said to be in, who to be out, and who is passed over.

Canaries are put into the data on a coin each. The auditor says "in" of those with the highest
scores and "out" of those with the lowest, and abstains from the rest: a few sure guesses show more
than many poor ones. How many guesses to make is a choice. Whoever looks at the coins to choose and
then reports the best of several has a bound that holds less often than it says; here each choice is
held to a stricter level (Bonferroni), and the choices stand before scores are seen.

>>> scores, included = np.array([5.0, 1.0, -2.0, 0.0]), np.array([True, True, False, False])
>>> guess(scores, included, Choice(guess_in=1, guess_out=1))
Guesses(canaries=4, guesses=2, correct=2)
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

SHARES = (0.05, 0.2, 0.5, 1.0)
"""Shares of canaries that are guessed, half of them "in": the choices that are tried by default."""
CANARIES_NEEDED = 20
"""Fewer cannot show an epsilon of 2 at 95 %, however well they are told."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """How many canaries are guessed; fixed before the scores are seen."""

    guess_in: int
    """Those with the highest scores."""
    guess_out: int
    """Those with the lowest."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Guesses:
    """How many canaries there were, were guessed, and were guessed right."""

    canaries: int
    """m: each was in the data on a fair coin of its own."""
    guesses: int
    """r: at most m; a number that does not depend on the coins."""
    correct: int
    """v: at most r."""

    def __post_init__(self) -> None:
        """Refuse numbers that do not fit each other."""
        if not (0 <= self.correct <= self.guesses <= self.canaries and self.guesses >= 1):
            raise ValueError(
                "Expected 0 <= correct <= guesses <= canaries and 1 guess or more, got "
                f"{self.correct}, {self.guesses} and {self.canaries}. Correct them."
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class Bound:
    """A lower bound on epsilon."""

    method: str
    """How it was found."""
    epsilon: float
    """The mechanism's epsilon at `delta` is no less; 0: nothing was found."""
    delta: float
    confidence: float
    """How often such a bound is right, whatever the mechanism; it is one-sided."""
    assumes: str | None
    """What the mechanism is taken for; None: nothing but fair coins."""
    guesses: Guesses | None = None
    """The guesses of the choice that gave it; None where there were none."""
    tried: int = 1
    """Choices that were tried; each was held to a stricter level."""

    @property
    def is_certificate(self) -> bool:
        """Return whether the bound rests on nothing but fair coins."""
        return self.assumes is None


def default_choices(canaries: int) -> tuple[Choice, ...]:
    """Return a choice for each of `SHARES`, as many "in" as "out".

    Raises:
        ValueError: if there are fewer than `CANARIES_NEEDED`.
    """
    if canaries < CANARIES_NEEDED:
        raise ValueError(
            f"Expected {CANARIES_NEEDED} canaries or more, got {canaries}: too few to show "
            f"anything. It needs at least {CANARIES_NEEDED}; 500 are usual."
        )
    halves = {max(1, math.floor(share * canaries / 2)): None for share in SHARES}
    return tuple(Choice(guess_in=half, guess_out=half) for half in halves)


def guess(scores: Numbers, included: Flags, choice: Choice) -> Guesses:
    """Return how many guesses of a choice were right; equal scores are taken in their order.

    Args:
        scores: (m,) higher: more likely in the data.
        included: (m,) what the coins said.
        choice: How many to guess.

    Raises:
        ValueError: if lengths differ, a score is not finite, or more are guessed than there are.
    """
    check_scores(scores, included)
    total = choice.guess_in + choice.guess_out
    if min(choice.guess_in, choice.guess_out) < 0 or not 1 <= total <= len(scores):
        raise ValueError(
            f"Expected from 1 to {len(scores)} guesses, got {choice.guess_in} in and "
            f"{choice.guess_out} out. Guess fewer."
        )
    order = np.argsort(-scores, kind="stable")
    right = included[order[: choice.guess_in]].sum()
    right += (~included[order[len(order) - choice.guess_out :]]).sum()
    return Guesses(canaries=len(scores), guesses=total, correct=int(right))


def best_choice(
    scores: Numbers,
    included: Flags,
    choices: Sequence[Choice],
    *,
    confidence: float,
    epsilon_of_guesses: Callable[[Guesses, float], float],
) -> tuple[float, Guesses]:
    """Return the largest bound over the choices, and its guesses, valid for all of them at once.

    Each choice is held to the level (1 - confidence) / number of choices (Bonferroni).
    """
    if not choices or not 0 < confidence < 1:
        raise ValueError(
            f"Expected a choice or more and 0 < confidence < 1, got {len(choices)} choices and "
            f"confidence={confidence}."
        )
    stricter = 1 - (1 - confidence) / len(choices)
    found = [guess(scores, included, choice) for choice in choices]
    bounds = [epsilon_of_guesses(guesses, stricter) for guesses in found]
    best = int(np.argmax(bounds))
    return bounds[best], found[best]


def check_scores(scores: Numbers, included: Flags) -> None:
    """Refuse scores that are not finite, and coins that are not one for each."""
    if scores.ndim != 1 or scores.shape != included.shape or included.dtype != np.bool_:
        raise ValueError(
            f"Expected scores (m,) and coins (m,) of bool, got shapes {scores.shape} and "
            f"{included.shape} of {included.dtype}. Give one coin for each canary."
        )
    if not np.isfinite(scores).all():
        raise ValueError(
            f"Expected finite scores, got {int((~np.isfinite(scores)).sum())} of {len(scores)} "
            "that are not. Score such a canary lowest, in a way that does not look at its coin."
        )
