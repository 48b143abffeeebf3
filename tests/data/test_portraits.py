"""Portrait tables are read whole and checked; labels of people do not show in a repr."""

from io import BytesIO
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import AUDIT_LABELS, PEOPLE, SHOTS, Rows

from discreet.data import Portrait, load_portraits, load_twins
from discreet.errors import DataError, ImageError
from discreet.types import Split


def write(rows: Rows, path: Path) -> Path:
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


@pytest.mark.parametrize("split", PEOPLE)
def test_a_split_is_read_in_file_order(
    split: Split, portraits_file: Path, people_rows: Rows
) -> None:
    found = load_portraits(split, path=portraits_file)
    expected = [row for row in people_rows if row["split"] == split]
    assert len(found) == PEOPLE[split] * SHOTS
    for portrait, row in zip(found, expected, strict=True):
        assert portrait.jpeg == row["image"]["bytes"]
        assert portrait.image.size == (96, 96)
        for name in ("identity_id", "age_band", "expression"):
            assert getattr(portrait, name) == row[name]


def test_no_person_is_in_two_splits(portraits_file: Path) -> None:
    people = {s: {p.identity_id for p in load_portraits(s, path=portraits_file)} for s in PEOPLE}
    assert sum(map(len, people.values())) == len(set.union(*people.values()))


def test_audit_labels_hold_what_training_may_not_read(portraits: list[Portrait]) -> None:
    assert all(portrait.audit_labels == AUDIT_LABELS for portrait in portraits)


def test_a_file_without_a_split_column_is_one_split(people_rows: Rows, tmp_path: Path) -> None:
    rows = [{k: v for k, v in row.items() if k != "split"} for row in people_rows]
    path = write(rows, tmp_path / "own.parquet")
    assert len(load_portraits("train", path=path)) == len(load_portraits("test", path=path))


def test_pictures_may_be_plain_bytes(people_rows: Rows, tmp_path: Path) -> None:
    rows = [{**row, "image": row["image"]["bytes"]} for row in people_rows[:3]]
    found = load_portraits("train", path=write(rows, tmp_path / "own.parquet"))
    assert [p.jpeg for p in found] == [row["image"] for row in rows]


@pytest.mark.parametrize("name", ["image", "identity_id", "age_band", "expression"])
def test_a_table_that_lacks_a_column_is_refused(
    people_rows: Rows, tmp_path: Path, name: str
) -> None:
    rows = [{k: v for k, v in row.items() if k != name} for row in people_rows]
    with pytest.raises(DataError, match=f"missing: {name}"):
        load_portraits("train", path=write(rows, tmp_path / "own.parquet"))


@pytest.mark.parametrize(
    ("name", "label"),
    [("age_band", "teenager"), ("expression", "disgusted"), ("age_band", None), ("expression", "")],
)
def test_an_unknown_label_is_refused_and_not_repeated(
    people_rows: Rows, tmp_path: Path, name: str, label: str | None
) -> None:
    rows = [*people_rows[:2], {**people_rows[2], name: label}]
    with pytest.raises(DataError, match=f"Expected {name} in") as caught:
        load_portraits("train", path=write(rows, tmp_path / "own.parquet"))
    assert not label or label not in str(caught.value)


def test_a_row_without_a_person_is_refused(people_rows: Rows, tmp_path: Path) -> None:
    """Else all of them would be one person called None."""
    rows = [{**row, "identity_id": None} for row in people_rows]
    with pytest.raises(DataError, match="identity_id in every row"):
        load_portraits("train", path=write(rows, tmp_path / "own.parquet"))


@pytest.mark.parametrize("image", [{"bytes": None, "path": "face.jpg"}, None, "face.jpg"])
def test_a_row_without_a_picture_is_refused(
    people_rows: Rows, tmp_path: Path, image: object
) -> None:
    path = write([{**people_rows[0], "image": image}], tmp_path / "own.parquet")
    with pytest.raises(DataError, match="column 'image'"):
        load_portraits("train", path=path)


@pytest.mark.parametrize("content", [None, b"", b"age_band,expression\nchild,sad\n", b"PAR1 PAR1"])
def test_what_is_not_parquet_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "people.parquet"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match="Parquet file of portraits"):
        load_portraits("train", path=path)


def test_a_cut_file_is_refused(portraits_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "cut.parquet"
    path.write_bytes(portraits_file.read_bytes()[:-200])
    with pytest.raises(DataError, match="Parquet file of portraits"):
        load_portraits("train", path=path)


def test_an_empty_split_is_refused(people_rows: Rows, tmp_path: Path) -> None:
    path = write([row for row in people_rows if row["split"] == "test"], tmp_path / "own.parquet")
    with pytest.raises(DataError, match="found none"):
        load_portraits("train", path=path)


def test_an_unknown_split_is_a_wrong_argument(portraits_file: Path) -> None:
    with pytest.raises(ValueError, match="Expected split in"):
        load_portraits("dev", path=portraits_file)  # type: ignore[arg-type]


def test_a_damaged_picture_is_found_when_it_is_opened(people_rows: Rows, tmp_path: Path) -> None:
    rows = [{**people_rows[0], "image": b"\xff\xd8\xff no picture"}]
    (portrait,) = load_portraits("train", path=write(rows, tmp_path / "own.parquet"))
    with pytest.raises(ImageError):
        _ = portrait.image


def test_a_portrait_says_nothing_of_the_person_in_its_repr(portraits: list[Portrait]) -> None:
    text = repr(portraits[0])
    hidden = (portraits[0].identity_id, "child", "neutral", *AUDIT_LABELS.values())
    assert not [value for value in hidden if value in text]
    assert len(text) < 100, "nor the picture"


def test_pictures_are_decoded_without_metadata(portraits: list[Portrait]) -> None:
    assert portraits[0].image.info == {}
    stream = BytesIO()
    portraits[0].image.save(stream, "PNG")
    assert b"eXIf" not in stream.getvalue()


def test_an_unknown_split_leaves_nobody_out_unsaid(people_rows: Rows, tmp_path: Path) -> None:
    rows = [{**row, "split": "Train"} if row["split"] == "train" else row for row in people_rows]
    with pytest.raises(DataError, match=f"another value in {PEOPLE['train'] * SHOTS} of"):
        load_portraits("test", path=write(rows, tmp_path / "own.parquet"))


def test_a_folder_without_the_split_is_refused(portraits_file: Path) -> None:
    with pytest.raises(DataError, match="'train.parquet' or all shards of it"):
        load_portraits("train", path=portraits_file.parent)


def test_a_device_is_not_a_table() -> None:
    with pytest.raises(DataError, match="got a device"):
        load_portraits("train", path=Path("/dev/null"))


def test_shards_are_read_as_one_file(people_rows: Rows, tmp_path: Path) -> None:
    train = [row for row in people_rows if row["split"] == "train"]
    write(train[:5], tmp_path / "train-00000-of-00002.parquet")
    write(train[5:], tmp_path / "train-00001-of-00002.parquet")
    found = load_portraits("train", path=tmp_path)
    assert [p.jpeg for p in found] == [row["image"]["bytes"] for row in train]
    write(train, tmp_path / "test.parquet")
    with pytest.raises(DataError, match="found none"):
        load_portraits("test", path=tmp_path)


@pytest.mark.parametrize("names", [["00000-of-00002"], ["00000-of-00001", "00001-of-00002"]])
def test_a_folder_that_lacks_a_shard_is_refused(
    names: list[str], people_rows: Rows, tmp_path: Path
) -> None:
    for name in names:
        write(people_rows[:2], tmp_path / f"train-{name}.parquet")
    with pytest.raises(DataError, match=f"found {len(names)} shards"):
        load_portraits("train", path=tmp_path)


def _twins(people_rows: Rows) -> Rows:
    pairs = zip(people_rows, people_rows[1:], ("hair", "age", "age"), strict=False)
    return [
        {
            "first_image": first["image"],
            "second_image": second["image"],
            "kind": kind,
            "first_value": "this",
            "second_value": "that",
            "identity_id": "p1",
            "skin_tone": 3,
            "first_spec": "{}",
        }
        for first, second, kind in pairs
    ]


def test_twins_are_two_pictures_and_what_differs(people_rows: Rows, tmp_path: Path) -> None:
    path = write(_twins(people_rows), tmp_path / "twins.parquet")
    assert load_twins(path=path) == load_twins(path=tmp_path)
    assert [twins.kind for twins in load_twins(path=path)] == ["hair", "age", "age"]
    first, second = load_twins(kind="age", path=path)
    assert first.jpegs == (people_rows[1]["image"]["bytes"], people_rows[2]["image"]["bytes"])
    assert first.values == ("this", "that")
    assert first.audit_labels == {"skin_tone": "3"}
    assert second.images[0].size == (96, 96)
    assert "this" not in repr(first)


def test_an_unknown_kind_of_twins_is_refused(people_rows: Rows, tmp_path: Path) -> None:
    path = write(_twins(people_rows), tmp_path / "twins.parquet")
    with pytest.raises(DataError, match="Expected kind in age, hair, got another"):
        load_twins(kind="shoes", path=path)


def test_an_id_that_is_not_a_number_is_none(people_rows: Rows, tmp_path: Path) -> None:
    rows = [{**row, "identity_id": float(n) if n else float("nan")}
            for n, row in enumerate(people_rows)]  # fmt: skip
    with pytest.raises(DataError, match="identity_id in every row"):
        load_portraits("train", path=write(rows, tmp_path / "own.parquet"))


def test_text_that_is_not_utf8_is_refused(people_rows: Rows, tmp_path: Path) -> None:
    table = pa.Table.from_pylist(people_rows[:2])
    bad = pa.Array.from_buffers(
        pa.string(),
        2,
        [None, pa.py_buffer(b"\0\0\0\0\2\0\0\0\4\0\0\0"), pa.py_buffer(b"\xff\xfeab")],
    )
    place = table.column_names.index("identity_id")
    pq.write_table(table.set_column(place, "identity_id", bad), tmp_path / "own.parquet")
    with pytest.raises(DataError, match="UTF-8"):
        load_portraits("train", path=tmp_path / "own.parquet")


@pytest.mark.parametrize(
    "names",
    [
        ["00000-of-00002", "00005-of-00002"],
        ["00001-of-00002", "00002-of-00002"],
        ["old-00000-of-00002", "00001-of-00002"],
        ["00000-of-00002", "000000-of-00002"],
        ["00000-of-00000"],
    ],
)
def test_shards_have_every_number_from_zero(
    names: list[str], people_rows: Rows, tmp_path: Path
) -> None:
    for name in names:
        write(people_rows[:2], tmp_path / f"train-{name}.parquet")
    with pytest.raises(DataError, match=f"numbered from 00000, found {len(names)} shards"):
        load_portraits("train", path=tmp_path)
