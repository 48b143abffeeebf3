"""Adapters that the auditor trains as the run's was, on halves of people: what chance alone does.

Each shadow is the run's own training on the same base, from the same first adapter, with the same
plan: rounds, steps, and clipping and noise, if the run had them. For each owner, whole people of
theirs and of as many others are in it or not, on a fair coin each; an owner who is not asked about
has the own examples. They are the reference models of Carlini et al. 2022 (arXiv:2112.03570,
section 4) and Zarifzadeh et al. 2024 (arXiv:2312.03262), and cost a training each; what they spend
is the auditor's own rehearsal, on ledgers that are thrown away.
"""

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from discreet.artifacts import RunFolder
from discreet.audit.baseline import run_without_privacy
from discreet.audit.pools import Part
from discreet.audit.subject import Subject
from discreet.federated import AssistantTask, Lessons, State, run_federation
from discreet.types import OwnerId


@dataclass(frozen=True, kw_only=True, slots=True)
class Shadows:
    """What examples lose under adapters that saw some of them, for one owner."""

    losses: npt.NDArray[np.float64] = field(repr=False)
    """(M, N): of each example under each shadow."""
    inside: npt.NDArray[np.bool_] = field(repr=False)
    """(M, N): whether it was trained on."""


def train_shadows(
    subject: Subject,
    pools: Mapping[OwnerId, Lessons],
    count: int,
    *,
    seed: int,
    on_done: Callable[[str], None] = lambda doing: None,
) -> dict[OwnerId, Shadows]:
    """Train `count` adapters on halves of pools, and return the losses of all examples under each.

    Args:
        subject: The run.
        pools: For each owner, members and others, of about the same number.
        count: 1 or more.
        seed: Of the coins; noise and order come from the operating system.
        on_done: Told which is being trained.
    """
    draw = np.random.default_rng(seed)
    inside: dict[OwnerId, list[npt.NDArray[np.bool_]]] = {owner: [] for owner in pools}
    losses: dict[OwnerId, list[npt.NDArray[np.float64]]] = {owner: [] for owner in pools}
    for number in range(count):
        on_done(f"training shadow adapter {number + 1} of {count}")
        owned: dict[OwnerId, Lessons] = {}
        for owner, pool in pools.items():
            inside[owner].append(coins_of_people(pool, draw))
            owned[owner] = Part(pool, np.flatnonzero(inside[owner][-1]).tolist())
        state = _trained_alike(subject, owned)
        for owner, pool in pools.items():
            losses[owner].append(subject.losses(pool, state))
    return {
        owner: Shadows(losses=np.stack(losses[owner]), inside=np.stack(inside[owner]))
        for owner in pools
    }


def _trained_alike(subject: Subject, owned: Mapping[OwnerId, Lessons]) -> State:
    """Return what training as the run's own, private or plain, makes of other examples.

    Members and others come from two sources, and a private step has to know whose each row of one
    forward pass is: it takes one example at a time.
    """
    everyone = {owner: subject.members(owner) for owner in subject.owners} | dict(owned)
    plan = replace(subject.plan, reproducible=False)
    if subject.spent:
        task = replace(subject.task, config=replace(plan, max_physical_batch=1))
        return rehearse(task, everyone)
    shared = replace(subject.task.shared, owned=everyone)
    return run_without_privacy(replace(subject.task, config=plan, shared=shared))


def rehearse(task: AssistantTask, owned: Mapping[OwnerId, Lessons]) -> State:
    """Return the adapter that private training of a task makes of some examples, in no account."""
    plan = replace(task.config, reproducible=False)
    own = replace(task, config=plan, shared=replace(task.shared, owned=dict(owned)))
    with tempfile.TemporaryDirectory(prefix="discreet-shadow-") as folder:
        run = RunFolder.create(Path(folder) / "shadow")
        return run_federation(plan, run, own).state


def coins_of_people(lessons: Lessons, draw: np.random.Generator) -> npt.NDArray[np.bool_]:
    """Return (N,) whether an example is in: one fair coin for each person.

    Of two people or more, at least one is in and one is not.
    """
    number = {person: place for place, person in enumerate(dict.fromkeys(lessons.users))}
    heads = draw.random(len(number)) < 0.5
    if len(heads) > 1 and len(set(heads.tolist())) == 1:
        heads[draw.integers(len(heads))] ^= True
    inside: npt.NDArray[np.bool_] = heads[[number[person] for person in lessons.users]]
    return inside
