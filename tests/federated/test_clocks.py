"""Owners who take long, and clocks that are put forward or back."""

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
from flwr.app import Message
from flwr.app.message import message as flower_message

from discreet.artifacts import RunFolder
from discreet.federated import LocalGrid, Outcome, TrainConfig, client_app, run_federation
from discreet.federated.local_task import Watch
from discreet.federated.plans import promise_of
from discreet.federated.rounds import drive
from discreet.privacy import PrivacyLedger, StepRecord, ledger
from discreet.types import OwnerId
from federated.tiny import TinyTask, plan_of, tiny_config

DEADLINE_SECONDS = 3.0
STEP_SECONDS = 1.5
"""Of the slow owner, who needs three steps; the other owner's take about a hundredth."""


class Together(LocalGrid):
    """Nodes that work at the same time, each as fast as it can."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.threads: list[threading.Thread] = []
        self.replies: dict[str, Message] = {}

    def push_messages(self, messages: Iterable[Message]) -> Sequence[str]:
        asked = list(messages)
        ids = list(super().push_messages(asked))
        for pair in zip(ids, asked, strict=True):
            self.threads.append(threading.Thread(target=self.work, args=pair))
            self.threads[-1].start()
        return ids

    def work(self, name: str, message: Message) -> None:
        self.replies[name] = self.call_node(message)

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        found = [self.replies.pop(name, None) for name in message_ids]
        return [reply for reply in found if reply is not None]


def test_an_owner_a_hundred_times_slower_costs_the_deadline_and_its_charge_stays(
    run: RunFolder,
) -> None:
    config = tiny_config(round_timeout_seconds=DEADLINE_SECONDS)

    def on_step(owner: OwnerId, server_round: int, record: StepRecord) -> None:
        if owner == "owner-1":
            time.sleep(STEP_SECONDS)

    app = client_app(
        lambda *_: TinyTask(config),
        config=config,
        ledger=run.ledger_path,
        watch=Watch(on_step=on_step),
    )
    PrivacyLedger.open(run.ledger_path)
    plan_of(config), promise_of(config)  # which are kept: the deadline is for training
    grid = Together(app, [{"partition-id": index} for index in range(2)])
    began = time.monotonic()
    with grid.activated():
        outcome = drive(config, run, TinyTask(config), grid)
        seconds = time.monotonic() - began
        for thread in grid.threads:
            thread.join()
    assert (outcome.rounds_done, outcome.ended) == (2, "completed")
    assert DEADLINE_SECONDS <= seconds < 3 * STEP_SECONDS + DEADLINE_SECONDS
    dropped = [line for line in run.read_metrics() if line["name"] == "dropped"]
    assert [(line["node"], line["reason"]) for line in dropped] == [
        (1001, "NoReply"),
        (1001, "LedgerInUse"),
    ], "it still trains for the first round when it is asked for the second"
    assert len(grid.replies) == 1, "the late reply came, and nobody read it"
    book = PrivacyLedger.open(run.ledger_path)
    charged = {o: [e.steps_counted for e in book.entries(o)] for o in book.owners()}
    assert charged == {"owner-0": [3, 3], "owner-1": [3]}


def train(
    path: Path, config: TrainConfig, on_round: Callable[..., None] | None = None
) -> tuple[Outcome, PrivacyLedger]:
    run = RunFolder.create(path)
    outcome = run_federation(config, run, TinyTask(config), on_round=on_round)
    return outcome, PrivacyLedger.open(run.ledger_path)


@pytest.mark.parametrize("hours", [-5, 5])
def test_a_clock_that_jumps_between_rounds_changes_nothing_but_labels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    config = tiny_config(num_rounds=3)
    jump, seconds = timedelta(hours=hours), time.time

    def on_round(*_: object) -> None:
        monkeypatch.setattr(time, "time", lambda: seconds() + jump.total_seconds())
        monkeypatch.setattr(flower_message, "now", lambda: datetime.now(UTC) + jump)
        monkeypatch.setattr(ledger, "_now", lambda: (datetime.now(UTC) + jump).isoformat())

    steady, before = train(tmp_path / "steady", config)
    jumped, after = train(tmp_path / "jumped", config, on_round)
    assert jumped.ended == "completed"
    assert all(torch.equal(jumped.state[name], steady.state[name]) for name in steady.state)
    for owner in before.owners():
        assert after.spent(owner) == before.spent(owner)
        first, *_, last = (entry.reserved_at for entry in after.entries(owner))
        assert (last < first) == (hours < 0), "the label follows the clock"
