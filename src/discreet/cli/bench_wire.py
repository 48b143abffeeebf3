"""`discreet bench wire`: what a round sends in each codec, and how far the update is off then."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from discreet.artifacts import code_commit
from discreet.bench import BUDGET_MIB, as_wire_table, hardware, measure_wire, reference_update
from discreet.cli.options import Json, tell


def wire(
    rounds: Annotated[int, typer.Option(min=1, help="Rounds; FlowerTune's by default.")] = 200,
    owners: Annotated[int, typer.Option(min=1, help="Owners asked in each round.")] = 4,
    share: Annotated[float, typer.Option(help="Of the numbers, those that topk sends.")] = 0.1,
    out: Annotated[Path | None, typer.Option(help="JSON file for everything measured.")] = None,
    as_json: Json = False,
) -> None:
    """Measure bytes of an owner in a round, and the error of the decoded update, by codec."""
    costs = measure_wire(reference_update(), share=share)
    record: dict[str, Any] = {
        "commit": code_commit(),
        "hardware": hardware(),
        "rounds": rounds,
        "owners": owners,
        "topk_share": share,
        "budget_mib": BUDGET_MIB,
        "codecs": [
            {**asdict(cost), "total_mib": cost.total_mib(rounds=rounds, owners=owners)}
            for cost in costs
        ],
    }
    tell(record, as_wire_table(costs, rounds=rounds, owners=owners), out, as_json)
