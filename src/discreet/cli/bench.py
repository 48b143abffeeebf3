"""`discreet bench`: what privacy costs."""

import statistics
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from discreet.artifacts import code_commit, write_json
from discreet.bench import (
    Cell,
    as_markdown,
    compare,
    evaluate,
    gradient_norms,
    load_held_out,
    made_by,
    measure_drawing,
    summarise,
    written_for,
)
from discreet.cli.bench_adapt import adapt
from discreet.cli.bench_aggregation import aggregation
from discreet.cli.bench_attribution import attribution
from discreet.cli.bench_audits import audits
from discreet.cli.bench_baseline import baseline
from discreet.cli.bench_frontier import frontier
from discreet.cli.bench_ground import ground
from discreet.cli.bench_pages import pages
from discreet.cli.bench_performance import performance
from discreet.cli.bench_robust import robust
from discreet.cli.bench_scale import scale
from discreet.cli.bench_tasks import tasks
from discreet.cli.bench_twins import twins
from discreet.cli.bench_wire import wire
from discreet.cli.chat import adapter_hash, load_responder
from discreet.cli.options import (
    RUNS,
    Cache,
    Guidance,
    Json,
    Runs,
    parse_seeds,
    progress,
    quiet_logs,
    show_json,
    talk,
)
from discreet.cli.train_plan import read_plan
from discreet.federated import AssistantTask, TrainConfig
from discreet.model import GUIDANCE, check_guidance
from discreet.sources import measure_sharing
from discreet.types import AUDIENCES, Mode

ANSWERED = 8
"""Questions that `follow` lets a model answer, each to a person of each audience."""
app = typer.Typer(
    add_completion=False, help="What privacy costs, on held-out people.", no_args_is_help=True
)
for _measure in (adapt, aggregation, attribution, audits, baseline, frontier, ground, pages):
    app.command()(_measure)
for _other in (performance, robust, scale, tasks, twins, wire):
    app.command()(_other)


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
    plan = read_plan(config)
    chosen = parse_seeds(seeds)
    quiet_logs()
    cells: list[Cell] = []
    commit = code_commit()

    def keep(cell: Cell) -> None:
        _say(cell)
        cells.append(cell)
        if out is not None:
            write_json(out, _record(plan, commit, cells))

    with progress() as bar:
        row = bar.add_task("base", total=2 * len(chosen) * plan.num_owners * plan.steps_total)
        compare(
            plan,
            chosen,
            cache_dir=cache,
            on_cell=keep,
            on_step=lambda kind: bar.update(row, advance=1, description=kind),
        )
    rows = summarise(cells)
    if as_json:
        show_json(rows)
    else:
        typer.echo(as_markdown(rows))
        typer.echo(
            "\n±: half of the distance of the highest seed from the lowest. "
            "Privacy: of the seed that spent most."
        )


@app.command("follow")
def follow(
    adapter: Annotated[
        str, typer.Argument(help="Run id, folder, 'latest', 'reference', 'federated' or 'none'.")
    ],
    generate: Annotated[bool, typer.Option(help="Also let it write and read the answers.")] = True,
    guidance: Guidance = GUIDANCE,
    runs: Runs = RUNS,
    cache: Cache = None,
) -> None:
    """Measure whether answers follow the person, told in words or seen, on held-out people."""
    check_guidance(guidance)
    modes: tuple[Mode, ...] = ("gated", "native")
    vlm = load_responder(adapter, "small", runs=runs, cache=cache)
    held_out = load_held_out()
    record: dict[str, object] = {"adapter_sha256": adapter_hash(adapter, runs)}
    with progress() as bar:

        def told(name: str, total: int) -> Callable[[int], None]:
            row = bar.add_task(name, total=total)
            return lambda count: bar.update(row, advance=count)

        total = len(held_out.examples) + 2 * len(held_out.trios)
        record |= asdict(evaluate(vlm, held_out, on_done=told("likelihoods", total)))
        if generate:
            record["guidance"] = guidance
            record["written_for"] = {
                mode: asdict(
                    written_for(
                        vlm,
                        held_out,
                        mode,
                        guidance=guidance,
                        limit=ANSWERED,
                        on_done=told(f"answers, {mode}", ANSWERED * len(AUDIENCES)),
                    )
                )
                for mode in modes
            }
    show_json(record)


@app.command("norms")
def norms(
    config: Annotated[
        Path | None, typer.Argument(help="TOML file of the plan; the quickstart's by default.")
    ] = None,
    examples: Annotated[int, typer.Option(help="Public examples to measure.")] = 32,
    cache: Cache = None,
) -> None:
    """Measure gradients of public examples, to choose max_grad_norm by: most should be longer."""
    plan = read_plan(config)
    quiet_logs()
    found = gradient_norms(AssistantTask.without_data(plan, cache_dir=cache).vlm, count=examples)
    show_json(
        {
            "examples": len(found),
            "min": found[0],
            "median": statistics.median(found),
            "max": found[-1],
            "max_grad_norm": plan.max_grad_norm,
            "share_clipped": sum(norm > plan.max_grad_norm for norm in found) / len(found),
        }
    )


@app.command("data")
def data(
    rows: Annotated[int, typer.Option(min=1, help="Rows to share out.")] = 1_000_000,
    owners: Annotated[int, typer.Option(min=1, help="How many owners.")] = 1000,
    alpha: Annotated[
        float, typer.Option(min=0, help="Dirichlet concentration over owners; 0 for none.")
    ] = 0.5,
    as_json: Json = False,
) -> None:
    """Measure sharing generated rows out over owners: peak memory of a process, rows a second."""
    with talk().status(f"sharing {rows:,} rows out over {owners:,} owners"):
        found = measure_sharing(rows, owners, alpha=alpha)
    if as_json:
        show_json(found)
        return
    typer.echo(
        f"{found.rows:,} rows over {found.owners:,} owners: peak memory {found.peak_mib:,.0f} MiB "
        f"({found.peak_before_mib:,.0f} MiB before the first row), "
        f"{found.rows_per_second:,.0f} rows a second"
    )


@app.command("people")
def people(
    pictures: Annotated[int, typer.Option(min=7, help="Portraits that each worker draws.")] = 70,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes that draw; one for each core.")
    ] = None,
    size: Annotated[int, typer.Option(min=32, help="Side of a portrait in px.")] = 128,
    cache: Cache = None,
    as_json: Json = False,
) -> None:
    """Measure how fast portraits are drawn (needs the people extra)."""
    from discreet.cli.people import fetch

    assets = fetch(cache)
    with talk().status("drawing"):
        speed = measure_drawing(assets, pictures=pictures, workers=workers, size_px=size)
    record = made_by() | asdict(speed)
    if as_json:
        show_json(record)
        return
    typer.echo(
        f"{speed.pictures_per_second:.1f} portraits/s with {speed.workers} workers, "
        f"{speed.pictures_per_second_per_worker:.1f} each"
    )
    for stage, milliseconds in speed.milliseconds.items():
        typer.echo(f"{stage:>10} {milliseconds:7.1f} ms")


def _record(plan: TrainConfig, commit: str | None, cells: list[Cell]) -> dict[str, object]:
    """Return everything that a comparison found so far."""
    return {
        "plan": plan.as_mapping(),
        "commit": commit,
        "rows": summarise(cells),
        "cells": [asdict(cell) for cell in cells],
    }


def _say(cell: Cell) -> None:
    seed = "" if cell.seed is None else f", seed {cell.seed}"
    talk().print(f"{cell.kind}{seed}: {asdict(cell.scores)}", markup=False)
