"""An owner's round is the calls it stands for, to the bit; plain ones open no account."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import nn

from discreet.errors import BudgetExhausted
from discreet.federated import (
    Assignment,
    TrainConfig,
    draw_generators,
    train_locally,
    train_plainly,
)
from discreet.privacy import LossFn, PrivacyLedger, poisson, spend
from discreet.types import OwnerId, PrivacyStatement
from federated.tiny import plan_of, tiny_config

OWNER = OwnerId("owner-0")
ASKED = Assignment(server_round=2, learns=frozenset(), rank=8, fingerprint="a" * 64)
COUNT = 20
OWNER_PLAN = {"unit": "owner", "sampled": "owner", "max_update_norm": 1.0}


class Line:
    """A line to learn, begun anew each time."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.model = nn.Linear(3, 1)
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.1)
        self.inputs = torch.randn(COUNT, 3)

    @property
    def losses(self) -> LossFn:
        def losses(drawn: Sequence[int]) -> torch.Tensor:
            rows = self.inputs[list(drawn)]
            return (self.model(rows).squeeze(1) - rows.sum(1)) ** 2

        return losses

    @property
    def learnt(self) -> torch.Tensor:
        return torch.cat([value.detach().flatten() for value in self.model.parameters()])


def train(line: Line, config: TrainConfig, ledger: PrivacyLedger) -> PrivacyStatement | None:
    return train_locally(
        config,
        plan_of(config),
        line.model,
        line.losses,
        optimizer=line.optimizer,
        owner=OWNER,
        assignment=ASKED,
        ledger=ledger,
        num_examples=COUNT,
    )


def test_private_steps_are_those_of_spend_and_are_charged(tmp_path: Path) -> None:
    config, ours, by_hand = tiny_config(), Line(), Line()
    ledger = PrivacyLedger.open(tmp_path / "ours.jsonl")
    spent = train(ours, config, ledger)
    other = PrivacyLedger.open(tmp_path / "by_hand.jsonl")
    other.open_account(OWNER, plan_of(config))
    chance = draw_generators(config, owner=OWNER, server_round=ASKED.server_round)
    assert (
        spent
        == ledger.spent(OWNER)
        == spend(
            other,
            OWNER,
            by_hand.model,
            by_hand.losses,
            num_examples=COUNT,
            plan=plan_of(config),
            steps=config.local_steps,
            optimizer=by_hand.optimizer,
            sampling_generator=chance.sampling,
            noise_generator=chance.noise,
            reproducible=True,
        )
    )
    assert torch.equal(ours.learnt, by_hand.learnt)
    assert ledger.account(OWNER).fingerprint == ASKED.fingerprint


def test_a_round_too_many_is_refused_before_any_step(tmp_path: Path) -> None:
    line, ledger = Line(), PrivacyLedger.open(tmp_path / "ledger.jsonl")
    for _ in range(2):
        train(line, tiny_config(), ledger)
    before = line.learnt
    with pytest.raises(BudgetExhausted):
        train(line, tiny_config(), ledger)
    assert torch.equal(line.learnt, before)


def test_steps_of_a_plan_that_hides_owners_are_plain_and_open_no_account(tmp_path: Path) -> None:
    config, ours, by_hand = tiny_config(**OWNER_PLAN), Line(), Line()
    ledger = PrivacyLedger.open(tmp_path / "ledger.jsonl")
    assert train(ours, config, ledger) is None
    assert not ledger.owners()
    chance = draw_generators(config, owner=OWNER, server_round=ASKED.server_round)
    train_plainly(
        by_hand.losses,
        by_hand.optimizer,
        draw=poisson(COUNT, config.sample_rate, chance.sampling),
        steps=config.local_steps,
        expected_batch_size=config.expected_batch_size,
    )
    assert torch.equal(ours.learnt, by_hand.learnt)
