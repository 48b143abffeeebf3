"""`discreet bench aggregation`: rules beside each other, where owners differ and under noise."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from discreet.bench import (
    CONTENDERS,
    SURROUNDINGS,
    as_aggregation_table,
    made_by,
    measure_aggregation,
)
from discreet.cli.options import Json, parse_seeds, progress, quiet_logs, tell


def aggregation(
    seeds: Annotated[str, typer.Option(help="Comma-separated seeds.")] = "0,1,2",
    out: Annotated[Path | None, typer.Option(help="JSON file for everything measured.")] = None,
    as_json: Json = False,
) -> None:
    """Measure how far each rule's product is from a truth of low rank; lower is better.

    A seed takes about 80 seconds of one core.
    """
    chosen = parse_seeds(seeds)
    quiet_logs()
    record = made_by()
    with progress() as bar:
        row = bar.add_task("ffa", total=len(chosen) * len(SURROUNDINGS) * len(CONTENDERS))
        cells = measure_aggregation(
            chosen, on_run=lambda rule: bar.update(row, advance=1, description=rule)
        )
    record |= {"seeds": chosen, "cells": [asdict(cell) for cell in cells]}
    tell(record, as_aggregation_table(cells), out, as_json)
