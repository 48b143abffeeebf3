"""What crosses the network: the only file that builds, or takes apart, a Flower message.

Guarantee: a message of a client holds the update it was asked for, by name, in the plan's form, and
the numbers of `RELEASED_METRICS`: a loss only if the plan pays for one, and then one that had its
noise before it came here. No count of examples, nothing else of an owner's data, and of an error
the name of its class only, not its text. Beside them each record of text or numbers has a nonce of
the system's own chance that nobody reads: a record that can be told to the byte beforehand could be
announced to Flower's server as another, which then refuses it.

What it does not hide: that a node took part, and how long it took.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from secrets import randbits, token_bytes, token_hex

import numpy as np
import numpy.typing as npt
import torch
from flwr.app import Array, ArrayRecord, ConfigRecord, Error, Message, MetricRecord, RecordDict
from flwr.app.message_type import MessageType
from flwr.common.constant import ErrorCode

from discreet.aggregation import Shapes, State
from discreet.federated.arrays import read_array
from discreet.federated.bad_message import BadMessage
from discreet.federated.codec import Codec
from discreet.privacy import CounterGenerator
from discreet.types import PrivacyStatement

Parts = Mapping[str, bytes]
"""Keys and sealed shares around a secure sum, by name."""

Words = npt.NDArray[np.uint32]

RELEASED_METRICS = ("delta", "epsilon", "loss", "round", "steps")
"""The numbers a client sends with its arrays; all but `loss` follow from the public plan. Of a plan
that hides owners by the server's own noise, a client states no epsilon: it does not know it. `loss`
is there only with `loss_noise`, and not where the server sees sums alone: it is part of the sum."""

_ROUNDING = 1 + 1e-9
_ARRAYS, _CONFIG, _METRICS, _PARTS = "arrays", "config", "metrics", "parts"
_MASKED = "masked"
_LONGEST_NAME = 64
_FLOWERS = {code: name for name, code in vars(ErrorCode).items() if isinstance(code, int)}
_ROUND, _FROZEN, _RUN, _NONCE = "server-round", "frozen-sha256", "run", "nonce"


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """What the server asks of a client."""

    server_round: int
    frozen_hash: str
    """SHA-256 of what the server takes every node to hold besides the arrays."""
    run: str
    """Token of the run, the same before and after it was resumed."""
    state: State = field(repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """What a client hands back."""

    server_round: int
    steps: int
    statement: PrivacyStatement | None
    """What it has spent; None where the server adds the noise."""
    loss: float | None
    """Private mean loss; None where the plan releases none, or in the sum only."""
    arrays: ArrayRecord = field(repr=False)
    """Still as they came; `read_update` or `read_words` takes them apart."""


def shapes_of(state: State) -> dict[str, tuple[int, ...]]:
    """Return the names and shapes of a state."""
    return {name: tuple(tensor.shape) for name, tensor in state.items()}


def pack(state: State, codec: Codec, generator: CounterGenerator) -> ArrayRecord:
    """Return tensors as a record of arrays in the codec's form; their order makes no difference."""
    plain = {name: state[name].detach().to("cpu", torch.float32) for name in sorted(state)}
    return record_of(codec.encode(plain, generator))


def record_of(arrays: Mapping[str, np.ndarray]) -> ArrayRecord:
    """Return arrays that a codec made as a record."""
    return ArrayRecord({name: Array(arrays[name]) for name in sorted(arrays)})


def unpack(record: ArrayRecord, shapes: Shapes, codec: Codec) -> State:
    """Return the tensors of a record, whose headers are compared before memory is set aside.

    Raises:
        BadMessage: if a name, shape or data type differs, or a value is NaN or infinite.
    """
    specs = codec.specs(shapes)
    if (got := set(record)) != (wanted := set(specs)):
        raise BadMessage(
            f"Expected {len(wanted)} arrays, got {len(got)}: {len(wanted - got)} are missing, "
            f"{len(got - wanted)} are not known. All owners need the same adapter settings."
        )
    return codec.decode({n: read_array(n, record[n], *specs[n]) for n in specs}, shapes)


def size_bytes_of(record: ArrayRecord) -> int:
    """Return how many bytes the arrays of a record take on the wire."""
    return sum(len(array.data) for array in record.values())


def check_size(message: Message, most_bytes: int) -> None:
    """Refuse a message whose records together hold more, names and unknown ones included.

    Flower's `count_bytes` leaves out what is said about arrays, and fails on empty values. One
    record may be named a thousand times: counting ends where the room does.

    Raises:
        BadMessage: if it is larger.
    """
    if any(so_far > most_bytes for so_far in accumulate(_sizes(message.content))):
        raise BadMessage(
            f"Expected a reply of {most_bytes:,} bytes or less, by the plan, got more."
        )


def ask(
    arrays: ArrayRecord,
    *,
    server_round: int,
    frozen_hash: str,
    run: str,
    node_id: int,
    ttl: float | None = None,
    parts: Parts | None = None,
) -> Message:
    """Return the server's request to train for one round; after `ttl` seconds it is void."""
    config = _fresh({_ROUND: server_round, _FROZEN: frozen_hash, _RUN: run})
    content = RecordDict({_ARRAYS: arrays, _CONFIG: config})
    if parts is not None:
        content[_PARTS] = _fresh(parts)
    return instruction(content, message_type=MessageType.TRAIN, node_id=node_id, ttl=ttl)


def read_request(message: Message, shapes: Shapes, codec: Codec) -> Request:
    """Return what the server asks.

    Raises:
        BadMessage: if the message holds no round or hash, other arrays than the node's own adapter
            has, or a value is NaN or infinite.
    """
    server_round = read_round(message)
    config = message.content.config_records.get(_CONFIG)
    frozen_hash = config.get(_FROZEN) if config else None
    if not isinstance(frozen_hash, str):
        raise BadMessage("Expected text as frozen-sha256. Update the server.")
    run = config.get(_RUN) if config else None
    if not isinstance(run, str) or len(run) > _LONGEST_NAME:
        raise BadMessage(f"Expected text of {_LONGEST_NAME} letters at most as run.")
    state = unpack(_array_record(message), shapes, codec)
    return Request(server_round=server_round, frozen_hash=frozen_hash, run=run, state=state)


def read_round(message: Message) -> int:
    """Return the round of a server's request.

    Raises:
        BadMessage: if it has none.
    """
    server_round = (message.content.config_records.get(_CONFIG) or ConfigRecord()).get(_ROUND)
    if not isinstance(server_round, int):
        raise BadMessage("Expected a whole number as server-round. Update the server.")
    return server_round


def answer(
    message: Message,
    arrays: ArrayRecord,
    *,
    server_round: int,
    steps: int,
    statement: PrivacyStatement | None,
    loss: float | None = None,
) -> Message:
    """Return a client's reply: an update, and those of `RELEASED_METRICS` that it knows.

    What a statement is about goes without saying: the unit and the neighbours of the plan.
    """
    metrics: dict[str, float] = {"round": server_round, "steps": steps, _NONCE: randbits(63)}
    if statement is not None:
        metrics |= {"delta": statement.delta, "epsilon": statement.epsilon}
    if loss is not None:
        metrics["loss"] = loss
    released = MetricRecord({n: metrics[n] for n in (*RELEASED_METRICS, _NONCE) if n in metrics})
    return Message(RecordDict({_ARRAYS: arrays, _METRICS: released}), reply_to=message)


def ask_parts(
    action: str, parts: Parts, *, server_round: int, node_id: int, ttl: float | None = None
) -> Message:
    """Return one of the server's requests around a secure sum: bytes by name."""
    content = RecordDict({_CONFIG: _fresh({_ROUND: server_round}), _PARTS: _fresh(parts)})
    kind = f"{MessageType.QUERY}.{action}"
    return instruction(content, message_type=kind, node_id=node_id, ttl=ttl)


def answer_parts(message: Message, parts: Parts) -> Message:
    """Return a client's reply to such a request."""
    return Message(RecordDict({_PARTS: _fresh(parts)}), reply_to=message)


def read_parts(message: Message) -> dict[str, bytes]:
    """Return the bytes in a request or reply of a secure sum.

    Raises:
        BadMessage: if there is anything else.
    """
    record = message.content.config_records.get(_PARTS)
    if record is None or not all(isinstance(part, bytes) for part in record.values()):
        raise BadMessage(f"Expected a record '{_PARTS}' of bytes.")
    return {n: part for n, part in record.items() if isinstance(part, bytes) and n != _NONCE}


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
    if reason.isidentifier() and len(reason) <= _LONGEST_NAME:
        return reason
    return f"Flower: {_FLOWERS.get(message.error.code, message.error.code)}"


def read_answer(
    message: Message,
    *,
    promise: PrivacyStatement | None,
    loss_limit: float | None = None,
) -> Reply:
    """Return a client's reply after checking its numbers; other metrics are not read.

    Args:
        message: As it came.
        promise: What a client's statement is about, and the most that it may say; None: clients
            state nothing.
        loss_limit: Largest loss that a client may say; None: a loss is not read.

    Raises:
        BadMessage: if one of the metrics or the arrays are missing, or a number is out of range.
    """
    metrics = message.content.metric_records.get(_METRICS) or MetricRecord()
    steps, server_round = metrics.get("steps"), metrics.get("round")
    if not isinstance(steps, int) or steps < 0:
        raise BadMessage("Expected steps as a whole number >= 0 among the metrics.")
    if not isinstance(server_round, int):
        raise BadMessage("Expected round as a whole number among the metrics.")
    return Reply(
        server_round=server_round,
        steps=steps,
        statement=_statement_of(metrics, promise) if promise else None,
        loss=_loss_of(metrics, loss_limit) if loss_limit is not None else None,
        arrays=_array_record(message),
    )


def read_update(record: ArrayRecord, shapes: Sequence[Shapes], codec: Codec) -> State:
    """Return the update in a reply.

    Args:
        record: As it came.
        shapes: What an update may look like: one, or one for each rank.
        codec: The form of updates.

    Raises:
        BadMessage: if an array is missing, of another shape or type, NaN or infinite.
    """
    found = {name: tuple(array.shape) for name, array in record.items()}
    for each in shapes:
        if found == {name: shape for name, (_, shape) in codec.specs(each).items()}:
            return unpack(record, each, codec)
    return unpack(record, shapes[0], codec)  # which says what is wrong


def words_record(words: Words) -> ArrayRecord:
    """Return masked numbers as a record."""
    return ArrayRecord({_MASKED: Array(words)})


def read_words(record: ArrayRecord, size: int) -> Words:
    """Return the masked numbers in a reply, (size,) uint32.

    Raises:
        BadMessage: if there is anything else.
    """
    if set(record) != {_MASKED}:
        raise BadMessage(f"Expected one array '{_MASKED}', got {len(record)} arrays.")
    return read_array(_MASKED, record[_MASKED], "<u4", (size,)).copy()


def _statement_of(metrics: MetricRecord, promise: PrivacyStatement) -> PrivacyStatement:
    """Return what a client says it has spent, unless it is more than anybody was promised."""
    epsilon, delta = metrics.get("epsilon"), metrics.get("delta")
    if not isinstance(epsilon, int | float) or not 0 <= epsilon < math.inf:
        raise BadMessage("Expected a finite epsilon >= 0 among the metrics.")
    if not isinstance(delta, int | float) or not 0 < delta < 1:
        raise BadMessage("Expected 0 < delta < 1 among the metrics.")
    if epsilon > promise.epsilon * _ROUNDING or delta > promise.delta * _ROUNDING:
        raise BadMessage("Expected a statement within the plan's epsilon and delta, got more.")
    return replace(promise, epsilon=float(epsilon), delta=float(delta))


def _loss_of(metrics: MetricRecord, limit: float) -> float:
    """Return the private loss that a client says, unless no honest one is so large."""
    loss = metrics.get("loss")
    if not isinstance(loss, int | float) or not abs(loss) <= limit:
        raise BadMessage(f"Expected a loss of at most {limit:g} among the metrics.")
    return float(loss)


def instruction(
    content: RecordDict,
    *,
    message_type: str,
    node_id: int,
    group_id: str | None = None,
    ttl: float | None = None,
) -> Message:
    """Return a message to a node; a `Grid` has to offer this to any strategy.

    Args:
        content: Its records.
        message_type: What is asked.
        node_id: Whom.
        group_id: Which a reply repeats, by Flower; default: a fresh nonce. It goes into the id of
            the message too, so that nobody who was not sent it can reply to it.
        ttl: Seconds after which it is void.
    """
    group_id = token_hex(16) if group_id is None else group_id
    return Message(content, node_id, message_type, ttl=ttl, group_id=group_id)


def no_records() -> RecordDict:
    """Return the empty state that a Flower context starts with."""
    return RecordDict()


def _fresh(values: Mapping[str, int | str | bytes]) -> ConfigRecord:
    return ConfigRecord({**values, _NONCE: token_bytes(16)})


def _sizes(content: RecordDict) -> Iterator[int]:
    """Yield the size of each label, and of each value with its name."""
    for label, record in content.items():
        yield len(label)
        yield from (len(name) + _bytes_in(value) for name, value in record.items())


def _bytes_in(value: object) -> int:
    """Return how many bytes a value of a record holds; a number takes 8."""
    if isinstance(value, Array):
        about = len(value.dtype) + len(value.stype) + 8 * len(value.shape)
        return about + len(value.data)
    if isinstance(value, list):
        return sum(map(_bytes_in, value))
    return len(value) if isinstance(value, str | bytes) else 8


def _array_record(message: Message) -> ArrayRecord:
    """Return the one array record of a message."""
    records = message.content.array_records
    if set(records) != {_ARRAYS}:
        raise BadMessage(f"Expected one array record '{_ARRAYS}', got {len(records)} records.")
    return records[_ARRAYS]
