"""What was shared out is read back whole, owner by owner, also when little fits in memory."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from discreet.errors import DataError, RunExists
from discreet.sources import (
    Medium,
    Origin,
    Record,
    Turn,
    partition,
    read_shares,
    shares,
    write_index,
    write_shards,
)
from discreet.types import OwnerId

ROOT = Path("/set")


def records(count: int = 300) -> list[Record]:
    plain = [
        Record(
            kind="picture",
            media=(Medium(role="picture", path=ROOT / f"a/{n}.jpg", root=ROOT),),
            labels={"age": "3-9", "more than": "ü\n\t"},
            audit_labels={"race": "A"},
            person=f"p{n // 3}",
            split="train",
            origin=Origin(file="list.csv", line=n),
        )
        for n in range(count)
    ]
    medium = Medium(
        role="picture", path=ROOT / "t.parquet", root=ROOT, row=3, column="image", item=1
    )
    talk = Record(
        kind="conversation",
        media=(medium, replace(medium, row=None, column=None, item=0, data=b"\x00pixels")),
        labels={},
        turns=(Turn(role="user", text="<image>?"), Turn(role="assistant", text='"yes"\n')),
        origin=Origin(file="c.jsonl"),
    )
    return [*plain, talk]


def told(shared: Iterator[tuple[OwnerId, Record]]) -> list[str]:
    """Return everything that a record says, in a form that can be sorted."""
    return sorted(f"{owner} {one.kind} {one.media} {parts(one)}" for owner, one in shared)


def parts(one: Record) -> object:
    media = [(m.name, m.row, m.column, m.item, m.data) for m in one.media]
    turns = [(turn.role, turn.text) for turn in one.turns]
    return media, dict(one.labels), dict(one.audit_labels), one.person, turns, one.split, one.origin


def test_an_index_is_read_back_as_it_was_shared_out(tmp_path: Path) -> None:
    written = write_index(partition(records(), 20), tmp_path / "index.parquet")
    assert told(read_shares(written.path)) == told(partition(records(), 20))
    owners = [owner for owner, _ in read_shares(written.path)]
    runs = sum(one != other for one, other in zip(owners, owners[1:], strict=False)) + 1
    assert runs == len(set(owners)) == len(written.rows), "rows of an owner stand together"
    assert sum(written.rows.values()) == 301


def test_rows_of_an_owner_keep_their_order(tmp_path: Path) -> None:
    written = write_index(partition(records(), 3), tmp_path / "index.parquet")
    for owner in written.rows:
        lines = [one.origin.line for _, one in read_shares(written.path, owner=owner)]
        known = [line for line in lines if line is not None]
        assert known == sorted(known)


def test_shards_hold_the_same_as_the_index(tmp_path: Path) -> None:
    index = write_index(partition(records(), 20), tmp_path / "index.parquet")
    shards = write_shards(partition(records(), 20), tmp_path / "shards")
    assert shards.rows == index.rows
    assert {path.stem for path in shards.path.iterdir()} == set(shards.rows)
    for owner in shards.rows:
        path = shards.path / f"{owner}.parquet"
        one, other = read_shares(path), read_shares(index.path, owner=owner)
        assert told(one) == told(other)
    assert {path.name for path in tmp_path.iterdir()} == {"shards", "index.parquet"}


def test_large_buckets_are_split_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = told(partition(records(), 20))
    monkeypatch.setattr(shares, "_BUCKET_BYTES", 500, raising=True)
    monkeypatch.setattr(shares, "_BUCKETS", 2, raising=True)
    monkeypatch.setattr(shares, "_BATCH", 7, raising=True)
    monkeypatch.setattr(shares, "_SMALL", 3, raising=True)
    written = write_index(partition(records(), 20), tmp_path / "index.parquet")
    assert told(read_shares(written.path)) == expected


def test_nothing_is_left_behind_and_nothing_replaced(tmp_path: Path) -> None:
    def broken() -> Iterator[tuple[OwnerId, Record]]:
        yield OwnerId("owner-0"), records()[0]
        raise DataError("stop")

    for write in (write_index, write_shards):
        with pytest.raises(DataError, match="stop"):
            write(broken(), tmp_path / "out")
        assert list(tmp_path.iterdir()) == []
    (tmp_path / "out").write_text("mine")
    for write in (write_index, write_shards):
        with pytest.raises(RunExists):
            write(partition(records(), 2), tmp_path / "out")
    assert (tmp_path / "out").read_text() == "mine"


def test_an_empty_set_has_no_owners(tmp_path: Path) -> None:
    written = write_index(partition([], 3), tmp_path / "index.parquet")
    assert written.rows == {}
    assert list(read_shares(written.path)) == []


def test_the_set_may_lie_elsewhere_when_it_is_read(tmp_path: Path) -> None:
    written = write_index(partition(records(2), 1), tmp_path / "index.parquet")
    found = [one.media[0].path for _, one in read_shares(written.path, root=Path("/moved"))]
    assert found[0] == Path("/moved/a/0.jpg")


def test_other_files_are_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": [1]}), tmp_path / "a.parquet")
    (tmp_path / "b.parquet").write_bytes(b"no table")
    for name in ("a", "b", "none"):
        with pytest.raises(DataError, match="Expected shares"):
            list(read_shares(tmp_path / f"{name}.parquet"))


@pytest.mark.parametrize("name", ["../b.jpg", "/etc/passwd", "a/../../b.jpg"])
def test_a_name_that_leads_out_of_the_set_is_refused(tmp_path: Path, name: str) -> None:
    """Anybody may have written the file, and what it names is opened."""
    written = write_index(partition(records(1), 1), tmp_path / "index.parquet")
    table = pq.read_table(written.path)
    rows = table.to_pylist()
    rows[0]["media"][0]["name"] = name
    forged = pa.Table.from_pylist(rows, schema=table.schema)
    pq.write_table(forged, written.path)
    with pytest.raises(DataError, match="leads out of it") as told:
        list(read_shares(written.path))
    assert name not in str(told.value)
