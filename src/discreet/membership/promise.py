"""What a promise allows an attack to find.

>>> round(most_tpr(1.0, 1e-5, fpr=0.01), 4)
0.0272
"""

import math


def most_tpr(epsilon: float, delta: float, *, fpr: float) -> float:
    """Return the largest share of members that any attack on one unit can find.

    Args:
        epsilon: 0 or more; infinity promises nothing.
        delta: From 0 to 1.
        fpr: Share of others that the attack accuses, from 0 to 1.

    Raises:
        ValueError: if a number is out of range.

    Source: Kairouz et al. 2015, *The Composition Theorem for Differential Privacy*
    (arXiv:1311.0776), equations 3 and 4.
    """
    if not (epsilon >= 0 and 0 <= delta <= 1 and 0 <= fpr <= 1):
        raise ValueError(
            f"Expected epsilon >= 0, and delta and fpr from 0 to 1, got {epsilon}, {delta} and "
            f"{fpr}. Correct them."
        )
    times = math.exp(min(epsilon, 700.0))
    return max(fpr, min(1.0, times * fpr + delta, 1 - (1 - delta - fpr) / times))


def promise_of_group(epsilon: float, delta: float, count: int) -> tuple[float, float]:
    """Return what a promise of one unit promises of `count` that are in or out together.

    Args:
        epsilon: Of one, 0 or more.
        delta: Of one, from 0 to 1.
        count: 1 or more.

    Raises:
        ValueError: if a number is out of range.

    Source: Vadhan 2017, *The Complexity of Differential Privacy*, lemma 2.2.
    """
    if not (epsilon >= 0 and 0 <= delta <= 1 and count >= 1):
        raise ValueError(
            f"Expected epsilon >= 0, delta from 0 to 1 and 1 unit or more, got {epsilon}, {delta} "
            f"and {count}. Correct them."
        )
    times = sum(math.exp(min(700.0, place * epsilon)) for place in range(count))
    return count * epsilon, min(1.0, times * delta)
