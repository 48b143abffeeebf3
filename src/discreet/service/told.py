"""Whether a policy does no more than the notice of its context says; asked before anybody is.

A notice says what is estimated, how finely and what it changes, in words, for the policy that ships
for its context. A policy of one's own is held to the names that the notice asks for, and to that
policy. Words cannot be checked: what a purpose's description says, and whether the notice is true
of the world, is for whoever runs the service.

    >>> from discreet.assistant import load_policy
    >>> require_told(load_policy("healthcare"))
"""

from typing import get_args

from discreet.assistant import Policy, Rule, load_policy
from discreet.consent import load_notice
from discreet.errors import PolicyError
from discreet.types import Language


def require_told(policy: Policy) -> None:
    """Refuse a policy of which its notice does not tell.

    Raises:
        PolicyError: if it needs a consent that the notice does not ask for in each language, or if
            an estimate is finer, less sure, kept longer, seen by more or changes more than in the
            policy that ships.
    """
    needed = {name for purpose in policy.purposes for name in policy.consentable(purpose)}
    for language in get_args(Language):
        if other := needed - set(load_notice(policy.context, language).names):
            raise PolicyError(
                f"Expected no estimate but those that the notice of {policy.context} asks for, got "
                f"{', '.join(sorted(other))}. Take 'estimated' out there, or name it as it ships."
            )
    shipped = load_policy(policy.context)
    for name, purpose in policy.purposes.items():
        for attribute, rule in purpose.attributes.items():
            if purpose.may_estimate(attribute) and not _is_told(
                rule, shipped.purpose_of(name).attributes[attribute]
            ):
                raise PolicyError(
                    f"Expected {name}/{attribute} within what the notice says of it, got an "
                    "estimate that is finer, less sure, kept longer, seen by more or changes more. "
                    "Take its rule from the policy that ships, or a narrower one."
                )


def _is_told(rule: Rule, shipped: Rule) -> bool:
    """Tell whether a rule lets through no more than the one that ships."""
    pairs = [
        (rule.estimated_values, shipped.estimated_values),
        (rule.may_change, shipped.may_change),
        (rule.seen_by, shipped.seen_by),
    ]
    is_as_sure = rule.min_confidence >= shipped.min_confidence
    is_within = all(set(one) <= set(other) for one, other in pairs)
    return is_within and is_as_sure and rule.ttl_seconds <= shipped.ttl_seconds
