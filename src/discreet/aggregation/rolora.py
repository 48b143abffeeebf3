"""RoLoRA: the factors learn by turns, B in odd rounds and A in even ones.

With one factor the same for all owners, the mean of the other gives exactly the mean of the
products of the round. What is no factor learns with B. B comes first, since it starts at zero and A
would get no gradient.

Source: Chen et al. 2025, *Robust Federated Finetuning of LLMs via Alternating Optimization of
LoRA* (arXiv:2502.01755).
"""

from discreet.aggregation.linear import LinearRule
from discreet.aggregation.states import kind_of


def _learns(tensor: str, server_round: int) -> bool:
    """Return whether it is this round's turn."""
    return kind_of(tensor) in ({"B", None} if server_round % 2 else {"A"})


ROLORA = LinearRule(name="rolora", is_learnt=_learns)
