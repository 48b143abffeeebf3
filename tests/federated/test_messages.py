"""Messages hold what they should; what they should not hold is refused when it arrives."""

import io
import math
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from flwr.app import Array, ArrayRecord, Error, Message, MetricRecord
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from discreet.federated import CODECS, LocalGrid, State, make_codec, messages
from discreet.federated.messages import BadMessage, Reply
from discreet.privacy import CounterGenerator
from discreet.types import PrivacyStatement
from federated.conftest import SHAPES, filled, nodes, packed, statement
from federated.tiny import FROZEN

PLAIN = make_codec("float32")
PROMISE = statement(8.0)
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
    return messages.ask(
        packed(filled(0.0)), server_round=3, frozen_hash=FROZEN, run="a run", node_id=7
    )


def good_answer(request: Message) -> Message:
    return messages.answer(
        request, packed(filled(1.5)), server_round=3, steps=4, statement=statement(2.0)
    )


def read(reply: Message, promise: PrivacyStatement | None = PROMISE) -> tuple[Reply, State]:
    """Read all of a reply."""
    answer = messages.read_answer(reply, promise=promise)
    return answer, messages.read_update(answer.arrays, [SHAPES], PLAIN)


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
    back = messages.unpack(packed(state), messages.shapes_of(state), PLAIN)
    assert messages.shapes_of(back) == messages.shapes_of(state)
    assert all(back[name].numpy().tobytes() == state[name].numpy().tobytes() for name in state)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64, torch.float16])
def test_other_floats_are_sent_as_float32(dtype: torch.dtype) -> None:
    record = packed({"a": torch.ones(2, dtype=dtype)})
    assert record["a"].dtype == "float32"
    assert record["a"].numpy().dtype == np.float32


def test_a_transposed_tensor_is_sent_row_by_row() -> None:
    tensor = torch.arange(6.0).reshape(2, 3).T
    assert torch.equal(messages.unpack(packed({"a": tensor}), {"a": (3, 2)}, PLAIN)["a"], tensor)


def test_a_request_comes_back(request_: Message) -> None:
    request = messages.read_request(request_, SHAPES, PLAIN)
    assert (request.server_round, request.frozen_hash, request.run) == (3, FROZEN, "a run")
    assert messages.shapes_of(request.state) == SHAPES


@pytest.mark.parametrize("key", ["server-round", "frozen-sha256", "run"])
@pytest.mark.parametrize("value", [None, 1.5])
def test_a_request_that_lacks_something_is_refused(
    request_: Message, key: str, value: float | None
) -> None:
    config = request_.content.config_records["config"]
    del config[key]
    if value is not None:
        config[key] = value
    with pytest.raises(BadMessage, match=f"as {key}"):
        messages.read_request(request_, SHAPES, PLAIN)


def test_a_request_with_another_adapter_is_refused(request_: Message) -> None:
    with pytest.raises(BadMessage, match="2 are missing, 2 are not known"):
        messages.read_request(request_, {"c": (1,), "d": (1,)}, PLAIN)


def test_an_answer_comes_back(request_: Message) -> None:
    reply, update = read(good_answer(request_))
    assert (reply.server_round, reply.steps, reply.statement) == (3, 4, statement(2.0))
    assert all(torch.equal(update[name], filled(1.5)[name]) for name in SHAPES)


def test_a_statement_is_about_what_was_promised(request_: Message) -> None:
    """Units are not sent: the plan says them, and nodes and server have one plan."""
    of_user = replace(PROMISE, unit="user")
    reply, _ = read(good_answer(request_), of_user)
    assert reply.statement == replace(statement(2.0), unit="user")


@pytest.mark.parametrize("factor", [0.0, 0.5, 1.0])
def test_as_much_as_was_promised_may_be_spent(request_: Message, factor: float) -> None:
    reply = good_answer(request_)
    reply.content.metric_records["metrics"]["epsilon"] = factor * PROMISE.epsilon
    assert read(reply)[0].statement == statement(factor * PROMISE.epsilon)


@pytest.mark.parametrize(("name", "value"), [("epsilon", 8.001), ("delta", 1.01e-5)])
def test_more_than_was_promised_is_refused(request_: Message, name: str, value: float) -> None:
    """A node that follows another plan trained something else."""
    reply = good_answer(request_)
    reply.content.metric_records["metrics"][name] = value
    with pytest.raises(BadMessage, match="within the plan's epsilon and delta"):
        read(reply)


def test_where_the_server_adds_the_noise_nothing_is_stated(request_: Message) -> None:
    reply = messages.answer(request_, packed(filled(1.5)), server_round=3, steps=4, statement=None)
    assert set(reply.content.metric_records["metrics"]) == {"round", "steps", "nonce"}
    assert read(reply, None)[0].statement is None
    assert read(good_answer(request_), None)[0].statement is None, "and nothing is read"


@pytest.mark.parametrize("codec", CODECS)
def test_every_form_crosses_and_its_order_makes_no_difference(codec: str) -> None:
    """Whatever order a state has: after a resume it is another one."""
    form, state = make_codec(codec), {n: torch.randn(s) for n, s in SHAPES.items()}
    turned = dict(reversed(state.items()))
    coins = [CounterGenerator.seeded("coins") for _ in range(2)]
    one, other = (messages.pack(s, form, c) for s, c in zip((state, turned), coins, strict=True))
    assert {n: a.data for n, a in one.items()} == {n: a.data for n, a in other.items()}
    back = messages.unpack(one, SHAPES, form)
    assert messages.shapes_of(back) == SHAPES
    assert messages.size_bytes_of(one) == sum(len(a.data) for a in one.values())


def test_an_update_of_any_rank_of_the_plan_is_read(request_: Message) -> None:
    wide, narrow = {"a": (4, 3), "b": (2, 4)}, {"a": (2, 3), "b": (2, 2)}
    for shapes in (wide, narrow):
        state = {name: torch.ones(shape) for name, shape in shapes.items()}
        assert messages.shapes_of(messages.read_update(packed(state), [wide, narrow], PLAIN)) == (
            shapes
        )
    mixed = packed({"a": torch.ones(4, 3), "b": torch.ones(2, 2)})
    with pytest.raises(BadMessage, match="'b' of shape"):
        messages.read_update(mixed, [wide, narrow], PLAIN)


def test_parts_come_back_and_nothing_else_is_read(request_: Message) -> None:
    asked = messages.ask_parts("secagg_keys", {"a": b"1", "b": b""}, server_round=3, node_id=7)
    assert messages.read_parts(asked) == {"a": b"1", "b": b""}
    assert messages.read_parts(messages.answer_parts(asked, {"c": b"2"})) == {"c": b"2"}
    with pytest.raises(BadMessage, match="'parts' of bytes"):
        messages.read_parts(request_)
    asked.content.config_records["parts"]["a"] = "text"
    with pytest.raises(BadMessage, match="'parts' of bytes"):
        messages.read_parts(asked)


def test_each_message_has_a_nonce_that_its_reply_repeats(request_: Message) -> None:
    asked = [
        request_,
        *(messages.ask_parts("secagg_keys", {}, server_round=1, node_id=7) for _ in range(2)),
    ]
    assert len({message.metadata.group_id for message in asked}) == 3
    for message in asked:
        assert len(bytes.fromhex(message.metadata.group_id)) == 16
        reply = messages.answer_parts(message, {})
        assert reply.metadata.group_id == message.metadata.group_id


def test_no_record_of_text_or_numbers_can_be_told_beforehand(request_: Message) -> None:
    """What is the same in content is another object to Flower, whose id is a hash over it."""

    def every_kind() -> list[Message]:
        asked = messages.ask_parts("keys", {"a": b"1"}, server_round=3, node_id=7)
        train = messages.ask(
            packed(filled(0.0)), server_round=3, frozen_hash="", run="", node_id=7, parts={}
        )
        return [asked, train, messages.answer_parts(asked, {}), good_answer(request_)]

    records = [
        record.object_id
        for message in every_kind() + every_kind()
        for record in message.content.values()
        if not isinstance(record, ArrayRecord)
    ]
    assert len(records) == len(set(records)) == 12


def test_a_nonce_is_not_read_and_need_not_be_there(request_: Message) -> None:
    asked = messages.ask_parts("keys", {"a": b"1"}, server_round=3, node_id=7)
    reply = good_answer(request_)
    del asked.content.config_records["parts"]["nonce"]
    del reply.content.metric_records["metrics"]["nonce"]
    assert messages.read_parts(asked) == {"a": b"1"}
    assert read(reply)[0].steps == 4


def test_a_request_has_a_round() -> None:
    with nodes().activated():
        asked = messages.ask_parts("keys", {"a": b"1"}, server_round=3, node_id=7)
    assert messages.read_round(asked) == 3
    asked.content.config_records["config"]["server-round"] = "3"
    with pytest.raises(BadMessage, match="server-round"):
        messages.read_round(asked)


@pytest.mark.parametrize(
    "record",
    [
        {"masked": torch.zeros(3)},
        {"other": np.zeros(3, np.uint32)},
        {"masked": np.zeros(4, np.uint32)},
        {"masked": np.zeros(3, np.int32)},
        {"masked": np.zeros(3, np.uint32), "w": np.zeros(1, np.uint32)},
        {},
    ],
)
def test_masked_numbers_are_of_one_name_form_and_length(record: dict[str, object]) -> None:
    arrays = ArrayRecord({n: Array(np.asarray(values)) for n, values in record.items()})
    with pytest.raises(BadMessage, match="^Expected "):
        messages.read_words(arrays, 3)


def test_masked_numbers_come_back() -> None:
    words = np.array([0, 1, 2**32 - 1], np.uint32)
    assert messages.read_words(messages.words_record(words), 3).tolist() == words.tolist()


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
        read(reply)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("round", None),
        ("round", 1.0),
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
        read(reply)


@pytest.mark.parametrize("part", ["arrays", "metrics"])
def test_a_missing_record_is_refused(request_: Message, part: str) -> None:
    reply = good_answer(request_)
    del reply.content[part]
    with pytest.raises(BadMessage):
        read(reply)


def test_a_second_array_record_is_refused(request_: Message) -> None:
    reply = good_answer(request_)
    reply.content["more"] = packed(filled(1.0))
    with pytest.raises(BadMessage, match="got 2 records"):
        read(reply)


def test_metrics_nobody_asked_for_are_not_read(request_: Message) -> None:
    reply = good_answer(request_)
    reply.content.metric_records["metrics"]["num-examples"] = 10**9
    reply.content["more"] = MetricRecord({"loss": 0.5})
    assert read(reply)[0].steps == 4


def with_loss(request: Message, loss: object) -> Message:
    reply = good_answer(request)
    reply.content.metric_records["metrics"]["loss"] = loss  # type: ignore[assignment]
    return reply


def test_a_loss_is_read_where_the_plan_has_one_and_nowhere_else(request_: Message) -> None:
    reply = messages.answer(
        request_, packed(filled(1.5)), server_round=3, steps=4, statement=statement(), loss=-0.5
    )
    assert messages.read_answer(reply, promise=PROMISE, loss_limit=0.5).loss == -0.5
    assert messages.read_answer(reply, promise=PROMISE).loss is None
    hostile = with_loss(request_, math.nan)
    assert messages.read_answer(hostile, promise=PROMISE).loss is None


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf, 8.1, -8.1, 1e308, [1.0]])
def test_a_loss_that_no_honest_node_says_is_refused(request_: Message, loss: object) -> None:
    with pytest.raises(BadMessage, match="a loss of at most 8 among"):
        messages.read_answer(with_loss(request_, loss), promise=PROMISE, loss_limit=8.0)


def test_a_reply_without_the_loss_of_the_plan_is_refused(request_: Message) -> None:
    with pytest.raises(BadMessage, match="a loss of at most 8 among"):
        messages.read_answer(good_answer(request_), promise=PROMISE, loss_limit=8.0)
