"""The promise of `federated.messages`: updates, four public numbers, a nonce; nothing else.

Where the plan pays for it, a loss with noise is a fifth.
"""

import ast
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean

import numpy as np
import pytest
import torch
from federated.tiny import TinyTask, plan_of, tiny_config
from flwr.app import Context, Message
from safetensors.torch import load_file

from discreet.artifacts import RunFolder
from discreet.errors import FederationError, PolicyError
from discreet.federated import (
    LocalGrid,
    LocalResult,
    State,
    TrainConfig,
    draw_generators,
    make_codec,
    messages,
    read_checkpoint,
    run_federation,
)
from discreet.federated.secure import sum_form
from discreet.federated.site import OwnerSite
from discreet.federated.terms import Terms
from discreet.privacy import epsilon_of
from discreet.types import OwnerId

ROOT = Path(__file__).parents[2]
CONFIG = tiny_config()
SECRET = 1234.5678
"""A value in every owner's data that no training could produce by chance."""

RELEASED = {"delta", "epsilon", "round", "steps"}
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
        self.results: list[LocalResult] = []
        self.owners: list[OwnerId] = []
        self.updates: list[State] = []

    def points_of(self, owner: OwnerId) -> tuple[torch.Tensor, torch.Tensor]:
        inputs, targets = super().points_of(owner)
        inputs[:, 0] = SECRET
        return inputs, targets

    def train(self, state: State, **given: object) -> LocalResult:
        result = super().train(state, **given)
        self.losses += result.losses
        self.results.append(result)
        self.owners.append(given["owner"])
        self.updates.append({n: result.state[n] - state[n] for n in state})
        return result


class LeakyTask(SecretTask):
    """Tries to send a tensor of data beside the adapter."""

    def train(self, state: State, **given: object) -> LocalResult:
        result = super().train(state, **given)
        data, _ = self.points_of(given["owner"])
        return replace(result, state={**result.state, "inputs": data})


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


def numbers_of(reply: Message) -> dict[str, object]:
    """Return what a reply says in numbers, without the nonce that it has to have."""
    metrics = dict(reply.content.metric_records["metrics"])
    assert isinstance(metrics.pop("nonce"), int)
    return metrics


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


def test_replies_hold_the_update_and_the_allow_list(tmp_path: Path, wire: Wire) -> None:
    task = SecretTask(CONFIG)
    run_federation(CONFIG, RunFolder.create(tmp_path / "run"), task)
    shapes = {name: tuple(value.shape) for name, value in task.initial_state().items()}
    assert len(wire.replies) == CONFIG.num_rounds * CONFIG.num_owners
    for reply in wire.replies:
        assert set(reply.content) == {"arrays", "metrics"}
        arrays = reply.content.array_records["arrays"]
        assert {name: array.numpy().shape for name, array in arrays.items()} == shapes
        assert {array.numpy().dtype.str for array in arrays.values()} == {"<f4"}
        assert set(numbers_of(reply)) == RELEASED
        assert not reply.content.config_records


def test_the_four_numbers_follow_from_the_public_plan(tmp_path: Path, wire: Wire) -> None:
    run_federation(CONFIG, RunFolder.create(tmp_path / "run"), SecretTask(CONFIG))
    plan = plan_of(CONFIG)
    for index, reply in enumerate(wire.replies):
        done = replace(plan, steps=CONFIG.local_steps * (1 + index // CONFIG.num_owners))
        assert numbers_of(reply) == {
            "delta": CONFIG.delta,
            "epsilon": epsilon_of([done], plan.delta, plan.accountant),
            "round": 1 + index // CONFIG.num_owners,
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


def test_a_plan_that_pays_for_a_loss_has_one_number_more(tmp_path: Path, wire: Wire) -> None:
    """It is the noisy one, averaged over the round's steps; none of the true ones is there."""
    config = replace(CONFIG, loss_noise=30.0)
    task = SecretTask(config)
    run_federation(config, RunFolder.create(tmp_path / "run"), task)
    shapes = {name: tuple(value.shape) for name, value in task.initial_state().items()}
    for reply, result in zip(wire.replies, task.results, strict=True):
        metrics = numbers_of(reply)
        assert set(metrics) == RELEASED | {"loss"}
        assert metrics["loss"] == result.released_loss
        arrays = reply.content.array_records["arrays"]
        assert {name: array.numpy().shape for name, array in arrays.items()} == shapes
        assert set(reply.content) == {"arrays", "metrics"}
        found = [mean for mean in (*result.losses, fmean(result.losses)) if mean == mean]
        sent = wire_bytes(reply)
        assert any(trace in sent for trace in traces_of(metrics["loss"])), "or nothing is shown"
        assert not any(trace in sent for mean in found for trace in traces_of(mean))


class Talkative(SecretTask):
    """Gives a loss that no plan asked for."""

    def train(self, state: State, **given: object) -> LocalResult:
        result = super().train(state, **given)
        return replace(result, released_loss=result.losses[0])


def test_a_loss_that_the_plan_does_not_release_stays(tmp_path: Path, wire: Wire) -> None:
    run_federation(CONFIG, RunFolder.create(tmp_path / "run"), Talkative(CONFIG))
    assert all(set(numbers_of(r)) == RELEASED for r in wire.replies)


def test_nonces_follow_from_nothing(tmp_path: Path, wire: Wire) -> None:
    """A run that is repeated with the same seed and data, and so the same updates, has others."""
    for name in ("one", "other"):
        run_federation(CONFIG, RunFolder.create(tmp_path / name), SecretTask(CONFIG))
    half = len(wire.replies) // 2
    for one, other in zip(wire.replies[:half], wire.replies[half:], strict=True):
        assert one.content.array_records == other.content.array_records
    nonces = {reply.content.metric_records["metrics"]["nonce"] for reply in wire.replies}
    nonces |= {asked.content.config_records["config"]["nonce"] for asked in wire.requests}
    assert len(nonces) == len(wire.replies) + len(wire.requests)


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
        assert numbers_of(one) == numbers_of(other)


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
            "run",
            "nonce",
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


# The same for plans of other kinds.

HIDDEN = {"unit": "owner", "sampled": "owner", "max_update_norm": 1.0}
SECURE = {"secure_aggregation": True, "num_owners": 3, "min_replies": 2}


def update_bytes(task: SecretTask) -> list[bytes]:
    """Return each tensor of each update as float32 writes it."""
    return [tensor.numpy().tobytes() for update in task.updates for tensor in update.values()]


def federate(path: Path, **changes: object) -> tuple[TrainConfig, SecretTask]:
    config = tiny_config(**changes)
    task = SecretTask(config)
    run_federation(config, RunFolder.create(path / "run"), task)
    return config, task


def test_where_the_server_adds_the_noise_it_sees_each_update_in_the_clear(
    tmp_path: Path, wire: Wire
) -> None:
    """What such a plan does not promise: an owner has to trust the server, or refuses."""
    config, task = federate(tmp_path, **HIDDEN)
    sent = b"".join(map(wire_bytes, wire.replies))
    assert all(data in sent for data in update_bytes(task))
    for reply in wire.replies:
        assert set(reply.content) == {"arrays", "metrics"}
        assert set(numbers_of(reply)) == {"round", "steps"}
    hidden = [trace for loss in task.losses for trace in traces_of(loss)]
    assert not [trace for trace in [*hidden, *traces_of(SECRET)] if trace in sent]
    site = OwnerSite(owner=OwnerId("clinic"), ledger=tmp_path / "l", data=tmp_path / "d")
    with pytest.raises(PolicyError, match="the server adds it"):
        site.check(replace(config, reproducible=False))


@pytest.mark.parametrize("changes", [{}, HIDDEN], ids=["example", "owner"])
def test_of_a_masked_update_no_trace_leaves(
    tmp_path: Path, wire: Wire, changes: dict[str, object]
) -> None:
    """False alarm: one of 63 numbers of 32 bits by chance is one of 63 others, 1e-6."""
    config, task = federate(tmp_path, num_rounds=1, **SECURE, **changes)
    replies = [reply for reply in wire.replies if reply.metadata.message_type == "train"]
    arrays = [reply.content.array_records["arrays"] for reply in replies]
    assert [list(record) for record in arrays] == [["masked"]] * config.num_owners
    assert all(set(numbers_of(r)) == RELEASED for r in replies)
    sent = b"".join(map(wire_bytes, wire.replies))
    assert not [data for data in update_bytes(task) if data in sent]
    form = sum_form(Terms.of(config, task.initial_state()), 1)
    plain = [
        form.encode(update, draw_generators(config, owner=owner, server_round=1).noise)
        for owner, update in zip(task.owners, task.updates, strict=True)
    ]
    masked = [messages.read_words(record, len(plain[0])) for record in arrays]
    assert not set(np.concatenate(plain)) & set(np.concatenate(masked))
    mean = form.decode(np.sum(plain, axis=0, dtype=np.uint32), config.num_owners)
    checkpoint = read_checkpoint(RunFolder.open(tmp_path / "run"))
    assert checkpoint is not None
    for name, start in task.initial_state().items():  # or other numbers were looked for
        assert torch.equal(checkpoint.state[name], (start.double() + mean[name].double()).float())
    others = [reply for reply in wire.replies if reply.metadata.message_type != "train"]
    assert {name for reply in others for name in reply.content} == {"parts"}
    assert [dict(context.state) for context in wire.contexts] == [{}] * len(wire.contexts)


def test_of_the_largest_numbers_alone_values_and_places_leave(tmp_path: Path, wire: Wire) -> None:
    config, task = federate(tmp_path, wire="topk", topk_share=0.25)
    shapes = messages.shapes_of(task.initial_state())
    wanted = {n: shape for n, (_, shape) in make_codec("topk", share=0.25).specs(shapes).items()}
    for reply in wire.replies:
        arrays = reply.content.array_records["arrays"]
        assert {name: array.numpy().shape for name, array in arrays.items()} == wanted
        assert set(numbers_of(reply)) == RELEASED
    sent = sum(messages.size_bytes_of(r.content.array_records["arrays"]) for r in wire.replies)
    assert sent > 0
    left = list((tmp_path / "run").glob("ledger.jsonl.*.safetensors"))
    assert len(left) == config.num_owners, "the rest stays on the device"


def test_control_variates_of_an_owner_do_not_leave(tmp_path: Path, wire: Wire) -> None:
    config, task = federate(tmp_path, local_rule="scaffold")
    sent = b"".join(map(wire_bytes, wire.replies))
    assert b"control/" not in sent
    kept = [load_file(path) for path in (tmp_path / "run").glob("ledger.jsonl.*.safetensors")]
    assert len(kept) == config.num_owners
    values = [v.numpy().tobytes() for state in kept for n, v in state.items() if "after/" in n]
    assert values
    assert not [value for value in values if value in sent]


@pytest.mark.parametrize("wire_form", ["bfloat16", "float16", "int8"])
def test_in_fewer_bits_leave_the_same_things(tmp_path: Path, wire: Wire, wire_form: str) -> None:
    _, task = federate(tmp_path, wire=wire_form)
    specs = make_codec(wire_form).specs(messages.shapes_of(task.initial_state()))
    for reply in wire.replies:
        arrays = reply.content.array_records["arrays"]
        found = {n: (a.numpy().dtype.str, a.numpy().shape) for n, a in arrays.items()}
        assert found == specs
        assert set(numbers_of(reply)) == RELEASED


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
