"""FedIT: both factors learn, and each is averaged for itself.

The product of the means is not the mean of the products: it is off by the covariance of the
owners' factors, and noise on both factors enters squared.

Source: Zhang et al. 2024, *Towards Building the FederatedGPT* (arXiv:2305.05644).
"""

from discreet.aggregation.linear import LinearRule
from discreet.aggregation.states import kind_of


def _learns(tensor: str, server_round: int) -> bool:
    """Return whether it is not frozen: A, B and what is no factor learn, in every round."""
    return kind_of(tensor) in {"A", "B", None}


FEDIT = LinearRule(name="fedit", is_learnt=_learns)
