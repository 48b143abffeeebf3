"""`discreet forget`: take a data owner out of a run, and say what that costs before it begins."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from discreet.artifacts import RunFolder
from discreet.audit import portraits_like
from discreet.cli.following import promise
from discreet.cli.live import watching
from discreet.cli.options import RUNS, Cache, Json, Runs, quiet_logs, show_json, talk
from discreet.cli.train import build_task
from discreet.erasure import (
    Forgetting,
    Receipt,
    auditor,
    forget_owner,
    plan_forgetting,
    plan_withdrawal,
)
from discreet.errors import ArtifactError
from discreet.federated import AssistantTask, OnRound, RoundReport, State, TrainConfig, publish
from discreet.report import NAMES
from discreet.types import Language, OwnerId

app = typer.Typer(
    add_completion=False, help="Take a data owner out of a run.", no_args_is_help=True
)


@app.callback()
def forget() -> None:
    """Take a data owner out of a run."""


@app.command("owner")
def owner_(
    run: Annotated[str, typer.Argument(help="Run id or folder.")],
    owner: Annotated[str, typer.Argument(help="The owner's pseudonym, as in the ledger.")],
    out: Annotated[
        Path | None, typer.Option(help="Folder of the run that takes its place; RUN-again.")
    ] = None,
    epsilon: Annotated[
        float | None,
        typer.Option(help="Larger promise that the owners who stay agreed to, for both runs."),
    ] = None,
    retrain: Annotated[
        bool, typer.Option(help="Train without the owner, or only withdraw the adapter.")
    ] = True,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what it costs, and change nothing.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    data: Annotated[
        Path | None, typer.Option(help="Parquet file that the run was trained on, if one was.")
    ] = None,
    root: Annotated[
        Path | None, typer.Option(help="Where the pictures of --data lie, if the set was moved.")
    ] = None,
    driver: Annotated[
        Literal["local", "deployment"],
        typer.Option(help="Who ran the owners: this process, or nodes of a federation."),
    ] = "local",
    language: Annotated[Language, typer.Option(help="Of the receipt: en or fr.")] = "en",
    runs: Runs = RUNS,
    cache: Cache = None,
    as_json: Json = False,
) -> None:
    """Withdraw a run's adapter and train again without one owner; the receipt says what was done.

    Training again costs the budgets of the owners who stay: how much is said first. Of a run over
    nodes, whose ledgers are elsewhere, it says which nodes have to be there, and how to go on.
    """
    folder = RunFolder.open(runs / run if (runs / run).is_dir() else Path(run))
    if driver == "deployment":
        _tell_nodes(folder, owner)
        if not dry_run:
            _withdraw(plan_withdrawal(folder, OwnerId(owner)), yes, language, as_json)
        return
    place = out or folder.path.resolve().with_name(f"{folder.id}-again")
    found = plan_forgetting(folder, OwnerId(owner), out=place, target_epsilon=epsilon)
    if as_json and dry_run:
        show_json({"costs": found.costs, "rounds_kept": found.rounds_kept, "out": str(place)})
    if not as_json or not dry_run:
        _tell_costs(found, retrain)
    if dry_run:
        return
    if retrain:
        found.require_budget()
    if not retrain:
        _withdraw(found, yes, language, as_json)
        return
    _confirm(yes)
    receipt = _retrain(found, data, root, cache)
    _show(receipt, language, as_json, place)


def _confirm(yes: bool) -> None:
    """Ask before anything is changed."""
    if not yes:
        typer.confirm("Withdraw the adapter, and go on?", abort=True, err=True)


def _withdraw(found: Forgetting, yes: bool, language: Language, as_json: bool) -> None:
    """Withdraw the adapter and train nothing."""
    _confirm(yes)
    _show(forget_owner(found, None), language, as_json, None)


def _show(receipt: Receipt, language: Language, as_json: bool, run: Path | None) -> None:
    """Print the receipt, and leave with 1 where something failed."""
    if as_json:
        show_json({**receipt.to_dict(), "run": str(run) if run else None})
    else:
        typer.echo(receipt.in_words(language))
    if not receipt.is_complete:
        raise SystemExit(1)


def _retrain(
    found: Forgetting, data: Path | None, root: Path | None, cache: Path | None
) -> Receipt:
    """Do what was agreed to."""
    quiet_logs()
    task = build_task(found.config, data=data, root=root, cache=cache)
    audit = None
    if task.config.examples == "portraits":  # of other data nobody is held out
        audit = auditor(task, found.owner, portraits_like(task, found.owner, path=data))
    with watching(promise(found.config), talk()) as on_event:
        return forget_owner(
            found,
            task,
            publisher=lambda run: _publish_to(run, task),
            audit=audit,
            on_event=on_event,
        )


def _publish_to(run: RunFolder, task: AssistantTask) -> OnRound:
    """Return the hook that writes each round's adapter into a run."""

    def on_round(done: int, state: State, report: RoundReport) -> None:
        publish(run, task, state, rounds_done=done)

    return on_round


def _tell_costs(found: Forgetting, retrain: bool) -> None:
    """Print what retraining would spend, before anything is."""
    if not retrain:
        talk().print("The adapter is withdrawn; nothing is trained, and no budget is spent.")
        return
    start = f"after round {found.rounds_kept}" if found.rounds_kept else "at the first adapter"
    talk().print(f"Training begins {start}, without {found.owner}. It costs:", markup=False)
    for cost in found.costs:
        verdict = "" if cost.fits else f"; more than the promised {cost.allowed:g}"
        text = f"{cost.account}: {cost.spent.epsilon:.2f} before, after it {cost.after}{verdict}"
        talk().print(text, markup=False, soft_wrap=True)


def _tell_nodes(run: RunFolder, owner: str) -> None:
    """Say how an owner is taken out of a run whose ledgers are at the nodes."""
    names: dict[str, str] = run.read_json(NAMES) if (run.path / NAMES).exists() else {}
    if owner not in names.values():
        raise ArtifactError(
            f"Expected an owner in '{NAMES}' of run '{run.id}', got another name. `discreet "
            "federation status` shows who is admitted."
        )
    config = TrainConfig.load(run.config_path)
    staying = sorted(name for name in names.values() if name != owner)
    talk().print(
        f"1. Strike {owner} off: take its key out of admitted/, then `discreet federation admit`.\n"
        f"2. These nodes have to be connected: {', '.join(staying)}.\n"
        f"3. In a copy of {run.config_path}, set num_owners = {config.num_owners - 1}; give it to "
        "`discreet federation run`, with a new folder. Each node's own ledger decides whether its "
        "budget covers it: nobody else knows what is left.",
        markup=False,
        soft_wrap=True,
    )
