"""Run a federation over any Flower grid, and keep its run folder readable at all times.

    run = RunFolder.create(Path("runs/first"))
    outcome = run_federation(config, run, task, on_round=publish)

A run goes on where it stopped: `checkpoint.safetensors` holds the last average together with the
number of its round, the ledger holds what was spent. A round that was interrupted starts again
and is paid for again, so that an owner's budget may end before the last round; that owner then sits
out.
"""

import hashlib
import json
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from math import isfinite
from pathlib import Path
from statistics import fmean
from typing import Any, Literal

import platformdirs
import torch
from flwr.app import Context
from flwr.serverapp import Grid, ServerApp
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from discreet.artifacts import RunFolder, write_bytes
from discreet.errors import ArtifactCorrupt, BudgetExhausted, FederationError
from discreet.federated import messages
from discreet.federated.client import LocalResult, LocalTask, TaskFactory, Watch, client_app
from discreet.federated.config import TrainConfig
from discreet.federated.local import LocalGrid
from discreet.federated.messages import State
from discreet.federated.strategy import AdapterAveraging, OnRound, RoundReport
from discreet.privacy import PrivacyLedger, StepRecord
from discreet.types import OwnerId, PrivacyStatement

Publisher = Callable[[TrainConfig, RunFolder, Any], OnRound]
"""Makes the hook that writes the adapter and its card; gets the task that `make_task` made."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Checkpoint:
    """The average of the last finished round."""

    rounds_done: int
    state: State = field(repr=False)
    plan_sha256: str = ""
    """Of the plan and of what was frozen: the state means nothing under another."""


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
) -> Outcome:
    """Train with all owners in this process; start anew, or go on from the run's checkpoint.

    Args:
        config: The public plan; must be the one in the folder if there is one.
        run: Where everything is written, also the owners' ledger.
        task: What is trained.
        on_round: Called with each new average, once the checkpoint is safe. On resuming it is
            called once for the round on disk, so that what it writes catches up.
        on_step: Called after each private step with the owner and the round.

    Raises:
        ArtifactCorrupt: if the run began and its ledger is gone.
        FederationError: if too few replies of a round are usable; an owner's error is its cause.
        ValueError: if the folder belongs to another plan.
        KeyboardInterrupt: on Ctrl-C, once the file being written is complete.
    """
    _settle_ledger(run)
    failures: list[Exception] = []

    def record(owner: OwnerId, server_round: int, result: LocalResult) -> None:
        if losses := [loss for loss in result.losses if isfinite(loss)]:
            line = {"round": server_round, "owner": owner, "name": "train_loss"}
            run.append_metric({**line, "value": fmean(losses), "visibility": "local"})

    watch = Watch(
        on_step=on_step, on_result=record, on_failure=lambda _, error: failures.append(error)
    )
    app = client_app(lambda *_: task, config=config, ledger=run.ledger_path, watch=watch)
    count = config.num_owners
    nodes = [{"partition-id": index, "num-partitions": count} for index in range(count)]
    grid = LocalGrid(app, nodes)
    try:
        with grid.activated():
            return drive(config, run, task, grid, on_round=on_round)
    except FederationError as error:
        raise error from (failures[-1] if failures else None)


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
    """
    app = ServerApp()

    @app.main()
    def main(grid: Grid, context: Context) -> None:
        plan = config or TrainConfig.from_run_config(context.run_config)
        folder = run or _run_folder(context)
        task = make_task(plan, None, None)
        on_round = publisher(plan, folder, task) if publisher else None
        drive(plan, folder, task, grid, on_round=on_round)

    return app


def drive(
    config: TrainConfig,
    run: RunFolder,
    task: LocalTask,
    grid: Grid,
    *,
    on_round: OnRound | None = None,
) -> Outcome:
    """Run the rounds that are left over a grid; the same for all ways of running."""
    _settle_config(config, run)
    plan = _plan_hash(config, task)
    last = read_checkpoint(run) or Checkpoint(
        rounds_done=0, state=task.initial_state(), plan_sha256=plan
    )
    if messages.shapes_of(last.state) != messages.shapes_of(task.initial_state()):
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
    if last.rounds_done and on_round:
        _catch_up(last, on_round)

    def finish(server_round: int, state: State, report: RoundReport) -> None:
        nonlocal last
        with _interrupts_held():
            last = Checkpoint(rounds_done=server_round, state=state, plan_sha256=plan)
            write_checkpoint(run, last)
            _release(run, report)
            if on_round:
                on_round(server_round, state, report)

    strategy = AdapterAveraging(
        config,
        messages.shapes_of(last.state),
        frozen_hash=task.frozen_hash,
        rounds_done=last.rounds_done,
        on_round=finish,
    )
    ended: Literal["completed", "budget_exhausted"] = "completed"
    try:
        strategy.start(
            grid=grid,
            initial_arrays=messages.pack(last.state),
            num_rounds=config.num_rounds - last.rounds_done,
            timeout=config.round_timeout_seconds,
        )
    except BudgetExhausted as error:
        ended = "budget_exhausted"
        _log_end(run, last.rounds_done + 1, str(error))
    return Outcome(rounds_done=last.rounds_done, ended=ended, state=last.state)


def write_checkpoint(run: RunFolder, checkpoint: Checkpoint) -> None:
    """Replace the run's checkpoint; the state and its round are one file and cannot disagree."""
    tensors = {name: tensor.contiguous() for name, tensor in checkpoint.state.items()}
    metadata = {
        "rounds_done": str(checkpoint.rounds_done),
        "plan_sha256": checkpoint.plan_sha256,
    }
    write_bytes(run.checkpoint_path, save(tensors, metadata=metadata))


def read_checkpoint(run: RunFolder) -> Checkpoint | None:
    """Return the run's checkpoint, or `None` if no round is done.

    Raises:
        ArtifactCorrupt: if the file is damaged.
    """
    path = run.checkpoint_path
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            rounds_done, plan = int(metadata["rounds_done"]), str(metadata["plan_sha256"])
            state: dict[str, torch.Tensor] = {n: file.get_tensor(n) for n in file.keys()}  # noqa: SIM118 - no mapping
    except (SafetensorError, KeyError, ValueError) as error:
        raise ArtifactCorrupt(
            f"Expected a checkpoint in '{path.name}', could not read it. Restore it from a copy, "
            "or start a new run."
        ) from error
    return Checkpoint(rounds_done=rounds_done, state=state, plan_sha256=plan)


def released_statements(run: RunFolder) -> dict[str, PrivacyStatement]:
    """Return what each node last said it has spent; `node-<id>` stands for the owner.

    The server knows no more than this: a node that lost a reply has spent more than it said.
    """
    spent: dict[str, PrivacyStatement] = {}
    for line in run.read_metrics():
        if line["name"] == "epsilon" and line["visibility"] == "released":
            spent[f"node-{line['node']}"] = PrivacyStatement(
                epsilon=line["value"],
                delta=line["delta"],
                unit=line["unit"],
                neighbouring_relation=line["neighbouring_relation"],
            )
    return spent


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


def _plan_hash(config: TrainConfig, task: LocalTask) -> str:
    """Return a SHA-256 of the plan, the base and the frozen part of the adapter."""
    plan = json.dumps([config.as_mapping(), task.frozen_hash], sort_keys=True)
    return hashlib.sha256(plan.encode()).hexdigest()


def _settle_config(config: TrainConfig, run: RunFolder) -> None:
    """Write the plan into a new run; refuse another plan than that of an old one."""
    if not run.config_path.exists():
        config.save(run.config_path)
        return
    old, new = TrainConfig.load(run.config_path).as_mapping(), config.as_mapping()
    if changed := sorted(k for k in {*old, *new} if old.get(k) != new.get(k)):
        raise ValueError(
            f"Expected the plan of run '{run.id}', got another {', '.join(changed)}. A plan is "
            "fixed once training began: resume with its config.toml, or start a new run."
        )


def _catch_up(last: Checkpoint, on_round: OnRound) -> None:
    """Hand the round on disk to the hook; nobody replied to make it now."""
    report = RoundReport(server_round=last.rounds_done, statements={}, steps={}, dropped={})
    with _interrupts_held():
        on_round(last.rounds_done, last.state, report)


def _release(run: RunFolder, report: RoundReport) -> None:
    """Add what the server learned in a round to the metrics."""
    line = {"round": report.server_round, "visibility": "released"}
    run.append_metric({**line, "name": "replies", "value": len(report.statements)})
    for node, reason in report.dropped.items():
        run.append_metric({**line, "name": "dropped", "node": node, "value": 1, "reason": reason})
    for node, spent in sorted(report.statements.items()):
        guarantee = {key: value for key, value in asdict(spent).items() if key != "epsilon"}
        steps = {**line, "name": "steps", "node": node, "value": report.steps[node]}
        run.append_metric(steps)
        run.append_metric({**steps, "name": "epsilon", "value": spent.epsilon, **guarantee})


def _log_end(run: RunFolder, server_round: int, reason: str) -> None:
    """Say in the metrics why a run ended before its last round."""
    line = {"round": server_round, "name": "ended", "value": "budget_exhausted"}
    run.append_metric({**line, "reason": reason, "visibility": "released"})


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
