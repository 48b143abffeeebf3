"""`discreet federation status` and `run`: who is there, and a plan over those who are.

What is asked of the server is in `discreet.deployment`; nothing is started here.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from discreet.artifacts import RunFolder
from discreet.cli.options import Json, show_json, talk
from discreet.deployment import (
    App,
    OwnerNode,
    ServerFolder,
    days_left,
    is_healthy,
    open_control,
    read_app,
    submit,
)
from discreet.errors import DeploymentError, FederationError

ServerPath = Annotated[Path, typer.Argument(help="The server's folder.")]
AppPath = Annotated[
    Path | None,
    typer.Option("--app", help="Folder of a Flower app of your own; the same on all machines."),
]
RENEW_DAYS = 30
"""A certificate that lasts fewer days is worth a word."""


def status(folder: ServerPath, as_json: Json = False) -> None:
    """Say whether the server answers, which owners are connected, and what is missing.

    The number of a node stands in metrics and messages for its owner. Exit status 1 if the server
    does not answer.
    """
    opened = ServerFolder.open(folder)
    is_up = is_healthy(opened)
    owners = owners_of(opened, is_up=is_up)
    missing = [name for name in map(_lack, owners) if is_up and name]
    if not opened.admitted():
        missing.append("No owner is admitted: give `discreet federation admit` the owners' keys.")
    if not is_up:
        missing.append("The server does not answer: start it with `discreet federation server`.")
    days = days_left(opened.certificate)
    if as_json:
        found: dict[str, object] = {
            "is_healthy": is_up,
            "certificate_days": days,
            "admitted": len(opened.admitted()),
            "connected": sum(owner.is_online for owner in owners),
            "owners": owners,
            "missing": missing,
        }
        show_json(found)
    else:
        settings = opened.settings()
        answers = "answers" if is_up else "does not answer"
        typer.echo(f"server: {answers} at {settings.host}:{settings.port}")
        typer.echo(f"certificate: {_lasts(days)}")
        if owners:
            typer.echo("\n".join(_rows(owners, is_up=is_up)))
        for line in missing:
            talk().print(f"missing: {line}", markup=False, soft_wrap=True)
    if not is_up:
        raise SystemExit(1)


def run(
    folder: ServerPath,
    plan: Annotated[Path, typer.Argument(help="TOML file of the public plan.")],
    out: Annotated[Path, typer.Option(help="Run folder; one that was stopped goes on.")],
    app_folder: AppPath = None,
    as_json: Json = False,
) -> None:
    """Run a plan over the nodes that are connected, from the server's machine.

    Nothing begins unless the server answers and as many owners are connected as the plan needs
    (`min_replies`).
    """
    # Here, since a node and a server hold no model.
    from discreet.cli.following import finished, follow, promise
    from discreet.cli.live import watching
    from discreet.cli.train_plan import read_plan
    from discreet.federated import plan_of, released_statements, require_same_plan
    from discreet.report import NAMES

    config = read_plan(plan)
    plan_of(config)  # what does not go together is refused before a server is asked
    opened = ServerFolder.open(folder)
    names: Mapping[str, str] = {}
    outcome = None
    if out.is_dir():
        require_same_plan(config, RunFolder.open(out))
        outcome = finished(config, RunFolder.open(out))
    if outcome is None:
        names = require_ready(opened, num_owners=config.num_present, needed=config.min_replies)
        target = RunFolder.open(out) if out.is_dir() else RunFolder.create(out)
        target.write_json(NAMES, names)
        try:
            with watching(promise(config), talk()) as on_event:
                tell = follow(config, target, on_event)
                outcome = submit(config, target, opened, app=app_of(app_folder), on_round=tell)
        except FederationError as error:
            raise type(error)(_named(str(error), names)) from error
    spent = released_statements(RunFolder.open(out))
    if as_json:
        found = {"run": str(out), "rounds_done": outcome.rounds_done, "ended": outcome.ended}
        show_json({**found, "privacy": spent, "owners": names})
        return
    for name, statement in sorted(spent.items()):
        text = f"{names.get(name, name)} says it spent {statement}"
        talk().print(text, markup=False, soft_wrap=True)
    if outcome.ended == "budget_exhausted":
        talk().print("The budget is spent; the last complete round was kept.", style="yellow")
    talk().print(f"rounds done: {outcome.rounds_done}; run folder:", markup=False)
    typer.echo(str(out))


def app_of(folder: Path | None) -> App | None:
    """Return the app of a folder; None: the kit's."""
    return None if folder is None else read_app(folder)


def owners_of(folder: ServerFolder, *, is_up: bool) -> list[OwnerNode]:
    """Return the owners that were admitted, with what a server that is up knows of their nodes."""
    if is_up:
        with open_control(folder) as control:
            return control.nodes_of(folder.admitted())
    return [
        OwnerNode(owner=owner, node=None, is_online=False, since=None)
        for owner in folder.admitted()
    ]


def require_ready(folder: ServerFolder, *, num_owners: int, needed: int) -> dict[str, str]:
    """Return the owners' names by node, if a plan can begin; say who is missing.

    Args:
        folder: The server's.
        num_owners: Owners of the plan.
        needed: Connected owners without whom a round would fail.

    Raises:
        DeploymentError: if the certificate is out of date, the server does not answer, or too few
            owners are connected.
    """
    days = days_left(folder.certificate)
    if days < 0:
        raise DeploymentError(
            "Expected a certificate that is in date, got one that expired: nodes refuse it. Make "
            "the next one with `discreet federation renew`, and start the server again."
        )
    if not is_healthy(folder):
        raise DeploymentError(
            "Expected an answer from the server, got none; nothing began. Start it with `discreet "
            "federation server`, and give the same command again."
        )
    owners = owners_of(folder, is_up=True)
    online = sum(owner.is_online for owner in owners)
    missing = " ".join(name for name in map(_lack, owners) if name)
    if online < needed:
        raise DeploymentError(
            f"Expected {needed} or more owners of {num_owners} to be connected, got {online}; "
            f"nothing began. {missing} `discreet federation status` shows who is there."
        )
    if days < RENEW_DAYS:
        talk().print(f"The server's certificate {_lasts(days)}.", markup=False, style="yellow")
    if online < num_owners:
        text = f"Connected: {online} of {num_owners} owners; the others are waited for. {missing}"
        talk().print(text, markup=False, style="yellow", soft_wrap=True)
    return {f"node-{o.node}": o.owner for o in owners if o.owner and o.node is not None}


def _named(text: str, names: Mapping[str, str]) -> str:
    """Return a message with the name of each owner beside the number of the node."""
    named = text
    for name, owner in names.items():
        named = named.replace(name.replace("-", " "), f"{owner} ({name})")
    return named if named == text else f"{named} The log of an owner's node says the way out."


def _lasts(days: int) -> str:
    if days < 0:
        return "expired; `discreet federation renew` makes the next one"
    until = f"lasts {days} more days"
    return until if days >= RENEW_DAYS else f"{until}; `discreet federation renew` makes the next"


def _lack(owner: OwnerNode) -> str | None:
    """Return what is missing before an owner takes part, with the way out."""
    if owner.is_online and owner.owner:
        return None
    if owner.owner is None:
        return (
            f"Node {owner.node} is known to the server and not admitted: give `discreet federation "
            "admit` to strike it off."
        )
    if owner.node is None:
        return f"{owner.owner} is not known to the server: give `discreet federation admit`."
    if owner.since is None:
        return f"{owner.owner} has not connected yet: the owner starts `discreet federation node`."
    return f"{owner.owner} is not connected: is the owner's node running, and its network up?"


def _rows(owners: list[OwnerNode], *, is_up: bool) -> list[str]:
    """Return a line for each owner, in columns."""
    cells = [("owner", "node", "state", "since (UTC)")]
    for owner in owners:
        seen = "online" if owner.is_online else "offline" if owner.since else "never connected"
        since = (owner.since or "")[:19].replace("T", " ")
        state = seen if is_up and owner.node is not None else "unknown"
        cells.append((owner.owner or "(not admitted)", str(owner.node or ""), state, since))
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in cells]
