"""What Flower makes of nodes whose clock is off: the limits that docs/sharp_edges.md names."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from fastapi import HTTPException, Request
from federated.conftest import filled, packed
from federated.tiny import FROZEN
from flwr.app import Message
from flwr.app.message import message as flower_message
from flwr.proto.fleet_pb2 import RegisterNodeFleetRequest
from flwr.server.utils.validator import validate_message
from flwr.supercore.primitives.asymmetric import public_key_to_bytes
from flwr.supercore.protobuf.client import ProtobufRequestContext
from flwr.superlink.routers.fleet.node_auth import authenticate_node
from flwr.supernode import node_auth_http_interceptor as node_side

from discreet.federated import LocalGrid, messages

ROUND_SECONDS = 600.0


def ahead(seconds: float) -> Callable[[], datetime]:
    return lambda: datetime.now(UTC) + timedelta(seconds=seconds)


def signed_request(seconds_ahead: float, monkeypatch: pytest.MonkeyPatch) -> Request:
    """What a node with such a clock sends to be registered, as the server gets it."""
    key = ec.generate_private_key(ec.SECP384R1())
    sent = httpx.Request("POST", "https://localhost/v1/fleet/register-node")
    ask = RegisterNodeFleetRequest(public_key=public_key_to_bytes(key.public_key()))
    with monkeypatch.context() as patch:
        patch.setattr(node_side, "now", ahead(seconds_ahead))
        node_side.NodeAuthHttpInterceptor(key, key.public_key()).intercept(
            ProtobufRequestContext("RegisterNode", ask, sent), lambda _: httpx.Response(200)
        )
    got = Request({"type": "http", "headers": sent.headers.raw})
    got.state.protobuf_request = ask
    return got


@pytest.mark.parametrize("seconds", [-290, 0, 3])
def test_a_node_whose_clock_is_nearly_right_is_known(
    seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    authenticate_node(signed_request(seconds, monkeypatch))


@pytest.mark.parametrize("seconds", [-3600, -320, 60, 3600])
def test_a_node_more_than_5_seconds_ahead_or_305_behind_is_refused(
    seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(HTTPException, match="Invalid SuperNode authentication"):
        authenticate_node(signed_request(seconds, monkeypatch))


def reply_of_a_node(seconds_ahead: float, monkeypatch: pytest.MonkeyPatch) -> Message:
    """A reply to a request of now, with ids as Flower gives them."""
    state = packed(filled(0.0))
    grid = LocalGrid(lambda *_: None, [{}])  # type: ignore[arg-type, return-value]
    with grid.activated():
        ask = messages.ask(
            state, server_round=1, frozen_hash=FROZEN, run="r", node_id=1000, ttl=ROUND_SECONDS
        )
    ask.metadata.__dict__["_message_id"] = "request"
    with monkeypatch.context() as patch:
        patch.setattr(flower_message, "now", ahead(seconds_ahead))
        reply = messages.answer(ask, state, server_round=1, steps=1, statement=None)
    reply.metadata.__dict__["_message_id"] = "reply"
    return reply


@pytest.mark.parametrize(("seconds", "is_lost"), [(-300, False), (4, False), (ROUND_SECONDS, True)])
def test_a_reply_dated_after_its_requests_end_is_not_taken(
    monkeypatch: pytest.MonkeyPatch, seconds: float, is_lost: bool
) -> None:
    errors = validate_message(reply_of_a_node(seconds, monkeypatch), is_reply_message=True)
    assert ("`metadata.ttl` must be higher than zero" in errors) == is_lost
    assert is_lost or not [error for error in errors if "ttl" in error.lower()]
