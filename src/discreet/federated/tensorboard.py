"""Write a federation's events as files that TensorBoard reads.

    on_event = events_to(Path("runs/first/tensorboard"))
    on_event(RoundStarted(server_round=1, num_rounds=2, asked=4))    # tensorboard --logdir runs

Shows nothing and opens no connection. Only this file imports tensorboardX (extra `watch`), which
knows the format without TensorBoard itself. `released/...` is what the server may release, over
rounds; the name of an epsilon's curve says its delta, unit and neighbouring relation. `local/...`
is the loss of owners in this process, over their steps and without noise: keep it on the device.
Every point has its time, so that the file as a whole is local where the choice of owners is secret.
"""

import struct
import time
from collections.abc import Iterator
from pathlib import Path

from discreet.errors import ExtraMissing
from discreet.federated.events import Event, OnEvent, RoundDone, StepTaken

Scalar = tuple[str, int, float]
"""Name of a curve, place on its axis, value."""
_RELEASED_LOSS = "released/train_loss (noisy sum over expected_batch_size)"
_LOCAL_LOSS = "local/train_loss (exact mean of who was drawn)"
"""Their scales differ, so that the names say it and TensorBoard keeps them in two groups."""


def events_to(path: Path) -> OnEvent:
    """Return a callback that writes what it is told to a new event file in the folder `path`.

    The file is complete whenever the callback returns, and none stays open. Its name is the time;
    that of tensorboardX's own writers would name the machine.

    Raises:
        ExtraMissing: if the extra `watch` is not installed.
    """
    try:
        from tensorboardX.proto.event_pb2 import Event as Record
        from tensorboardX.proto.summary_pb2 import Summary
        from tensorboardX.record_writer import masked_crc32c
    except ImportError as error:
        raise ExtraMissing(
            "Expected the package tensorboardX, found none. Install it: pip install "
            "'discreet[watch]'."
        ) from error
    path.mkdir(parents=True, exist_ok=True)
    file = path / f"events.out.tfevents.{time.time_ns()}"

    def append(record: Record) -> None:
        data: bytes = record.SerializeToString()
        size = struct.pack("<Q", len(data))
        with file.open("ab") as stream:  # TFRecord: size and data, each with its checksum
            for part in (size, data):
                stream.write(part + struct.pack("<I", masked_crc32c(part)))

    def on_event(event: Event) -> None:
        for name, place, value in _scalars(event):
            summary = Summary(value=[Summary.Value(tag=name, simple_value=value)])
            append(Record(wall_time=time.time(), step=place, summary=summary))

    append(Record(wall_time=time.time(), file_version="brain.Event:2"))
    return on_event


def _scalars(event: Event) -> Iterator[Scalar]:
    """Yield what is drawn of an event; nodes and reasons are no numbers and stay out."""
    match event:
        case RoundDone():
            seen = "released" if event.is_released else "local"
            yield f"{seen}/replies", event.server_round, event.replies
            yield f"{seen}/dropped", event.server_round, event.dropped
            if event.faults:
                yield f"{seen}/faults", event.server_round, event.faults
            yield f"{seen}/megabytes_down", event.server_round, event.bytes_down / 1e6
            yield f"{seen}/megabytes_up", event.server_round, event.bytes_up / 1e6
            yield f"{seen}/seconds", event.server_round, event.seconds
            if event.loss is not None:
                yield _RELEASED_LOSS, event.server_round, event.loss
            if event.spent is not None:
                name = f"released/epsilon of the worst owner {event.spent.qualified}"
                yield name, event.server_round, event.spent.epsilon
        case StepTaken(loss=float() as loss):
            place = (event.server_round - 1) * event.steps + event.step
            yield f"{_LOCAL_LOSS}/{event.owner}", place, loss
