"""`discreet audit`: what can still be read from what is handed on."""

import random
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from discreet.audit import (
    LABELS,
    as_records,
    as_rows,
    count_steps,
    in_words,
    measure_leakage,
    portrait_representations,
    truth_of,
)
from discreet.bench import made_by
from discreet.cli.options import RUNS, Cache, Json, Runs, progress, quiet_logs, tell
from discreet.cli.train import build_task
from discreet.data import Portrait, load_portraits
from discreet.erasure import auditor, held_out_like
from discreet.federated import TrainConfig
from discreet.model import load, load_adapter
from discreet.registry import resolve
from discreet.types import Split

SPLITS: tuple[Split, ...] = ("train", "test")
app = typer.Typer(
    add_completion=False,
    help="What can still be read from what is handed on.",
    no_args_is_help=True,
)


@app.callback()
def audit() -> None:
    """What can still be read from what is handed on."""


@app.command("probes")
def probes(
    portraits: Annotated[
        int | None,
        typer.Option(min=1, help="About how many of each split, whole people; all by default."),
    ] = None,
    base: Annotated[
        str, typer.Option(help="Whose visual tokens: small, tiny or a folder.")
    ] = "small",
    out: Annotated[Path | None, typer.Option(help="JSON file for every probe.")] = None,
    cache: Cache = None,
    as_json: Json = False,
) -> None:
    """Try to read ethnicity, gender, skin tone, age, expression and identity, by three probes."""
    quiet_logs()
    start = time.perf_counter()
    people = {split: whole_people(load_portraits(split), portraits) for split in SPLITS}
    truth = {split: truth_of(own) for split, own in people.items()}
    vlm = load(base, cache_dir=cache)
    with progress() as bar:
        looking = bar.add_task("looking", total=sum(map(len, people.values())))
        shown = portrait_representations(
            people, vlm, on_done=lambda count: bar.update(looking, advance=count)
        )
        asking = bar.add_task("probing", total=count_steps(len(shown), len(LABELS)))
        found = measure_leakage(
            shown,
            truth,
            on_done=lambda name: bar.update(asking, advance=1, description=f"probing {name}"),
        )
    record = made_by() | {
        "seconds": round(time.perf_counter() - start, 1),
        "base": vlm.name,
        "portraits": {split: len(own) for split, own in people.items()},
        "findings": as_records(found),
    }
    tell(record, f"{in_words(found)}\n\n{as_rows(found)}", out, as_json)


@app.command("membership")
def membership(
    run: Annotated[
        str, typer.Argument(help="Run id, folder, 'latest', 'reference' or 'federated'.")
    ],
    owners: Annotated[
        int | None, typer.Option(min=1, help="Ask of so many owners, the first ones; of all.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Parquet file that the run was trained on, if one was.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="JSON file for every owner.")] = None,
    runs: Runs = RUNS,
    cache: Cache = None,
    as_json: Json = False,
) -> None:
    """Try to tell by losses which examples an adapter was trained on: one attack for each owner.

    What comes out is computed from owners' examples without noise, and is theirs to hand on.
    """
    found = resolve(run, runs)
    plan = TrainConfig.load(found.run.config_path)
    if plan.examples != "portraits":
        raise ValueError(
            f"Expected a run on portraits, got one on {plan.examples}: of those nobody is held out."
        )
    task = build_task(plan, data=data, cache=cache)
    served = load_adapter(load(plan.base, cache_dir=cache), found.folder).model
    weights = dict(served.named_parameters())
    state = {name: weights[name].detach().float() for name in task.initial_state()}
    measured = {
        owner: auditor(task, owner, held_out_like(task, owner, path=data))(state)
        for owner in list(task.owned)[:owners]
    }
    record = made_by() | {
        "run": found.run.id,
        "adapter_sha256": found.card.adapter_sha256,
        "owners": {owner: asdict(one) for owner, one in measured.items()},
    }
    rows = [
        f"{owner}: {one.auc:.3f} ({one.low:.3f} to {one.high:.3f}), {one.members} examples against "
        f"{one.others}"
        for owner, one in measured.items()
    ]
    tell(record, "\n".join(["area under the ROC curve; a coin: 0.5", *rows]), out, as_json)


def whole_people(portraits: list[Portrait], count: int | None) -> list[Portrait]:
    """Return all pictures of people drawn until there are `count` pictures, in file order."""
    if count is None:
        return portraits
    pictures = Counter(portrait.identity_id for portrait in portraits)
    persons = list(pictures)
    random.Random(0).shuffle(persons)
    kept: set[str] = set()
    while persons and sum(pictures[person] for person in kept) < count:
        kept.add(persons.pop())
    return [portrait for portrait in portraits if portrait.identity_id in kept]
