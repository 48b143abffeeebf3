"""`discreet report`: a run folder, several of them, and what privacy costs, as one page."""

from pathlib import Path
from typing import Annotated

import typer

from discreet.artifacts import RunFolder, read_json, write_bytes
from discreet.cli.options import RUNS, Runs
from discreet.registry import SHIPPED
from discreet.report import page_of, page_of_runs, read_run

PAGE = "report.html"
"""Name of the page in the run folder."""


def report(
    run: Annotated[
        list[str],
        typer.Argument(
            help="Run folders, run ids, 'reference' or 'federated'; also the frontier.json of "
            "`discreet bench frontier --keep`."
        ),
    ],
    out: Annotated[
        Path | None, typer.Option(help=f"File to write; {PAGE} in the run folder by default.")
    ] = None,
    runs: Runs = RUNS,
) -> None:
    """Write what runs were, promised, spent, sent and what audits found as one HTML page.

    Several runs stand side by side first. The page needs no network and no other file. If owners
    trained in this process it shows their loss, which is local: to hand a page on, make it of a
    copy by `discreet adapters export`.
    """
    is_one_run = len(run) == 1 and not _is_json(run[0])
    if out is None and (not is_one_run or run[0] in SHIPPED and not Path(run[0]).exists()):
        why = (
            "The run that ships lies in the installation: say where its page goes."
            if is_one_run
            else "A page of several runs, or of a frontier, lies in none of their folders."
        )
        raise typer.BadParameter(f"Expected a file to write, got none. {why}", param_hint="--out")
    folders = [_folder(one, runs) for one in run if not _is_json(one)]
    if is_one_run:
        html = page_of(read_run(folders[0]))
    else:
        frontiers = [read_json(Path(one)) for one in run if _is_json(one)]
        html = page_of_runs([read_run(folder) for folder in folders], frontiers)
    page = out or folders[0].path / PAGE
    write_bytes(page, html.encode())
    typer.echo(str(page))


def _is_json(name: str) -> bool:
    return Path(name).suffix == ".json" and Path(name).is_file()


def _folder(name: str, runs: Path) -> RunFolder:
    found = Path(name)
    if name in SHIPPED and not found.exists():
        found = SHIPPED[name]
    elif not found.exists() and found.name == name:
        found = runs / name
    return RunFolder.open(found)
