"""`discreet report`: a run folder as one page."""

from pathlib import Path
from typing import Annotated

import typer

from discreet.artifacts import RunFolder, write_bytes
from discreet.cli.options import RUNS, Runs
from discreet.registry import SHIPPED
from discreet.report import page_of, read_run

PAGE = "report.html"
"""Name of the page in the run folder."""


def report(
    run: Annotated[str, typer.Argument(help="Run folder, run id, 'reference' or 'federated'.")],
    out: Annotated[
        Path | None, typer.Option(help=f"File to write; {PAGE} in the run folder by default.")
    ] = None,
    runs: Runs = RUNS,
) -> None:
    """Write what a run was, promised, spent and sent as one HTML page.

    The page needs no network and no other file. If owners trained in this process it shows their
    loss, which is local: to hand a page on, make it of a copy by `discreet adapters export`.
    """
    found = Path(run)
    if run in SHIPPED and not found.exists():
        if out is None:
            raise typer.BadParameter(
                "Expected a file to write, got none. The run that ships lies in the installation: "
                "say where its page goes.",
                param_hint="--out",
            )
        found = SHIPPED[run]
    elif not found.exists() and found.name == run:
        found = runs / run
    folder = RunFolder.open(found)
    page = out or folder.path / PAGE
    write_bytes(page, page_of(read_run(folder)).encode())
    typer.echo(str(page))
