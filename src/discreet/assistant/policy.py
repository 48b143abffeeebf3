"""The gate: which observations may reach the responder. Default deny.

What is prohibited by rule has no `Policy`, whether it is read from a file or made in code. What a
purpose says in words is shown to people and judged by nobody here.

>>> policy = load_policy("education")
>>> face = Observation(attribute="expression", value="sad", source="estimated", confidence=1.0)
>>> gate([face], policy).withheld[0].reason
'not allowed in education'
"""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from discreet.errors import PolicyError
from discreet.law import cite
from discreet.types import AGE_BANDS, EXPRESSIONS, Observation

POLICIES_DIR = Path(__file__).parent / "policies"
CONTEXTS = ("healthcare", "education", "workplace", "research")
NO_EXPRESSION = ("education", "workplace")
"""Contexts in which inferring emotion is prohibited: `ai-act-5-1-f` of `law.toml`."""
VALUES = {"age_band": AGE_BANDS, "expression": EXPRESSIONS}
"""Everything an attribute may say; there is no attribute for race, gender or identity."""
SOURCES = ("declared", "estimated")


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """When one attribute may be used."""

    sources: tuple[str, ...]
    """`declared`, `estimated`, or both."""
    min_confidence: float
    """In [0, 1]; an estimate below it is withheld."""
    estimated_values: tuple[str, ...] = ()
    """What an estimate may say. Whoever looks most like none of it gets the answer of somebody
    unknown, so that a guess between the others changes nothing."""

    def __post_init__(self) -> None:
        """Refuse sources, confidences and values that mean nothing."""
        if not _are_among(self.sources, SOURCES):
            raise PolicyError(f"Expected sources among {', '.join(SOURCES)}, got something else.")
        if not _is_share(self.min_confidence):
            raise PolicyError("Expected 0 <= min_confidence <= 1, got something else.")
        known = [value for values in VALUES.values() for value in values]
        if not _are_among(self.estimated_values, known):
            raise PolicyError(
                f"Expected estimated_values among {', '.join(known)}, got something else."
            )
        if self.estimated_values and "estimated" not in self.sources:
            raise PolicyError(
                "Expected estimated_values only where 'estimated' is among the sources. Add the "
                "source, or leave the values out."
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class Policy:
    """What may be used for one purpose; what it does not name is denied.

    Guarantee:
        No policy has a rule for anything but `VALUES`, and none for education or workplace lets
        an expression or the picture itself through. Once made, it does not change.
    """

    context: str
    """One of `CONTEXTS`."""
    purpose: str
    """What it is for, in words that people read; not empty."""
    native: bool
    """Whether the responder may see the picture's visual tokens."""
    attributes: Mapping[str, Rule]
    """A copy that nobody can write to."""

    def __post_init__(self) -> None:
        """Refuse what means nothing and what is prohibited."""
        if self.context not in CONTEXTS:
            raise PolicyError(f"Expected context in {CONTEXTS}, got another one.")
        if not isinstance(self.purpose, str) or not self.purpose.strip():
            raise PolicyError("Expected purpose as a text, got something else or an empty one.")
        if not isinstance(self.native, bool) or not isinstance(self.attributes, Mapping):
            raise PolicyError("Expected native = true or false and [attributes.NAME] tables.")
        object.__setattr__(self, "attributes", MappingProxyType(dict(self.attributes)))
        _check_attributes(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class Withheld:
    """An observation that did not pass; its value is not kept."""

    attribute: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """What the gate let through and what it held back."""

    passed: tuple[Observation, ...]
    withheld: tuple[Withheld, ...]


def load_policy(source: str | Path) -> Policy:
    """Return a shipped policy by its context, or the one in a TOML file.

    Raises:
        PolicyError: if it is missing, not complete, names an unknown attribute, or asks for
            something that is prohibited.
    """
    path = POLICIES_DIR / f"{source}.toml" if source in CONTEXTS else Path(source)
    try:
        return _policy(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, RecursionError) as error:
        known = ", ".join(sorted(p.stem for p in POLICIES_DIR.glob("*.toml")))
        raise PolicyError(
            f"Expected a policy file or one of {known}, got '{path.name}': {type(error).__name__}."
        ) from error


def _policy(raw: dict[str, Any]) -> Policy:
    expected = {"context", "purpose", "native", "attributes"}
    if set(raw) != expected:
        raise PolicyError(f"Expected the keys {sorted(expected)}, got {sorted(raw)}.")
    rules = raw["attributes"]
    if isinstance(rules, dict):
        rules = {name: _rule(name, rule) for name, rule in rules.items()}
    return Policy(**{**raw, "attributes": rules})


def _rule(name: str, raw: Any) -> Rule:
    if not isinstance(raw, dict) or not {"sources", "min_confidence"} <= set(raw):
        raise PolicyError(f"Expected sources and min_confidence for '{name}'.")
    has_estimates = isinstance(raw["sources"], list) and "estimated" in raw["sources"]
    known = {"sources", "min_confidence"} | ({"estimated_values"} if has_estimates else set())
    if set(raw) != known:
        raise PolicyError(
            f"Expected estimated_values for '{name}' if and only if 'estimated' is among its "
            "sources, and no other key."
        )
    lists = {key: tuple(value) for key, value in raw.items() if isinstance(value, list)}
    try:
        return Rule(**{**raw, **lists})
    except PolicyError as error:
        raise PolicyError(f"In [attributes.{name}]: {error}") from error


def _check_attributes(policy: Policy) -> None:
    """Refuse attributes and values that there are not, and what a context prohibits."""
    rules = policy.attributes
    unknown = sorted(str(name) for name in set(rules) - set(VALUES))
    if unknown:
        raise PolicyError(
            f"Expected attributes among {', '.join(VALUES)}, got {unknown}. Race, gender and "
            f"identity are never inferred ({cite('ai-act-5-1-g')})."
        )
    if policy.context in NO_EXPRESSION and ("expression" in rules or policy.native):
        raise PolicyError(
            f"Expressions, and pictures that show them, may not be used in {policy.context}: "
            f"{cite('ai-act-5-1-f')} prohibits inferring emotion there. Remove the attribute and "
            "set native = false."
        )
    for name, rule in rules.items():
        if not isinstance(rule, Rule) or not _are_among(rule.estimated_values, VALUES[name]):
            raise PolicyError(
                f"Expected a rule with estimated_values among {', '.join(VALUES[name])} for "
                f"'{name}'."
            )


def _are_among(values: object, known: Sequence[str]) -> bool:
    return isinstance(values, tuple) and all(value in known for value in values)


def _is_share(number: object) -> bool:
    """Tell whether something is a number in [0, 1]; NaN, infinity and booleans are none."""
    return isinstance(number, int | float) and not isinstance(number, bool) and 0 <= number <= 1


def gate(observations: Sequence[Observation], policy: Policy) -> Decision:
    """Return what may be used; a declared attribute replaces an estimated one."""
    declared = {seen.attribute for seen in observations if seen.source == "declared"}
    passed, withheld = [], []
    for seen in observations:
        replaced = seen.source == "estimated" and seen.attribute in declared
        reason = "replaced by what the person declared" if replaced else _reason(seen, policy)
        if reason is None:
            passed.append(seen)
        else:
            withheld.append(Withheld(attribute=seen.attribute, reason=reason))
    return Decision(passed=tuple(passed), withheld=tuple(withheld))


def _reason(seen: Observation, policy: Policy) -> str | None:
    """Return why an observation may not be used, or None if it may."""
    rule = policy.attributes.get(seen.attribute)
    if rule is None:
        return f"not allowed in {policy.context}"
    if seen.value not in VALUES[seen.attribute]:
        return "not a value that this attribute can take"
    if seen.source not in rule.sources:
        return f"{seen.source} values are not allowed in {policy.context}"
    if seen.source == "estimated" and seen.value not in rule.estimated_values:
        return f"finer than an estimate may be in {policy.context}"
    if not _is_share(seen.confidence):
        return "a confidence that is not in 0 to 1"
    if seen.confidence < rule.min_confidence:
        return "confidence below the policy's minimum"
    if seen.value == "neutral":
        return "nothing to fit an answer to"
    return None
