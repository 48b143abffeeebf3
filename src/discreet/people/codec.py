"""Plain values, as JSON and TOML have them, into nested dataclasses; nothing is dropped or guessed.

>>> from dataclasses import dataclass
>>> @dataclass(frozen=True)
... class Point:
...     x: float
>>> read_plain(Point, {"x": 1})
Point(x=1.0)
"""

import dataclasses
import json
import math
import typing
from collections.abc import Mapping
from typing import Any, Literal, TypeVar

_T = TypeVar("_T")
_SHOWN = 60
"""Characters of a value that a message repeats."""


def parse_json(text: str) -> Any:
    """Return what JSON says; `NaN` and `Infinity`, which are no JSON, are refused.

    Raises:
        ValueError: if the text is not JSON, or nested too deeply to be anything of ours.
    """
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except RecursionError as error:
        raise ValueError("Expected JSON of a few levels, got one nested far deeper.") from error
    except json.JSONDecodeError as error:
        raise ValueError(f"Expected JSON, got something else: {error}.") from error


def read_plain(kind: type[_T], value: Any, name: str = "") -> _T:
    """Return `value` as a dataclass of `kind`, its fields read in the same way.

    Args:
        kind: A dataclass whose fields are dataclasses, plain types, `Literal`, `tuple` or `dict`.
        value: A mapping with every field that has no default, and no others.
        name: Where the value stands, for messages.

    Raises:
        ValueError: if a field is missing, unknown, of another type, or a number that is not finite.
    """
    if not isinstance(value, Mapping):
        raise ValueError(f"Expected a table at '{name or kind.__name__}', got {_kind(value)}.")
    fields = {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    needed = {n for n, field in fields.items() if not _has_default(field)}
    if not needed <= value.keys() <= fields.keys():
        raise ValueError(
            f"Expected the fields {sorted(fields)} at '{name or kind.__name__}', "
            f"got {_short(str(sorted(value)))}."
        )
    hints = typing.get_type_hints(kind)
    return kind(**{key: _read(hints[key], item, f"{name}.{key}") for key, item in value.items()})


def _read(hint: Any, value: Any, name: str) -> Any:
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint):
        return read_plain(hint, value, name)  # type: ignore[arg-type]
    if origin is tuple and isinstance(value, list | tuple):
        kinds = parts[:1] * len(value) if parts[1:] == (...,) else parts
        if len(kinds) == len(value):
            return tuple(
                _read(kind, item, f"{name}[{place}]")
                for place, (kind, item) in enumerate(zip(kinds, value, strict=True))
            )
    elif origin is dict and isinstance(value, Mapping):
        return {_read(parts[0], k, name): _read(parts[1], v, name) for k, v in value.items()}
    elif origin is Literal and value in parts:
        return value
    elif hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        return _finite(value, name)
    elif isinstance(hint, type) and type(value) is hint:
        return value
    raise ValueError(f"Expected {_describe(hint)} at '{name}', got {_kind(value)}.")


def _finite(value: float, name: str) -> float:
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError(f"Expected a finite number at '{name}', got {_kind(value)}.")
    return number


def _refuse_constant(name: str) -> None:
    raise ValueError(f"Expected finite numbers, got {name}. Correct or leave out that value.")


def _has_default(field: "dataclasses.Field[Any]") -> bool:
    return (
        field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING
    )


def _describe(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) else str(hint).replace("typing.", "")


def _kind(value: Any) -> str:
    plain = isinstance(value, str | int | float)
    return _short(repr(value)) if plain else type(value).__name__


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
