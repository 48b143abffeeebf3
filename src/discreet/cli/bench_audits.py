"""`discreet bench audits`: every audit of a run learnt by heart, and of a private one."""

import tempfile
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated

import typer

from discreet.audit import Effort
from discreet.bench import (
    AUDITED_PLAN,
    as_audits_table,
    audit_runs,
    few_people,
    made_by,
    train_both,
)
from discreet.cli.options import Cache, Json, quiet_logs, talk, tell
from discreet.evidence import as_record


def audits(
    base: Annotated[str, typer.Option(help="Base model: a name or a local folder.")] = "small",
    effort: Annotated[Effort, typer.Option(help="How much every audit tries.")] = "usual",
    only: Annotated[list[str] | None, typer.Option(help="This audit; may be repeated.")] = None,
    train: Annotated[int, typer.Option(min=8, help="People to train on.")] = 96,
    others: Annotated[int, typer.Option(min=8, help="People whom nobody trains on.")] = 300,
    steps: Annotated[int, typer.Option(min=1, help="Local steps of each of 3 rounds.")] = 20,
    keep: Annotated[
        Path | None, typer.Option(help="Folder for both runs; one that has them goes on.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="JSON file with all evidence.")] = None,
    cache: Cache = None,
    as_json: Json = False,
) -> None:
    """Show what audits find where there is something to find, and where privacy hides it.

    Trains twice on the same few shipped people: without clipping and noise, and privately.
    """
    plan = replace(AUDITED_PLAN, base=base, local_steps=steps)
    quiet_logs()
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
    place = tempfile.TemporaryDirectory() if keep is None else nullcontext(str(keep))
    with place as folder, talk().status("preparing") as status:
        data = few_people(Path(folder), train=train, others=others)
        runs = train_both(Path(folder), plan, data, cache=cache, on_done=status.update)
        found = audit_runs(
            runs, data, effort=effort, names=only or (), cache=cache, on_done=status.update
        )
    record = made_by() | {
        "plan": asdict(plan) | {"base": Path(base).name},
        "people": {"trained on": train, "others": others},
        "audits": [
            {"audit": one.audit, "run": one.run, "reason": one.reason}
            | ({} if one.found is None else {"evidence": as_record(one.found)})
            for one in found
        ],
    }
    tell(record, as_audits_table(found), out, as_json)
