"""The promise of `federated.messages`: adapters and three public numbers leave, nothing else."""

import ast
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import torch
from federated.tiny import TinyTask, plan_of, tiny_config
from flwr.app import Context, Message

from discreet.artifacts import RunFolder
from discreet.errors import FederationError
from discreet.federated import LocalGrid, LocalResult, State, TrainConfig, run_federation
from discreet.privacy import PrivacyLedger, StepRecord, epsilon_of
from discreet.types import OwnerId

ROOT = Path(__file__).parents[2]
CONFIG = tiny_config()
SECRET = 1234.5678
"""A value in every owner's data that no training could produce by chance."""

BUILDERS = {"Array", "ArrayRecord", "ConfigRecord", "Error", "Message", "MetricRecord"}
BUILDERS |= {"RecordDict", "create_reply", "create_error_reply"}


@dataclass
class Wire:
    """Everything that crossed between server and nodes, and what the nodes kept."""

    requests: list[Message] = field(default_factory=list)
    replies: list[Message] = field(default_factory=list)
    contexts: list[Context] = field(default_factory=list)


class SecretTask(TinyTask):
    """Owners with data that can be recognised, and with data sets of two sizes."""

    def __init__(self, config: TrainConfig) -> None:
        super().__init__(config)
        self.losses: list[float] = []

    def points_of(self, owner: OwnerId) -> tuple[torch.Tensor, torch.Tensor]:
        inputs, targets = super().points_of(owner)
        inputs[:, 0] = SECRET
        return inputs, targets

    def train(
        self,
        state: State,
        *,
        owner: OwnerId,
        server_round: int,
        ledger: PrivacyLedger,
        on_step: Callable[[StepRecord], None] | None,
    ) -> LocalResult:
        result = super().train(
            state, owner=owner, server_round=server_round, ledger=ledger, on_step=on_step
        )
        self.losses += result.losses
        return result


class LeakyTask(SecretTask):
    """Tries to send a tensor of data beside the adapter."""

    def train(
        self,
        state: State,
        *,
        owner: OwnerId,
        server_round: int,
        ledger: PrivacyLedger,
        on_step: Callable[[StepRecord], None] | None,
    ) -> LocalResult:
        result = super().train(
            state, owner=owner, server_round=server_round, ledger=ledger, on_step=on_step
        )
        return replace(result, state={**result.state, "inputs": self.points_of(owner)[0]})


class FailingTask(SecretTask):
    """Fails with a person's words in the error, as a library may."""

    def points_of(self, owner: OwnerId) -> tuple[torch.Tensor, torch.Tensor]:
        try:
            raise LookupError("Jane Doe, born 1950")
        except LookupError as error:
            raise RuntimeError("row 7: Jane Doe feels dizzy") from error


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Wire:
    seen = Wire()
    call_node = LocalGrid.call_node

    def record(grid: LocalGrid, message: Message) -> Message:
        seen.requests.append(message)
        seen.replies.append(call_node(grid, message))
        seen.contexts.append(grid._contexts[message.metadata.dst_node_id])
        return seen.replies[-1]

    monkeypatch.setattr(LocalGrid, "call_node", record)
    return seen


def wire_bytes(part: object) -> bytes:
    """Return the bytes that Flower sends for a message, with all that hangs below it."""
    below = part.children or {}
    return part.deflate() + b"".join(wire_bytes(child) for child in below.values())


def traces_of(value: float) -> list[bytes]:
    """Return the ways a number could be written into a message."""
    return [struct.pack(form, value) for form in ("<f", "<d", ">f", ">d")] + [repr(value).encode()]


def test_the_probe_finds_what_is_there(tmp_path: Path, wire: Wire) -> None:
    """Known parts of a reply are in its bytes, so that the absence of others means something."""
    run_federation(CONFIG, RunFolder.create(tmp_path / "run"), SecretTask(CONFIG))
    data = wire_bytes(wire.replies[0])
    weights = wire.replies[0].content.array_records["arrays"]["0.bias"].numpy()
    assert weights.tobytes() in data
    assert any(trace in data for trace in traces_of(CONFIG.delta))


def test_replies_hold_the_adapter_and_the_allow_list(tmp_path: Path, wire: Wire) -> None:
    task = SecretTask(CONFIG)
    run_federation(CONFIG, RunFolder.create(tmp_path / "run"), task)
    shapes = {name: tuple(value.shape) for name, value in task.initial_state().items()}
    assert len(wire.replies) == CONFIG.num_rounds * CONFIG.num_owners
    for reply in wire.replies:
        assert set(reply.content) == {"arrays", "metrics"}
        arrays = reply.content.array_records["arrays"]
        assert {name: array.numpy().shape for name, array in arrays.items()} == shapes
        assert {array.numpy().dtype.str for array in arrays.values()} == {"<f4"}
        assert set(reply.content.metric_records["metrics"]) == {"delta", "epsilon", "steps"}
        assert not reply.content.config_records


def test_the_three_numbers_follow_from_the_public_plan(tmp_path: Path, wire: Wire) -> None:
    run_federation(CONFIG, RunFolder.create(tmp_path / "run"), SecretTask(CONFIG))
    plan = plan_of(CONFIG)
    for index, reply in enumerate(wire.replies):
        done = replace(plan, steps=CONFIG.local_steps * (1 + index // CONFIG.num_owners))
        assert dict(reply.content.metric_records["metrics"]) == {
            "delta": CONFIG.delta,
            "epsilon": epsilon_of([done], plan.delta, plan.accountant),
            "steps": CONFIG.local_steps,
        }


def test_no_data_loss_name_or_path_is_in_the_bytes(tmp_path: Path, wire: Wire) -> None:
    task = SecretTask(CONFIG)
    run = RunFolder.create(tmp_path / "run")
    run_federation(CONFIG, run, task)
    sent = b"".join(map(wire_bytes, wire.replies))
    assert len(task.losses) == CONFIG.steps_total * CONFIG.num_owners
    hidden = [*traces_of(SECRET), *(trace for loss in task.losses for trace in traces_of(loss))]
    for line in run.read_metrics():
        if line["visibility"] == "local":
            hidden += traces_of(line["value"])
    hidden += [b"owner-", str(tmp_path).encode(), b"ledger", b"loss", b"examples"]
    assert [trace for trace in hidden if trace in sent] == []


def test_size_and_numbers_do_not_depend_on_how_much_data_an_owner_has(
    tmp_path: Path, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    for examples in (20, 7):
        monkeypatch.setattr("federated.tiny.EXAMPLES", examples)
        run_federation(CONFIG, RunFolder.create(tmp_path / str(examples)), SecretTask(CONFIG))
    half = len(wire.replies) // 2
    for one, other in zip(wire.replies[:half], wire.replies[half:], strict=True):
        arrays = [reply.content.array_records["arrays"] for reply in (one, other)]
        assert arrays[0] != arrays[1], "the adapters differ, or the test shows nothing"
        assert {n: len(a.data) for n, a in arrays[0].items()} == {
            n: len(a.data) for n, a in arrays[1].items()
        }
        assert one.content.metric_records == other.content.metric_records


def test_nodes_keep_nothing_in_flowers_own_state(tmp_path: Path, wire: Wire) -> None:
    run_federation(CONFIG, RunFolder.create(tmp_path / "run"), SecretTask(CONFIG))
    assert [dict(context.state) for context in wire.contexts] == [{}] * len(wire.contexts)


def test_requests_hold_the_adapter_and_the_round(tmp_path: Path, wire: Wire) -> None:
    run_federation(CONFIG, RunFolder.create(tmp_path / "run"), SecretTask(CONFIG))
    for request in wire.requests:
        assert set(request.content) == {"arrays", "config"}
        assert set(request.content.config_records["config"]) == {
            "server-round",
            "frozen-sha256",
            "unit",
        }
        assert not request.content.metric_records


def test_of_a_failure_the_class_leaves_and_the_words_stay(tmp_path: Path, wire: Wire) -> None:
    with pytest.raises(FederationError):
        run_federation(CONFIG, RunFolder.create(tmp_path / "run"), FailingTask(CONFIG))
    sent = b"".join(map(wire_bytes, wire.replies))
    assert b"RuntimeError" in sent
    assert [word for word in (b"Jane", b"dizzy", b"1950", b"row 7") if word in sent] == []


def test_a_task_that_tries_to_send_data_is_stopped_on_the_device(
    tmp_path: Path, wire: Wire
) -> None:
    with pytest.raises(FederationError, match="ValueError"):
        run_federation(CONFIG, RunFolder.create(tmp_path / "run"), LeakyTask(CONFIG))
    sent = b"".join(map(wire_bytes, wire.replies))
    assert [trace for trace in [b"inputs", *traces_of(SECRET)] if trace in sent] == []
    assert all(reply.has_error() for reply in wire.replies)


def calls_that_build(tree: ast.AST) -> Iterator[str]:
    """Yield each call of a Flower record, also under another name or as an attribute."""
    renamed = {
        alias.asname: alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.asname
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func).rpartition(".")[2]
            if renamed.get(name, name) in BUILDERS:
                yield f"line {node.lineno}: {ast.unparse(node.func)}"


@pytest.mark.parametrize(
    "source",
    [
        "from flwr.app import Message\nMessage(x, reply_to=y)",
        "import flwr.app\nflwr.app.RecordDict({})",
        "from flwr.app import MetricRecord as M\nM({'loss': 1.0})",
        "message.create_reply(content)",
    ],
)
def test_the_search_finds_builders(source: str) -> None:
    assert len(list(calls_that_build(ast.parse(source)))) == 1


def test_only_one_file_builds_messages() -> None:
    files = [
        path
        for folder in ("src/discreet", "clients", "server")
        for path in sorted((ROOT / folder).rglob("*.py"))
    ]
    assert len(files) > 10
    found = {
        str(path.relative_to(ROOT)): calls
        for path in files
        if (calls := list(calls_that_build(ast.parse(path.read_text()))))
    }
    assert set(found) == {"src/discreet/federated/messages.py"}
