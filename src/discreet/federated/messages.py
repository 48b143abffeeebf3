"""What crosses the network: the only file that builds, or takes apart, a Flower message.

Guarantee: a message of a client holds the arrays it was asked for, by name, in float32, and the
three numbers of `RELEASED_METRICS`. No loss, no count of examples, nothing of an owner's data, and
of an error the name of its class only: Flower itself would send the text of the exception.

What it does not hide: that a node took part, and how long it took.
"""

import io
import math
from dataclasses import dataclass, field

import numpy as np
import torch
from flwr.app import Array, ArrayRecord, ConfigRecord, Error, Message, MetricRecord, RecordDict
from flwr.app.message_type import MessageType
from flwr.common.constant import ErrorCode

from discreet.federated.bad_message import BadMessage as BadMessage
from discreet.federated.codec import Shapes as Shapes
from discreet.federated.codec import State as State
from discreet.types import PrivacyStatement

RELEASED_METRICS = ("delta", "epsilon", "steps")
"""The numbers a client sends with its arrays; all three follow from the public plan."""

_ARRAYS, _CONFIG, _METRICS = "arrays", "config", "metrics"
_ROUND, _FROZEN, _UNIT = "server-round", "frozen-sha256", "unit"
_NEIGHBOURS = "add_or_remove_one"


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """What the server asks of a client."""

    server_round: int
    frozen_hash: str
    """SHA-256 of what the server takes every node to hold besides the arrays."""
    unit: str
    """What the server takes every statement to be about."""
    state: State = field(repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """What a client hands back."""

    steps: int
    statement: PrivacyStatement
    state: State = field(repr=False)


def shapes_of(state: State) -> dict[str, tuple[int, ...]]:
    """Return the names and shapes of a state."""
    return {name: tuple(tensor.shape) for name, tensor in state.items()}


def pack(state: State) -> ArrayRecord:
    """Return the tensors as a record of float32 arrays, by name."""
    plain = {name: state[name].detach().to("cpu", torch.float32).contiguous() for name in state}
    return ArrayRecord({name: Array(plain[name].numpy()) for name in sorted(plain)})


def unpack(record: ArrayRecord, shapes: Shapes) -> State:
    """Return the tensors of a record.

    Raises:
        BadMessage: if a name, shape or data type differs, or a value is NaN or infinite.
    """
    if (got := set(record)) != (wanted := set(shapes)):
        raise BadMessage(
            f"Expected {len(wanted)} arrays, got {len(got)}: {len(wanted - got)} are missing, "
            f"{len(got - wanted)} are not known. All owners need the same adapter settings."
        )
    return {name: _read_array(name, record[name], shapes[name]) for name in shapes}


def ask(
    arrays: ArrayRecord,
    *,
    server_round: int,
    frozen_hash: str,
    node_id: int,
    unit: str = "example",
) -> Message:
    """Return the server's request to train for one round."""
    config = ConfigRecord({_ROUND: server_round, _FROZEN: frozen_hash, _UNIT: unit})
    content = RecordDict({_ARRAYS: arrays, _CONFIG: config})
    return instruction(content, message_type=MessageType.TRAIN, node_id=node_id)


def read_request(message: Message) -> Request:
    """Return what the server asks.

    Raises:
        BadMessage: if the message holds no arrays, round or hash, or a value is NaN or infinite.
    """
    record = _array_record(message)
    config = message.content.config_records.get(_CONFIG)
    server_round = config.get(_ROUND) if config else None
    if not isinstance(server_round, int):
        raise BadMessage("Expected a whole number as server-round. Update the server.")
    frozen_hash = config.get(_FROZEN) if config else None
    if not isinstance(frozen_hash, str):
        raise BadMessage("Expected text as frozen-sha256. Update the server.")
    unit = config.get(_UNIT) if config else None
    if not isinstance(unit, str):
        raise BadMessage("Expected text as unit. Update the server.")
    shapes = {name: tuple(array.shape) for name, array in record.items()}
    state = unpack(record, shapes)
    return Request(server_round=server_round, frozen_hash=frozen_hash, unit=unit, state=state)


def answer(message: Message, *, state: State, steps: int, statement: PrivacyStatement) -> Message:
    """Return a client's reply: the arrays that were asked for, and `RELEASED_METRICS`.

    Raises:
        ValueError: if `state` has other names or shapes than the request, or the statement is of
            another unit or neighbouring relation than the server takes replies to be.
    """
    wanted = {name: tuple(array.shape) for name, array in _array_record(message).items()}
    if shapes_of(state) != wanted:
        raise ValueError(
            f"Expected the {len(wanted)} tensors of the request, got {len(state)} that differ in "
            "name or shape. A task returns the adapter and nothing else."
        )
    unit = read_request(message).unit
    if (statement.unit, statement.neighbouring_relation) != (unit, _NEIGHBOURS):
        raise ValueError(
            f"Expected unit={unit}, neighbouring_relation={_NEIGHBOURS}, got {statement.unit}, "
            f"{statement.neighbouring_relation}. Other statements cannot be sent."
        )
    released = {"delta": statement.delta, "epsilon": statement.epsilon, "steps": steps}
    metrics = MetricRecord({name: released[name] for name in RELEASED_METRICS})
    return Message(RecordDict({_ARRAYS: pack(state), _METRICS: metrics}), reply_to=message)


def refuse(message: Message, error: Exception) -> Message:
    """Return a reply that names the class of an error; its text stays on the device."""
    reason = type(error).__name__
    return Message(Error(ErrorCode.CLIENT_APP_RAISED_EXCEPTION, reason), reply_to=message)


def refusal_of(message: Message) -> str | None:
    """Return the name of the error a reply carries, or `None` if it carries content.

    Text that is not a plain name comes from Flower or a modified client and is not repeated.
    """
    if not message.has_error():
        return None
    reason = message.error.reason or ""
    known = reason.isidentifier() and len(reason) <= 64
    return reason if known else f"FlowerError{message.error.code}"


def read_answer(message: Message, shapes: Shapes, *, unit: str = "example") -> Reply:
    """Return a client's reply after checking all of it; metrics beyond the three are not read.

    Raises:
        BadMessage: if an array or one of the metrics is missing, of another shape or type, NaN,
            infinite, or out of range.
    """
    metrics = message.content.metric_records.get(_METRICS) or MetricRecord()
    steps, epsilon, delta = (metrics.get(name) for name in ("steps", "epsilon", "delta"))
    if not isinstance(steps, int) or steps < 0:
        raise BadMessage("Expected steps as a whole number >= 0 among the metrics.")
    if not isinstance(epsilon, int | float) or not 0 <= epsilon < math.inf:
        raise BadMessage("Expected a finite epsilon >= 0 among the metrics.")
    if not isinstance(delta, int | float) or not 0 < delta < 1:
        raise BadMessage("Expected 0 < delta < 1 among the metrics.")
    statement = PrivacyStatement(
        epsilon=float(epsilon), delta=float(delta), unit=unit, neighbouring_relation=_NEIGHBOURS
    )
    return Reply(steps=steps, statement=statement, state=unpack(_array_record(message), shapes))


def summarise(*, replies: int, dropped: int) -> MetricRecord:
    """Return the counts of a round, for Flower's own log; they stay on the server."""
    return MetricRecord({"dropped": dropped, "replies": replies})


def instruction(
    content: RecordDict,
    *,
    message_type: str,
    node_id: int,
    group_id: str = "",
    ttl: float | None = None,
) -> Message:
    """Return a message to a node; a `Grid` has to offer this to any strategy."""
    return Message(content, node_id, message_type, ttl=ttl, group_id=group_id)


def no_records() -> RecordDict:
    """Return the empty state that a Flower context starts with."""
    return RecordDict()


def _array_record(message: Message) -> ArrayRecord:
    """Return the one array record of a message."""
    records = message.content.array_records
    if set(records) != {_ARRAYS}:
        raise BadMessage(f"Expected one array record '{_ARRAYS}', got {len(records)} records.")
    return records[_ARRAYS]


def _read_array(name: str, array: Array, shape: tuple[int, ...]) -> torch.Tensor:
    """Return the tensor of an array, whose header is compared before memory is set aside."""
    stream = io.BytesIO(array.data)
    try:
        known = array.stype == "numpy.ndarray" and np.lib.format.read_magic(stream) == (1, 0)
        header = np.lib.format.read_array_header_1_0(stream) if known else None
    except ValueError as error:
        raise BadMessage(f"Expected '{name}' as a NumPy array, its header is damaged.") from error
    size_bytes = len(array.data) - stream.tell()
    if header != (shape, False, np.dtype("<f4")) or size_bytes != 4 * math.prod(shape):
        found = (
            f"shape {header[0]} in {header[2].str}, {size_bytes} bytes"
            if header
            else "another form"
        )
        raise BadMessage(f"Expected '{name}' of shape {shape} in float32, got {found}.")
    values = np.frombuffer(array.data, dtype="<f4", offset=stream.tell()).reshape(shape)
    if not np.isfinite(values).all():
        raise BadMessage(f"Expected finite values in '{name}', got NaN or infinity.")
    return torch.from_numpy(values.copy())
