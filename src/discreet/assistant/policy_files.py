"""Policies as TOML: those that ship, and those of a deployment. Exact keys, or an error.

It reads; what is prohibited, `policy` refuses. A file has the fields of `Policy`, of `Purpose`
under `[purposes.NAME]` and of `Rule` under `[purposes.NAME.attributes.NAME]`.

>>> load_policy("home").default_purpose
'talk'
"""

import tomllib
from collections.abc import Collection
from dataclasses import fields
from pathlib import Path
from typing import Any

from discreet.assistant.policy import CONTEXTS, Policy, Purpose, Rule
from discreet.assistant.prohibited import article_against
from discreet.errors import PolicyError
from discreet.law import cite

POLICIES_DIR = Path(__file__).parent / "policies"
_POLICY = {field.name for field in fields(Policy)}
_PURPOSE = {field.name for field in fields(Purpose)} - {"name"}
_RULE = {field.name for field in fields(Rule)} - {"estimated_values"}


def load_policy(source: str | Path) -> Policy:
    """Return a shipped policy by its context, or the one in a TOML file.

    Raises:
        PolicyError: if it is missing, not complete, names an unknown attribute, or asks for
            something that is prohibited.
    """
    path = POLICIES_DIR / f"{source}.toml" if source in CONTEXTS else Path(source)
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise PolicyError(
            f"Expected a policy file or one of {', '.join(CONTEXTS)}, got '{path.name}': "
            f"{type(error).__name__}."
        ) from error
    return _policy(raw)


def _policy(raw: dict[str, Any]) -> Policy:
    _expect_keys("a policy", raw, _POLICY)
    purposes = raw["purposes"]
    if not isinstance(purposes, dict):
        raise PolicyError("Expected [purposes.NAME] tables.")
    made = {}
    for name, purpose in purposes.items():
        try:
            made[name] = _purpose(name, purpose)
        except PolicyError as error:
            raise PolicyError(f"In [purposes.{name}]: {error}") from error
    return Policy(**{**raw, "purposes": made})


def _purpose(name: str, raw: Any) -> Purpose:
    _expect_keys("a purpose", raw, _PURPOSE)
    rules = raw["attributes"]
    if not isinstance(rules, dict):
        raise PolicyError("Expected [purposes.NAME.attributes.NAME] tables.")
    made = {attribute: _rule(attribute, rule) for attribute, rule in rules.items()}
    return Purpose(**{**raw, "name": name, "attributes": made})


def _rule(name: str, raw: Any) -> Rule:
    has_estimates = isinstance(raw, dict) and "estimated" in _listed(raw.get("sources"))
    try:
        _expect_keys("a rule", raw, _RULE | ({"estimated_values"} if has_estimates else set()))
        lists = {key: tuple(value) for key, value in raw.items() if isinstance(value, list)}
        rule = Rule(**{**raw, **lists})
        _refuse_vain(rule)
        return rule
    except PolicyError as error:
        raise PolicyError(f"In attributes.{name}: {error}") from error


def _refuse_vain(rule: Rule) -> None:
    """Refuse what looks like a rule and lets nothing through."""
    if not rule.sources:
        raise PolicyError("Expected 'declared' or 'estimated' in sources, got none. Add one.")
    if "estimated" in rule.sources and not (rule.estimated_values and rule.may_change):
        raise PolicyError(
            "Expected an estimate that can be used, got one without estimated_values or "
            f"may_change: nobody is asked for a picture in vain ({cite('gdpr-5-1-c')}). Add them, "
            "or take 'estimated' out."
        )


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _expect_keys(what: str, raw: Any, known: Collection[str]) -> None:
    """Refuse a table that lacks a key or has another one, with the article that a key may break."""
    if not isinstance(raw, dict):
        raise PolicyError(f"Expected {what} as a table, got something else.")
    if other := sorted(set(raw) - set(known)):
        raise PolicyError(
            f"Expected the keys {sorted(known)} of {what}, got {other}. What is not named is not "
            f"done ({cite(article_against(other[0]))})."
        )
    if missing := sorted(set(known) - set(raw)):
        raise PolicyError(f"Expected the keys {sorted(known)} of {what}; {missing} are missing.")
