"""The fields of a plan for people: default, type, words and meaning, from `TrainConfig` itself.

>>> describe_fields()["wire_down"].choices
('float32', 'bfloat16', 'float16', 'int8')
"""

import ast
import inspect
from dataclasses import dataclass, fields
from typing import get_type_hints

from discreet.federated.config import CHOICES, TrainConfig
from discreet.federated.ranges import kind_of


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanField:
    """A field of `TrainConfig`."""

    name: str
    default: str | int | float | bool | None
    """None: left out."""
    kind: str
    """Types that it takes, in words."""
    choices: tuple[str, ...]
    """Words that it may hold; empty: it is not one of a few."""
    meaning: str
    """On one line."""


def describe_fields() -> dict[str, PlanField]:
    """Return every field by its name, in the order of `TrainConfig`."""
    hints, meanings = get_type_hints(TrainConfig), _meanings()
    return {
        field.name: PlanField(
            name=field.name,
            default=field.default,  # type: ignore[arg-type]
            kind=kind_of(hints[field.name]),
            choices=tuple(CHOICES.get(field.name, ())),
            meaning=meanings[field.name],
        )
        for field in fields(TrainConfig)
    }


def _meanings() -> dict[str, str]:
    """Return the attribute docstrings of `TrainConfig`, each on one line."""
    body = ast.parse(inspect.getsource(TrainConfig)).body[0]
    assert isinstance(body, ast.ClassDef)
    found: dict[str, str] = {}
    for field, text in zip(body.body, body.body[1:], strict=False):
        match field, text:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str(help_text))),
            ):
                found[name] = " ".join(help_text.split())
    return found
