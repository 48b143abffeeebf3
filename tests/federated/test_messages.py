"""Messages hold what they should; what they should not hold is refused when it arrives."""

import io
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from flwr.app import Array, ArrayRecord, Error, Message, MetricRecord
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from discreet.federated import LocalGrid, State, messages
from discreet.federated.messages import BadMessage
from federated.conftest import SHAPES, filled, nodes, statement
from federated.tiny import FROZEN

FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)
STATES = st.dictionaries(
    st.text(min_size=1, max_size=8),
    hnp.arrays(np.float32, hnp.array_shapes(min_dims=0, max_dims=3, max_side=4), elements=FLOATS),
    max_size=4,
)


@pytest.fixture
def grid() -> Iterator[LocalGrid]:
    grid = nodes()
    with grid.activated():
        yield grid


@pytest.fixture
def request_(grid: LocalGrid) -> Message:
    return messages.ask(messages.pack(filled(0.0)), server_round=3, frozen_hash=FROZEN, node_id=7)


def good_answer(request: Message) -> Message:
    return messages.answer(request, state=filled(1.5), steps=4, statement=statement(2.0))


def array_of(values: "np.ndarray[tuple[int, ...], np.dtype[np.generic]]") -> Array:
    return Array(values)


def forged(dtype: str, shape: tuple[int, ...], data: bytes) -> Array:
    """An array whose label says one thing and whose bytes say another."""
    return Array(dtype=dtype, shape=shape, stype="numpy.ndarray", data=data)


def npy(header_shape: tuple[int, ...], body: bytes) -> bytes:
    stream = io.BytesIO()
    header = {"descr": "<f4", "fortran_order": False, "shape": header_shape}
    np.lib.format.write_array_header_1_0(stream, header)
    return stream.getvalue() + body


@given(arrays=STATES)
def test_a_state_survives_the_network_bit_by_bit(
    arrays: dict[str, "np.ndarray[tuple[int, ...], np.dtype[np.float32]]"],
) -> None:
    state = {name: torch.from_numpy(values.copy()) for name, values in arrays.items()}
    back = messages.unpack(messages.pack(state), messages.shapes_of(state))
    assert messages.shapes_of(back) == messages.shapes_of(state)
    assert all(back[name].numpy().tobytes() == state[name].numpy().tobytes() for name in state)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64, torch.float16])
def test_other_floats_are_sent_as_float32(dtype: torch.dtype) -> None:
    record = messages.pack({"a": torch.ones(2, dtype=dtype)})
    assert record["a"].dtype == "float32"
    assert record["a"].numpy().dtype == np.float32


def test_a_transposed_tensor_is_sent_row_by_row() -> None:
    tensor = torch.arange(6.0).reshape(2, 3).T
    assert torch.equal(messages.unpack(messages.pack({"a": tensor}), {"a": (3, 2)})["a"], tensor)


def test_a_request_comes_back(request_: Message) -> None:
    request = messages.read_request(request_)
    assert (request.server_round, request.frozen_hash) == (3, FROZEN)
    assert messages.shapes_of(request.state) == SHAPES


def test_a_request_without_round_is_refused(request_: Message) -> None:
    del request_.content["config"]
    with pytest.raises(BadMessage, match="server-round"):
        messages.read_request(request_)


def test_a_request_without_the_hash_of_what_is_frozen_is_refused(request_: Message) -> None:
    del request_.content.config_records["config"]["frozen-sha256"]
    with pytest.raises(BadMessage, match="frozen-sha256"):
        messages.read_request(request_)


def test_an_answer_comes_back(request_: Message) -> None:
    reply = messages.read_answer(good_answer(request_), SHAPES)
    assert (reply.steps, reply.statement) == (4, statement(2.0))
    assert all(torch.equal(reply.state[name], filled(1.5)[name]) for name in SHAPES)


@pytest.mark.parametrize(
    "state",
    [
        {**filled(1.0), "embedding": torch.ones(2)},
        {"a": filled(1.0)["a"]},
        {**filled(1.0), "b": torch.ones(5)},
        {},
    ],
)
def test_a_task_cannot_send_more_or_other_tensors(request_: Message, state: State) -> None:
    with pytest.raises(ValueError, match="the adapter and nothing else"):
        messages.answer(request_, state=state, steps=1, statement=statement())


@pytest.mark.usefixtures("grid")
def test_the_unit_of_a_statement_is_that_of_the_plan() -> None:
    """A server that trains for users takes every epsilon to be a user's, and a node agrees."""
    state = filled(1.0)
    asked = messages.ask(
        messages.pack(state), server_round=1, frozen_hash=FROZEN, node_id=1, unit="user"
    )
    of_user = replace(statement(), unit="user")
    reply = messages.answer(asked, state=state, steps=1, statement=of_user)
    assert messages.read_answer(reply, SHAPES, unit="user").statement == of_user
    with pytest.raises(ValueError, match="unit=user"):
        messages.answer(asked, state=state, steps=1, statement=statement())


def test_a_statement_of_another_unit_cannot_be_sent(request_: Message) -> None:
    with pytest.raises(ValueError, match="unit=example"):
        messages.answer(
            request_, state=filled(1.0), steps=1, statement=replace(statement(), unit="user")
        )


def test_of_an_error_only_its_class_is_sent(request_: Message) -> None:
    refusal = messages.refuse(request_, ValueError("Jane Doe, 1950"))
    assert refusal.error.reason == "ValueError"
    assert messages.refusal_of(refusal) == "ValueError"
    assert messages.refusal_of(good_answer(request_)) is None


@pytest.mark.parametrize("reason", ["<class 'X'>:<'Jane'>", "a\nb", "", None, "x" * 65])
def test_text_in_an_error_of_someone_else_is_not_repeated(
    request_: Message, reason: str | None
) -> None:
    assert (
        messages.refusal_of(Message(Error(5, reason), reply_to=request_))
        == "Flower: NODE_UNAVAILABLE"
    )


BIG = 1 << 50
BAD_ARRAYS: dict[str, Callable[[ArrayRecord], object]] = {
    "missing key": lambda record: record.pop("a"),
    "extra key": lambda record: record.update(c=array_of(np.ones(1, np.float32))),
    "wrong shape": lambda record: record.update(b=array_of(np.ones(5, np.float32))),
    "more dimensions": lambda record: record.update(b=array_of(np.ones((1, 4), np.float32))),
    "float64": lambda record: record.update(b=array_of(np.ones(4))),
    "float16": lambda record: record.update(b=array_of(np.ones(4, np.float16))),
    "int32": lambda record: record.update(b=array_of(np.ones(4, np.int32))),
    "big-endian": lambda record: record.update(b=array_of(np.ones(4, ">f4"))),
    "column order": lambda record: record.update(a=array_of(np.ones((3, 2), np.float32).T)),
    "NaN": lambda record: record.update(b=array_of(np.array([1, 2, 3, np.nan], np.float32))),
    "infinity": lambda record: record.update(b=array_of(np.array([1, 2, 3, -np.inf], np.float32))),
    "no header": lambda record: record.update(b=forged("float32", (4,), b"\0" * 16)),
    "empty": lambda record: record.update(b=forged("float32", (4,), b"")),
    "huge header": lambda record: record.update(b=forged("float32", (4,), npy((BIG,), b"\0" * 16))),
    "short body": lambda record: record.update(b=forged("float32", (4,), npy((4,), b"\0" * 12))),
    "long body": lambda record: record.update(b=forged("float32", (4,), npy((4,), b"\0" * 20))),
    "header of code": lambda record: record.update(
        b=forged("float32", (4,), b"\x93NUMPY\x01\x00\x10\x00__import__('os')" + b"\0" * 16)
    ),
    "pickle": lambda record: record.update(
        b=Array(dtype="object", shape=(4,), stype="pickle", data=b"\x80\x04N.")
    ),
}


@pytest.mark.parametrize("fault", BAD_ARRAYS)
def test_bad_arrays_are_refused(request_: Message, fault: str) -> None:
    reply = good_answer(request_)
    BAD_ARRAYS[fault](reply.content.array_records["arrays"])
    with pytest.raises(BadMessage, match="^Expected "):
        messages.read_answer(reply, SHAPES)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("steps", None),
        ("steps", -1),
        ("steps", 2.5),
        ("epsilon", None),
        ("epsilon", -0.1),
        ("epsilon", float("nan")),
        ("epsilon", float("inf")),
        ("epsilon", [1.0]),
        ("delta", None),
        ("delta", 0.0),
        ("delta", 1.0),
        ("delta", float("nan")),
    ],
)
def test_bad_metrics_are_refused(
    request_: Message, name: str, value: float | list[float] | None
) -> None:
    reply = good_answer(request_)
    metrics = reply.content.metric_records["metrics"]
    del metrics[name]
    if value is not None:
        metrics[name] = value
    with pytest.raises(BadMessage, match=name):
        messages.read_answer(reply, SHAPES)


@pytest.mark.parametrize("part", ["arrays", "metrics"])
def test_a_missing_record_is_refused(request_: Message, part: str) -> None:
    reply = good_answer(request_)
    del reply.content[part]
    with pytest.raises(BadMessage):
        messages.read_answer(reply, SHAPES)


def test_a_second_array_record_is_refused(request_: Message) -> None:
    reply = good_answer(request_)
    reply.content["more"] = messages.pack(filled(1.0))
    with pytest.raises(BadMessage, match="got 2 records"):
        messages.read_answer(reply, SHAPES)


def test_metrics_nobody_asked_for_are_not_read(request_: Message) -> None:
    reply = good_answer(request_)
    reply.content.metric_records["metrics"]["num-examples"] = 10**9
    reply.content["more"] = MetricRecord({"loss": 0.5})
    assert messages.read_answer(reply, SHAPES).steps == 4
