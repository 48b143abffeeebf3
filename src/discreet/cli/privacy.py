"""`discreet privacy`: what a guarantee costs before it is given, and what was spent of it."""

import typer

from discreet.cli.plan import plan_
from discreet.cli.spent import spent

app = typer.Typer(
    add_completion=False,
    help="Plan a guarantee, and see what was spent of it.",
    no_args_is_help=True,
)
app.command("plan")(plan_)
app.command("spent")(spent)
