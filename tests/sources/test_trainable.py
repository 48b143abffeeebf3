"""Shares and portraits are told apart by their columns, and owners read without the rest."""

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from discreet.errors import DataError
from discreet.sources import (
    Medium,
    Origin,
    Record,
    Turn,
    holds_shares,
    lack_of,
    own_examples_in,
    owners_in,
    partition,
    read_source,
    write_index,
    write_shards,
)
from discreet.sources.records import Role
from sources.small import lines, picture, put


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    rows = [{"question": f"Why {n}?", "answer": "So.", "image": "a.jpg"} for n in range(40)]
    listed = put(tmp_path / "set", {"chats.jsonl": lines(*rows), "a.jpg": picture()})
    write_index(partition(read_source(listed), 12, by="record"), tmp_path / "index")
    return tmp_path / "index"


def says(*roles: Role, shows: str = "picture") -> Record:
    medium = Medium(role=shows, path=Path("set/a.jpg"), root=Path("set"))
    turns = tuple(Turn(role=role, text="So.") for role in roles)
    return Record(
        kind="conversation", media=(medium,), labels={}, turns=turns, origin=Origin(file="a")
    )


@pytest.mark.parametrize(
    ("record", "lack"),
    [
        (says("user", "assistant"), None),
        (says("user", "assistant", "rejected"), None),
        (says(), "kind"),
        (says("rejected"), "kind"),
        (says("user", "assistant", shows="video"), "kind"),
        (says("user"), "answer"),
        (says("assistant", "user"), "answer"),
        (says("user", "rejected"), "answer"),
    ],
)
def test_only_a_record_with_an_answer_to_something_can_be_learnt_from(
    record: Record, lack: str | None
) -> None:
    assert lack_of(record) == lack


def with_columns(path: Path, *names: str) -> Path:
    table = pq.read_table(path)
    for name in names:
        table = table.append_column(name, pa.array(["x"] * len(table)))
    pq.write_table(table, path)
    return path


def test_shares_are_told_whatever_the_file_is_called(shared: Path, portraits_file: Path) -> None:
    assert holds_shares(shared)
    assert not holds_shares(portraits_file)


def test_what_is_no_table_holds_no_shares(tmp_path: Path) -> None:
    (tmp_path / "list.jsonl").write_text('{"owner": 1}')
    for path in (tmp_path / "list.jsonl", tmp_path / "gone", tmp_path):
        assert not holds_shares(path)


@pytest.mark.parametrize("column", ["image", "age_band", "expression"])
def test_a_file_of_both_is_refused(shared: Path, column: str) -> None:
    with pytest.raises(DataError, match=f"columns of both: also {column}. Write two files"):
        holds_shares(with_columns(shared, column))


def test_a_column_less_is_refused_with_a_way_out(shared: Path) -> None:
    pq.write_table(pq.read_table(shared).drop_columns(["person", "line"]), shared)
    with pytest.raises(DataError, match="missing: person, line. Write it with `discreet data"):
        holds_shares(shared)


def test_owners_come_in_the_order_of_their_numbers(shared: Path) -> None:
    found = owners_in(shared)
    assert found == sorted(found, key=lambda name: int(name.removeprefix("owner-")))
    assert found[-1] == "owner-11"
    assert set(found) == set(pq.read_table(shared)["owner"].to_pylist())


def test_a_damaged_file_is_told_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "index.parquet"
    path.write_bytes(b"PAR1 and no more")
    with pytest.raises(DataError, match=r"'index.parquet', could not read it"):
        owners_in(path)


def test_an_owners_own_file_says_what_an_example_is(
    shared: Path, portraits_file: Path, tmp_path: Path
) -> None:
    assert own_examples_in(portraits_file) == "portraits"
    with pytest.raises(DataError, match="shard of one owner in 'index', got 1[0-2] owners"):
        own_examples_in(shared)
    table = pq.read_table(shared)
    own = table.filter(pc.equal(table["owner"], table["owner"][0])).replace_schema_metadata()
    pq.write_table(own, tmp_path / "own")
    assert own_examples_in(tmp_path / "own") == "conversations"
    put(tmp_path / "faces", {"1.jpg": picture()})
    write_shards(partition(read_source(tmp_path / "faces"), 1), tmp_path / "shards")
    with pytest.raises(DataError, match=r"'owner-0\.parquet', got none .*`discreet data portraits"):
        own_examples_in(tmp_path / "shards" / "owner-0.parquet")
    people = pq.read_table(portraits_file).drop_columns(["identity_id"])
    pq.write_table(people, tmp_path / "less")
    with pytest.raises(DataError, match=r"missing: identity_id\. .*discreet data share"):
        own_examples_in(tmp_path / "less")
