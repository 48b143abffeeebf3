"""The command line: a table of commands. Data goes to stdout, talk and progress to stderr.

Environment variables are read in this room and nowhere else: `DISCREET_CACHE`, `DISCREET_RUNS`.
A command's file is imported when the command is called, so that `--help` is quick.
"""

import importlib
import sys
from typing import Any

import click
import typer

from discreet.cli.options import quiet_libraries, talk
from discreet.cli.usage import without_values
from discreet.errors import DiscreetError

COMMANDS = {
    "quickstart": ("train", "quickstart", "Train over four owners with privacy, then ask."),
    "train": ("train", "train", "Train an adapter over several owners with privacy."),
    "fields": ("fields", "fields", "What may stand in the plan of a training."),
    "report": ("report", "report", "Write a run as one page: plan, privacy, rounds, bytes."),
    "docs": ("docs", "docs", "Write the papers of a deployment, from what was measured."),
    "chat": ("chat", "chat", "Ask the assistant: perceive, gate by the policy, respond."),
    "demo": ("demo", "demo", "Open the healthcare or the tutoring page in a browser."),
    "serve": ("serve", "serve", "Answer over HTTP, for robots and apps; keys for who may ask."),
    "federation": ("federation", "app", "Run a federation over several machines."),
    "adapters": ("adapters", "app", "What is on the shelf, and what it cost."),
    "forget": ("forget", "app", "Take a data owner out of a run, with a receipt."),
    "data": ("data", "app", "Data sets on disk: see, check, describe, share out."),
    "people": ("people", "app", "Synthetic people: export or render portraits."),
    "recipe": ("recipe", "app", "Make again the weights that ship with the package."),
    "bench": ("bench", "app", "What privacy costs, on held-out people; how fast people are drawn."),
    "audit": ("audit", "app", "What an attacker could learn from a run, and of whom."),
    "privacy": ("privacy", "app", "Plan a guarantee, and see what was spent of it."),
    "policy": ("policy", "app", "What the assistant may know of people: check a policy file."),
    "law": ("law", "law", "What the law asks for: articles, dates, when they were last checked."),
    "log": ("log", "app", "What the assistant decided, without content: verify, show, hand on."),
    "doctor": ("doctor", "doctor", "Check that this installation can do its work."),
    "version": ("doctor", "version", "Print the version."),
}
"""Name -> (file, function or app in it, one line of help)."""


class _Table(click.Group):
    """A group that imports a command's file on first use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        file, name, _ = COMMANDS[cmd_name]
        found: Any = getattr(importlib.import_module(f"discreet.cli.{file}"), name)
        if not isinstance(found, typer.Typer):
            single = typer.Typer(add_completion=False)
            single.command(cmd_name)(found)
            found = single
        command: click.Command = typer.main.get_command(found)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, _, line) in COMMANDS.items()])


@click.group(cls=_Table, no_args_is_help=True)
def app() -> None:
    """A user-aware multimodal assistant that keeps what it sees to itself."""


def main() -> None:
    """Run a command; an expected error is one line on stderr and exit status 1."""
    quiet_libraries()
    try:
        app(standalone_mode=False)
    except (KeyboardInterrupt, click.Abort):
        talk().print("Stopped. What was written so far is complete and can be used.")
        sys.exit(130)
    except click.UsageError as error:
        without_values(error).show()
        sys.exit(error.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (DiscreetError, ValueError, OSError) as error:
        text = f"{type(error).__name__}: {error}"
        talk().print(text, markup=False, style="bold red", highlight=False, soft_wrap=True)
        sys.exit(1)
