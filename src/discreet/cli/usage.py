"""What is wrong with how a command was called, without what was typed.

click's own messages repeat words and values, and a question without quotation marks is many words.
Names of options are shown where they look like one. Errors that commands raise themselves are not
changed: they name no value of a person.

>>> error = click.NoSuchOption("--I have a fever")
>>> str(without_values(error).message)
'Expected an option, got something else that begins with a dash.'
"""

import re
from difflib import get_close_matches
from typing import Any

import click

_OPTION = re.compile(r"--?[A-Za-z][A-Za-z0-9_-]*")
_QUOTE = "Expected no more words, got some. A text with spaces needs quotation marks"
_QUESTION = 'chat --once "Why do I sleep badly?"'
_UNKNOWN = re.compile(r"No such command '([a-z-]+)'")


def without_values(error: click.UsageError) -> click.UsageError:
    """Return an error that says the same and repeats nothing but names of options."""
    if isinstance(error, click.MissingParameter | click.BadOptionUsage | click.BadArgumentUsage):
        return error
    if isinstance(error, click.NoSuchOption):
        if _OPTION.fullmatch(error.option_name):
            return error
        text = "Expected an option, got something else that begins with a dash."
        return click.UsageError(text, ctx=error.ctx)
    if isinstance(error, click.BadParameter):
        if error.param is None or error.param.callback is not None:  # a command's own
            return error
        text = f"Expected {_wanted(error.param.type)}, got something else."
        return click.BadParameter(text, ctx=error.ctx, param=error.param)
    return click.UsageError(_words(error), ctx=error.ctx)


def _words(error: click.UsageError) -> str:
    """Return what is wrong with words that are neither options nor their values."""
    ctx = error.ctx
    if ctx is None:
        return f"{_QUOTE}."
    if not isinstance(ctx.command, click.Group):
        is_chat = ctx.info_name == "chat"
        return f"{_QUOTE}, as in: discreet {_QUESTION}" if is_chat else f'{_QUOTE}: "Clinic H".'
    found = _UNKNOWN.search(error.message)
    near = _near(ctx, ctx.command, found[1]) if found else []
    meant = f"Did you mean {' or '.join(near)}? " if near else ""
    return f"{meant}Expected a command: {', '.join(ctx.command.list_commands(ctx))}."


def _near(ctx: click.Context, group: click.Group, word: str) -> list[str]:
    """Return the commands, also of groups in the group, whose names are nearest to a word."""
    names: dict[str, str] = {}
    for name in group.list_commands(ctx):
        names[name] = name
        command = group.get_command(ctx, name)
        if isinstance(command, click.Group):
            names |= {f"{name} {below}": below for below in command.list_commands(ctx)}
    nearest = get_close_matches(word, set(names.values()), n=1, cutoff=0.75)
    return [f"`{ctx.command_path} {path}`" for path, name in names.items() if name in nearest]


def _wanted(kind: click.ParamType[Any]) -> str:
    if isinstance(kind, click.Choice):
        return f"one of {', '.join(map(str, kind.choices))}"
    ends = [
        f"at {word} {end}"
        for word, end in (
            ("least", getattr(kind, "min", None)),
            ("most", getattr(kind, "max", None)),
        )
        if end is not None
    ]
    return " ".join([f"a value of the kind '{kind.name.removesuffix(' range')}'", *ends])
