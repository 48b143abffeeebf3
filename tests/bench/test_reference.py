"""The adapter that ships: the private run that made it, and whether it answers whom it sees."""

from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
import torch

from discreet.artifacts import RunFolder
from discreet.bench import HeldOut, load_held_out
from discreet.bench.tasks import audience_losses, followed
from discreet.federated import TrainConfig, VisualTokens, example_losses
from discreet.model import Vlm, load, load_adapter
from discreet.privacy import PrivacyLedger
from discreet.registry import REFERENCE, REFERENCE_DIR, resolve
from discreet.types import AUDIENCES


def test_it_spent_what_its_plan_allows_and_its_card_says() -> None:
    card = resolve(REFERENCE, Path("runs")).card
    plan = TrainConfig.load(REFERENCE_DIR / "config.toml")
    ledger = PrivacyLedger(REFERENCE_DIR / "ledger.jsonl")  # open() would leave its lock
    assert len(ledger.owners()) == plan.num_owners
    assert {str(owner): ledger.spent(owner) for owner in ledger.owners()} == card.per_owner
    for owner in ledger.owners():
        assert sum(entry.steps_counted for entry in ledger.entries(owner)) == plan.steps_total
        assert 0 < ledger.spent(owner).epsilon <= plan.target_epsilon
        assert ledger.spent(owner).delta == plan.delta
    assert not card.reproducible, "noise that anybody can draw again protects nobody"
    assert card.rounds_done == plan.num_rounds


def test_nothing_local_ships_with_it() -> None:
    names = {path.name for path in REFERENCE_DIR.iterdir()}
    assert names == {"adapter", "card.json", "config.toml", "ledger.jsonl", "metrics.jsonl"}
    metrics = RunFolder.open(REFERENCE_DIR).read_metrics()
    assert {line["visibility"] for line in metrics} == {"released"}


@torch.no_grad()
def mean_losses(vlm: Vlm, held_out: HeldOut) -> torch.Tensor:
    """Return the gated and the native loss, (2,)."""
    both = example_losses(vlm, VisualTokens(vlm, held_out.portraits), held_out.examples)
    return torch.stack(both).mean(1)


@pytest.mark.slow
def test_held_out_people_are_answered_as_they_look() -> None:
    """Native mode, no word about the person; the null hypothesis is that the portrait is ignored.

    Were it ignored, the three people of a question could be exchanged. The chance of so many right
    ones is therefore exact: every permutation of the people of every question.
    """
    base = load("small")
    few = load_held_out(examples=8, trios=1)
    before = mean_losses(base, few)
    reference = resolve(REFERENCE, Path("runs"), base_sha256=base.base_hash)
    vlm = load_adapter(base, reference.folder)
    assert (mean_losses(vlm, few) < before - 0.2).all()

    held_out = load_held_out(trios=24)
    right, chances = 0, np.ones(1)
    for trio in held_out.trios:
        losses = audience_losses(vlm, held_out, trio, "native")
        right += int(followed(losses).sum())
        orders = [list(order) for order in permutations(range(len(AUDIENCES)))]
        hits = [int(followed(losses[order]).sum()) for order in orders]
        counts = np.bincount(hits, minlength=len(AUDIENCES) + 1)
        chances = np.convolve(chances, counts / len(orders))
    assert right / (len(held_out.trios) * len(AUDIENCES)) >= 0.45
    assert chances[right:].sum() < 1e-3
