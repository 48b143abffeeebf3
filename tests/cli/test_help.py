"""`--help` of every command says what each of its arguments and options is for."""

from collections.abc import Iterator

import click
import pytest
from typer.core import TyperArgument, TyperOption

from discreet.cli import app
from tests.cli.conftest import Run

DRAWN = str.maketrans("│╭╮╰╯─", " " * 6)
"""Lines of boxes."""


def commands(group: click.Group, *words: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Yield all commands below a group, with the words that call them."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, *words, name)
        else:
            yield (*words, name), command


def test_help_has_the_text_of_every_argument_and_option(
    discreet: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    missing = []
    for words, command in commands(app):
        status, out, _ = discreet(*words, "--help")
        assert status == 0
        told = " ".join(out.translate(DRAWN).split())
        for parameter in command.params:
            assert isinstance(parameter, TyperArgument | TyperOption)
            text = " ".join((parameter.help or "").split())
            if not parameter.hidden and (not text or text not in told):
                missing.append(f"{' '.join(words)} {parameter.name}")
    assert not missing
