"""The gate: which observations may reach the responder. Default deny.

>>> policy = load_policy("education")
>>> face = Observation(attribute="expression", value="sad", source="estimated", confidence=1.0)
>>> gate([face], policy).withheld[0].reason
'not allowed in education'
"""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from discreet.errors import PolicyError
from discreet.types import AGE_BANDS, EXPRESSIONS, Observation

POLICIES_DIR = Path(__file__).parent / "policies"
CONTEXTS = ("healthcare", "education", "workplace", "research")
NO_EXPRESSION = ("education", "workplace")
"""Contexts in which inferring emotion is prohibited: EU AI Act, Art. 5(1)(f)."""
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


@dataclass(frozen=True, kw_only=True, slots=True)
class Policy:
    """What may be used for one purpose; what it does not name is denied."""

    context: str
    purpose: str
    native: bool
    """Whether the responder may see the picture's visual tokens."""
    attributes: dict[str, Rule]


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
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        known = ", ".join(sorted(p.stem for p in POLICIES_DIR.glob("*.toml")))
        raise PolicyError(
            f"Expected a policy file or one of {known}, got '{path.name}': {type(error).__name__}."
        ) from error


def _policy(raw: dict[str, Any]) -> Policy:
    expected = {"context", "purpose", "native", "attributes"}
    if set(raw) != expected:
        raise PolicyError(f"Expected the keys {sorted(expected)}, got {sorted(raw)}.")
    context, attributes = raw["context"], raw["attributes"]
    if context not in CONTEXTS:
        raise PolicyError(f"Expected context in {CONTEXTS}, got another one.")
    if not isinstance(raw["purpose"], str):
        raise PolicyError("Expected purpose as a text, got something else.")
    if not isinstance(raw["native"], bool) or not isinstance(attributes, dict):
        raise PolicyError("Expected native = true or false and [attributes.NAME] tables.")
    unknown = sorted(set(attributes) - set(VALUES))
    if unknown:
        raise PolicyError(
            f"Expected attributes among {', '.join(VALUES)}, got {unknown}. Race, gender and "
            "identity are never inferred (EU AI Act, Art. 5(1)(g))."
        )
    if context in NO_EXPRESSION and ("expression" in attributes or raw["native"]):
        raise PolicyError(
            f"Expressions, and pictures that show them, may not be used in {context}: EU AI Act, "
            "Art. 5(1)(f) prohibits inferring emotion there. Remove the attribute and set "
            "native = false."
        )
    rules = {name: _rule(name, rule) for name, rule in attributes.items()}
    return Policy(context=context, purpose=raw["purpose"], native=raw["native"], attributes=rules)


def _rule(name: str, raw: Any) -> Rule:
    if not isinstance(raw, dict) or not {"sources", "min_confidence"} <= set(raw):
        raise PolicyError(f"Expected sources and min_confidence for '{name}'.")
    confidence, sources = raw["min_confidence"], raw["sources"]
    is_number = isinstance(confidence, int | float) and not isinstance(confidence, bool)
    if not is_number or not 0 <= confidence <= 1:
        raise PolicyError(f"Expected 0 <= min_confidence <= 1 for '{name}'.")
    if not isinstance(sources, list) or not all(source in SOURCES for source in sources):
        raise PolicyError(f"Expected sources among {', '.join(SOURCES)} for '{name}'.")
    return Rule(
        sources=tuple(sources),
        min_confidence=float(confidence),
        estimated_values=_estimated_values(name, raw),
    )


def _estimated_values(name: str, raw: dict[str, Any]) -> tuple[str, ...]:
    """Return what an estimate may say; it has to be written where there may be estimates."""
    keys = {"sources", "min_confidence"} | ({"estimated_values"} & {*raw})
    if set(raw) != keys or ("estimated" in raw["sources"]) != ("estimated_values" in raw):
        raise PolicyError(
            f"Expected estimated_values for '{name}' if and only if 'estimated' is among its "
            "sources, and no other key."
        )
    values = raw.get("estimated_values", [])
    if not isinstance(values, list) or not all(value in VALUES[name] for value in values):
        raise PolicyError(
            f"Expected estimated_values among {', '.join(VALUES[name])} for '{name}'."
        )
    return tuple(values)


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
    if not seen.confidence >= rule.min_confidence:  # also when it is not a number
        return "confidence below the policy's minimum"
    if seen.value == "neutral":
        return "nothing to fit an answer to"
    return None
