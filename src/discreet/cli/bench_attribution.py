"""`discreet bench attribution`: what is told of adapters whose training data are known."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated

import typer

from discreet.bench import (
    MIXED_PLAN,
    Lab,
    as_attribution_table,
    made_by,
    measure_attribution,
)
from discreet.cli.options import Cache, Json, quiet_logs, talk, tell


def attribution(
    base: Annotated[str, typer.Option(help="Base model: a name or a local folder.")] = "small",
    suspects: Annotated[int, typer.Option(min=8, help="Adapters for each way to train.")] = 24,
    examples: Annotated[int, typer.Option(min=4, help="That each is trained on.")] = 40,
    steps: Annotated[int, typer.Option(min=2, help="Of each training.")] = 12,
    keep: Annotated[
        Path | None, typer.Option(help="Folder of adapters; what is there is not trained again.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="JSON file with all that was found.")] = None,
    cache: Cache = None,
    as_json: Json = False,
) -> None:
    """Train adapters on known mixtures of data sets, and see how well attribution tells them.

    Plainly, privately, and from another start and rank; by leaving data sets out; and for the very
    same people against others of one data set.
    """
    quiet_logs()
    plan = replace(MIXED_PLAN, base=base, local_steps=steps, expected_batch_size=examples // 4)
    with talk().status("preparing") as status:
        lab = Lab.build(plan, people=3 * examples, keep=keep, cache=cache)
        found = list(
            measure_attribution(
                lab, suspects=suspects, examples=examples, cache=cache, on_done=status.update
            )
        )
    record = made_by() | {
        "plan": asdict(plan) | {"base": Path(base).name},
        "suspects": suspects,
        "examples": examples,
        "found": [{"kind": type(one).__name__} | asdict(one) for one in found],
    }
    tell(record, as_attribution_table(found), out, as_json)
