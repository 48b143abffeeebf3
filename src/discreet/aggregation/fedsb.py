"""Fed-SB: only the core R (r, r) between a frozen B and a frozen A learns and travels.

B R A is linear in R: the mean of the cores gives exactly the mean of the products, noise enters
linearly, and r x r numbers a layer are the fewest of all rules.

Source: Singhal et al. 2025 (arXiv:2502.15436).
"""

from discreet.aggregation.linear import LinearRule
from discreet.aggregation.states import kind_of


def _learns(tensor: str, server_round: int) -> bool:
    """Return whether it is a core or no factor."""
    return kind_of(tensor) in {"R", None}


FEDSB = LinearRule(name="fedsb", is_learnt=_learns)
