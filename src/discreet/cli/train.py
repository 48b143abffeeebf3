"""`discreet train` and `discreet quickstart`: federated rounds with privacy, on one machine."""

import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import typer
from PIL.Image import Image

from discreet.artifacts import RunFolder
from discreet.assistant import Assistant, Turn
from discreet.cli.chat import build_assistant
from discreet.cli.following import finished, follow, promise
from discreet.cli.live import watching
from discreet.cli.options import (
    RUNS,
    Cache,
    Json,
    Runs,
    given_by_hand,
    quiet_logs,
    show_json,
    talk,
)
from discreet.cli.owners import lines_of_owners
from discreet.cli.replies import why
from discreet.cli.train_plan import (
    for_data,
    for_objective,
    read_plan,
    with_changes,
)
from discreet.data import load_portraits
from discreet.deployment import ServerFolder, create_trial, run_deployed, run_ray
from discreet.federated import (
    REASONS,
    AssistantTask,
    Event,
    OnEvent,
    Outcome,
    RoundReport,
    State,
    TrainConfig,
    events_to,
    keep_updates,
    plan_of,
    publish,
    run_federation,
    seal_data,
    statements_of,
)
from discreet.types import AgeBand

QUICKSTART = TrainConfig()
"""The defaults are the quickstart: four owners, two rounds, epsilon 8 at delta 1e-5."""

_BESIDE_RESUME = ("resume", "data", "root", "driver", "events", "keep", "runs", "cache", "as_json")
"""What a resumed run takes; the plan is in its folder."""
Driver = Literal["local", "ray", "deployment"]
"""Who runs the owners."""
QUESTION = "What should I do after a tick bite?"
"""Of the fifth that no training sees."""


def train(
    ctx: typer.Context,
    config: Annotated[
        Path | None, typer.Argument(help="TOML file of the plan; the quickstart's by default.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Run folder to make; named by the time by default.")
    ] = None,
    resume: Annotated[
        Path | None, typer.Option(help="Go on with this run folder where it stopped.")
    ] = None,
    base: Annotated[str | None, typer.Option(help="Base model.")] = None,
    objective: Annotated[
        str | None,
        typer.Option(help="What is learnt: answers, or preferences between two answers."),
    ] = None,
    owners: Annotated[int | None, typer.Option(help="Simulated data owners.")] = None,
    rounds: Annotated[int | None, typer.Option(help="Rounds of training and averaging.")] = None,
    steps: Annotated[int | None, typer.Option(help="Private steps of an owner a round.")] = None,
    epsilon: Annotated[float | None, typer.Option(help="Budget of each owner.")] = None,
    delta: Annotated[
        float | None, typer.Option(help="What is added to its bound, a probability.")
    ] = None,
    unit: Annotated[
        str | None, typer.Option(help="What is hidden: example, user or owner.")
    ] = None,
    examples_per_user: Annotated[
        int | None, typer.Option(help="Most examples of one person, for --unit user.")
    ] = None,
    alpha: Annotated[float | None, typer.Option(help="Dirichlet skew between owners.")] = None,
    seed: Annotated[int | None, typer.Option(help="Public seed of adapter and split.")] = None,
    reproducible: Annotated[
        bool, typer.Option(help="Draw noise from the seed: benchmarks on public data only.")
    ] = False,
    data: Annotated[
        Path | None,
        typer.Option(
            help="Parquet of portraits, or conversations as `discreet data share` wrote them; the "
            "shipped people by default."
        ),
    ] = None,
    root: Annotated[
        Path | None, typer.Option(help="Where the pictures of --data lie, if the set was moved.")
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", help="Any field of the plan: --set aggregation=rolora. Repeatable."),
    ] = None,
    driver: Annotated[
        Driver,
        typer.Option(
            help="Who runs the owners: this process, Ray's workers, or a Flower server and nodes "
            "with TLS and keys, all on this machine."
        ),
    ] = "local",
    events: Annotated[
        Path | None, typer.Option(help="Folder for TensorBoard; needs the extra `watch`.")
    ] = None,
    keep: Annotated[
        bool,
        typer.Option(
            "--keep-updates",
            help="Keep each owner's update as the server sees it, for audits; no export has them.",
        ),
    ] = False,
    runs: Runs = RUNS,
    cache: Cache = None,
    as_json: Json = False,
) -> None:
    """Train an adapter over several owners with differential privacy.

    One private example is a portrait with a question, a whole conversation, or a pair of answers of
    which one is preferred. Of conversations, the owners are those in the file.

    CONFIG holds what no option says: sampler, bands, clipping, optimizer, engine, adapter.
    `discreet fields` tells all that may stand in it; a run folder's config.toml is an example.
    """
    if driver != "local":
        given = {"--data": data, "--root": root, "--cache": cache, "--keep-updates": keep or None}
        _refuse_with_driver(driver, given)
    if resume is not None:
        _refuse_with_resume(given_by_hand(ctx, but=_BESIDE_RESUME))
        run = RunFolder.open(resume)
        plan = TrainConfig.load(run.config_path)
        if outcome := finished(plan, run):
            _show(run, outcome, as_json)
            return
    else:
        plan = for_objective(read_plan(config), objective, is_planned=config is not None)
        options = {
            "base": base,
            "num_owners": owners,
            "num_rounds": rounds,
            "local_steps": steps,
            "target_epsilon": epsilon,
            "delta": delta,
            "unit": unit,
            "examples_per_user": examples_per_user,
            "dirichlet_alpha": alpha,
            "seed": seed,
            "reproducible": reproducible or None,
        }
        plan = with_changes(plan, options, changes or [])
        plan = for_data(plan, data, is_counted=config is not None or owners is not None)
        plan_of(plan)  # what does not go together is refused before a folder is made
        run = RunFolder.create(out or _new_folder(runs))
    with _kept_if_used(run):
        task = build_task(plan, data=data, root=root, cache=cache) if driver == "local" else None
        with _watched(plan, events) as on_event:
            if task is not None:
                outcome = train_run(run, task, on_event, keeps=keep, data=data)
            else:
                outcome = _train_elsewhere(plan, run, driver, on_event)
    _show(run, outcome, as_json)


@contextmanager
def _kept_if_used(run: RunFolder) -> Iterator[None]:
    """Take a run's folder away again if the block fails before anything came into it."""
    try:
        yield
    except BaseException:
        with suppress(OSError):  # something is in it: training began, or will go on
            run.path.rmdir()
        raise


@contextmanager
def _watched(plan: TrainConfig, events: Path | None = None) -> Iterator[OnEvent]:
    """Yield what shows a run on the terminal, and writes it for TensorBoard if asked to."""
    quiet_logs()
    written = events_to(events) if events else None
    with watching(promise(plan), talk()) as shown:

        def on_event(event: Event) -> None:
            shown(event)
            if written:
                written(event)

        yield on_event


def _train_elsewhere(
    plan: TrainConfig, run: RunFolder, driver: Driver, on_event: OnEvent
) -> Outcome:
    """Run the rounds that are left in other processes of this machine."""
    tell = follow(plan, run, on_event)
    if driver == "ray":
        return run_ray(plan, run, on_round=tell)
    return run_deployed(plan, run, _trial_of(plan, run), on_round=tell)


def _trial_of(plan: TrainConfig, run: RunFolder) -> ServerFolder:
    """Return the federation on this machine that a run has, with its keys and ledgers."""
    path = run.path / "federation"
    if path.is_dir():
        return ServerFolder.open(path)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    owners = [f"owner-{index}" for index in plan.present]
    return create_trial(path, owners, port=port)


def _refuse_with_driver(driver: str, given: Mapping[str, object]) -> None:
    """Say that data go to owners in this process only; elsewhere owners bring their own."""
    if found := [name for name, value in given.items() if value is not None]:
        raise typer.BadParameter(
            f"Expected no {', '.join(found)} with --driver {driver}: its owners have the packaged "
            "people. Leave it out, use --driver local, or start nodes with data of their own "
            "(`discreet federation`).",
            param_hint="--driver",
        )


def _refuse_with_resume(given: list[str]) -> None:
    """Say that a plan cannot be changed, where an option would be ignored."""
    if given:
        raise typer.BadParameter(
            f"Expected no other plan, got {', '.join(given)}. A plan is fixed once training began: "
            "leave them out, or start a new run.",
            param_hint="--resume",
        )


def quickstart(runs: Runs = RUNS, cache: Cache = None) -> None:
    """Train over four owners with privacy, then answer a child and an older adult."""
    run = RunFolder.create(_new_folder(runs))
    with _kept_if_used(run):
        task = build_task(QUICKSTART, cache=cache)
        with _watched(QUICKSTART) as on_event:
            outcome = train_run(run, task, on_event, keeps=False, data=None)
    assistant = build_assistant(str(run.path), "small", "healthcare", runs=runs, cache=cache)
    bands: tuple[AgeBand, ...] = ("child", "older_adult")
    people = [portrait for portrait in load_portraits("test") if portrait.expression == "neutral"]
    for band in bands:
        own = [portrait.image for portrait in people if portrait.age_band == band]
        image, place = _first_seen_as(band, own, assistant)
        talk().print(f"\nA held-out person ({band}) asks: {QUESTION}", style="bold")
        if place > 1:
            talk().print(f"(Number {place} of their age: the ones before were taken for others.)")
        consented = frozenset(assistant.policy.consentable())
        reply = assistant.reply(Turn(question=QUESTION, image=image, consented=consented))
        typer.echo(reply.text)
        talk().print(why(reply), style="dim", markup=False)
    _show(run, outcome, False)


def _first_seen_as(band: AgeBand, own: list[Image], assistant: Assistant) -> tuple[Image, int]:
    """Return the first picture whose age band is read right, and its place in line."""
    if assistant.perceiver is not None:
        for place, image in enumerate(own, 1):
            seen = assistant.perceiver.perceive(image, ["age_band"]).observations
            if [observation.value for observation in seen] == [band]:
                return image, place
    return own[0], 1


def build_task(
    plan: TrainConfig,
    *,
    data: Path | None = None,
    root: Path | None = None,
    cache: Path | None = None,
) -> AssistantTask:
    """Return what is trained in this process, and say what of the data is left out."""
    quiet_logs()
    with talk().status("loading the base model, and giving owners their examples"):
        task = AssistantTask.build(plan, shared_data=data, root=root, cache_dir=cache)
    for reason, count in task.shared.left_out.items():
        talk().print(f"left out: {count} {REASONS[reason]}", markup=False)
    return task


def train_run(
    run: RunFolder, task: AssistantTask, on_event: OnEvent, *, keeps: bool, data: Path | None
) -> Outcome:
    """Run the rounds that are left in this process; publish the adapter after each.

    `keeps`: every owner's update is kept in the run folder. `data`: what the task was built of.
    """

    def publish_round(done: int, state: State, report: RoundReport) -> None:
        publish(run, task, state, rounds_done=done)
        seal_data(run, data)

    return run_federation(
        task.config,
        run,
        task,
        on_round=publish_round,
        on_event=on_event,
        on_update=keep_updates(run) if keeps else None,
    )


def _new_folder(runs: Path) -> Path:
    """Return a folder name of its own, from the time."""
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    return runs / (stamp if not (runs / stamp).exists() else f"{stamp}-{time.monotonic_ns()}")


def _show(run: RunFolder, outcome: Outcome, as_json: bool) -> None:
    spent = statements_of(run)
    if as_json:
        show_json(
            {
                "run": str(run.path),
                "rounds_done": outcome.rounds_done,
                "ended": outcome.ended,
                "privacy": spent,
            }
        )
        return
    talk().print()
    for line in lines_of_owners(spent):
        talk().print(line, markup=False, soft_wrap=True)
    if outcome.ended == "budget_exhausted":
        talk().print("The budget is spent; the last complete round was kept.", style="yellow")
    talk().print(f"rounds done: {outcome.rounds_done}; run folder:")
    typer.echo(str(run.path))
