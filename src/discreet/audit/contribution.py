"""Audit: whose data shaped the adapter, round by round?

Where the run kept its owners' updates (`discreet train --keep-updates`), each owner's part is how
far its update carried the sum of the round in the sum's own direction. Where it did not, or secure
aggregation hid them, the trained adapter is unmixed by gradients of the owners' examples at the
first one, which needs no training; owners who cannot be told apart share one number.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict

import numpy as np
import torch

from discreet.attribution import (
    Change,
    Contribution,
    Mixture,
    Update,
    contributions,
    mean_update,
    unmix,
)
from discreet.audit.asked import Asking, Audit, OnDone
from discreet.audit.pools import Part, halves_of, some_people
from discreet.audit.subject import Subject
from discreet.evidence import Evidence, Interval, Intervals, Table
from discreet.federated import FIRST_NODE_ID, AssistantTask, State, kept_updates
from discreet.model import adapter_parameters, load_adapter_state

TITLE = "Whose data shaped it"
MOST_EXAMPLES = {"quick": 24, "usual": 96, "thorough": 1_000_000}
"""Of each owner, for gradients."""
_NO_MERIT = (
    "A part is no merit and no price: noise and harmful examples carry an adapter, too. Intervals "
    "are for errors of single weights, such as noise, and not for another training."
)


def examine(subject: Subject, asking: Asking, on_done: OnDone) -> Evidence:
    """Say what each owner added, from updates or from the adapter alone."""
    kept = kept_updates(subject.run)
    return _of_updates(subject, kept) if kept else _of_the_adapter(subject, asking, on_done)


def _of_updates(subject: Subject, kept: Mapping[int, Mapping[int, State]]) -> Evidence:
    """Return each owner's part in each round, and in all of them."""
    by_round = {
        number: {_owner(node): update_of(state, subject.first) for node, state in nodes.items()}
        for number, nodes in kept.items()
    }
    parts = {f"round {number}": contributions(updates) for number, updates in by_round.items()}
    if len(parts) > 1:
        everyone = sorted({owner for updates in by_round.values() for owner in updates})
        whole = {o: _summed([u[o] for u in by_round.values() if o in u]) for o in everyone}
        parts["all rounds"] = contributions(whole)
    last = list(parts.values())[-1]
    return Evidence(
        audit="contribution",
        title=TITLE,
        says=(
            _of_parts(last, rounds=len(by_round)),
            "From the updates that the server saw, one by one.",
        ),
        plots=(_plot([(p.owner, p.share, p.low, p.high) for p in last], 1 / len(last)),),
        tables=tuple(_table(name, found) for name, found in parts.items()),
        limits=(_NO_MERIT,),
        values={"from": "updates", "rounds": {k: [asdict(p) for p in v] for k, v in parts.items()}},
    )


def _of_the_adapter(subject: Subject, asking: Asking, on_done: OnDone) -> Evidence:
    """Return in what proportion owners' examples explain the adapter."""
    if len(subject.owners[: asking.owners]) < 2:
        raise ValueError(
            "Expected two owners or more to be asked about, got one: there is no other part. Leave "
            "out --owners."
        )
    candidates: dict[str, list[Update]] = {}
    for owner in subject.owners[: asking.owners]:
        on_done(f"gradients of the examples of {owner}")
        most = MOST_EXAMPLES[asking.effort]
        some = some_people(subject.members(owner), most, seed=asking.seed)
        candidates[owner] = steps_down(subject.task, some)
    change = {name: subject.state[name] - value for name, value in subject.first.items()}
    suspect, candidates = in_common(update_of(change, subject.first), candidates)
    mixture = unmix(suspect, candidates)
    rows = [(" + ".join(s.candidates), s.share, s.low, s.high) for s in mixture.shares]
    return Evidence(
        audit="contribution",
        title=TITLE,
        says=(
            _in_a_sentence(mixture, len(candidates)),
            "From the adapter alone: the run kept no owner's update, or secure aggregation hid "
            "them. Shares are of kinds of data, not of who sent them.",
        ),
        plots=(_plot(rows, 1 / len(candidates)),) if rows else (),
        limits=(
            _NO_MERIT,
            "Gradients at the first adapter grow old as training goes on.",
        ),
        values={"from": "adapter", "mixture": asdict(mixture)},
    )


def update_of(change: State, first: State) -> Update:
    """Return a change of an adapter's tensors as one of matrices.

    Where only B moved, as in FFA-LoRA, the change of the weight is known as a product, B's change
    times the A of all owners; tensors that both moved are taken as they are.
    """
    changes: dict[str, Change] = {}
    for name, value in change.items():
        partner = first.get(name.replace(".lora_B.", ".lora_A."))
        is_product = ".lora_B." in name and name.replace(".lora_B.", ".lora_A.") not in change
        right = partner.double().numpy() if is_product and partner is not None else None
        changes[name] = Change(left=value.double().numpy(), right=right)
    return Update(changes={name: one for name, one in changes.items() if one.left.any()})


def steps_down(task: AssistantTask, some: Part) -> list[Update]:
    """Return the step down the loss of two halves of people, at the first adapter."""
    is_first = halves_of(some.users)
    halves = [np.flatnonzero(is_first == wanted).tolist() for wanted in (True, False)]
    load_adapter_state(task.vlm, task.first)
    parameters = adapter_parameters(task.vlm)
    found = []
    for half in halves:
        total = {name: torch.zeros_like(p) for name, p in parameters.items()}
        size = task.config.max_physical_batch
        for start in range(0, len(half), size):
            loss = some.losses(half[start : start + size]).sum()
            for name, part in zip(
                total, torch.autograd.grad(loss, list(parameters.values())), strict=True
            ):
                total[name] -= part
        found.append(update_of({n: t.detach() for n, t in total.items()}, task.first))
    return found


def in_common(
    suspect: Update, draws: Mapping[str, list[Update]]
) -> tuple[Update, dict[str, list[Update]]]:
    """Return an update and candidates in the matrices that all of them change.

    Where A learns, too, its gradient is 0 at the start, as B is.
    """
    every = [update for own in draws.values() for update in own]
    layers = [name for name in suspect.changes if all(name in one.changes for one in every)]
    return suspect.only(layers), {k: [u.only(layers) for u in own] for k, own in draws.items()}


def _of_parts(parts: Sequence[Contribution], *, rounds: int) -> str:
    """Return who carried the adapter furthest, if that is sure."""
    first, *rest = sorted(parts, key=lambda part: -part.share)
    over = f"Over {rounds} rounds" if rounds > 1 else "In one round"
    if first.low > max((part.high for part in rest), default=0.0):
        return (
            f"{over}, {first.owner} carried the adapter furthest: {first.share:.0%} "
            f"({first.low:.0%} to {first.high:.0%}) of what all {len(parts)} owners did together."
        )
    return (
        f"{over}, no owner surely carried the adapter further than every other: parts of "
        f"{len(parts)} owners are from {min(part.share for part in parts):.0%} to "
        f"{first.share:.0%}, and even ones are {1 / len(parts):.0%}."
    )


def _owner(node: int) -> str:
    return f"owner-{node - FIRST_NODE_ID}"


def _summed(updates: Sequence[Update]) -> Update:
    return mean_update(updates, [1.0] * len(updates))


def _in_a_sentence(mixture: Mixture, owners: int) -> str:
    agreement = f"{mixture.agreement:.2f} ({mixture.low:.2f} to {mixture.high:.2f})"
    if not mixture.shares:
        return (
            f"What the owners' examples ask for explains nothing of the adapter (agreement "
            f"{agreement}): nobody's part can be told."
        )
    explained = f"together they explain the adapter with an agreement of {agreement}, 1 being all"
    if len(mixture.shares) == 1:
        return (
            f"Whose data shaped the adapter cannot be told: the examples of all {owners} owners "
            f"ask for the same; {explained} of it."
        )
    together = [share for share in mixture.shares if len(share.candidates) > 1]
    most = max(mixture.shares, key=lambda share: share.share)
    said = (
        f"Of what {owners} owners explain, {' + '.join(most.candidates)} has {most.share:.0%} "
        f"({most.low:.0%} to {most.high:.0%}); {explained} of it."
    )
    if together:
        names = "; ".join(", ".join(share.candidates) for share in together)
        said += f" Cannot be told apart: {names}."
    return said


def _plot(rows: Sequence[tuple[str, float, float, float]], even: float) -> Intervals:
    return Intervals(
        title="Parts of the adapter",
        unit="share of what all owners did together, 95 % interval",
        rows=tuple(Interval(name=n, value=v, low=low, high=high) for n, v, low, high in rows),
        reference=even,
        reference_name="if all had the same part",
    )


def _table(name: str, parts: Sequence[Contribution]) -> Table:
    return Table(
        title=f"Parts in {name}",
        columns=("owner", "part (95 % interval)", "the mean moves without it by"),
        rows=tuple(
            (
                p.owner,
                f"{p.share:.1%} ({p.low:.1%} to {p.high:.1%})",
                f"{p.without:.2f} of its length",
            )
            for p in parts
        ),
    )


def _seconds(subject: Subject, asking: Asking) -> float:
    if kept_updates(subject.run):
        return 10.0
    owners = len(subject.owners[: asking.owners])
    return 10 + 4 * owners * MOST_EXAMPLES[asking.effort] * subject.seconds_per_example


def _lacks(subject: Subject) -> str | None:
    if len(subject.owners) < 2:
        return (
            "Expected a run with the data of two owners or more, got one: there is no other part."
        )
    return None


AUDIT = Audit(
    name="contribution",
    question="Whose data shaped the adapter, round by round?",
    examine=examine,
    seconds=_seconds,
    lacks=_lacks,
)
