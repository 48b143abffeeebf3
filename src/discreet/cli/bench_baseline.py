"""`discreet bench baseline`: the adapter of a federation without privacy, to compare with."""

from pathlib import Path
from typing import Annotated

import typer

from discreet.artifacts import RunFolder
from discreet.bench import shelve_baseline
from discreet.cli.options import Cache, Json, progress, quiet_logs, show_json, talk
from discreet.cli.train_plan import read_plan
from discreet.federated import AssistantTask, seal_data


def baseline(
    out: Annotated[Path, typer.Argument(help="Run folder to make.")],
    config: Annotated[
        Path | None, typer.Option(help="TOML file of the plan; the quickstart's by default.")
    ] = None,
    cache: Cache = None,
    as_json: Json = False,
) -> None:
    """Train on the shipped, synthetic people without privacy: an adapter that promises nothing."""
    plan = read_plan(config)
    quiet_logs()
    run = RunFolder.create(out)
    task = AssistantTask.build(plan, cache_dir=cache)
    with progress() as bar:
        row = bar.add_task("in the clear", total=plan.num_owners * plan.steps_total)
        card = shelve_baseline(task, run, on_step=lambda: bar.update(row, advance=1))
    seal_data(run, None)
    if as_json:
        show_json(card.to_dict())
    else:
        talk().print(f"'{run.id}' is on the shelf: trained without privacy, promises nothing.")
