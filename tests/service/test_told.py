"""A policy that does more than people are told is refused before anybody is asked."""

from dataclasses import replace
from typing import Any

import pytest

from discreet.assistant import CONTEXTS, Policy, load_policy
from discreet.errors import PolicyError
from discreet.service import require_told


def changed(purpose: str, attribute: str, **changes: Any) -> Policy:
    policy = load_policy("healthcare")
    one = policy.purposes[purpose]
    rule = replace(one.attributes[attribute], **changes)
    other = replace(one, attributes={**one.attributes, attribute: rule})
    return replace(policy, purposes={**policy.purposes, purpose: other})


@pytest.mark.parametrize("context", CONTEXTS)
def test_what_ships_is_told(context: str) -> None:
    require_told(load_policy(context))


def test_a_policy_that_does_less_is_told() -> None:
    rule = load_policy("healthcare").purposes["inform"].attributes["age_band"]
    require_told(changed("inform", "age_band", min_confidence=1.0, ttl_seconds=0))
    require_told(changed("inform", "age_band", estimated_values=rule.estimated_values[:1]))
    declared = changed("inform", "age_band", sources=("declared",), estimated_values=())
    require_told(declared)


@pytest.mark.parametrize(
    "more",
    [
        {"estimated_values": ("child", "young_adult", "middle_aged", "older_adult")},
        {"min_confidence": 0.0},
        {"ttl_seconds": 86_400},
    ],
    ids=str,
)
def test_an_estimate_that_goes_further_than_the_notice_is_refused(more: dict[str, Any]) -> None:
    with pytest.raises(PolicyError, match="within what the notice says"):
        require_told(changed("inform", "age_band", **more))


def test_a_consent_that_the_notice_does_not_ask_for_is_refused() -> None:
    policy = load_policy("healthcare")
    other = replace(policy.purposes["inform"], name="sell")
    wider = replace(policy, purposes={**policy.purposes, "sell": other})
    with pytest.raises(PolicyError, match="got sell/age_band"):
        require_told(wider)
