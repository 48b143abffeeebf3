"""Two processes of one owner in a secure sum: one is refused, and none brings a mask off twice."""

import fcntl
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from flwr.app import Message

from discreet.artifacts import RunFolder
from discreet.errors import LedgerInUse
from discreet.federated import LocalResult, client_app, messages, secure
from discreet.federated.bad_message import BadMessage
from discreet.federated.membership import SumMemory
from discreet.secagg import Member
from federated.members import Meddling, federate, owners_with_keys, with_data
from federated.test_secure import PATIENT, STAGES, TRAIN, of_owners
from federated.tiny import TinyTask

TWICE, OTHERS = 1001, (1000, 1002, 1003, 1004)
SECONDS = 30.0
is_late = threading.local()
has_trained, may_go_on = threading.Event(), threading.Event()


class LateTask(TinyTask):
    """In the late process, training takes until it may go on."""

    def train(self, *given: object, **options: object) -> LocalResult:
        result = super().train(*given, **options)
        if getattr(is_late, "yes", False):
            has_trained.set()
            assert may_go_on.wait(SECONDS)
        return result


class TwoProcesses(Meddling):
    """A server whose request to train reaches two processes of an owner; the first is the late one.

    Threads stand for processes: the kernel's lock is one of the open file, and not of the process.
    """

    late: threading.Thread
    late_reply: Message | None = None

    def call_node(self, message: Message) -> Message:
        kind, node = message.metadata.message_type, message.metadata.dst_node_id
        if kind == TRAIN and node == TWICE:
            self.late = threading.Thread(target=self._train_late, args=(message,))
            self.late.start()
            assert has_trained.wait(SECONDS)
        return super().call_node(message)

    def unmask(self, *alive: int) -> str | None:
        """Ask who trains twice to open a sum; return the refusal."""
        gone = sorted({TWICE, *OTHERS} - set(alive))
        parts = {"alive": json.dumps(alive).encode(), "dropped": json.dumps(gone).encode()}
        return self.refusal(secure.UNMASK, parts)

    def refusal(self, action: str, parts: dict[str, bytes]) -> str | None:
        """Ask who trains twice; return the refusal."""
        asked = messages.ask_parts(action, parts, server_round=1, node_id=TWICE)
        return messages.refusal_of(super().call_node(asked))

    def _train_late(self, message: Message) -> None:
        is_late.yes = True
        self.late_reply = super().call_node(message)


@pytest.fixture
def federation(tmp_path: Path) -> Iterator[TwoProcesses]:
    has_trained.clear()
    may_go_on.clear()
    config = of_owners(reproducible=False, num_owners=5, min_replies=3, spare_rounds=3, **PATIENT)
    nodes = with_data(tmp_path, owners_with_keys(tmp_path / "keys", 5))
    grid = TwoProcesses(client_app(LateTask), nodes, run_config=config.as_mapping())
    federate(config, RunFolder.create(tmp_path / "run"), grid, TinyTask(config))
    yield grid
    may_go_on.set()
    grid.late.join()


def test_the_second_process_is_refused_at_whatever_it_is_asked(federation: TwoProcesses) -> None:
    def trained() -> list[str | None]:
        return [messages.refusal_of(reply) for reply in federation.line.of(TRAIN)]

    assert trained() == [None, "LedgerInUse", None, None, None], "the round goes on without it"
    with federation.activated():
        for action in (secure.KEYS, secure.SHARES):
            assert federation.refusal(action, {"round-id": b"another"}) == "LedgerInUse"
        assert federation.unmask(*OTHERS, TWICE) == "LedgerInUse"
        may_go_on.set()
        federation.late.join()
        assert federation.late_reply is not None
        assert messages.refusal_of(federation.late_reply) is None
        assert federation.unmask(*OTHERS, TWICE) is None
        assert federation.unmask(*OTHERS[1:], TWICE) == "BadMessage"


@pytest.fixture
def without_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system on which locks hold nobody off."""
    monkeypatch.setattr(fcntl, "flock", lambda *_: None)


@pytest.mark.usefixtures("without_locks")
def test_a_late_process_brings_no_used_up_state_back(federation: TwoProcesses) -> None:
    """Otherwise a second question who stayed would be answered: all masks come off one owner."""
    shares = federation.line.of(STAGES["unmasking"])
    assert TWICE in {reply.metadata.src_node_id for reply in shares}, "its round was opened"
    may_go_on.set()
    federation.late.join()
    assert federation.late_reply is not None
    assert messages.refusal_of(federation.late_reply) == "BadMessage"
    with federation.activated():
        assert federation.unmask(*OTHERS[1:], TWICE) == "BadMessage"


def test_of_two_who_read_a_state_one_replaces_it(tmp_path: Path) -> None:
    first, second = SumMemory(tmp_path / "sum"), SumMemory(tmp_path / "sum")
    member = Member.create(3, b"a round")
    first.keep(1, member)
    second.recall(1)
    first.keep(1, Member.create(3, b"a round"))
    with pytest.raises(BadMessage, match="another process"):
        second.keep(1, member)
    second.recall(1)
    first.forget()
    with pytest.raises(BadMessage, match="another process"):
        second.keep(1, member)
    assert not (tmp_path / "sum").exists()


def test_a_sum_is_held_by_one_and_let_go_at_the_end(tmp_path: Path) -> None:
    with SumMemory(tmp_path / "sum").held():
        with (
            pytest.raises(LedgerInUse, match="another process of this owner"),
            SumMemory(tmp_path / "sum").held(),
        ):
            pass
        with SumMemory(tmp_path / "sum of another owner").held():
            pass
    with SumMemory(tmp_path / "sum").held():
        pass
