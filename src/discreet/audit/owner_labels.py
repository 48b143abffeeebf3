"""What an owner's update tells of its people: the share who have a label, guessed from gradients.

An attacker who knows the base and the plan makes up owners from public people, computes the step
that each would send, and learns to tell shares from steps. Made-up owners of people whom none of
the shadows has met show how well that goes; then the updates that the run kept are read. Gradients
are taken at the first adapter, without clipping and noise, which is more than a server sees.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from discreet.audit.held_out import portraits_like
from discreet.audit.pools import Part
from discreet.audit.subject import Numbers, Subject
from discreet.data import Portrait, load_portraits
from discreet.federated import FIRST_NODE_ID, Lessons, State, kept_updates
from discreet.leakage import LABELS, ShareInference, guess_shares, infer_shares, truth_of
from discreet.model import adapter_parameters, load_adapter_state

OnDone = Callable[[str], None]
WIDTH = 1024
"""Numbers that are kept of an update: sums over random parts of it, with random signs."""
PER_PERSON = 2
"""Examples of each person that have a part in an owner's step."""
OWNERS = 60
"""Made-up owners to learn from, and as many to be read."""
LASTING = tuple(name for name in LABELS if name not in ("identity", "expression"))
"""Labels that a person keeps from picture to picture."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OwnerLabel:
    """What updates tell of the share of one label among an owner's people."""

    label: str
    value: str
    """The commonest one: the share of people who have it is guessed."""
    simulated: ShareInference
    """On made-up owners."""
    guesses: Mapping[str, float]
    """Of the run's owners, by the last update that each sent."""
    shares: Mapping[str, float]
    """What is true of these, where their people are packaged ones."""


def guess_owners_labels(
    subject: Subject, *, people: int, seed: int, on_done: OnDone
) -> list[OwnerLabel]:
    """Return what can be guessed of owners' people from the updates that a run kept.

    Args:
        subject: A run on portraits that kept updates.
        people: At most so many are drawn to make up owners, half of them for the shadows.
        seed: Of every draw.
        on_done: Told what is being done.
    """
    lessons = portraits_like(subject.task, subject.owners[0])
    draw = np.random.default_rng(seed)
    order = list(dict.fromkeys(lessons.users))
    drawn = [order[at] for at in draw.permutation(len(order))[:people]]
    steps = steps_of_people(subject, lessons, drawn, seed=seed, on_done=on_done)
    known = labels_of_people()
    kept = last_updates(subject)
    seen = np.stack([_sketch(state, seed) for state in kept.values()])
    found = []
    for label in LASTING:
        values = [known[person][label] for person in drawn]
        value = max(sorted(set(values)), key=values.count)
        has = np.array([one == value for one in values])
        half = len(drawn) // 2
        if not all(part.any() and not part.all() for part in (has[:half], has[half:])):
            continue
        shadows = make_owners(steps[:half], has[:half], draw)
        others = make_owners(steps[half:], has[half:], draw)
        guessed = guess_shares(*shadows, unit_rows(seen))
        true = {
            owner: share
            for owner in kept
            if (share := _true_share(subject, owner, known, label, value)) is not None
        }
        found.append(
            OwnerLabel(
                label=label,
                value=value,
                simulated=infer_shares(*shadows, *others),
                guesses=dict(zip(kept, guessed.tolist(), strict=True)),
                shares=true,
            )
        )
    return found


def make_owners(
    steps: Numbers, has: np.ndarray, draw: np.random.Generator
) -> tuple[Numbers, Numbers]:
    """Return steps of made-up owners, (OWNERS, D) of length 1, and the share of each, (OWNERS,).

    Args:
        steps: (U, D) of each person.
        has: (U,) whether a person has the label; some do and some do not.
        draw: Of who is in which owner.
    """
    size = max(4, len(steps) // 3)
    with_it, without = np.flatnonzero(has), np.flatnonzero(~has)
    sums, shares = [], []
    for _ in range(OWNERS):
        count = int(draw.integers(0, size + 1))
        members = np.concatenate([draw.choice(with_it, count), draw.choice(without, size - count)])
        sums.append(steps[members].sum(0))
        shares.append(count / size)
    return unit_rows(np.stack(sums)), np.array(shares)


def steps_of_people(
    subject: Subject,
    lessons: Lessons,
    people: Sequence[Hashable],
    *,
    seed: int,
    on_done: OnDone = lambda doing: None,
) -> Numbers:
    """Return the step down the loss that each person asks for at the first adapter, (U, WIDTH)."""
    load_adapter_state(subject.task.vlm, subject.first)
    parameters = adapter_parameters(subject.task.vlm)
    users = list(lessons.users)
    rows = []
    for number, person in enumerate(people):
        on_done(f"steps of people, {number} of {len(people)}")
        own = [place for place, user in enumerate(users) if user == person][:PER_PERSON]
        loss = Part(lessons, own).losses(range(len(own))).sum()
        parts = torch.autograd.grad(loss, list(parameters.values()))
        step = {name: -part.detach() for name, part in zip(parameters, parts, strict=True)}
        rows.append(_sketch(step, seed))
    return np.stack(rows)


def labels_of_people() -> dict[str, dict[str, str]]:
    """Return the lasting labels of each packaged person."""
    portraits: list[Portrait] = [
        one for split in ("train", "validation", "test") for one in load_portraits(split)
    ]
    truth = truth_of(portraits)
    return {
        person: {name: str(truth.labels[name][place]) for name in LASTING}
        for place, person in enumerate(truth.people.tolist())
    }


def last_updates(subject: Subject) -> dict[str, State]:
    """Return the last update that each owner sent, by owner."""
    found: dict[str, State] = {}
    for _, nodes in sorted(kept_updates(subject.run, subject.first).items()):
        found |= {f"owner-{node - FIRST_NODE_ID}": state for node, state in nodes.items()}
    return dict(sorted(found.items()))


def unit_rows(rows: Numbers) -> Numbers:
    """Return rows (N, D) of length 1: an update's length tells how many people there are, too."""
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12))


def _true_share(
    subject: Subject, owner: str, known: Mapping[str, Mapping[str, str]], label: str, value: str
) -> float | None:
    """Return the share of an owner's packaged people with a label; None: they are others."""
    if owner not in subject.owners:
        return None
    users = subject.members(next(one for one in subject.owners if one == owner)).users
    told = [known[str(user)][label] for user in dict.fromkeys(users) if str(user) in known]
    return sum(one == value for one in told) / len(told) if told else None


def _sketch(state: State, seed: int) -> Numbers:
    """Return an update in `WIDTH` numbers whose products are about those of the update.

    Source: Charikar, Chen, Farach-Colton 2004, *Finding Frequent Items in Data Streams*.
    """
    draws = torch.Generator().manual_seed(seed)
    total = torch.zeros(WIDTH, dtype=torch.float64)
    for name in sorted(state):
        flat = state[name].detach().double().flatten()
        places = torch.randint(WIDTH, (len(flat),), generator=draws)
        signs = torch.randint(2, (len(flat),), generator=draws).double() * 2 - 1
        total.index_add_(0, places, flat * signs)
    return total.numpy()
