"""`discreet bench`: what privacy costs."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from discreet.artifacts import write_json
from discreet.bench import (
    Cell,
    as_markdown,
    compare,
    evaluate,
    load_held_out,
    summarise,
    written_for,
)
from discreet.cli.chat import load_responder
from discreet.cli.options import RUNS, Cache, Json, Runs, show_json, talk
from discreet.federated import TrainConfig

app = typer.Typer(help="What privacy costs, on held-out people.", no_args_is_help=True)


@app.command("compare")
def compare_(
    config: Annotated[
        Path | None, typer.Argument(help="TOML file of the plan; the quickstart's by default.")
    ] = None,
    seeds: Annotated[str, typer.Option(help="Comma-separated seeds.")] = "0,1,2",
    out: Annotated[Path | None, typer.Option(help="JSON file for every cell.")] = None,
    cache: Cache = None,
    as_json: Json = False,
) -> None:
    """Compare the base, a federation without privacy and a private one, over seeds."""
    plan = TrainConfig() if config is None else TrainConfig.load(config)
    cells = compare(plan, [int(seed) for seed in seeds.split(",")], cache_dir=cache, on_cell=_say)
    rows = summarise(cells)
    if out is not None:
        record = {
            "plan": plan.as_mapping(),
            "rows": rows,
            "cells": [asdict(cell) for cell in cells],
        }
        write_json(out, record)
    if as_json:
        show_json(rows)
    else:
        typer.echo(as_markdown(rows))


@app.command("follow")
def follow(
    adapter: Annotated[str, typer.Argument(help="Run id, run folder, 'latest' or 'none'.")],
    generate: Annotated[bool, typer.Option(help="Also let it write and read the answers.")] = True,
    runs: Runs = RUNS,
    cache: Cache = None,
) -> None:
    """Measure whether answers follow the person, told in words or seen, on held-out people."""
    vlm = load_responder(adapter, "small", runs=runs, cache=cache)
    held_out = load_held_out()
    record = asdict(evaluate(vlm, held_out))
    if generate:
        record["written_for"] = {
            mode: written_for(vlm, held_out, mode) for mode in ("gated", "native")
        }
    show_json(record)


def _say(cell: Cell) -> None:
    seed = "" if cell.seed is None else f", seed {cell.seed}"
    talk().print(f"{cell.kind}{seed}: {asdict(cell.scores)}", markup=False)
