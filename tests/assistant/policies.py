"""Policies and their parts, to be changed in one place by a test."""

from collections.abc import Mapping
from typing import Any

from discreet.assistant import Policy, Purpose, Rule

AGE_CHANGES = ("reading_level", "steps", "length")
CHILD = Rule(
    sources=("declared", "estimated"),
    min_confidence=0.0,
    estimated_values=("child",),
    seen_by=("person", "responder"),
    may_change=AGE_CHANGES,
)
SAD = Rule(
    sources=("declared", "estimated"),
    min_confidence=0.0,
    estimated_values=("sad",),
    seen_by=("person", "responder"),
    may_change=("tone",),
)


def purpose(attributes: Mapping[str, Rule], **changes: Any) -> Purpose:
    """Return a purpose named `test` with some attributes."""
    fields = {
        "name": "test",
        "description": {"en": "A test.", "fr": "Un essai."},
        "attributes": attributes,
        "legal_basis": "gdpr-6-1-a",
    }
    return Purpose(**{**fields, **changes})


def policy(
    context: str = "healthcare",
    attributes: Mapping[str, Rule] | None = None,
    *,
    responder_sees_picture: bool = False,
    **changes: Any,
) -> Policy:
    """Return a policy of one purpose."""
    one = purpose({"age_band": CHILD} if attributes is None else attributes)
    fields = {"purposes": {"test": one}, "default_purpose": "test"}
    return Policy(
        context=context, responder_sees_picture=responder_sees_picture, **{**fields, **changes}
    )
