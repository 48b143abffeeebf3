"""Who hinders the opening of a secure sum is named, and the sum is right or there is none."""

from collections.abc import Mapping

import pytest
from flwr.app import Message

from discreet.artifacts import RunFolder
from discreet.errors import FederationError
from discreet.federated import Event, OwnerHindered, RoundDone
from federated.members import Change, Meddling, app_of, federate
from federated.test_secure import PATIENT, STAGES, Stated, secret_config


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
    told: list[Event] = []
    outcome = federate(config, run, grid, Stated(config), on_event=told.append)
    assert outcome.state["w"].numpy() == pytest.approx(2.5, abs=0.01), "all four are in the mean"
    faults = faults_of(run)
    assert list(faults) == [1001]
    assert reason in faults[1001]
    hindered, done = told[-2:]
    assert hindered == OwnerHindered(server_round=1, node=1001, reason=faults[1001])
    assert isinstance(done, RoundDone)
    assert (done.replies, done.dropped, done.faults) == (4, 0, 1)
    replies = [line["value"] for line in run.read_metrics() if line["name"] == "replies"]
    assert replies == [4]
    assert not [line for line in run.read_metrics() if line["name"] == "dropped"]


def test_too_many_wrong_shares_end_the_round_and_the_error_says_who_was_silent(
    run: RunFolder,
) -> None:
    config = secret_config(max_update_norm=1e6)
    grid = Meddling(app_of(config, run, Stated(config)), [{"partition-id": k} for k in range(4)])
    grid.on_reply[STAGES["unmasking"]] = wrong(1001)
    told: list[Event] = []
    grid.line.lost = {(1002, STAGES["unmasking"])}
    with pytest.raises(FederationError, match=r"Round 1: .*too many wrong.*node 1002: NoReply"):
        federate(config, run, grid, Stated(config), on_event=told.append)
    assert OwnerHindered(server_round=1, node=1002, reason="NoReply") in told
