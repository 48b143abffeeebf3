"""Nobody trains or pays for a secure sum that cannot be, and nobody pays twice."""

from collections.abc import Callable

import pytest
from flwr.app import Message

from discreet.artifacts import RunFolder
from discreet.errors import FederationError
from discreet.federated import TrainConfig, messages
from federated.members import Change, Meddling, app_of, charged, federate
from federated.test_secure import PATIENT, STAGES, TRAIN, of_owners, secret_config


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
