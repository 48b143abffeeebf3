"""Records become portraits to train on where the set says enough, and never by a guess."""

from pathlib import Path

import pytest

from discreet.data import load_portraits
from discreet.errors import DataError, RunExists
from discreet.sources import (
    Medium,
    Origin,
    Problems,
    Record,
    own_examples_in,
    partition,
    portrait_of,
    read_source,
    write_portrait_shards,
    write_portraits,
)

from .small import picture, put, table

HEADER = ("file_name", "age", "emotion", "gender", "person")


def record(tmp_path: Path, **labels: str) -> Record:
    path = put(tmp_path, {"1.jpg": picture()}) / "1.jpg"
    return Record(
        kind="picture",
        media=(Medium(role="picture", path=path, root=tmp_path),),
        labels=labels,
        origin=Origin(file="x"),
    )


@pytest.mark.parametrize(
    ("labels", "band"),
    [
        ({"age": "3-9"}, "child"),
        ({"age": "20-39"}, "young_adult"),
        ({"age": "50-59"}, "middle_aged"),
        ({"age": "more than 70"}, "older_adult"),
        ({"age": "10-19"}, None),
        ({"age": "60-69"}, None),
        ({"age": "40-69"}, None),
        ({"age_years": "12"}, "child"),
        ({"age_years": "13"}, None),
        ({"age_years": "18"}, "young_adult"),
        ({"age_years": "64"}, "middle_aged"),
        ({"age": "65"}, "older_adult"),
        ({"age_band": "child"}, "child"),
        ({"age": "young"}, None),
        ({}, None),
    ],
)
def test_an_age_is_taken_where_it_lies_in_one_band(
    tmp_path: Path, labels: dict[str, str], band: str | None
) -> None:
    portrait = portrait_of(record(tmp_path, expression="happy", **labels))
    assert (portrait and portrait.age_band) == band


@pytest.mark.parametrize(
    ("word", "expression"),
    [("happiness", "happy"), ("anger", "angry"), ("neutral", "neutral"), ("fear", None)],
)
def test_expressions_of_other_sets_are_ours_where_they_mean_the_same(
    tmp_path: Path, word: str, expression: str | None
) -> None:
    portrait = portrait_of(record(tmp_path, age="3-9", expression=word))
    assert (portrait and portrait.expression) == expression


def test_an_expression_is_never_guessed(tmp_path: Path) -> None:
    assert portrait_of(record(tmp_path, age="3-9")) is None


def test_a_folder_becomes_a_file_that_training_reads(tmp_path: Path) -> None:
    rows = [
        ("1.jpg", "8", "Happy", "f", "p1"),
        ("2.jpg", "70", "Sad", "m", "p2"),
        ("3.jpg", "15", "Sad", "m", "p3"),
        ("4.jpg", "30", "Fear", "m", "p4"),
        ("5.jpg", "30", "Sad", "m", "p5"),
    ]
    files: dict[str, bytes | str] = {f"{n}.jpg": picture(n) for n in (1, 2, 3, 4)}
    put(tmp_path / "set", files | {"5.jpg": b"damaged", "metadata.csv": table(HEADER, *rows)})
    problems, out = Problems(), tmp_path / "people.parquet"
    count = write_portraits(read_source(tmp_path / "set"), out, problems=problems)
    people = load_portraits("train", path=out)
    assert count == len(people) == 2
    assert [(p.identity_id, p.age_band, p.expression) for p in people] == [
        ("p1", "child", "happy"),
        ("p2", "older_adult", "sad"),
    ]
    assert people[0].jpeg == picture(1)
    assert people[0].audit_labels == {}, "training needs no labels for audits"
    assert dict(problems.counts) == {"picture": 1}
    with pytest.raises(RunExists):
        write_portraits([], out)


def test_people_are_shared_out_as_files_that_nodes_take(tmp_path: Path) -> None:
    rows = [(f"{n}.jpg", "8", "Happy", "f", f"p{n % 6}") for n in range(12)]
    files: dict[str, bytes | str] = {f"{n}.jpg": picture(n) for n in range(12)}
    put(tmp_path / "set", files | {"metadata.csv": table(HEADER, *rows)})
    shared = partition(read_source(tmp_path / "set"), 3)
    counts = write_portrait_shards(shared, tmp_path / "nodes")
    own = {path.stem: path for path in (tmp_path / "nodes").iterdir()}
    assert own.keys() == counts.keys()
    assert len(own) > 1
    assert all(own_examples_in(path) == "portraits" for path in own.values())
    people = {name: load_portraits("train", path=path) for name, path in own.items()}
    assert {name: len(found) for name, found in people.items()} == counts
    whole = tmp_path / "people.parquet"
    write_portraits(read_source(tmp_path / "set"), whole)
    assert sorted(p.jpeg for found in people.values() for p in found) == sorted(
        p.jpeg for p in load_portraits("train", path=whole)
    )
    named = [{p.identity_id for p in found} for found in people.values()]
    assert sum(map(len, named)) == len(set().union(*named)), "a person lies with one owner"
    before = sorted(tmp_path.iterdir())
    with pytest.raises(RunExists):
        write_portrait_shards([], tmp_path / "nodes")
    with pytest.raises(DataError, match="never guessed"):
        write_portrait_shards([], tmp_path / "none")
    assert sorted(tmp_path.iterdir()) == before


def test_more_pictures_than_a_batch_holds_are_all_written(tmp_path: Path) -> None:
    count = write_portraits(
        [record(tmp_path, age="8", expression="happy")] * 130, tmp_path / "people.parquet"
    )
    assert count == len(load_portraits("train", path=tmp_path / "people.parquet")) == 130


def test_a_set_without_expressions_is_refused_and_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="never guessed"):
        write_portraits([record(tmp_path, age="3-9")], tmp_path / "people.parquet")
    assert {path.name for path in tmp_path.iterdir()} == {"1.jpg"}


def test_a_picture_without_a_person_counts_as_a_person_of_its_own(tmp_path: Path) -> None:
    portrait = portrait_of(record(tmp_path, age="3-9", expression="happy"))
    assert portrait is not None
    assert portrait.identity_id == "1.jpg"
