"""Whom an owner adds up with, and whom a server that knows the roster lets into a sum."""

import json
from pathlib import Path

import pytest
import torch
from flwr.app import Message

from discreet.artifacts import RunFolder
from discreet.errors import FederationError
from discreet.federated import LocalGrid, client_app, membership, messages, secure
from discreet.keys import read_roster
from discreet.privacy import PrivacyLedger
from federated.members import (
    Meddling,
    app_of,
    charged,
    federate,
    numbered,
    owners_with_keys,
    with_data,
)
from federated.test_secure import PATIENT, STAGES, Stated, of_owners, secret_config
from federated.tiny import TinyTask


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
    with pytest.raises(FederationError, match="RosterMismatch: these owners .* to the server too"):
        federate(config, run, grid)
    replies = grid.line.of(STAGES["shares"])
    assert {messages.refusal_of(reply) for reply in replies} == {"RosterMismatch"}
    assert not [node for node in nodes if Path(node["ledger"]).exists()]


def test_more_members_than_owners_are_refused_before_they_are_laid_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neighbours of so many take long to find, and the number is the server's."""
    many = 20_000
    config = of_owners(reproducible=False, num_owners=many, min_replies=many // 2 + 1)
    (node,) = with_data(tmp_path, owners_with_keys(tmp_path / "keys", 1))
    grid = Meddling(client_app(TinyTask), [node], run_config=config.as_mapping())
    laid_out: list[object] = []
    monkeypatch.setattr(membership, "group_of", lambda *given: laid_out.append(given))
    about = {"ids": json.dumps(list(range(1000, 1000 + many))).encode(), "size": b"21"}
    with grid.activated():
        for action, parts in ((secure.KEYS, {"round-id": b"r"}), (secure.SHARES, about)):
            asked = messages.ask_parts(action, parts, server_round=1, node_id=1000)
            reply = grid.call_node(asked)
    assert messages.refusal_of(reply) == "RosterMismatch"
    assert laid_out == []


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
    assert refusals == [None] * 4 + ["RosterMismatch"] * 4


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


STRANGERS = {
    "whose key is on no roster": "got some of somebody else",
    "without a key": "got some that nobody signed",
    "with another's key": "each owner once",
}


@pytest.mark.parametrize("kind", STRANGERS)
def test_a_server_with_the_roster_leaves_a_stranger_out_and_the_sum_goes_on(
    run: RunFolder, tmp_path: Path, kind: str
) -> None:
    """Owners who add up with each other never hear of the node, and it of nothing after its keys.

    The second node is the stranger; in the last case the first that shows the key is let in.
    """
    config = secret_config(max_update_norm=1e6, **PATIENT)
    task, keys = Stated(config), owners_with_keys(tmp_path / "keys", 4)
    others = {"roster": keys[0]["roster"]}
    stranger = {
        "whose key is on no roster": owners_with_keys(tmp_path / "strangers", 2)[1],
        "without a key": {},
        "with another's key": others | {"signing_key": keys[0]["signing_key"]},
    }[kind]
    grid = Meddling(app_of(config, run, task), numbered([keys[0], stranger, *keys[2:]]))
    known = read_roster(Path(keys[0]["roster"])).keys
    outcome = federate(config, run, grid, task, roster=known)
    assert outcome.state["w"].numpy() == pytest.approx((1 + 3 + 4) / 3, abs=0.01)
    (dropped,) = [line for line in run.read_metrics() if line["name"] == "dropped"]
    assert dropped["node"] == 1001
    assert STRANGERS[kind] in dropped["reason"]
    asked = [r.metadata for r in grid.line.requests if r.metadata.dst_node_id == 1001]
    assert [about.message_type for about in asked] == [STAGES["keys"]]
    for request in grid.line.requests:
        if request.metadata.message_type == STAGES["shares"]:
            assert messages.read_parts(request)["ids"] == b"[1000, 1002, 1003]"


def test_too_few_owners_of_the_roster_are_told_before_anybody_trains(
    run: RunFolder, tmp_path: Path
) -> None:
    config = secret_config(**PATIENT)
    keys = owners_with_keys(tmp_path / "keys", 4, listed=2)
    grid = Meddling(app_of(config, run), numbered(keys))
    known = read_roster(Path(keys[0]["roster"])).keys
    with pytest.raises(FederationError, match=r"got 2 \(node 1002: .*; node 1003: ") as failed:
        federate(config, run, grid, roster=known)
    assert "RosterMismatch:" not in str(failed.value), "the server said itself who it was"
    assert {r.metadata.message_type for r in grid.line.requests} == {STAGES["keys"]}
    assert charged(run) == 0


def test_a_server_with_a_roster_changes_nothing_for_the_owners_on_it(
    run: RunFolder, tmp_path: Path
) -> None:
    config = secret_config(**PATIENT)
    keys = owners_with_keys(tmp_path / "keys", 4)
    known = read_roster(Path(keys[0]["roster"])).keys
    states = []
    for name, roster in (("with", known), ("without", None)):
        folder = RunFolder.create(tmp_path / name)
        grid = LocalGrid(app_of(config, folder), numbered(keys))
        states.append(federate(config, folder, grid, roster=roster).state)
    assert all(torch.equal(states[0][n], states[1][n]) for n in states[1])
