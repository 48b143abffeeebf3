"""A lower bound on epsilon from one run with many canaries, each in the data on a fair coin.

If a mechanism is (epsilon, 0)-private, each guess is right with a chance of at most
exp(epsilon) / (1 + exp(epsilon)), whatever the other coins say, so that right guesses are no more
than a binomial number. With delta, a term grows with delta times canaries: delta has to be well
below 1 / canaries, or nothing can be shown. It takes no mechanism for anything.

With 100 guesses that are all right it shows 3.49 and no more:

>>> all_right = Guesses(canaries=100, guesses=100, correct=100)
>>> round(one_run_epsilon(all_right, delta=0.0), 2)
3.49
>>> round(one_run_epsilon(all_right, delta=1e-3), 2)
3.2

Source: Steinke, Nasr and Jagielski 2023, *Privacy Auditing with One (1) Training Run*, theorem 5.2
and appendix D (arXiv:2305.08846).
"""

from collections.abc import Sequence

import numpy as np
from scipy.special import bdtrc, expit

from discreet.bounds.curves import largest_refuted
from discreet.bounds.guessing import (
    Bound,
    Choice,
    Flags,
    Guesses,
    Numbers,
    best_choice,
    default_choices,
)


def one_run_p_value(guesses: Guesses, *, epsilon: float, delta: float) -> float:
    """Return how likely so many right guesses can be for an (epsilon, delta)-private mechanism.

    It is `beta + 2 * canaries * delta * alpha`, where beta is the binomial chance of `correct` or
    more, and alpha the largest chance of 1 to i fewer, over i (theorem 5.2).
    """
    if not (0 <= epsilon < np.inf and 0 <= delta < 1):
        raise ValueError(
            f"Expected a finite epsilon, 0 or more, and 0 <= delta < 1, got {epsilon} and {delta}."
        )
    right = expit(epsilon)
    enough = float(bdtrc(guesses.correct - 1, guesses.guesses, right)) if guesses.correct else 1.0
    if delta == 0 or guesses.correct == 0:
        return enough
    fewer = np.arange(1, guesses.correct + 1)
    at_least = np.ones(guesses.correct)
    at_least[:-1] = bdtrc(guesses.correct - 1 - fewer[:-1], guesses.guesses, right)
    alpha = float(((at_least - enough) / fewer).max())
    return min(1.0, enough + 2 * guesses.canaries * delta * max(alpha, 0.0))


def one_run_epsilon(guesses: Guesses, *, delta: float, confidence: float = 0.95) -> float:
    """Return the largest epsilon that the guesses refute; 0 if none.

    Args:
        guesses: Of a choice that was fixed beforehand.
        delta: The delta at which epsilon is asked for, 0 or more.
        confidence: How often the bound is right.
    """
    return largest_refuted(
        lambda epsilon: one_run_p_value(guesses, epsilon=epsilon, delta=delta) <= 1 - confidence,
        tolerance=1e-6,
    )


def one_run_bound(
    scores: Numbers,
    included: Flags,
    *,
    delta: float,
    confidence: float = 0.95,
    choices: Sequence[Choice] | None = None,
) -> Bound:
    """Return the lower bound on epsilon from scores of canaries in one run.

    Args:
        scores: (m,) higher: more likely in the data.
        included: (m,) what the coins said.
        delta: Well below 1 / m.
        confidence: How often the bound is right, over all choices together (Bonferroni).
        choices: How many to guess, fixed before scores were seen; `default_choices` by default.

    Raises:
        ValueError: if there are too few canaries, or a score is not finite.
    """
    choices = default_choices(len(scores)) if choices is None else choices
    epsilon, guesses = best_choice(
        scores,
        included,
        choices,
        confidence=confidence,
        epsilon_of_guesses=lambda found, level: one_run_epsilon(
            found, delta=delta, confidence=level
        ),
    )
    return Bound(
        method="one run (Steinke et al. 2023)",
        epsilon=epsilon,
        delta=delta,
        confidence=confidence,
        assumes=None,
        guesses=guesses,
        tried=len(choices),
    )
