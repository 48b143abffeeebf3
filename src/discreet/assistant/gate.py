"""The gate: which observations may be used for a purpose, given consent. Default deny.

Whether an observation passes follows from its attribute, value, source and confidence, the policy,
the purpose, the names that were consented to and whether the person is a minor, and from nothing
else: no words of anybody are read.

>>> from discreet.assistant.policy_files import load_policy
>>> face = Observation(attribute="expression", value="sad", source="estimated", confidence=1.0)
>>> [held] = gate([face], load_policy("education")).withheld
>>> say_reason(held.reason, "en")
'not allowed for this purpose'
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from discreet.assistant.policy import EFFECTS, VALUES, Policy, Purpose, Rule, is_share
from discreet.types import Language, Observation


class Reason(StrEnum):
    """Why an observation did not pass; a code that tells nothing of the person."""

    REPLACED = "replaced"
    NOT_ALLOWED = "not_allowed"
    UNKNOWN_VALUE = "unknown_value"
    SOURCE_NOT_ALLOWED = "source_not_allowed"
    MINOR = "minor"
    NO_CONSENT = "no_consent"
    TOO_FINE = "too_fine"
    NO_CONFIDENCE = "no_confidence"
    UNSURE = "unsure"
    NO_EFFECT = "no_effect"
    MAY_NOT_CHANGE = "may_not_change"


_WORDS: Mapping[Language, Mapping[Reason, str]] = {
    "en": {
        Reason.REPLACED: "replaced by what the person declared",
        Reason.NOT_ALLOWED: "not allowed for this purpose",
        Reason.UNKNOWN_VALUE: "not a value that this attribute can take",
        Reason.SOURCE_NOT_ALLOWED: "may not come from there for this purpose",
        Reason.MINOR: "nothing is estimated of minors",
        Reason.NO_CONSENT: "nobody consented to this estimate",
        Reason.TOO_FINE: "a guess of that kind is not used for this purpose",
        Reason.NO_CONFIDENCE: "a confidence that is not in 0 to 1",
        Reason.UNSURE: "not sure enough",
        Reason.NO_EFFECT: "nothing to fit an answer to",
        Reason.MAY_NOT_CHANGE: "would change what it may not change",
    },
    "fr": {
        Reason.REPLACED: "remplacé par ce que la personne a déclaré",
        Reason.NOT_ALLOWED: "non permis pour cette finalité",
        Reason.UNKNOWN_VALUE: "cet attribut ne peut pas avoir cette valeur",
        Reason.SOURCE_NOT_ALLOWED: "ne peut pas venir de là pour cette finalité",
        Reason.MINOR: "rien n'est estimé sur les mineurs",
        Reason.NO_CONSENT: "personne n'a consenti à cette estimation",
        Reason.TOO_FINE: "une estimation de ce genre ne sert pas à cette finalité",
        Reason.NO_CONFIDENCE: "une confiance qui n'est pas entre 0 et 1",
        Reason.UNSURE: "pas assez sûr",
        Reason.NO_EFFECT: "rien à quoi adapter une réponse",
        Reason.MAY_NOT_CHANGE: "changerait ce que cela ne peut pas changer",
    },
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Withheld:
    """An observation that did not pass; its value is not kept."""

    attribute: str
    reason: Reason


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """What the gate let through and what it held back."""

    passed: tuple[Observation, ...]
    """What may be used."""
    withheld: tuple[Withheld, ...]
    told: tuple[Observation, ...] = ()
    """Of what passed, what the responder may see; the rest is for the page."""
    may_change: Mapping[str, tuple[str, ...]] = field(default_factory=dict, repr=False)
    """For each attribute that passed, what its value changes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Asker:
    """All that a decision follows from, besides the observation."""

    purpose: Purpose
    consented: frozenset[str]
    declared: frozenset[str]
    is_minor: bool
    """The person is one, by what was said."""
    looks_minor: bool
    """A picture says that they may be one: it may protect, and nothing else is read from it."""


def gate(
    observations: Sequence[Observation],
    policy: Policy,
    *,
    purpose: str | None = None,
    consented: frozenset[str] = frozenset(),
    minor: bool = False,
) -> Decision:
    """Return what may be used; a declared attribute replaces an estimated one.

    Args:
        observations: What was declared and estimated.
        policy: Of the context.
        purpose: What for; the policy's default one if none is named.
        consented: Names that the person consented to, as `policy.consentable` returns them.
        minor: Whether the person is known to be one; who declares to be a child is one, too.

    Raises:
        PolicyError: if the policy has no such purpose.
    """
    children = {s.source for s in observations if (s.attribute, s.value) == ("age_band", "child")}
    asker = _Asker(
        purpose=policy.purpose_of(purpose),
        consented=frozenset(consented),  # a text is no name: parts of it are not looked for
        declared=frozenset(s.attribute for s in observations if s.source == "declared"),
        is_minor=minor or "declared" in children,
        looks_minor="estimated" in children,
    )
    reasons = [(seen, _reason(seen, asker)) for seen in observations]
    passed = tuple(seen for seen, reason in reasons if reason is None)
    rules = asker.purpose.attributes
    return Decision(
        passed=passed,
        withheld=tuple(
            Withheld(attribute=seen.attribute, reason=reason)
            for seen, reason in reasons
            if reason is not None
        ),
        told=tuple(seen for seen in passed if "responder" in rules[seen.attribute].seen_by),
        may_change={seen.attribute: EFFECTS[seen.attribute][seen.value] for seen in passed},
    )


def declare(name: str, value: str) -> Observation:
    """Return what a person says of themselves as an observation.

    Raises:
        ValueError: if there is no such attribute, or no such value of it.
    """
    if name not in VALUES:
        raise ValueError(
            f"Expected a declared attribute among {', '.join(VALUES)}, got another. There is none "
            "for race, gender or identity."
        )
    if value not in VALUES[name]:
        raise ValueError(f"Expected {name} in {', '.join(VALUES[name])}, got another value.")
    return Observation(attribute=name, value=value, source="declared", confidence=1.0)  # type: ignore[arg-type]


def say_reason(reason: Reason, language: Language) -> str:
    """Return a reason in words that people read."""
    return _WORDS[language][reason]


def _reason(seen: Observation, asker: _Asker) -> Reason | None:
    """Return why an observation may not be used, or None if it may."""
    rule = asker.purpose.attributes.get(seen.attribute)
    if rule is None:
        return Reason.NOT_ALLOWED
    if seen.value not in VALUES[seen.attribute]:
        return Reason.UNKNOWN_VALUE
    if seen.source not in rule.sources:
        return Reason.SOURCE_NOT_ALLOWED
    if seen.source != "declared" and (reason := _against_estimate(seen, rule, asker)):
        return reason
    if not is_share(seen.confidence):
        return Reason.NO_CONFIDENCE
    if seen.confidence < rule.min_confidence:
        return Reason.UNSURE
    effect = EFFECTS[seen.attribute][seen.value]
    if not effect:
        return Reason.NO_EFFECT
    return None if set(effect) <= set(rule.may_change) else Reason.MAY_NOT_CHANGE


def _against_estimate(seen: Observation, rule: Rule, asker: _Asker) -> Reason | None:
    """Return why an estimate may not be used, whatever its confidence."""
    if seen.attribute in asker.declared:
        return Reason.REPLACED
    if asker.is_minor or (asker.looks_minor and seen.attribute != "age_band"):
        return Reason.MINOR
    if asker.purpose.consent_to(seen.attribute) not in asker.consented:
        return Reason.NO_CONSENT
    return None if seen.value in rule.estimated_values else Reason.TOO_FINE
