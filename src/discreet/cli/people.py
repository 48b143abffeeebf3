"""`discreet people`: look at the synthetic people, or render them again."""

from pathlib import Path
from typing import Annotated

import typer

from discreet.cli.options import talk
from discreet.data import load_portraits
from discreet.types import Split

app = typer.Typer(help="Synthetic people: export or render portraits.", no_args_is_help=True)


@app.command("export")
def export(
    out: Annotated[Path, typer.Argument(help="Folder for JPEG files.")],
    split: Annotated[str, typer.Option(help="train, validation or test.")] = "test",
    band: Annotated[str | None, typer.Option(help="Only this age band.")] = None,
    limit: Annotated[int, typer.Option(help="How many at most.")] = 8,
) -> None:
    """Write portraits of the shipped set as files, to try the assistant with."""
    out.mkdir(parents=True, exist_ok=True)
    chosen: Split = split  # type: ignore[assignment]
    found = [p for p in load_portraits(chosen) if band in (None, p.age_band)]
    for index, portrait in enumerate(found[:limit]):
        path = out / f"{portrait.identity_id}-{portrait.age_band}-{portrait.expression}-{index}.jpg"
        path.write_bytes(portrait.jpeg)
        typer.echo(str(path))
    talk().print(f"{min(limit, len(found))} portraits in '{out}'", markup=False)
