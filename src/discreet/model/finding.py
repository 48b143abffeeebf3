"""What a check of a base found, and how rules are applied to one.

>>> rule = Rule(find=lambda vlm: (False, "3"), expected="4", way_out="Count again.")
>>> [check.state for check in apply_rules({"sum": rule}, None)]
['failed']
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from jinja2 import TemplateError

from discreet.errors import DiscreetError

State = Literal["passed", "failed", "skipped"]
CRASHES = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    ImportError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    TemplateError,
    TypeError,
    ValueError,
)
"""What a model, tokenizer or chat template of another kind raises where it does not fit."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """What one check found."""

    name: str
    state: State
    expected: str
    got: str
    way_out: str
    """Empty where it passed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """What is expected of a base."""

    find: Callable[[Any], tuple[bool | None, str]]
    """From a `Vlm`: whether it is so, None where it does not apply, and what was found."""
    expected: str
    way_out: str


def apply_rules(rules: Mapping[str, Rule], vlm: Any) -> list[Check]:
    """Return what each rule finds; one that stops with an error has failed."""
    return [_apply(name, rule, vlm) for name, rule in rules.items()]


def _apply(name: str, rule: Rule, vlm: Any) -> Check:
    """Return what one rule finds."""
    try:
        is_so, got = rule.find(vlm)
    except (DiscreetError, *CRASHES) as error:
        is_so, got = False, f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
    state: State = "skipped" if is_so is None else "passed" if is_so else "failed"
    way_out = rule.way_out if state == "failed" else ""
    return Check(name=name, state=state, expected=rule.expected, got=got, way_out=way_out)
