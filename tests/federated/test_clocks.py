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


OnStep = Callable[[OwnerId, int, StepRecord], None]


def train_together(
    run: RunFolder, config: TrainConfig, on_step: OnStep
) -> tuple[Outcome, Together, float]:
    """Run a plan over nodes that work at once; return its end, the nodes and the seconds."""
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
    return outcome, grid, seconds


def test_an_owner_a_hundred_times_slower_costs_the_deadline_and_its_charge_stays(
    run: RunFolder,
) -> None:
    def on_step(owner: OwnerId, server_round: int, record: StepRecord) -> None:
        if owner == "owner-1":
            time.sleep(STEP_SECONDS)

    config = tiny_config(round_timeout_seconds=DEADLINE_SECONDS)
    outcome, grid, seconds = train_together(run, config, on_step)
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


@pytest.mark.parametrize("days", [-2, 2])
def test_a_clock_that_jumps_while_owners_train_changes_nothing_but_labels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, days: int
) -> None:
    config, jump, real = tiny_config(min_replies=2), timedelta(days=days), time.time

    def on_step(owner: OwnerId, server_round: int, record: StepRecord) -> None:
        monkeypatch.setattr(time, "time", lambda: real() + jump.total_seconds())
        monkeypatch.setattr(flower_message, "now", lambda: datetime.now(UTC) + jump)
        monkeypatch.setattr(ledger, "_today", lambda: str((datetime.now(UTC) + jump).date()))
        time.sleep(0.2)  # the server looks at its clock meanwhile

    steady_run, jumped_run = (RunFolder.create(tmp_path / name) for name in ("steady", "jumped"))
    steady = run_federation(config, steady_run, TinyTask(config))
    jumped, _, seconds = train_together(jumped_run, config, on_step)
    assert jumped.ended == "completed"
    assert seconds < 60
    assert all(torch.equal(jumped.state[name], steady.state[name]) for name in steady.state)
    before, after = (PrivacyLedger.open(r.ledger_path) for r in (steady_run, jumped_run))
    assert all(after.spent(owner) == before.spent(owner) for owner in before.owners())
    times = [[e.reserved_at for e in after.entries(owner)] for owner in after.owners()]
    assert any(last < first for first, last in times) == (days < 0), "labels follow the clock"
