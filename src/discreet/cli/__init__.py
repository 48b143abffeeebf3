"""The command line: a table of commands. Data goes to stdout, talk and progress to stderr.

Environment variables are read here and nowhere else: `DISCREET_CACHE`, `DISCREET_RUNS`.
"""

import sys

import typer
from rich.console import Console

from discreet import __version__
from discreet.cli import adapters, bench, chat, people, recipe, train
from discreet.errors import DiscreetError

app = typer.Typer(
    name="discreet",
    help="A user-aware multimodal assistant that keeps what it sees to itself.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("quickstart")(train.quickstart)
app.command("train")(train.train)
app.command("chat")(chat.chat)
app.add_typer(adapters.app, name="adapters")
app.add_typer(people.app, name="people")
app.add_typer(recipe.app, name="recipe")
app.add_typer(bench.app, name="bench")


@app.command("version")
def version() -> None:
    """Print the version."""
    typer.echo(__version__)


def main() -> None:
    """Run a command; an expected error is one line on stderr and exit status 1."""
    talk = Console(stderr=True)
    try:
        app(standalone_mode=True)
    except KeyboardInterrupt:
        talk.print("Stopped. What was written so far is complete and can be used.")
        sys.exit(130)
    except (DiscreetError, ValueError, OSError) as error:
        talk.print(f"{_name(error)}: {error}", markup=False, style="bold red", highlight=False)
        sys.exit(1)


def _name(error: Exception) -> str:
    return type(error).__name__
