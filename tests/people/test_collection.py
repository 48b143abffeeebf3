import dataclasses
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from discreet.errors import DataError
from discreet.people import (
    TWIN_KINDS,
    CollectionSpec,
    Pair,
    labels,
    read_scenes,
    read_spec,
    sample_scene,
    shards_of,
    spec_names,
    split_of,
)

SMALL = CollectionSpec(kind="portraits", seed=3, identities=240, size_px=64, shots=2)
TWINS = CollectionSpec(kind="twins", seed=3, identities=240, size_px=64)


@pytest.mark.parametrize("name", spec_names())
def test_shipped_specs_are_read_and_dealt_whole(name: str) -> None:
    spec = read_spec(name)
    shards = shards_of(spec)
    assert sum(shard.num_pictures for shard in shards) == spec.num_pictures
    assert len({shard.file_name for shard in shards}) == len(shards)


def test_the_shipped_sets_have_the_size_that_the_card_says() -> None:
    assert read_spec("portraits-2").num_pictures == 10500
    assert read_spec("twins-2").num_pictures == 4800
    assert read_spec("portraits-2").seed == read_spec("twins-2").seed


def test_every_identity_is_in_one_file_of_its_split() -> None:
    splits = split_of(3, 240)
    dealt = [(identity, shard.split) for shard in shards_of(SMALL) for identity in shard.identities]
    assert Counter(identity for identity, _ in dealt) == Counter(range(240))
    assert all(splits[identity] == split for identity, split in dealt)


def test_files_are_about_as_large_as_asked_for() -> None:
    spec = CollectionSpec(
        kind="portraits", seed=3, identities=240, size_px=64, shots=5, pictures_per_file=100
    )
    sizes = [shard.num_pictures for shard in shards_of(spec)]
    assert len(sizes) > 10
    assert max(sizes) <= 160


def test_a_row_of_portraits_is_what_its_scene_says() -> None:
    shard = shards_of(SMALL)[-1]
    for entry in shard.entries(shard.identities[0]):
        row = entry.row()
        assert row["split"] == "test"
        assert {name: row[name] for name in labels(entry.scenes[0])} == labels(entry.scenes[0])


def test_twins_are_of_held_out_people_and_of_every_kind() -> None:
    splits = split_of(3, 240)
    (shard,) = shards_of(TWINS)
    assert {splits[identity] for identity in shard.identities} == {"test"}
    entries = [entry for identity in shard.identities for entry in shard.entries(identity)]
    kinds = Counter(entry.twins.kind for entry in entries if isinstance(entry, Pair))
    assert kinds == dict.fromkeys(TWIN_KINDS, len(shard.identities))
    assert shard.num_pictures == sum(len(entry.scenes) for entry in entries)


def test_a_row_of_twins_names_both_values() -> None:
    (shard,) = shards_of(TWINS)
    for entry in shard.entries(shard.identities[0]):
        row = entry.row()
        assert row["first_value"] != row["second_value"]


def test_too_few_people_for_a_split_are_refused() -> None:
    with pytest.raises(ValueError, match="identities >= 240"):
        CollectionSpec(kind="portraits", seed=0, identities=24, size_px=64)


def test_a_spec_may_be_a_file_and_an_unknown_key_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('kind = "portraits"\nseed = 3\nidentities = 240\nsize_px = 64\nshots = 2\n')
    assert read_spec(str(path)) == SMALL
    path.write_text(path.read_text() + "colour = 1\n")
    with pytest.raises(ValueError, match="Expected the fields"):
        read_spec(str(path))


def test_an_unknown_name_lists_those_that_ship() -> None:
    with pytest.raises(ValueError, match="portraits-2.*twins-2.*got 'faces'"):
        read_spec("faces")


def test_scenes_are_read_from_json_and_from_lines(tmp_path: Path) -> None:
    scenes = [sample_scene(0, identity, 0) for identity in range(3)]
    lines, listed, one = tmp_path / "a.jsonl", tmp_path / "b.json", tmp_path / "c.json"
    lines.write_text("\n".join(scene.to_json() for scene in scenes) + "\n\n")
    listed.write_text(json.dumps([json.loads(scene.to_json()) for scene in scenes]))
    one.write_text(scenes[0].to_json())
    assert read_scenes(lines) == read_scenes(listed) == scenes
    assert read_scenes(one) == scenes[:1]


@pytest.mark.parametrize(
    "change",
    [
        {"size_px": 15},
        {"size_px": 2049},
        {"shots": 0},
        {"shots": 101},
        {"shots": 3, "pictures_per_file": 2},
        {"kind": "twins", "pictures_per_file": 7},
        {"pictures_per_file": 100_001},
        {"identities": 1_000_001},
        {"seed": -1},
        {"seed": 2**63},
    ],
)
def test_what_cannot_be_drawn_or_dealt_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="Expected .* got"):
        dataclasses.replace(SMALL, **change)


@pytest.mark.parametrize(
    "spec",
    [
        dataclasses.replace(SMALL, shots=shots, pictures_per_file=shots + more)
        for shots in (1, 2, 7, 100)
        for more in (0, 1, 5)
    ]
    + [dataclasses.replace(TWINS, pictures_per_file=8)],
)
def test_no_file_is_empty(spec: CollectionSpec) -> None:
    shards = shards_of(spec)
    assert all(shard.identities for shard in shards)
    assert sum(shard.num_pictures for shard in shards) == spec.num_pictures


@pytest.mark.parametrize("text", ["seed = ", "x = " + "[" * 100_000, "seed = \ud800"])
def test_what_is_not_toml_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(text.encode(errors="surrogatepass"))
    with pytest.raises(ValueError, match="Expected TOML in 'mine.toml'"):
        read_spec(str(path))


@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
@pytest.mark.parametrize(
    "content",
    [b"", b"[" * 100_000, b"\xff\xfe", b"3", b"null", b"{}", b'{"seed": NaN}', b"9" * 5000],
)
def test_what_holds_no_scenes_is_refused(name: str, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DataError, match=f"scene.* in '{name}'"):
        read_scenes(path)


def test_a_list_without_scenes_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("[]")
    with pytest.raises(DataError, match="at least one scene in 'a.json', got none"):
        read_scenes(tmp_path / "a.json")


def test_a_wrong_scene_is_named_by_its_number(tmp_path: Path) -> None:
    good = sample_scene(0, 0, 0).to_json()
    path = tmp_path / "a.jsonl"
    path.write_text(f"{good}\n{good.replace('window', 'strobe')}\n")
    with pytest.raises(DataError, match="Scene 2: .*strobe"):
        read_scenes(path)
