"""`discreet audit`: what can be learnt from a run, and from what is handed on of pictures."""

import random
import time
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from discreet.bench import made_by
from discreet.cli.audit_run import add_commands
from discreet.cli.options import Cache, Json, progress, quiet_logs, tell
from discreet.data import Portrait, load_portraits
from discreet.leakage import (
    LABELS,
    as_records,
    as_rows,
    count_steps,
    in_words,
    measure_leakage,
    portrait_representations,
    truth_of,
)
from discreet.model import load
from discreet.types import Split

SPLITS: tuple[Split, ...] = ("train", "test")
app = typer.Typer(
    add_completion=False,
    help="What an attacker could learn, from a run or from what is handed on.",
    no_args_is_help=True,
)


add_commands(app)


@app.callback()
def audit() -> None:
    """What an attacker could learn, from a run or from what is handed on."""


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
