"""`discreet fields`: what may stand in the plan of a training."""

import textwrap
from dataclasses import asdict
from typing import Annotated

import typer

from discreet.cli.options import Json, show_json
from discreet.federated import PlanField, describe_fields

_WIDTH = 96


def fields(
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="[WORD]...", help="Only fields whose names hold one of these."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Tell every field of a plan: its default as TOML, what it may hold, and what it means.

    A field is a line of the file that `discreet train CONFIG` reads, or --set NAME=VALUE.
    """
    found = [
        field
        for name, field in describe_fields().items()
        if not words or any(word.lower() in name for word in words)
    ]
    if not found:
        raise typer.BadParameter(
            "Expected part of a field's name, got none that any has. Leave it out for all fields.",
            param_hint="WORD",
        )
    if as_json:
        show_json([asdict(field) for field in found])
        return
    typer.echo("\n".join(_told(field) for field in found))


def _told(field: PlanField) -> str:
    """Return a field as a line of TOML, a comment where it is left out, with its meaning below."""
    holds = f"one of {', '.join(field.choices)}" if field.choices else field.kind
    line = f"# {field.name} = "
    if field.default is not None:
        line = f"{field.name} = {as_toml(field.default)}  # "
    lines = textwrap.wrap(field.meaning, _WIDTH, initial_indent="#   ", subsequent_indent="#   ")
    return "\n".join([line + holds.replace(" or nothing", ", or left out"), *lines])


def as_toml(value: str | int | float | bool) -> str:
    """Return a value as a plan's file has it.

    >>> as_toml("ffa"), as_toml(True), as_toml(1e-05)
    ('"ffa"', 'true', '1e-05')
    """
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value)
