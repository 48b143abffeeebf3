"""What may be used of a person, for which purpose; what is prohibited has no policy. Default deny.

A policy is of one context and has purposes; a purpose names attributes, each with a rule. What is
prohibited cannot be made, whether it is read from a file (`policy_files`) or written in code; the
error names the article. What a purpose says in words is shown to people and judged by nobody here.
Which observations pass decides `gate`.

>>> from discreet.assistant.policy_files import load_policy
>>> policy = load_policy("education")
>>> policy.consentable()
('explain/age_band',)
>>> sorted(policy.purpose_of("explain").attributes)
['age_band', 'language', 'reading', 'text_size']
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import get_args

from discreet.assistant.prohibited import NO_EXPRESSION, article_against
from discreet.errors import PolicyError
from discreet.law import cite, load_law
from discreet.types import Language

CONTEXTS = ("healthcare", "education", "workplace", "research", "home")
SOURCES = ("declared", "estimated")
SEERS = ("person", "responder")
CHANGES = ("reading_level", "steps", "tone", "length", "text_size", "language")
"""All that something known of a person may ever change."""
EFFECTS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "age_band": {
        "child": ("reading_level", "length"),
        "young_adult": ("reading_level",),
        "middle_aged": ("reading_level", "length"),
        "older_adult": ("reading_level", "steps", "length"),
    },
    "expression": {
        **{"neutral": (), "happy": ("tone",), "sad": ("tone",), "angry": ("tone",)},
        "surprised": ("tone",),
    },
    "reading": {"plain": ("reading_level", "length"), "standard": ()},
    "text_size": {"large": ("text_size",), "standard": ()},
    "language": {"en": ("language",), "fr": ("language",)},
}
"""What each value of each attribute changes; there is no attribute for race, gender or identity."""
VALUES: Mapping[str, tuple[str, ...]] = {name: tuple(values) for name, values in EFFECTS.items()}
"""Everything an attribute may say."""
DECLARED_ONLY = ("reading", "text_size", "language")
"""Preferences: a person has to say them."""
PAGE_ONLY = ("text_size", "language")
"""What changes how an answer is shown, and is of no use to the responder."""
PICTURE = "picture"
"""Stands behind a purpose in the name of the consent that the responder sees the picture."""
MOST_SECONDS = 24 * 60 * 60


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """When one attribute may be used, for how long, and what for."""

    sources: tuple[str, ...]
    """`declared`, `estimated`, or both. An estimate needs consent, always."""
    min_confidence: float
    """In [0, 1]; an estimate below it is withheld."""
    may_change: tuple[str, ...]
    """Among `CHANGES`; a value that changes more than that is withheld."""
    estimated_values: tuple[str, ...] = ()
    """What an estimate may say. Whoever looks most like none of it gets the answer of somebody
    unknown, so that a guess between the others changes nothing."""
    ttl_seconds: int = 0
    """How long what was declared is kept at most, up to a day; 0: this turn. An estimate is never
    kept longer than its turn."""
    seen_by: tuple[str, ...] = ("person",)
    """The `person`, who always sees it, and perhaps the `responder`, in the words of its prompt."""

    def __post_init__(self) -> None:
        """Refuse what means nothing."""
        known = [value for values in VALUES.values() for value in values]
        _expect_among("sources", self.sources, SOURCES)
        _expect_among("estimated_values", self.estimated_values, known)
        _expect_among("may_change", self.may_change, CHANGES)
        _expect_among("seen_by", self.seen_by, SEERS)
        if not is_share(self.min_confidence):
            raise PolicyError("Expected 0 <= min_confidence <= 1, got something else.")
        if type(self.ttl_seconds) is not int or not 0 <= self.ttl_seconds <= MOST_SECONDS:
            raise PolicyError(
                f"Expected ttl_seconds as a whole number up to {MOST_SECONDS}, got something else."
            )
        if "person" not in self.seen_by:
            raise PolicyError(
                "Expected 'person' in seen_by, got a rule that hides from people what is known of "
                f"them ({cite('gdpr-15')}). Add it."
            )
        if self.estimated_values and "estimated" not in self.sources:
            raise PolicyError(
                "Expected estimated_values only where 'estimated' is among the sources. Add the "
                "source, or leave the values out."
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class Purpose:
    """What the assistant may know of a person for one purpose; what it does not name is denied."""

    name: str
    """Small letters and underscores."""
    description: Mapping[Language, str]
    """What it is for, in each language, in words that people read; not empty."""
    attributes: Mapping[str, Rule]
    """A copy that nobody can write to."""
    legal_basis: str
    """Id of an article that `law.toml` marks as a basis."""

    def __post_init__(self) -> None:
        """Refuse what means nothing, and attributes that there are not."""
        if not isinstance(self.name, str) or not re.fullmatch(r"[a-z][a-z_]{0,31}", self.name):
            raise PolicyError("Expected a purpose named by small letters, got something else.")
        said = self.description
        words = said.values() if isinstance(said, Mapping) else ()
        if not isinstance(said, Mapping) or set(said) != set(get_args(Language)):
            raise PolicyError("Expected a description in each language: en and fr.")
        if not all(isinstance(text, str) and text.strip() for text in words):
            raise PolicyError("Expected descriptions as texts, got something else or an empty one.")
        bases = [one.id for one in load_law() if one.is_legal_basis]
        if self.legal_basis not in bases:
            raise PolicyError(
                f"Expected legal_basis among {', '.join(bases)}, got something else: other "
                "articles ask for something, or prohibit it. Add one with is_legal_basis to "
                "law.toml if it is a basis."
            )
        if not isinstance(self.attributes, Mapping):
            raise PolicyError("Expected [purposes.NAME.attributes.NAME] tables.")
        object.__setattr__(self, "description", MappingProxyType(dict(said)))
        object.__setattr__(self, "attributes", MappingProxyType(dict(self.attributes)))
        for name, rule in self.attributes.items():
            _check_attribute(name, rule)

    def may_estimate(self, attribute: str) -> bool:
        """Tell whether an attribute may be estimated for this purpose, given consent."""
        return attribute in self.attributes and "estimated" in self.attributes[attribute].sources

    def consent_to(self, attribute: str) -> str:
        """Return the name of the consent to estimate an attribute for this purpose."""
        return f"{self.name}/{attribute}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Policy:
    """What may be used in one context, by purpose.

    Guarantee:
        No policy has a rule for anything but `VALUES`, and none for education or workplace lets
        an expression or the picture itself through. Once made, it does not change.
    """

    context: str
    """One of `CONTEXTS`."""
    responder_sees_picture: bool
    """Whether the responder may see visual tokens, where a purpose may estimate expressions."""
    purposes: Mapping[str, Purpose]
    """A copy that nobody can write to; at least one."""
    default_purpose: str
    """What is meant where none is named."""

    def __post_init__(self) -> None:
        """Refuse what means nothing and what is prohibited."""
        if self.context not in CONTEXTS:
            raise PolicyError(f"Expected context in {CONTEXTS}, got another one.")
        if not isinstance(self.responder_sees_picture, bool):
            raise PolicyError("Expected responder_sees_picture = true or false.")
        if not isinstance(self.purposes, Mapping) or not self.purposes:
            raise PolicyError("Expected one [purposes.NAME] table or more.")
        object.__setattr__(self, "purposes", MappingProxyType(dict(self.purposes)))
        for name, purpose in self.purposes.items():
            if not isinstance(purpose, Purpose) or purpose.name != name:
                raise PolicyError("Expected each purpose under its own name, got something else.")
        if not isinstance(self.default_purpose, str) or self.default_purpose not in self.purposes:
            raise PolicyError(f"Expected default_purpose among {', '.join(self.purposes)}.")
        shown = any("expression" in one.attributes for one in self.purposes.values())
        if self.context in NO_EXPRESSION and (shown or self.responder_sees_picture):
            raise PolicyError(
                f"Expressions, and pictures that show them, may not be used in {self.context}: "
                f"{cite('ai-act-5-1-f')} prohibits inferring emotion there. Remove the attribute "
                "and set responder_sees_picture = false."
            )

    @property
    def sha256(self) -> str:
        """SHA-256 of the canonical form, in hex: equal if and only if the policies are."""
        form = {
            **{name: getattr(self, name) for name in ("context", "responder_sees_picture")},
            "default_purpose": self.default_purpose,
            "purposes": {name: _plain(purpose) for name, purpose in self.purposes.items()},
        }
        text = json.dumps(form, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def purpose_of(self, name: str | None = None) -> Purpose:
        """Return a purpose, the default one if none is named.

        Raises:
            PolicyError: if there is none of that name.
        """
        found = self.purposes.get(self.default_purpose if name is None else name)
        if found is None:
            raise PolicyError(
                f"Expected a purpose of {self.context} among {', '.join(self.purposes)}, got "
                "another one. What has no purpose is not done."
            )
        return found

    def consentable(self, purpose: str | None = None) -> tuple[str, ...]:
        """Return what a person may be asked to consent to, as `PURPOSE/ATTRIBUTE`.

        `PURPOSE/picture` is that the responder sees the picture itself.
        """
        found = self.purpose_of(purpose)
        names = [name for name in found.attributes if found.may_estimate(name)]
        names += [PICTURE] if self.may_show_picture(purpose) else []
        return tuple(found.consent_to(name) for name in names)

    def may_show_picture(self, purpose: str | None = None) -> bool:
        """Tell whether the responder may see the picture, given consent.

        A picture shows the expression, so that a purpose has to be allowed to read that, too.
        """
        return self.responder_sees_picture and self.purpose_of(purpose).may_estimate("expression")


def is_share(number: object) -> bool:
    """Tell whether something is a number in [0, 1]; NaN, infinity and booleans are none."""
    return isinstance(number, int | float) and not isinstance(number, bool) and 0 <= number <= 1


def _check_attribute(name: object, rule: object) -> None:
    """Refuse attributes, values, sources and readers that there are not."""
    if not isinstance(name, str) or name not in VALUES:
        raise PolicyError(
            f"Expected attributes among {', '.join(VALUES)}, got another one. What it may stand "
            f"for is not inferred here ({cite(article_against(str(name)))})."
        )
    if not isinstance(rule, Rule):
        raise PolicyError(f"Expected a rule for '{name}', got something else.")
    _expect_among(f"estimated_values of {name}", rule.estimated_values, VALUES[name])
    changes = {change for effect in EFFECTS[name].values() for change in effect}
    _expect_among(f"may_change of {name}", rule.may_change, sorted(changes))
    if name in DECLARED_ONLY and "estimated" in rule.sources:
        raise PolicyError(
            f"Expected '{name}' as declared only, got an estimate of it ({cite('gdpr-5-1-c')}). "
            "Take 'estimated' out."
        )
    if name in PAGE_ONLY and "responder" in rule.seen_by:
        raise PolicyError(
            f"Expected '{name}' to be seen by the person only: the responder has no use for it "
            f"({cite('gdpr-5-1-c')}). Take 'responder' out."
        )


def _expect_among(what: str, values: object, known: Sequence[str]) -> None:
    if not isinstance(values, tuple) or not all(value in known for value in values):
        raise PolicyError(f"Expected {what} among {', '.join(known)}, got something else.")


def _plain(purpose: Purpose) -> dict[str, object]:
    """Return a purpose for its hash; the order of what is a set does not count."""
    rules = {
        name: {
            key: sorted(value) if isinstance(value, tuple) else value
            for key, value in asdict(rule).items()
        }
        for name, rule in purpose.attributes.items()
    }
    return {
        "description": dict(purpose.description),
        "legal_basis": purpose.legal_basis,
        "attributes": rules,
    }
