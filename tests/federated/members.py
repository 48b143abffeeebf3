"""Owners of a secure sum with keys and rosters, and a grid that changes what crosses."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from flwr.app import Message
from flwr.clientapp import ClientApp

from discreet.artifacts import RunFolder
from discreet.federated import LocalGrid, LocalTask, Outcome, TrainConfig, client_app
from discreet.federated.rounds import drive
from discreet.keys import Roster, make_signing_key, read_roster, write_roster
from discreet.privacy import PrivacyLedger
from federated.test_secure import Line, Lossy
from federated.tiny import TinyTask

Change = Callable[[Message], None]


def owners_with_keys(
    folder: Path, count: int, *, listed: int | None = None
) -> list[dict[str, str]]:
    """Node configurations of owners with keys; the first `listed` of them are on the roster."""
    folder.mkdir(exist_ok=True)
    names = [f"owner-{index}" for index in range(count)]
    for name in names:
        make_signing_key(folder / f"{name}.key", folder / f"{name}.pem", owner=name)
    known = [read_roster(folder / f"{name}.pem") for name in names[:listed]]
    write_roster(folder / "roster.pem", Roster.joined(known))
    return [
        {"signing_key": str(folder / f"{name}.key"), "roster": str(folder / "roster.pem")}
        for name in names
    ]


def with_data(folder: Path, keys: list[dict[str, str]]) -> list[dict[str, str]]:
    """The same owners with data, and ledgers of their own; nobody trusts the server."""
    data = folder / "people.parquet"
    data.write_bytes(b"rows")
    return [
        {"owner": f"owner-{k}", "data": str(data), "ledger": str(folder / f"{k}.jsonl"), **own}
        for k, own in enumerate(keys)
    ]


class Meddling(Lossy):
    """A server, or a node, that changes requests and replies of a kind."""

    def __init__(self, *given: object, **options: object) -> None:
        super().__init__(*given, **options)
        self.line = Line()
        self.on_request: dict[str, Change] = {}
        self.on_reply: dict[str, Change] = {}

    def call_node(self, message: Message) -> Message:
        kind = message.metadata.message_type
        if kind in self.on_request:
            self.on_request[kind](message)
        reply = super().call_node(message)
        if kind in self.on_reply:
            self.on_reply[kind](reply)
        return reply


def federate(
    config: TrainConfig,
    run: RunFolder,
    grid: LocalGrid,
    task: LocalTask | None = None,
    **given: Any,
) -> Outcome:
    with grid.activated():
        return drive(config, run, task or TinyTask(config), grid, **given)


def app_of(config: TrainConfig, run: RunFolder, task: TinyTask | None = None) -> ClientApp:
    return client_app(lambda *_: task or TinyTask(config), config=config, ledger=run.ledger_path)


def numbered(configs: list[dict[str, str]]) -> list[dict[str, object]]:
    return [{"partition-id": index, **config} for index, config in enumerate(configs)]


def charged(run: RunFolder) -> int:
    """Count entries in all accounts of simulated owners."""
    if not run.ledger_path.exists():
        return 0
    ledger = PrivacyLedger.open(run.ledger_path)
    return sum(len(ledger.entries(owner)) for owner in ledger.owners())
