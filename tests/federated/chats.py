"""Conversations on disk as `discreet data share` leaves them, and a task that trains on them."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from sources.small import picture, put

from discreet.federated import AssistantTask, ConversationLessons, TrainConfig
from discreet.model import Vlm, adapter_parameters
from discreet.privacy import PrivacyLedger, StepRecord
from discreet.sources import partition, read_source, write_index, write_shards
from discreet.types import OwnerId
from federated.tiny import assignment_of

CANARY = "the violet heron sang at Quimper"
"""Words of a conversation that nothing else has."""
PERSON = "jeanne.kerouac"
PICTURE = "heron-of-jeanne"
NAMES = (CANARY, "heron", "Quimper", "kerouac", PICTURE)
"""What may not be found anywhere after a run."""

Row = Mapping[str, object]


def said(*turns: str) -> list[dict[str, str]]:
    """Return turns of a user and an assistant one after the other, as LLaVA writes them."""
    return [
        {"from": "gpt" if place % 2 else "human", "value": text} for place, text in enumerate(turns)
    ]


def talks(count: int = 12) -> list[Row]:
    """Return conversations of four people, with no, one and two pictures by turns."""
    rows = []
    for n in range(count):
        shown = [f"p/{PICTURE}-{(n + i) % 5}.jpg" for i in range(n % 3)]
        asked = "<image>\n" * len(shown) + f"Who is it, number {n}? {CANARY}"
        answers = ("Somebody." * (1 + n % 4), "And now?", f"Rest, {CANARY}.")
        row = {"conversations": said(asked, *answers), "user": f"{PERSON}-{n % 4}"}
        rows.append(row | ({"images": shown} if shown else {}))
    return rows


def write(folder: Path, rows: Sequence[Row]) -> Path:
    """Write conversations and five pictures below a folder; return the list."""
    pictures = {f"p/{PICTURE}-{n}.jpg": picture(n) for n in range(5)}
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    return put(folder, {**pictures, "chats.jsonl": lines}) / "chats.jsonl"


def index(
    folder: Path, rows: Sequence[Row] | None = None, *, owners: int = 2, by: str = "person"
) -> Path:
    """Write a set and share it out; return the index."""
    listed = write(folder / "set", talks() if rows is None else rows)
    out = folder / "index.parquet"
    write_index(partition(read_source(listed), owners, by=by), out, num_owners=owners)
    return out


def shards(folder: Path, *, owners: int = 2) -> list[Path]:
    """Write a set and share it out; return the owners' files."""
    listed = write(folder / "set", talks())
    write_shards(partition(read_source(listed), owners), folder / "shards")
    return sorted((folder / "shards").glob("*.parquet"))


def change(path: Path, **columns: object) -> Path:
    """Write a table again with some columns changed: a function of the rows, or None to drop it."""
    table = pq.read_table(path)
    for name, new in columns.items():
        if new is None:
            table = table.drop_columns([name])
            continue
        values = pa.array(new(table.to_pylist()))  # type: ignore[operator]
        kind = table.schema.field(name).type if name in table.column_names else values.type
        column = pa.chunked_array([values.cast(kind)])
        table = (
            table.set_column(table.column_names.index(name), name, column)
            if name in table.column_names
            else table.append_column(name, column)
        )
    out = path.with_name(f"changed-{path.name}")
    pq.write_table(table, out)
    return out


OWNER = OwnerId("owner-0")
BASE: dict[str, object] = {
    "base": "tiny",
    "examples": "conversations",
    "num_owners": 2,
    "num_rounds": 1,
    "local_steps": 2,
    "expected_batch_size": 3,
    "sample_rate": 0.5,
    "lora_r": 2,
    "lora_layers": 1,
    "learning_rate": 1.0,
    "reproducible": True,
}


def task_of(path: Path, *, root: Path | None = None, **changes: object) -> AssistantTask:
    config = TrainConfig.from_mapping({**BASE, **changes})
    return AssistantTask.build(config, shared_data=path, root=root)


def lessons_of(task: AssistantTask, owner: OwnerId = OWNER) -> ConversationLessons:
    lessons = task.lessons_of(owner)
    assert isinstance(lessons, ConversationLessons)
    return lessons


def train(task: AssistantTask, folder: Path) -> tuple[Any, list[StepRecord], PrivacyLedger]:
    folder.mkdir(exist_ok=True)
    ledger = PrivacyLedger.open(folder / "ledger.jsonl")
    records: list[StepRecord] = []
    result = task.train(
        task.initial_state(),
        owner=OWNER,
        assignment=assignment_of(task.config, task.initial_state()),
        ledger=ledger,
        on_step=records.append,
    )
    return result, records, ledger


def scatter(vlm: Vlm) -> None:
    """Give the adapter weights, so that A has a gradient and rows differ."""
    draw = torch.Generator().manual_seed(0)
    for parameter in adapter_parameters(vlm).values():
        parameter.data.normal_(std=0.1, generator=draw)
