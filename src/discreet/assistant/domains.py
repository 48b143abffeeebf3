"""Which policy belongs to a domain of notes, and what a responder is told there at most.

>>> CONTEXT_OF["tutoring"]
'education'
"""

from collections.abc import Callable, Mapping, Sequence

from discreet.assistant.gate import gate
from discreet.assistant.policy import Policy
from discreet.types import Domain, Observation

CONTEXT_OF: Mapping[Domain, str] = {"healthcare": "healthcare", "tutoring": "education"}
"""The policy context that the notes of a domain belong to."""
WIDEST_OF: Mapping[Domain, str] = {"healthcare": "comfort", "tutoring": "explain"}
"""The purpose that may know the most; what is measured is measured for it."""
Gate = Callable[[Sequence[Observation]], Sequence[Observation]]
"""What of some observations may be used."""


def gate_of(policy: Policy, purpose: str) -> Gate:
    """Return what of observations a responder is told for a purpose, if all is consented to."""
    consented = frozenset(policy.consentable(purpose))
    return lambda seen: gate(seen, policy, purpose=purpose, consented=consented).told
