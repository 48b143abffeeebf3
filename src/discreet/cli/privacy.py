"""`discreet privacy`: what was spent."""

import typer

from discreet.cli.spent import spent

app = typer.Typer(help="What was spent on whose data.", no_args_is_help=True)
app.command("spent")(spent)


@app.callback()
def _privacy() -> None:
    """Account for what was spent on whose data."""  # one command alone would lose its name
