"""`discreet bench wire`: what a round sends in each codec, how far the update is off, the loss."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from discreet.bench import (
    WireLoss,
    as_loss_table,
    as_wire_table,
    count_scored,
    load_held_out,
    made_by,
    measure_wire,
    measure_wire_loss,
    reference_update,
)
from discreet.cli.options import Cache, Json, progress, quiet_logs, tell
from discreet.federated import AssistantTask, TrainConfig
from discreet.registry import REFERENCE_DIR
from discreet.types import FLOWERTUNE_MIB


def wire(
    rounds: Annotated[int, typer.Option(min=1, help="Rounds; FlowerTune's by default.")] = 200,
    owners: Annotated[int, typer.Option(min=1, help="Owners asked in each round.")] = 4,
    share: Annotated[float, typer.Option(help="Of the numbers, those that topk sends.")] = 0.1,
    loss: Annotated[
        int,
        typer.Option(
            min=0,
            help="Held-out examples on which to measure the loss too; 48 take about 5 "
            "minutes of one core.",
        ),
    ] = 0,
    out: Annotated[Path | None, typer.Option(help="JSON file for everything measured.")] = None,
    cache: Cache = None,
    as_json: Json = False,
) -> None:
    """Measure bytes of an owner in a round, and the error of the decoded update, by codec."""
    costs = measure_wire(reference_update(), share=share)
    found = _loss(loss, share=share, cache=cache) if loss else None
    record = made_by() | {
        "rounds": rounds,
        "owners": owners,
        "topk_share": share,
        "budget_mib": FLOWERTUNE_MIB,
        "codecs": [
            {**asdict(cost), "total_mib": cost.total_mib(rounds=rounds, owners=owners)}
            for cost in costs
        ],
        "loss": found and asdict(found),
    }
    table = as_wire_table(costs, rounds=rounds, owners=owners)
    tell(record, f"{table}\n\n{as_loss_table(found)}" if found else table, out, as_json)


def _loss(examples: int, *, share: float, cache: Path | None) -> WireLoss:
    """Return what codecs cost the shipped adapter, which is taken apart as its plan made it."""
    quiet_logs()
    config = TrainConfig.load(REFERENCE_DIR / "config.toml")
    vlm = AssistantTask.without_data(config, cache_dir=cache).vlm
    held_out = load_held_out(examples=examples, trios=0)
    with progress() as bar:
        row = bar.add_task("loss", total=count_scored(len(held_out.examples)))
        return measure_wire_loss(
            vlm,
            reference_update(),
            config,
            held_out,
            share=share,
            on_done=lambda count: bar.update(row, advance=count),
        )
