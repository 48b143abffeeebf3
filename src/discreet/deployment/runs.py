"""Runs of a plan on a server that runs, on a federation of this machine, and in Ray's simulation.

    with start_server(folder):                       # and nodes, elsewhere
        outcome = submit(config, run, folder)

All three drive the apps of `clients/` and `server/`, or an app of one's own, and leave the same run
folder as `discreet.federated.run_federation` does in one process; all go on where a run folder
stopped. `discreet.federated` is imported where it is used: what starts a server or a node, and asks
how it is, holds no model library.
"""

import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from discreet.artifacts import RunFolder
from discreet.deployment.bundle import App, build, kit_app
from discreet.deployment.control import RunState, open_control
from discreet.deployment.folders import NodeFolder, ServerFolder
from discreet.deployment.node import start_node
from discreet.deployment.server import start_server
from discreet.errors import DeploymentError, ExtraMissing, FederationError
from discreet.keys import read_roster
from discreet.metrics import reason_of_end, rounds_done
from discreet.quiet import quietly

if TYPE_CHECKING:
    from discreet.federated import LocalTask, OnRound, Outcome, TrainConfig

MakeTask = Callable[["TrainConfig", Path | None, Path | None], "LocalTask"]
"""Makes what is trained, as in `discreet.federated.client_app`."""
MakePublisher = Callable[["TrainConfig", RunFolder, Any], "OnRound"]
"""Makes the hook that writes each round's adapter, as in `discreet.federated.server_app`."""
OnRoundDone = Callable[[int], None]
"""Called with the number of rounds that are done."""
_POLL_SECONDS = 2.0
_LOGS = "logs"
_REASONS = 6
"""Most lines that are shown of logs."""
_REFUSED = " did not train: "
"""In the line of a node's log that says why an owner did not train; `federated/client.py`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Tasks:
    """What Ray's workers train; functions and classes of modules, as workers import them."""

    of_owners: MakeTask
    """Makes an owner's task."""
    of_server: MakeTask
    """Makes the server's."""
    publisher: MakePublisher | None = None
    """Makes the hook that writes the adapter after each round."""


def submit(
    config: "TrainConfig",
    run: RunFolder,
    folder: ServerFolder,
    *,
    app: App | None = None,
    on_round: OnRoundDone | None = None,
) -> "Outcome":
    """Run a plan on a server that runs, and wait for its end; Ctrl-C ends the run.

    Args:
        config: The public plan; that of the run folder if there is one in it.
        run: Where the server writes; a run that was stopped goes on.
        folder: The server's, on this machine.
        app: What the nodes were started with; that of the installed kit by default.
        on_round: Called after each round.

    Raises:
        ArtifactCorrupt: if the server's roster is damaged.
        DeploymentError: if the server does not answer, or has a run under way.
        FederationError: if the run failed, with the server's words.
        ValueError: if the run folder belongs to another plan.
    """
    from discreet.federated import require_same_plan

    require_same_plan(config, run)
    settings = {**config.as_mapping(), "run_folder": str(run.path.resolve())}
    if folder.roster.exists():
        read_roster(folder.roster)  # refused here, and not where only a log would say so
        settings["roster"] = str(folder.roster.resolve())
    said = len(run.read_metrics())
    with open_control(folder) as ask:
        run_id = ask.start_run(build(app or kit_app(), settings))
        done = rounds_done(run.read_metrics())
        try:
            while not (state := ask.state_of(run_id)).is_finished:
                time.sleep(_POLL_SECONDS)
                done = _tell(run, done, on_round)
        except KeyboardInterrupt:
            ask.stop_run(run_id)
            raise
    _tell(run, done, on_round)
    return _outcome(config, run, state, said)


def run_deployed(
    config: "TrainConfig",
    run: RunFolder,
    folder: ServerFolder,
    *,
    app: App | None = None,
    on_round: OnRoundDone | None = None,
) -> "Outcome":
    """Run a plan on a server and nodes that are started on this machine, and end them.

    Args:
        config: The public plan.
        run: Where the server writes.
        folder: A federation of `create_trial`, with a node folder for each owner.
        app: What is run; the installed kit's by default.
        on_round: Called after each round.

    Raises:
        DeploymentError: if a server or a node does not start.
        FederationError: if the run failed. Both say where the logs are, and what the owners' say.
    """
    logs = folder.path / _LOGS
    logs.mkdir(exist_ok=True)
    with _explained(logs, run), ExitStack() as stack:
        stack.enter_context(start_server(folder, log=logs / "server.log"))
        for path in sorted((folder.path / "owners").iterdir()):
            node = start_node(NodeFolder.open(path), app=app, log=logs / f"{path.name}.log")
            stack.enter_context(node)
        return submit(config, run, folder, app=app, on_round=on_round)


def run_ray(
    config: "TrainConfig",
    run: RunFolder,
    *,
    tasks: Tasks | None = None,
    processes: int | None = None,
    on_round: OnRoundDone | None = None,
) -> "Outcome":
    """Run a plan with simulated owners in Ray's worker processes, several at once.

    Ray and Flower's simulation live in a process of their own, so that neither leaves anything in
    this one. Each worker loads the base.

    Args:
        config: The public plan.
        run: Where everything is written, also the owners' ledger.
        tasks: What is trained; the kit's by default.
        processes: Owners that train at once; as many as there are processor cores by default.
        on_round: Called after each round.

    Raises:
        ExtraMissing: if Ray is not installed.
        FederationError: if the run failed.
        ValueError: if owners are absent: Ray's simulation numbers those who are there.
    """
    if config.absent:
        raise ValueError("Expected all owners in Ray's simulation, got absent_owners. Run locally.")
    try:
        import ray  # noqa: F401 - only asked for: the other process imports it
    except ImportError as error:
        raise ExtraMissing("Expected Ray, found none. Install it: pip install ray.") from error
    from discreet.federated import require_same_plan

    require_same_plan(config, run)
    said = len(run.read_metrics())
    spawn = multiprocessing.get_context("spawn")
    with quietly(), ProcessPoolExecutor(1, mp_context=spawn) as pool:
        done, count = rounds_done(run.read_metrics()), processes or os.cpu_count() or 1
        running = pool.submit(_simulate, config, run, tasks, count)
        while wait([running], timeout=_POLL_SECONDS).not_done:
            done = _tell(run, done, on_round)
        running.result()
    _tell(run, done, on_round)
    return _outcome(config, run, RunState("finished", "completed", ""), said)


def _simulate(config: "TrainConfig", run: RunFolder, tasks: Tasks | None, processes: int) -> None:
    """Run Flower's simulation; in a process of its own."""
    from flwr.simulation import run_simulation

    from discreet.federated import client_app, server_app

    tasks = tasks or _kit_tasks()
    run_simulation(
        server_app(tasks.of_server, config=config, run=run, publisher=tasks.publisher),
        client_app(tasks.of_owners, config=config, ledger=run.ledger_path),
        num_supernodes=config.num_owners,
        backend_config={
            "client_resources": {"num_cpus": 1},
            "init_args": {"include_dashboard": False, "num_cpus": processes},
        },
    )


def _kit_tasks() -> Tasks:
    """Return what the kit's apps train."""
    from discreet.deployment import client_app, server_app

    return Tasks(
        of_owners=client_app.resident_task,
        of_server=server_app.build_task,
        publisher=server_app.publisher,
    )


@contextmanager
def _explained(logs: Path, run: RunFolder) -> Iterator[None]:
    """Add to an error where the logs are, and why owners of this machine did not train."""
    before = {path: path.stat().st_size for path in logs.glob("*.log")}
    try:
        yield
    except (DeploymentError, FederationError) as error:
        place = os.path.relpath(logs, run.path)
        told = [f"The logs of the server and of each owner are in '{place}' of the run folder."]
        for path in sorted(logs.glob("*.log")):
            if line := _reason_in(path, before.get(path, 0)):
                told.append(f"{path.stem}: {line}")
        if len(told) > _REASONS:
            told[_REASONS:] = [f"{len(told) - _REASONS} more owners did not train."]
        raise type(error)("\n".join([str(error), *told])) from error


def _reason_in(log: Path, start: int) -> str | None:
    """Return the last line behind a log's first bytes that says why an owner did not train."""
    with log.open("rb") as file:
        file.seek(start)
        lines = file.read().decode(errors="replace").splitlines()
    return next((line.strip() for line in reversed(lines) if _REFUSED in line), None)


def _tell(run: RunFolder, done: int, on_round: OnRoundDone | None) -> int:
    """Call the hook for each round since `done`; return how many are done."""
    now = rounds_done(run.read_metrics())
    if on_round:
        for server_round in range(done + 1, now + 1):
            on_round(server_round)
    return now


def _outcome(config: "TrainConfig", run: RunFolder, state: RunState, said: int) -> "Outcome":
    """Return how the run ended, read from its folder; `said` lines are of earlier attempts."""
    from discreet.federated import Outcome, read_checkpoint

    last = read_checkpoint(run)
    exhausted = reason_of_end(run.read_metrics()[said:])
    if last and last.rounds_done == config.num_rounds:
        return Outcome(rounds_done=last.rounds_done, ended="completed", state=last.adapter)
    if last and exhausted is not None:
        return Outcome(rounds_done=last.rounds_done, ended="budget_exhausted", state=last.adapter)
    reason = exhausted or state.details or "the server's log says why"
    raise FederationError(
        f"Expected {config.num_rounds} rounds, got {last.rounds_done if last else 0}: the run "
        f"{state.outcome}: {reason.rstrip('.')}. Give the same run folder to go on."
    )
