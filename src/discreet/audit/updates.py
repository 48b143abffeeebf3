"""Audit: what does a curious server see in each owner's update?

The server knows the adapter at the start of a round, and what an owner's adapter changed by. It can
compute the gradient of any candidate, and ask whether the update carries it: by their cosine, by
the inner product with the step as training clips it, which is the best test of one candidate
against Gaussian noise, were the others known, and by the cosine once what all gradients share is
taken out. Where a round's start follows from the updates, all
rounds are put together; else the first one is asked.
"""

from collections.abc import Mapping
from dataclasses import asdict

import numpy as np
import torch

from discreet.audit.asked import Asking, Audit, OnDone
from discreet.audit.held_out import NO_CONVERSATIONS
from discreet.audit.membership_words import (
    beside_the_promise,
    most_of_one,
    plot_of,
    table_of,
    verdict_of,
)
from discreet.audit.pools import Part, halves_of, members_and_others
from discreet.audit.subject import Numbers, Subject
from discreet.evidence import Evidence
from discreet.federated import FIRST_NODE_ID, State, kept_updates, plan_of
from discreet.membership import (
    FPRS,
    Membership,
    alignment_scores,
    clipped_scores,
    measure_membership,
    over_rounds,
    power_of_one_example,
    residual_scores,
)
from discreet.model import adapter_parameters, load_adapter_state
from discreet.types import OwnerId

MOST_EXAMPLES = {"quick": 30, "usual": 120, "thorough": 1000}
"""Members, and others, of each owner."""
GRADIENT_IN_LOSSES = 3
"""About how many losses take as long as one gradient."""
COSINE, CLIPPED, RESIDUAL = (
    "cosine with the update",
    "clipped step in it",
    "cosine beside what all share",
)
ATTACKS = (COSINE, CLIPPED, RESIDUAL)
CLOSE = 1e-4
"""How far the sum of updates may lie from the adapter, as a share of its length."""
Scores = dict[str, tuple[Numbers, Numbers]]


def examine(subject: Subject, asking: Asking, on_done: OnDone) -> Evidence:
    """Score candidates of each owner by that owner's updates."""
    kept = kept_updates(subject.run, subject.first)
    starts = starts_of(subject, kept)
    found: dict[OwnerId, dict[str, Membership]] = {}
    every: list[tuple[Scores, Part, Part]] = []
    for owner in subject.owners[: asking.owners]:
        sent = {number: of[_node(owner)] for number, of in kept.items() if _node(owner) in of}
        rounds = {number: sent[number] for number in starts if number in sent}
        if not rounds:
            continue
        on_done(f"gradients of candidates of {owner}")
        most = MOST_EXAMPLES[asking.effort]
        members, others = members_and_others(subject, owner, most=most, seed=asking.seed)
        scores = _scores(subject, members, others, starts, rounds)
        every.append((scores, members, others))
        found[owner] = _measured([(scores, members, others)])
    if not every:
        raise ValueError(
            "Expected updates of the owners whose data are here, got those of others. Name the "
            "run's own data with --data."
        )
    most_each = max(most_of_one(members.users) for _, members, _ in every)
    return _evidence(subject, _measured(every), found, rounds=len(starts), most_each=most_each)


def starts_of(subject: Subject, kept: Mapping[int, Mapping[int, State]]) -> dict[int, State]:
    """Return the adapter at the start of each round that follows from the updates.

    If adding up the mean of every round ends at the trained adapter, each start is known; else that
    of the first round alone.
    """
    state, starts = dict(subject.first), dict[int, State]()
    for number in sorted(kept):
        starts[number] = dict(state)
        updates = list(kept[number].values())
        for name in state:
            changes = [update[name] for update in updates if name in update]
            if changes:
                state[name] = state[name] + torch.stack(changes).float().mean(0)
    gap = sum(float((state[n] - subject.state[n]).square().sum()) for n in state)
    length = sum(float(value.square().sum()) for value in subject.state.values())
    if kept and gap <= CLOSE**2 * length:
        return starts
    return {number: start for number, start in starts.items() if number == 1}


def gradients_of(subject: Subject, part: Part, start: State, names: list[str]) -> Numbers:
    """Return the gradient of each example's loss at an adapter, (N, P)."""
    load_adapter_state(subject.task.vlm, start)
    parameters = adapter_parameters(subject.task.vlm)
    chosen = [parameters[name] for name in names]
    found = []
    for place in range(len(part)):
        gradients = torch.autograd.grad(part.losses([place]).sum(), chosen)
        found.append(torch.cat([one.flatten() for one in gradients]).double().cpu().numpy())
    return np.stack(found)


def _scores(
    subject: Subject,
    members: Part,
    others: Part,
    starts: Mapping[int, State],
    rounds: Mapping[int, State],
) -> Scores:
    """Return the scores of every attack, of members and of others, over all rounds."""
    each: dict[str, list[Numbers]] = {name: [] for name in ATTACKS}
    halves = halves_of(others.users)
    for number, update in rounds.items():
        names = sorted(name for name in update if name in subject.first)
        change = torch.cat([update[name].flatten() for name in names]).double().cpu().numpy()
        gradients = np.concatenate(
            [gradients_of(subject, part, starts[number], names) for part in (members, others)]
        )
        limit, cut = subject.plan.max_grad_norm, len(members)
        each[COSINE].append(alignment_scores(change, gradients))
        each[CLIPPED].append(clipped_scores(change, gradients, max_grad_norm=limit))
        own = residual_scores(change, gradients, gradients[cut:][halves])
        own[cut:][halves] = residual_scores(
            change, gradients[cut:][halves], gradients[cut:][~halves]
        )
        each[RESIDUAL].append(own)
    whole = {name: over_rounds(scores) for name, scores in each.items()}
    return {name: (one[: len(members)], one[len(members) :]) for name, one in whole.items()}


def _measured(every: list[tuple[Scores, Part, Part]]) -> dict[str, Membership]:
    """Return how well each attack tells members from others, of several owners together."""
    members = [user for _, part, _ in every for user in part.users]
    others = [user for _, _, part in every for user in part.users]
    return {
        attack: measure_membership(
            np.concatenate([scores[attack][0] for scores, _, _ in every]),
            np.concatenate([scores[attack][1] for scores, _, _ in every]),
            members,
            others,
            attacks=len(every[0][0]),
        )
        for attack in every[0][0]
    }


def _evidence(
    subject: Subject,
    together: Mapping[str, Membership],
    by_owner: Mapping[OwnerId, Mapping[str, Membership]],
    *,
    rounds: int,
    most_each: int,
) -> Evidence:
    known = "all rounds" if rounds > 1 else "the first round"
    return Evidence(
        audit="updates",
        title="What a curious server sees in updates",
        says=(verdict_of(together), *_promised(subject, together, most_each), *_at_best(subject)),
        plots=(plot_of(f"By example, from {known}", together),),
        tables=(
            table_of(f"All owners, by example, from {known}", together),
            table_of(
                f"Each owner ({RESIDUAL})",
                {owner: found[RESIDUAL] for owner, found in by_owner.items()},
                first="owner",
            ),
        ),
        limits=(
            "A server that follows the protocol. One that chooses the adapters it sends sees more.",
            "Under secure aggregation a server has no owner's update; these were kept for audits.",
        ),
        values={
            "rounds": rounds,
            "attacks": {name: asdict(one) for name, one in together.items()},
            "owners": {
                owner: {name: asdict(one) for name, one in found.items()}
                for owner, found in by_owner.items()
            },
        },
    )


def _promised(subject: Subject, found: Mapping[str, Membership], most_each: int) -> list[str]:
    """Return what the promise allows, where it is of what was looked at."""
    if subject.plan.unit == "owner":
        return [
            "The promise is of the noisy sum of owners, and does not speak of one owner's update."
        ]
    return beside_the_promise(subject, found, most_each=most_each)


def _at_best(subject: Subject) -> list[str]:
    """Return what the best test of one example in one step would find."""
    if subject.plan.unit == "owner" or not subject.spent:
        return []
    noise = plan_of(subject.plan).gradient_noise_multiplier
    power = power_of_one_example(FPRS[0], noise_multiplier=noise)
    return [
        f"Were all other examples of a step known, the best test of one example that is in it once "
        f"would find {power:.1%} at {FPRS[0]:.0%} false alarms (noise multiplier {noise:.2f})."
    ]


def _node(owner: OwnerId) -> int:
    return FIRST_NODE_ID + int(str(owner).removeprefix("owner-"))


def _seconds(subject: Subject, asking: Asking) -> float:
    owners, most = subject.owners[: asking.owners], MOST_EXAMPLES[asking.effort]
    examples = sum(2 * min(most, len(subject.members(owner))) for owner in owners)
    rounds = max(1, len(kept_updates(subject.run, subject.first)))
    return 5 + GRADIENT_IN_LOSSES * rounds * examples * subject.seconds_per_example


def _lacks(subject: Subject) -> str | None:
    if not kept_updates(subject.run, subject.first):
        return (
            "Expected a run with its owners' updates, got one without: train with "
            "`discreet train --keep-updates`. Under secure aggregation nobody sees them."
        )
    if subject.plan.examples == "conversations" and subject.others_data is None:
        return NO_CONVERSATIONS
    return None


AUDIT = Audit(
    name="updates",
    question="What does a curious server see? Looks for candidates' gradients in updates.",
    examine=examine,
    seconds=_seconds,
    lacks=_lacks,
)
