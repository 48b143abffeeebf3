"""What commands that run a plan share: its promise in words, rounds that go on elsewhere, the end.

    with watching(promise(plan), talk()) as on_event:
        submit(plan, run, folder, on_round=follow(plan, run, on_event))

Reads a run folder and writes none. Draws nothing: `live` does.
"""

from collections.abc import Callable, Mapping

from discreet.artifacts import RunFolder, sha256_of_folder
from discreet.cli.options import talk
from discreet.federated import (
    OnEvent,
    Outcome,
    OwnerDropped,
    OwnerHindered,
    RoundStarted,
    TrainConfig,
    plan_of,
    read_checkpoint,
    round_done,
)
from discreet.registry import read_card

_OF_NODES: Mapping[str, type[OwnerDropped] | type[OwnerHindered]] = {
    "dropped": OwnerDropped,
    "fault": OwnerHindered,
}
"""Lines of the metrics that say what went wrong with a node -> the event."""
_AN_EXAMPLE = {
    "portraits": "",
    "conversations": "An example is one conversation. ",
    "preference_pairs": "An example is one preference pair. ",
}


def promise(plan: TrainConfig) -> str:
    """Return what a run is and what each owner spends at most, in a sentence or two."""
    statement = plan_of(plan).state(plan.target_epsilon)
    chance = (
        "Not private: noise is drawn from the public seed (reproducible); for public data only."
        if plan.reproducible
        else "Noise comes from the operating system and is not recorded."
    )
    asked = f" {plan.asked_per_round} a round," if plan.owners_per_round else ""
    kind = "" if plan.unit == "owner" else "private "
    return (
        f"{plan.num_present} owners,{asked} {plan.num_rounds} rounds of {plan.local_steps} {kind}"
        f"steps; each owner spends at most {statement}. {_AN_EXAMPLE[plan.examples]}{chance}"
    )


def follow(plan: TrainConfig, run: RunFolder, on_event: OnEvent) -> Callable[[int], None]:
    """Return a hook for rounds that other processes do; it tells what the run folder says of them.

    Of a round that runs nothing is known but how many owners the plan asks.
    """
    last = read_checkpoint(run)

    def begin(server_round: int) -> None:
        if server_round <= plan.num_rounds:
            asked = plan.asked_per_round
            on_event(
                RoundStarted(server_round=server_round, num_rounds=plan.num_rounds, asked=asked)
            )

    def tell(done: int) -> None:
        lines = [line for line in run.read_metrics() if line["round"] == done]
        for line in lines:
            if line["name"] in _OF_NODES:
                kind, reason = _OF_NODES[line["name"]], str(line["reason"])
                on_event(kind(server_round=done, node=line["node"], reason=reason))
        on_event(round_done(run, done, plan.num_rounds, lines))
        begin(done + 1)

    begin(last.rounds_done + 1 if last else 1)
    return tell


def finished(plan: TrainConfig, run: RunFolder) -> Outcome | None:
    """Return how a run ended of which nothing is left to do, and say where its adapter is.

    None if something is left, and be it to write the adapter again. The plan is the folder's own.
    """
    last = read_checkpoint(run)
    if last is None or last.rounds_done < plan.num_rounds or not run.card_path.exists():
        return None
    card, adapter = read_card(run), run.adapter_dir
    if card.rounds_done < plan.num_rounds or not adapter.is_dir():
        return None
    if (
        TrainConfig.load(run.config_path) != plan
        or sha256_of_folder(adapter) != card.adapter_sha256
    ):
        return None
    talk().print(
        f"Nothing is left to do: all {plan.num_rounds} rounds of this run are done. Its adapter is "
        f"in {adapter}.",
        markup=False,
        soft_wrap=True,
    )
    return Outcome(rounds_done=last.rounds_done, ended="completed", state=last.adapter)
