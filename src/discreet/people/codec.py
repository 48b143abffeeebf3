"""Plain values, as JSON and TOML have them, into nested dataclasses; nothing is dropped or guessed.

>>> from dataclasses import dataclass
>>> @dataclass(frozen=True)
... class Point:
...     x: float
>>> read_plain(Point, {"x": 1})
Point(x=1.0)
"""

import dataclasses
import typing
from collections.abc import Mapping
from typing import Any, Literal, TypeVar

_T = TypeVar("_T")


def read_plain(kind: type[_T], value: Any, name: str = "") -> _T:
    """Return `value` as a dataclass of `kind`, its fields read in the same way.

    Args:
        kind: A dataclass whose fields are dataclasses, plain types, `Literal`, `tuple` or `dict`.
        value: A mapping with every field that has no default, and no others.
        name: Where the value stands, for messages.

    Raises:
        ValueError: if a field is missing, unknown, or of another type.
    """
    if not isinstance(value, Mapping):
        raise ValueError(f"Expected a table at '{name or kind.__name__}', got {_kind(value)}.")
    fields = {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    needed = {n for n, field in fields.items() if not _has_default(field)}
    if not needed <= value.keys() <= fields.keys():
        raise ValueError(
            f"Expected the fields {sorted(fields)} at '{name or kind.__name__}', "
            f"got {sorted(value)}."
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
        return float(value)
    elif isinstance(hint, type) and type(value) is hint:
        return value
    raise ValueError(f"Expected {_describe(hint)} at '{name}', got {_kind(value)}.")


def _has_default(field: "dataclasses.Field[Any]") -> bool:
    return (
        field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING
    )


def _describe(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) else str(hint).replace("typing.", "")


def _kind(value: Any) -> str:
    return repr(value) if isinstance(value, str | int | float) else type(value).__name__
