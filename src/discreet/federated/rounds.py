"""Run a federation over any Flower grid, and keep its run folder readable at all times.

    run = RunFolder.create(Path("runs/first"))
    outcome = run_federation(config, run, task, on_round=publish)

A run goes on where it stopped: `checkpoint.safetensors` holds the last average together with the
number of its round, the ledger holds what was spent. A round that was interrupted starts again
and is paid for again, so that an owner's budget may end before the last round; that owner then sits
out. Before its first round, while its own ledger has no account, a run takes another plan.
"""

import hashlib
import json
import signal
import threading
from collections.abc import Callable, Iterator, Set
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from math import isfinite
from pathlib import Path
from statistics import fmean
from typing import Any, Literal

import platformdirs
import torch
from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from discreet.aggregation import State
from discreet.artifacts import RunFolder
from discreet.errors import ArtifactCorrupt, BudgetExhausted, FederationError
from discreet.federated import messages
from discreet.federated.checkpoint import (
    Checkpoint,
    alone_in,
    read_checkpoint,
    require_same_plan,
    write_checkpoint,
)
from discreet.federated.client import TaskFactory, client_app
from discreet.federated.config import TrainConfig
from discreet.federated.coordinator import Coordinator
from discreet.federated.events import OnEvent, StepTaken
from discreet.federated.evidence import line_of_end, lines_of, round_done
from discreet.federated.local import LocalGrid
from discreet.federated.local_task import LocalResult, LocalTask, Watch
from discreet.federated.plans import is_secret_choice
from discreet.federated.receipts import OnUpdate, RoundReport
from discreet.federated.terms import Terms
from discreet.keys import read_roster
from discreet.privacy import PrivacyLedger, StepRecord
from discreet.registry import refuse_withdrawn
from discreet.types import OwnerId

OnRound = Callable[[int, State, RoundReport], None]
"""Called with the round, the new adapter and its report once a round is done."""
Publisher = Callable[[TrainConfig, RunFolder, Any], OnRound]
"""Makes the hook that writes the adapter and its card; gets the task that `make_task` made."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """How a federation ended."""

    rounds_done: int
    ended: Literal["completed", "budget_exhausted"]
    state: State = field(repr=False)


def run_federation(
    config: TrainConfig,
    run: RunFolder,
    task: LocalTask,
    *,
    on_round: OnRound | None = None,
    on_step: Callable[[OwnerId, int, StepRecord], None] | None = None,
    on_event: OnEvent | None = None,
    on_update: OnUpdate | None = None,
) -> Outcome:
    """Train with all owners in this process; start anew, or go on from the run's checkpoint.

    Args:
        config: The public plan; must be the one in the folder if there is one.
        run: Where everything is written, also the owners' ledger.
        task: What is trained.
        on_round: Called with each new average, once the checkpoint is safe. On resuming it is
            called once for the round on disk, so that what it writes catches up.
        on_step: Called after each private step with the owner and the round.
        on_event: Told what happens, steps included.
        on_update: Told each update as the server sees it, for audits (`keep_updates`).

    Raises:
        ArtifactCorrupt: if the run began and its ledger is gone.
        FederationError: if too few replies of a round are usable; an owner's error is its cause.
        ValueError: if the folder belongs to another plan.
        KeyboardInterrupt: on Ctrl-C, once the file being written is complete.
    """
    _settle_ledger(run)
    failure: Exception | None = None
    kept: list[dict[str, object]] = []

    def record(owner: OwnerId, server_round: int, result: LocalResult) -> None:
        if losses := [loss for loss in result.losses if isfinite(loss)]:
            line = {"round": server_round, "owner": owner, "name": "train_loss"}
            kept.append({**line, "value": fmean(losses), "visibility": "local"})

    def finish(server_round: int, state: State, report: RoundReport) -> None:
        run.append_metric(*kept)
        kept.clear()
        if on_round:
            on_round(server_round, state, report)

    def step(owner: OwnerId, server_round: int, taken: StepRecord) -> None:
        if on_step:
            on_step(owner, server_round, taken)
        if on_event:
            on_event(_taken(owner, server_round, taken, config))

    def fail(owner: OwnerId, error: Exception) -> None:
        nonlocal failure
        failure = error

    watch = Watch(on_step=step, on_result=record, on_failure=fail)
    app = client_app(lambda *_: task, config=config, ledger=run.ledger_path, watch=watch)
    count = config.num_owners
    nodes = [{"partition-id": index, "num-partitions": count} for index in config.present]
    grid = LocalGrid(app, nodes)
    try:
        with grid.activated():
            return drive(
                config, run, task, grid, on_round=finish, on_event=on_event, on_update=on_update
            )
    except FederationError as error:
        raise error from failure


def server_app(
    make_task: TaskFactory,
    *,
    config: TrainConfig | None = None,
    run: RunFolder | None = None,
    publisher: Publisher | None = None,
) -> ServerApp:
    """Return the Flower app of the server.

    Args:
        make_task: Makes the task, of which the server uses the first adapter only.
        config: The plan; default: what the run's `run_config` says.
        run: Where to write; default: the `run_folder` of the `run_config`, or a folder named by
            Flower's run id in the user's data directory.
        publisher: Makes the hook that writes the adapter after each round.

    Where the `run_config` names a `roster`, nobody else is let into secure sums.
    """
    app = ServerApp()

    @app.main()
    def main(grid: Grid, context: Context) -> None:
        plan = config or TrainConfig.from_run_config(context.run_config)
        folder = run or _run_folder(context)
        task = make_task(plan, None, None)
        on_round = publisher(plan, folder, task) if publisher else None
        path = str(context.run_config.get("roster", ""))
        roster = read_roster(Path(path)).keys if path else None
        drive(plan, folder, task, grid, on_round=on_round, roster=roster)

    return app


def drive(
    config: TrainConfig,
    run: RunFolder,
    task: LocalTask,
    grid: Grid,
    *,
    on_round: OnRound | None = None,
    on_event: OnEvent | None = None,
    roster: Set[bytes] | None = None,
    on_update: OnUpdate | None = None,
) -> Outcome:
    """Run the rounds that are left over a grid; the same for all ways of running.

    With a roster, raw public keys, nobody but these owners is let into secure sums.

    Raises:
        AdapterWithdrawn: if the run's adapter was taken off the shelf.
        ArtifactError: if another process goes on with the run.
    """
    with alone_in(run):
        refuse_withdrawn(run)
        ledger = _own_ledger(config, run)  # before the plan: a run with a plan has begun
        require_same_plan(config, run)
        if not run.checkpoint_path.exists():
            config.save(run.config_path)
        terms = Terms.of(config, task.initial_state())
        last = _where_it_stands(config, run, task, terms)
        coordinator = Coordinator(
            terms,
            grid,
            frozen_hash=task.frozen_hash,
            ledger=ledger,
            roster=roster,
            on_event=on_event,
            on_update=on_update,
        )
        if last.rounds_done:
            _catch_up(run, last, on_round)
        return _go_on(coordinator, config, run, last, on_round, on_event)


def _go_on(
    coordinator: Coordinator,
    config: TrainConfig,
    run: RunFolder,
    last: Checkpoint,
    on_round: OnRound | None,
    on_event: OnEvent | None,
) -> Outcome:
    """Run the rounds after the last one; each is on disk before the next begins."""
    while last.rounds_done < config.num_rounds:
        try:
            now, report = coordinator.play(last)
        except BudgetExhausted as error:
            run.append_metric(line_of_end(last.rounds_done + 1, str(error)))
            return _outcome(last, "budget_exhausted")
        now = replace(now, metrics=lines_of(config, run, report, now))
        with _interrupts_held():
            write_checkpoint(run, now)
            last = now
            run.append_metric(*now.metrics)
            if on_round:
                on_round(now.rounds_done, now.adapter, report)
        if on_event:
            on_event(round_done(run, now.rounds_done, config.num_rounds, now.metrics))
    return _outcome(last, "completed")


def _settle_ledger(run: RunFolder) -> None:
    """Make the ledger of a new run before anything else; a run that began must have one."""
    if not run.config_path.exists() or run.ledger_path.exists():
        PrivacyLedger.open(run.ledger_path)
        return
    try:
        PrivacyLedger(run.ledger_path).owners()
    except ArtifactCorrupt as error:
        raise ArtifactCorrupt(
            f"Expected '{run.ledger_path.name}' in run '{run.id}', which has begun, found none: "
            "nobody would know what was spent. Restore it from a copy, or start a new run."
        ) from error


def _where_it_stands(
    config: TrainConfig, run: RunFolder, task: LocalTask, terms: Terms
) -> Checkpoint:
    """Return the run's checkpoint, or the one before round 1.

    Raises:
        ArtifactCorrupt: if it holds another adapter.
        ValueError: if it belongs to another plan.
    """
    plan = plan_hash(config, task)
    first = {name: torch.zeros(shape) for name, shape in terms.shapes.items()}
    first |= task.initial_state()
    last = read_checkpoint(run)
    if last is None:
        return Checkpoint(rounds_done=0, state=first, plan_sha256=plan)
    if messages.shapes_of(last.state) != dict(terms.shapes):
        raise ArtifactCorrupt(
            f"Expected the adapter of this plan in '{run.checkpoint_path.name}', got other names "
            "or shapes. Start a new run."
        )
    if last.plan_sha256 != plan:
        raise ValueError(
            f"Expected the plan and the base that made '{run.checkpoint_path.name}', got another: "
            f"'{run.config_path.name}' was changed, or the base was. A plan is fixed once training "
            "began. Put the old one back, or start a new run."
        )
    return last


def _own_ledger(config: TrainConfig, run: RunFolder) -> PrivacyLedger | None:
    """Return the server's own account book, where the server is who protects owners."""
    if not is_secret_choice(config):
        return None
    _settle_ledger(run)
    return PrivacyLedger.open(run.ledger_path, run=run.id)


def _outcome(last: Checkpoint, ended: Literal["completed", "budget_exhausted"]) -> Outcome:
    return Outcome(rounds_done=last.rounds_done, ended=ended, state=last.adapter)


def _taken(owner: OwnerId, server_round: int, record: StepRecord, config: TrainConfig) -> StepTaken:
    """Return what whoever watches is told of a step in this process."""
    return StepTaken(
        server_round=server_round,
        owner=owner,
        step=record.step,
        steps=config.local_steps,
        loss=record.loss,
    )


def plan_hash(config: TrainConfig, task: LocalTask) -> str:
    """Return a SHA-256 of the plan, the base and the frozen part of the adapter."""
    plan = json.dumps([config.as_mapping(), task.frozen_hash], sort_keys=True)
    return hashlib.sha256(plan.encode()).hexdigest()


def _catch_up(run: RunFolder, last: Checkpoint, on_round: OnRound | None) -> None:
    """Write what a kill after the last checkpoint may have kept from the metrics and the hook."""
    with _interrupts_held():
        known = [line for line in run.read_metrics() if line["round"] == last.rounds_done]
        run.append_metric(*(line for line in last.metrics if line not in known))
        if on_round:  # nobody replied to make the round now
            report = RoundReport(server_round=last.rounds_done, statements={}, steps={}, dropped={})
            on_round(last.rounds_done, last.adapter, report)


def _run_folder(context: Context) -> RunFolder:
    """Return the folder that a Flower run writes to, new or to be resumed."""
    home = Path(platformdirs.user_data_dir("discreet")) / "runs"
    path = Path(str(context.run_config.get("run_folder", "") or home / str(context.run_id)))
    return RunFolder.open(path) if path.is_dir() else RunFolder.create(path)


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Let a Ctrl-C inside the block take effect at its end."""
    former = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or former is None:
        yield
        return
    pending: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _: pending.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, former)
    if pending:
        signal.raise_signal(signal.SIGINT)
