"""What an owner in a secure sum remembers between messages, and what it answers once."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from flwr.app import Message
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from discreet.artifacts import RunFolder
from discreet.errors import ArtifactCorrupt
from discreet.federated import LocalGrid, TrainConfig, messages, secure
from discreet.federated.bad_message import BadMessage
from discreet.federated.membership import SumMemory
from discreet.secagg import Member
from federated.members import Meddling, app_of, federate, numbered, owners_with_keys
from federated.test_secure import PATIENT, STAGES, Stated, of_owners, secret_config


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
