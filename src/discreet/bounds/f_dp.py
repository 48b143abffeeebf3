"""A sharper lower bound from one run, for a mechanism whose trade-off curve is of a known family.

Epsilon and delta say little of a mechanism; its whole curve says more, and refutes more. The bound
asks: how private a member of the family (Gaussian mechanisms, by mu) could have let the auditor
guess so well? It is a bound where the mechanism's curve is no lower than that of some member; a
Gaussian mechanism with everything in each step is a member. For others the number is what the
family would need.

>>> guesses = Guesses(canaries=1000, guesses=1000, correct=700)
>>> round(f_dp_epsilon(guesses, delta=1e-5), 2)
1.37

Source: Mahloujifar, Melis and Chaudhuri 2024, *Auditing f-Differential Privacy in One Run*
(arXiv:2410.22235), procedure `audit_rh`.
"""

from collections.abc import Sequence

from discreet.bounds.curves import Curve, Family, check_delta, gaussian_family, largest_refuted
from discreet.bounds.guessing import (
    Bound,
    Choice,
    Flags,
    Guesses,
    Numbers,
    best_choice,
    default_choices,
)


def is_curve_refuted(guesses: Guesses, curve: Curve, *, confidence: float = 0.95) -> bool:
    """Return whether a mechanism with this curve is right so often in fewer than 1 - confidence.

    Let `right` be the chance that a canary drawn at random is guessed right and at least i guesses
    are right in all, `wrong` the same for a wrong guess. Turning that canary's coin turns the one
    with i into the other with i - 1, so that the curve holds `wrong` up. Suppose the tail at
    `correct` has the chance 1 - confidence, and go down: if `right + wrong` must exceed what there
    is, guesses / canaries, the tail has less.
    """
    level, total = 1 - confidence, guesses.guesses
    right = level * guesses.correct / guesses.canaries
    wrong = level * (total - guesses.correct) / guesses.canaries
    for others in range(guesses.correct - 1, -1, -1):
        more = max(wrong, curve(right))
        if more == wrong:
            break
        right = min(1.0, right + others / (total - others) * (more - wrong))
        wrong = more
    return right + wrong > total / guesses.canaries


def f_dp_epsilon(
    guesses: Guesses, *, delta: float, confidence: float = 0.95, family: Family | None = None
) -> float:
    """Return the epsilon of the least private member of the family that the guesses refute.

    Args:
        guesses: Of a choice that was fixed beforehand.
        delta: The delta at which epsilon is asked for; it has no part in the test itself.
        confidence: How often the bound is right.
        family: Curves of the mechanism; `gaussian_family` by default.
    """
    check_delta(delta)
    family = family or gaussian_family()
    parameter = largest_refuted(
        lambda one: is_curve_refuted(guesses, family.curve(one), confidence=confidence),
        family.tolerance,
    )
    return family.epsilon(parameter, delta) if parameter > 0 else 0.0


def f_dp_bound(
    scores: Numbers,
    included: Flags,
    *,
    delta: float,
    confidence: float = 0.95,
    family: Family | None = None,
    choices: Sequence[Choice] | None = None,
) -> Bound:
    """Return the lower bound on epsilon from scores of canaries in one run, by a family of curves.

    Args:
        scores: (m,) higher: more likely in the data.
        included: (m,) what the coins said.
        delta: The delta at which epsilon is asked for.
        confidence: How often the bound is right, over all choices together (Bonferroni).
        family: Curves of the mechanism; `gaussian_family` by default.
        choices: How many to guess, fixed before scores were seen; `default_choices` by default.

    Raises:
        ValueError: if there are too few canaries, or a score is not finite.
    """
    family = family or gaussian_family()
    choices = default_choices(len(scores)) if choices is None else choices
    epsilon, guesses = best_choice(
        scores,
        included,
        choices,
        confidence=confidence,
        epsilon_of_guesses=lambda found, level: f_dp_epsilon(
            found, delta=delta, confidence=level, family=family
        ),
    )
    return Bound(
        method="f-DP in one run (Mahloujifar et al. 2024)",
        epsilon=epsilon,
        delta=delta,
        confidence=confidence,
        assumes=f"the trade-off curve of {family.name}",
        guesses=guesses,
        tried=len(choices),
    )
