"""An owner's end of a secure sum: whom it adds up with, what it remembers, what it answers once."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from flwr.app import Message
from flwr.clientapp import ClientApp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from discreet.artifacts import RunFolder
from discreet.errors import ArtifactCorrupt, FederationError
from discreet.federated import LocalGrid, Outcome, TrainConfig, client_app, messages, secure
from discreet.federated.bad_message import BadMessage
from discreet.federated.membership import SumMemory
from discreet.federated.rounds import drive
from discreet.federated.terms import Terms
from discreet.keys import Roster, make_signing_key, read_roster, write_roster
from discreet.privacy import PrivacyLedger
from discreet.secagg import Member
from federated.test_secure import (
    PATIENT,
    STAGES,
    TRAIN,
    Line,
    Lossy,
    Stated,
    of_owners,
    secret_config,
)
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
    config: TrainConfig, run: RunFolder, grid: LocalGrid, task: TinyTask | None = None
) -> Outcome:
    with grid.activated():
        return drive(config, run, task or TinyTask(config), grid)


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


# --- whom an owner adds up with ----------------------------------------------------------------


def test_owners_who_know_each_other_get_the_sum_that_others_get(
    run: RunFolder, tmp_path: Path
) -> None:
    config = secret_config(**PATIENT)
    nodes = numbered(owners_with_keys(tmp_path / "keys", 4))
    signed = federate(config, run, LocalGrid(app_of(config, run), nodes))
    other = RunFolder.create(tmp_path / "other")
    plain = LocalGrid(app_of(config, other), [{"partition-id": k} for k in range(4)])
    unsigned = federate(config, other, plain)
    assert all(torch.equal(signed.state[n], unsigned.state[n]) for n in signed.state)


def test_nodes_with_data_hide_their_owners_by_noise_of_their_own_without_trust(
    run: RunFolder, tmp_path: Path
) -> None:
    config = of_owners(reproducible=False, **PATIENT)
    nodes = with_data(tmp_path, owners_with_keys(tmp_path / "keys", 4))
    grid = Meddling(client_app(TinyTask), nodes, run_config=config.as_mapping())
    outcome = federate(config, run, grid)
    assert outcome.rounds_done == 1
    for node in nodes:
        ledger = PrivacyLedger.open(Path(node["ledger"]))
        (owner,) = ledger.owners()
        assert ledger.spent(owner).unit == "owner"


@pytest.mark.parametrize("listed", [3, 4], ids=["an invention", "all owners"])
def test_an_invented_member_is_refused_before_anybody_trains(
    run: RunFolder, tmp_path: Path, listed: int
) -> None:
    """The fourth node is the server's own; it has a key, which is on nobody's roster."""
    config = of_owners(reproducible=False, **PATIENT)
    nodes = with_data(tmp_path, owners_with_keys(tmp_path / "keys", 4, listed=listed))
    invented = owners_with_keys(tmp_path / "invented", 4)[3]
    nodes[3] |= invented
    grid = Meddling(client_app(TinyTask), nodes, run_config=config.as_mapping())
    with pytest.raises(FederationError):
        federate(config, run, grid)
    replies = grid.line.of(STAGES["shares"])
    assert {messages.refusal_of(reply) for reply in replies} == {"AggregationRefused"}
    assert not [node for node in nodes if Path(node["ledger"]).exists()]


def test_a_key_of_an_earlier_round_is_refused(run: RunFolder, tmp_path: Path) -> None:
    config = secret_config(num_rounds=2, max_update_norm=1e6, **PATIENT)
    nodes = numbered(owners_with_keys(tmp_path / "keys", 4))
    grid = Meddling(app_of(config, run, Stated(config)), nodes)
    seen: dict[str, bytes] = {}

    def replay(request: Message) -> None:
        record = request.content.config_records["parts"]
        for name in [name for name in record if name.startswith("member/")]:
            record[name] = seen.setdefault(name, record[name])

    grid.on_request[STAGES["shares"]] = replay
    with pytest.raises(FederationError):
        federate(config, run, grid, Stated(config))
    refusals = [messages.refusal_of(reply) for reply in grid.line.of(STAGES["shares"])]
    assert refusals == [None] * 4 + ["AggregationRefused"] * 4


def test_a_node_without_a_readable_roster_takes_part_in_no_sum(
    run: RunFolder, tmp_path: Path
) -> None:
    config = secret_config(reproducible=False, **PATIENT)
    nodes = with_data(tmp_path, owners_with_keys(tmp_path / "keys", 4))
    (tmp_path / "keys" / "roster.pem").unlink()
    grid = Meddling(client_app(TinyTask), nodes, run_config=config.as_mapping())
    with pytest.raises(FederationError):
        federate(config, run, grid)
    replies = grid.line.of(STAGES["keys"])
    assert {messages.refusal_of(reply) for reply in replies} == {"ArtifactCorrupt"}


# --- nothing is charged for a sum that cannot be -----------------------------------------------


def without_parts(request: Message) -> None:
    record = request.content.config_records["parts"]
    for name in list(record):
        del record[name]


def damaged(request: Message) -> None:
    record = request.content.config_records["parts"]
    for name in record:
        record[name] = bytes(len(record[name]))


def one_only(request: Message) -> None:
    record = request.content.config_records["parts"]
    for name in list(record)[1:]:
        del record[name]


def another_round(request: Message) -> None:
    request.content.config_records["config"]["server-round"] = 2


def nothing_at_all(request: Message) -> None:
    del request.content["parts"]


@pytest.mark.parametrize(
    "change", [without_parts, damaged, one_only, another_round, nothing_at_all]
)
@pytest.mark.parametrize("plan", [secret_config, of_owners], ids=["example", "owner"])
def test_a_sum_that_cannot_be_is_refused_before_anything_is_charged(
    run: RunFolder, change: Change, plan: Callable[..., TrainConfig]
) -> None:
    config = plan(**PATIENT)
    grid = Meddling(app_of(config, run), [{"partition-id": k} for k in range(4)])
    grid.on_request[STAGES["masked numbers"]] = change
    with pytest.raises(FederationError):
        federate(config, run, grid)
    refusals = {messages.refusal_of(reply) for reply in grid.line.of(STAGES["masked numbers"])}
    assert refusals <= {"AggregationRefused", "BadMessage"}
    assert charged(run) == 0


def test_a_sum_of_another_size_is_refused_before_anything_is_charged(run: RunFolder) -> None:
    config = secret_config(**PATIENT)
    grid = Meddling(app_of(config, run), [{"partition-id": k} for k in range(4)])

    def longer(request: Message) -> None:
        request.content.config_records["parts"]["size"] = b"22"

    grid.on_request[STAGES["shares"]] = longer
    with pytest.raises(FederationError):
        federate(config, run, grid)
    refusals = [messages.refusal_of(reply) for reply in grid.line.of(STAGES["masked numbers"])]
    assert refusals == ["BadMessage"] * 4
    assert charged(run) == 0


class Twice(Meddling):
    """A server that asks for numbers a second time."""

    def call_node(self, message: Message) -> Message:
        reply = super().call_node(message)
        if message.metadata.message_type == TRAIN:
            assert messages.refusal_of(reply) is None
            assert messages.refusal_of(super().call_node(message)) == "AggregationRefused"
        return reply


def test_numbers_that_are_asked_for_twice_leave_once_and_are_paid_once(run: RunFolder) -> None:
    """The reply was lost, or the device died once it had written down that it masked."""
    config = secret_config(**PATIENT)
    federate(config, run, Twice(app_of(config, run), [{"partition-id": k} for k in range(4)]))
    assert charged(run) == 4


# --- what is remembered ------------------------------------------------------------------------


class Restarting(Meddling):
    """Every node dies after each answer: whatever Flower kept for it is gone."""

    def call_node(self, message: Message) -> Message:
        reply = super().call_node(message)
        for context in self._contexts.values():
            context.state = messages.no_records()
        return reply


@pytest.mark.parametrize("plan", [secret_config, of_owners], ids=["example", "owner"])
def test_nodes_may_die_between_any_two_answers(
    run: RunFolder, tmp_path: Path, plan: Callable[..., TrainConfig]
) -> None:
    config = plan(num_rounds=2, **PATIENT)
    nodes = numbered(owners_with_keys(tmp_path / "keys", 4))
    outcome = federate(config, run, Restarting(app_of(config, run), nodes))
    other = RunFolder.create(tmp_path / "other")
    whole = federate(config, other, LocalGrid(app_of(config, other), nodes))
    assert all(torch.equal(outcome.state[n], whole.state[n]) for n in whole.state)


def test_a_second_question_who_stayed_is_refused_also_after_a_restart(run: RunFolder) -> None:
    config = secret_config(max_update_norm=1e6, **PATIENT)
    nodes = [{"partition-id": k} for k in range(4)]
    grid = Meddling(app_of(config, run, Stated(config)), nodes)
    asked: list[Message] = []
    grid.on_request[STAGES["unmasking"]] = asked.append
    federate(config, run, grid, Stated(config))
    fresh = Meddling(app_of(config, run, Stated(config)), nodes)
    for dropped in (b"[]", b"[1003]"):
        parts = {"alive": b"[1000, 1001, 1002]", "dropped": dropped}
        with fresh.activated():
            again = messages.ask_parts(secure.UNMASK, parts, server_round=1, node_id=1000)
            assert messages.refusal_of(fresh.call_node(again)) == "BadMessage"
            assert messages.refusal_of(fresh.call_node(asked[0])) == "BadMessage"


def test_a_question_of_another_round_is_refused(run: RunFolder) -> None:
    config = secret_config(**PATIENT)
    grid = Meddling(app_of(config, run), [{"partition-id": 0}])
    with grid.activated():
        begin = messages.ask_parts(secure.KEYS, {"round-id": b"r"}, server_round=1, node_id=1000)
        assert messages.refusal_of(grid.call_node(begin)) is None
        later = messages.ask_parts(secure.UNMASK, {}, server_round=2, node_id=1000)
        assert messages.refusal_of(grid.call_node(later)) == "BadMessage"


def test_what_is_remembered_is_for_the_owner_alone(tmp_path: Path) -> None:
    memory = SumMemory(tmp_path / "sum")
    with pytest.raises(BadMessage, match="found none"):
        memory.recall(1)
    member = Member.create(3, b"a round")
    memory.keep(1, member)
    assert memory.path.stat().st_mode & 0o777 == 0o600
    assert memory.recall(1).to_bytes() == member.to_bytes()
    with pytest.raises(BadMessage, match="another's"):
        memory.recall(2)
    memory.forget()
    memory.forget()
    assert list(tmp_path.iterdir()) == []


@given(place=st.integers(0, 400), bit=st.integers(0, 7))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_memory_that_was_changed_is_refused(tmp_path: Path, place: int, bit: int) -> None:
    memory = SumMemory(tmp_path / "sum")
    memory.keep(1, Member.create(3, b"a round"))
    data = bytearray(memory.path.read_bytes())
    data[place] ^= 1 << bit
    memory.path.write_bytes(data)
    with pytest.raises(ArtifactCorrupt, match="Leave this round out"):
        memory.recall(1)


# --- who hinders the opening -------------------------------------------------------------------


def wrong(*nodes: int) -> Change:
    """Replace what these nodes give at unmasking."""

    def change(reply: Message) -> None:
        if reply.metadata.src_node_id in nodes:
            record = reply.content.config_records["parts"]
            record["shares"] = bytes(range(7, 39)) * (len(record["shares"]) // 32)

    return change


def short(reply: Message) -> None:
    if reply.metadata.src_node_id == 1001:
        reply.content.config_records["parts"]["shares"] = b"short"


def faults_of(run: RunFolder) -> Mapping[int, str]:
    lines = [line for line in run.read_metrics() if line["name"] == "fault"]
    assert {line["visibility"] for line in lines} <= {"released"}
    return {line["node"]: line["reason"] for line in lines}


@pytest.mark.parametrize(
    ("change", "reason"),
    [(wrong(1001), "wrong ones of the secrets of 1000, "), (short, "a share for each of 4")],
    ids=["wrong", "short"],
)
def test_a_wrong_share_is_named_and_the_round_goes_on(
    run: RunFolder, change: Change, reason: str
) -> None:
    config = secret_config(max_update_norm=1e6, **PATIENT)
    grid = Meddling(app_of(config, run, Stated(config)), [{"partition-id": k} for k in range(4)])
    grid.on_reply[STAGES["unmasking"]] = change
    outcome = federate(config, run, grid, Stated(config))
    assert outcome.state["w"].numpy() == pytest.approx(2.5, abs=0.01), "all four are in the mean"
    faults = faults_of(run)
    assert list(faults) == [1001]
    assert reason in faults[1001]
    replies = [line["value"] for line in run.read_metrics() if line["name"] == "replies"]
    assert replies == [4]
    assert not [line for line in run.read_metrics() if line["name"] == "dropped"]


def test_too_many_wrong_shares_end_the_round_and_the_error_says_who_was_silent(
    run: RunFolder,
) -> None:
    config = secret_config(max_update_norm=1e6)
    grid = Meddling(app_of(config, run, Stated(config)), [{"partition-id": k} for k in range(4)])
    grid.on_reply[STAGES["unmasking"]] = wrong(1001)
    grid.line.lost = {(1002, STAGES["unmasking"])}
    with pytest.raises(FederationError, match=r"Round 1: .*too many wrong.*node 1002: NoReply"):
        federate(config, run, grid, Stated(config))


def test_a_released_loss_is_one_number_more() -> None:
    config = secret_config(loss_noise=30.0)
    task = TinyTask(config)
    terms = Terms.of(config, task.initial_state())
    learnt = sum(value.numel() for value in task.initial_state().values())
    assert secure.words_in(terms, 1) == learnt + 1
