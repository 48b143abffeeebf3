"""Event files are read back record by record, by the format's own definition."""

import socket
import struct
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from tensorboardX.proto.event_pb2 import Event as Record
from tensorboardX.record_writer import masked_crc32c

from discreet.errors import ExtraMissing
from discreet.federated import OwnerDropped, RoundDone, RoundStarted, StepTaken, events_to
from discreet.types import PrivacyStatement

SPENT = PrivacyStatement(
    epsilon=3.25, delta=1e-5, unit="example", neighbouring_relation="add_or_remove_one"
)
DONE = RoundDone(
    server_round=2,
    num_rounds=9,
    replies=3,
    dropped=1,
    bytes_down=4_000_000,
    bytes_up=3_000_000,
    seconds=1.5,
    spent=SPENT,
)


def read(folder: Path) -> list[Record]:
    """Read the one file of a folder; each record's checksums must be right."""
    (file,) = folder.iterdir()
    data, records = file.read_bytes(), []
    while data:
        (size,) = struct.unpack("<Q", data[:8])
        body, checks = data[12 : 12 + size], (data[8:12], data[12 + size : 16 + size])
        assert checks == tuple(struct.pack("<I", masked_crc32c(p)) for p in (data[:8], body))
        records.append(Record.FromString(body))
        data = data[16 + size :]
    return records


def scalars(folder: Path) -> dict[str, tuple[int, float]]:
    found = [(r.step, value) for r in read(folder) for value in r.summary.value]
    return {value.tag: (place, value.simple_value) for place, value in found}


def test_what_a_round_released_can_be_read_back(tmp_path: Path) -> None:
    events_to(tmp_path)(DONE)
    assert read(tmp_path)[0].file_version == "brain.Event:2"
    found = scalars(tmp_path)
    (epsilon,) = (name for name in found if "epsilon" in name)
    assert found == {
        "released/replies": (2, 3.0),
        "released/dropped": (2, 1.0),
        "released/megabytes_down": (2, 4.0),
        "released/megabytes_up": (2, 3.0),
        "released/seconds": (2, 1.5),
        epsilon: (2, 3.25),
    }
    assert all(word in epsilon for word in ("1e-05", "example", "add_or_remove_one"))


def test_who_hindered_a_sum_is_counted_where_somebody_did(tmp_path: Path) -> None:
    events_to(tmp_path)(replace(DONE, faults=2))
    assert scalars(tmp_path)["released/faults"] == (2, 2.0)


def test_a_loss_that_was_released_is_told_from_the_local_one(tmp_path: Path) -> None:
    events_to(tmp_path)(replace(DONE, loss=0.75))
    losses = {name: value for name, value in scalars(tmp_path).items() if "loss" in name}
    assert losses == {"released/train_loss (noisy sum over expected_batch_size)": (2, 0.75)}


def test_only_the_loss_is_local_and_it_says_so(tmp_path: Path) -> None:
    on_event = events_to(tmp_path)
    on_event(RoundStarted(server_round=1, num_rounds=2, asked=4))
    on_event(OwnerDropped(server_round=1, node=7, reason="NoReply"))
    on_event(StepTaken(server_round=3, owner="owner-0", step=2, steps=5, loss=0.5))
    on_event(StepTaken(server_round=3, owner="owner-1", step=2, steps=5, loss=None))
    assert scalars(tmp_path) == {
        "local/train_loss (exact mean of who was drawn)/owner-0": (12, 0.5)
    }


def test_a_run_that_goes_on_gets_a_file_of_its_own_and_none_names_the_machine(
    tmp_path: Path,
) -> None:
    events_to(tmp_path)(DONE)
    events_to(tmp_path)(DONE)
    names = [file.name for file in tmp_path.iterdir()]
    assert len(names) == 2
    assert not any(socket.gethostname() in name for name in names)


def test_without_the_extra_the_way_out_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboardX.proto.event_pb2", None)
    with pytest.raises(ExtraMissing, match=r"discreet\[watch\]"):
        events_to(tmp_path / "events")
    assert not (tmp_path / "events").exists()


def test_how_many_were_drawn_in_secret_is_no_released_curve(tmp_path: Path) -> None:
    events_to(tmp_path)(replace(DONE, is_released=False))
    assert [name for name in scalars(tmp_path) if name.startswith("released/")] == [
        name for name in scalars(tmp_path) if "epsilon" in name
    ]
