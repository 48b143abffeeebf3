"""Every command that a document shows exists, with the options that it is shown with."""

import re
import shlex
from pathlib import Path

import click
import pytest

from discreet.cli import app

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
_BLOCK = re.compile(r"^```(?:bash|console)\n(.*?)^```", re.DOTALL | re.MULTILINE)
_INLINE = re.compile(r"`(?:\$ )?(discreet [a-z][^`]*)`")


def shown(text: str) -> list[str]:
    """Return the commands of a page, each on one line and without what the shell does with it."""
    blocks = "\n".join(_BLOCK.findall(text)).replace("\\\n", " ")
    lines = [line.removeprefix("$ ") for line in blocks.splitlines()]
    found = [part.strip() for line in lines for part in line.split("#")[0].split("&&")]
    return [one for one in (*found, *_INLINE.findall(text)) if one.startswith("discreet ")]


def complaint(command: str) -> str | None:
    """Return what is wrong with a command; None: it is there and takes these options."""
    words = [word for word in shlex.split(command.replace("...", ""), posix=True)[1:] if word]
    words = words[: next((n for n, w in enumerate(words) if w in ("|", ">", "2>")), len(words))]
    here: click.Command = app
    context = click.Context(here)
    while isinstance(here, click.Group) and words and not words[0].startswith("-"):
        name = words.pop(0)
        names = name.split("|")  # `recipe align|erase` stands for both
        below = [here.get_command(context, one) for one in names]
        if any(one is None for one in below):
            return f"no command {name}"
        here = below[0]  # type: ignore[assignment]
        context = click.Context(here, parent=context)
    known = {
        option for one in here.get_params(context) for option in (*one.opts, *one.secondary_opts)
    }
    given = [word.partition("=")[0].rstrip(",") for word in words if re.match(r"--?[a-z]", word)]
    unknown = [one for one in given if one not in known]
    return f"no option {unknown[0]}" if unknown else None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_that_is_shown_exists(page: Path) -> None:
    wrong = {one: complaint(one) for one in shown(page.read_text())}
    assert {one: what for one, what in wrong.items() if what} == {}


def test_many_are_shown_and_a_wrong_one_is_found() -> None:
    assert len(shown((ROOT / "README.md").read_text())) > 60
    assert complaint("discreet bench frontier --base tiny") is None
    assert complaint("discreet bench frontiers") == "no command frontiers"
    assert complaint("discreet train --epsilons 8") == "no option --epsilons"
