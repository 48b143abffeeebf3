"""FFA-LoRA: A is the same for all, drawn from the public seed, and does not travel; B learns.

The mean of the Bs gives exactly the mean of the products, and noise enters linearly. The price is
less room to learn: rows are combined by an A that nobody chose.

Source: Sun et al. 2024 (arXiv:2403.12313).
"""

from discreet.aggregation.linear import LinearRule
from discreet.aggregation.states import kind_of


def _learns(tensor: str, server_round: int) -> bool:
    """Return whether it is B or no factor."""
    return kind_of(tensor) in {"B", None}


FFA = LinearRule(name="ffa", is_learnt=_learns)
