"""`discreet train` and `discreet quickstart`: federated rounds with privacy, on one machine."""

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from PIL.Image import Image
from rich.progress import Progress

from discreet.artifacts import RunFolder
from discreet.assistant import Assistant, Turn
from discreet.cli.chat import build_assistant, why
from discreet.cli.options import RUNS, Cache, Json, Runs, progress, quiet_logs, show_json, talk
from discreet.data import load_portraits
from discreet.errors import DataError
from discreet.federated import (
    PREFERENCES,
    REASONS,
    AssistantTask,
    Outcome,
    TrainConfig,
    plan_of,
    publish,
    run_federation,
)
from discreet.privacy import PrivacyLedger, StepRecord
from discreet.sources import holds_shares, num_owners_in
from discreet.types import AgeBand, OwnerId, PrivacyStatement

QUICKSTART = TrainConfig()
"""The defaults are the quickstart: four owners, two rounds, epsilon 8 at delta 1e-5."""

QUESTION = "What should I do after a tick bite?"
"""Of the fifth that no training sees."""
_AN_EXAMPLE = {
    "portraits": "",
    "conversations": "An example is one conversation. ",
    "preference_pairs": "An example is one preference pair. ",
}


def train(
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
    unit: Annotated[str | None, typer.Option(help="What is hidden: example or user.")] = None,
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
    runs: Runs = RUNS,
    cache: Cache = None,
    as_json: Json = False,
) -> None:
    """Train an adapter over several owners with differential privacy.

    One private example is a portrait with a question, a whole conversation, or a pair of answers of
    which one is preferred. Of conversations, the owners are those in the file.

    CONFIG holds what no option says: sampler, bands, clipping, optimizer, engine, adapter; every
    field is in `discreet.federated.TrainConfig`, and a run folder's config.toml is an example.
    """
    if resume is not None:
        given: dict[str, object] = {
            "CONFIG": config,
            "--out": out,
            "--base": base,
            "--objective": objective,
            "--owners": owners,
            "--rounds": rounds,
            "--steps": steps,
            "--epsilon": epsilon,
            "--delta": delta,
            "--unit": unit,
            "--examples-per-user": examples_per_user,
            "--alpha": alpha,
            "--seed": seed,
            "--reproducible": reproducible or None,
        }
        _refuse_with_resume([name for name, value in given.items() if value is not None])
        run = RunFolder.open(resume)
        plan = TrainConfig.load(run.config_path)
    else:
        plan = TrainConfig() if config is None else TrainConfig.load(config)
        plan = _aim(plan, objective, is_planned=config is not None)
        plan = _override(
            plan,
            base=base,
            num_owners=owners,
            num_rounds=rounds,
            local_steps=steps,
            target_epsilon=epsilon,
            delta=delta,
            unit=unit,
            examples_per_user=examples_per_user,
            dirichlet_alpha=alpha,
            seed=seed,
            reproducible=reproducible or None,
        )
        plan = _follow(plan, data, is_counted=config is not None or owners is not None)
        plan_of(plan)  # what does not go together is refused before a folder is made
        run = RunFolder.create(out or _new_folder(runs))
    outcome = train_run(plan, run, data=data, root=root, cache=cache)
    _show(run, outcome, as_json)


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
    outcome = train_run(QUICKSTART, run, cache=cache)
    assistant = build_assistant(str(run.path), "small", "healthcare", runs=runs, cache=cache)
    bands: tuple[AgeBand, ...] = ("child", "older_adult")
    people = [portrait for portrait in load_portraits("test") if portrait.expression == "neutral"]
    for band in bands:
        own = [portrait.image for portrait in people if portrait.age_band == band]
        image, place = _first_seen_as(band, own, assistant)
        talk().print(f"\nA held-out person ({band}) asks: {QUESTION}", style="bold")
        if place > 1:
            talk().print(f"(Number {place} of their age: the ones before were taken for others.)")
        reply = assistant.reply(Turn(question=QUESTION, image=image))
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


def train_run(
    plan: TrainConfig,
    run: RunFolder,
    *,
    data: Path | None = None,
    root: Path | None = None,
    cache: Path | None = None,
) -> Outcome:
    """Run the rounds that are left with a progress bar; publish the adapter after each."""
    quiet_logs()
    talk().print(_promise(plan), markup=False)
    with talk().status("loading the base model, and giving owners their examples"):
        task = AssistantTask.build(plan, shared_data=data, root=root, cache_dir=cache)
    for reason, count in task.shared.left_out.items():
        talk().print(f"left out: {count} {REASONS[reason]}", markup=False)
    with progress() as bar:
        return run_federation(
            plan,
            run,
            task,
            on_round=lambda done, state, _: _publish(run, task, state, done),
            on_step=_bar(bar, plan),
        )


def _publish(run: RunFolder, task: AssistantTask, state: Any, done: int) -> None:
    publish(run, task, state, rounds_done=done)


def _promise(plan: TrainConfig) -> str:
    statement = PrivacyStatement(
        epsilon=plan.target_epsilon,
        delta=plan.delta,
        unit=plan.unit,
        neighbouring_relation="add_or_remove_one",
    )
    chance = (
        "Not private: noise is drawn from the public seed (reproducible); for public data only."
        if plan.reproducible
        else "Noise comes from the operating system and is not recorded."
    )
    return (
        f"{plan.num_owners} owners, {plan.num_rounds} rounds of {plan.local_steps} private steps; "
        f"each owner spends at most {statement}. {_AN_EXAMPLE[plan.examples]}{chance}"
    )


def _bar(bar: Progress, plan: TrainConfig) -> Callable[[OwnerId, int, StepRecord], None]:
    row = bar.add_task("training", total=plan.num_owners * plan.steps_total)

    def on_step(owner: OwnerId, server_round: int, record: StepRecord) -> None:
        bar.update(row, advance=1, description=f"round {server_round}, {owner}")

    return on_step


def _aim(plan: TrainConfig, objective: str | None, *, is_planned: bool) -> TrainConfig:
    """Return the plan for what is to be learnt, with what fits the shipped pairs if none was given.

    An example is then what the objective learns from.
    """
    if objective is None or objective == plan.objective:
        return plan
    if objective == "preferences":
        needed = ("objective", "examples") if is_planned else tuple(PREFERENCES)
        return replace(plan, **{name: PREFERENCES[name] for name in needed})
    return replace(plan, objective=objective, examples=TrainConfig().examples)


def _override(plan: TrainConfig, **changes: Any) -> TrainConfig:
    """Return the plan with what was given on the command line."""
    given = {name: value for name, value in changes.items() if value is not None}
    if "num_owners" in given and "min_replies" not in given:
        given["min_replies"] = min(plan.min_replies, max(1, given["num_owners"]))
    return replace(plan, **given)


def _follow(plan: TrainConfig, data: Path | None, *, is_counted: bool) -> TrainConfig:
    """Return the plan for what the data are; the number of owners only where nobody said one."""
    if data is None or not holds_shares(data):
        return plan
    plan = replace(plan, examples="conversations")
    if is_counted:
        return plan
    if (count := num_owners_in(data)) is None:
        raise DataError(
            f"Expected '{data.name}' to say to how many owners it was shared out, got no number: "
            "who has nothing is one of them. Say it with --owners, or share the set out again."
        )
    return _override(plan, num_owners=count)


def _new_folder(runs: Path) -> Path:
    """Return a folder name of its own, from the time."""
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    return runs / (stamp if not (runs / stamp).exists() else f"{stamp}-{time.monotonic_ns()}")


def _show(run: RunFolder, outcome: Outcome, as_json: bool) -> None:
    ledger = PrivacyLedger.open(run.ledger_path)
    spent = {str(owner): ledger.spent(owner) for owner in ledger.owners()}
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
    for owner, statement in sorted(spent.items()):
        talk().print(f"{owner} spent {statement}", markup=False)
    if outcome.ended == "budget_exhausted":
        talk().print("The budget is spent; the last complete round was kept.", style="yellow")
    talk().print(f"rounds done: {outcome.rounds_done}; run folder:")
    typer.echo(str(run.path))
