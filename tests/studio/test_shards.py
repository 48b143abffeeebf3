import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from discreet.artifacts import sha256_of_file
from discreet.data import load_portraits
from discreet.errors import ArtifactCorrupt, DataError
from discreet.figures import Assets
from discreet.people import CollectionSpec, Scene, labels, sample_scene, shards_of
from discreet.studio import render, render_collection, render_scenes, shards
from discreet.studio.sensor import encode_jpeg
from discreet.studio.shards import COLUMNS
from tests.studio.conftest import named_assets

SPEC = CollectionSpec(
    kind="portraits", seed=3, identities=240, size_px=16, shots=1, pictures_per_file=40
)
TWINS = CollectionSpec(kind="twins", seed=3, identities=240, size_px=16)


def _plain_jpeg(scene: Scene, assets: Assets) -> bytes:
    """Stand in for drawing: a picture that follows from the scene and needs no assets."""
    pixels = np.random.default_rng(scene.seed).integers(0, 255, (16, 16, 3)).astype(np.uint8)
    return encode_jpeg(Image.fromarray(pixels), scene.sensor.jpeg_quality)


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Assets:
    monkeypatch.setattr(shards, "jpeg_of", _plain_jpeg)
    return named_assets(tmp_path / "assets")


def _hashes(folder: Path) -> dict[str, str]:
    return {path.name: sha256_of_file(path) for path in folder.glob("*.parquet")}


def test_files_hold_every_scene_of_the_spec_once(tmp_path: Path, undrawn: Assets) -> None:
    told: list[tuple[int, int]] = []
    files = render_collection(
        SPEC, tmp_path / "out", undrawn, workers=1, on_progress=lambda *at: told.append(at)
    )
    assert [file.path.name for file in files] == [shard.file_name for shard in shards_of(SPEC)]
    rows = [row for file in files for row in pq.read_table(file.path).to_pylist()]
    assert {row["identity_id"] for row in rows} == {f"p{n:05d}" for n in range(1, 241)}
    for row in rows:
        truth = labels(Scene.from_json(row["spec"]))
        assert {name: row[name] for name in truth} == truth
    assert told[0] == (0, 240)
    assert told[-1] == (240, 240)


def test_the_loader_reads_what_is_written(tmp_path: Path, undrawn: Assets) -> None:
    files = render_collection(SPEC, tmp_path / "out", undrawn, workers=1)
    portraits = load_portraits("test", path=files[-1].path)
    assert len(portraits) == files[-1].rows
    assert portraits[0].jpeg.startswith(b"\xff\xd8")
    assert "spec" not in portraits[0].audit_labels
    assert {"ethnicity", "skin_tone", "clothing_pattern"} <= set(portraits[0].audit_labels)


@pytest.mark.parametrize(("spec", "kind"), [(SPEC, "portraits"), (TWINS, "twins")])
def test_columns_are_those_of_the_kind(
    spec: CollectionSpec, kind: str, tmp_path: Path, undrawn: Assets
) -> None:
    for file in render_collection(spec, tmp_path / "out", undrawn, workers=1):
        schema = pq.read_schema(file.path)
        assert tuple(schema.names) == COLUMNS[kind]
        features = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
        images = {name for name, feature in features.items() if feature["_type"] == "Image"}
        assert images == {name for name in schema.names if name.endswith("image")}


def test_what_was_drawn_is_not_drawn_again(
    tmp_path: Path, undrawn: Assets, monkeypatch: pytest.MonkeyPatch
) -> None:
    render_collection(SPEC, tmp_path / "out", undrawn, workers=1)
    monkeypatch.setattr(shards, "jpeg_of", lambda *_: pytest.fail("drawn again"))
    files = render_collection(SPEC, tmp_path / "out", undrawn, workers=1)
    assert all(file.was_there for file in files)


@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_a_damaged_file_is_drawn_again(damage: str, tmp_path: Path, undrawn: Assets) -> None:
    files = render_collection(SPEC, tmp_path / "out", undrawn, workers=1)
    before = _hashes(tmp_path / "out")
    if damage == "gone":
        files[1].path.unlink()
    else:
        files[1].path.write_bytes(files[1].path.read_bytes()[:-9])
    again = render_collection(SPEC, tmp_path / "out", undrawn, workers=1)
    assert [file.was_there for file in again] == [place != 1 for place in range(len(files))]
    assert _hashes(tmp_path / "out") == before


def test_drawing_that_was_stopped_goes_on_to_the_same_bytes(
    tmp_path: Path, undrawn: Assets
) -> None:
    render_collection(SPEC, tmp_path / "whole", undrawn, workers=1)

    def stop(done: int, _: int) -> None:
        if done >= 130:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        render_collection(SPEC, tmp_path / "out", undrawn, workers=1, on_progress=stop)
    assert 0 < len(_hashes(tmp_path / "out")) < len(shards_of(SPEC))
    render_collection(SPEC, tmp_path / "out", undrawn, workers=1)
    assert _hashes(tmp_path / "out") == _hashes(tmp_path / "whole")


def test_a_folder_of_another_spec_is_left_alone(tmp_path: Path, undrawn: Assets) -> None:
    render_collection(SPEC, tmp_path / "out", undrawn, workers=1)
    other = CollectionSpec(kind="portraits", seed=4, identities=240, size_px=16, shots=1)
    with pytest.raises(DataError, match="those of another"):
        render_collection(other, tmp_path / "out", undrawn, workers=1)


def test_the_manifest_names_the_hash_of_each_file(tmp_path: Path, undrawn: Assets) -> None:
    files = render_collection(TWINS, tmp_path / "out", undrawn, workers=1)
    told = json.loads((tmp_path / "out" / "twins.manifest.json").read_text())
    assert {name: entry["sha256"] for name, entry in told["files"].items()} == _hashes(
        tmp_path / "out"
    )
    assert [file.sha256 for file in files] == list(_hashes(tmp_path / "out").values())


def test_scenes_of_a_file_are_drawn_in_order(tmp_path: Path, undrawn: Assets) -> None:
    scenes = [sample_scene(0, identity, 0, size_px=16) for identity in range(19)]
    (file,) = render_scenes(scenes, tmp_path / "out", undrawn, workers=1)
    rows = pq.read_table(file.path).to_pylist()
    assert [Scene.from_json(row["spec"]) for row in rows] == scenes


def _four(seed: int = 0) -> list[Scene]:
    return [sample_scene(seed, identity, 0, size_px=16) for identity in range(4)]


def test_other_scenes_do_not_take_the_place_of_drawn_ones(tmp_path: Path, undrawn: Assets) -> None:
    render_scenes(_four(), tmp_path / "out", undrawn, workers=1)
    before = _hashes(tmp_path / "out")
    for other in (_four(5), _four()[::-1], _four()[:3]):
        with pytest.raises(DataError, match="those of another"):
            render_scenes(other, tmp_path / "out", undrawn, workers=1)
    assert _hashes(tmp_path / "out") == before


def test_scenes_that_were_drawn_are_not_drawn_again(
    tmp_path: Path, undrawn: Assets, monkeypatch: pytest.MonkeyPatch
) -> None:
    (first,) = render_scenes(_four(), tmp_path / "out", undrawn, workers=1)
    first.path.write_bytes(first.path.read_bytes()[:-9])
    (again,) = render_scenes(_four(), tmp_path / "out", undrawn, workers=1)
    assert (again.was_there, again.sha256) == (False, first.sha256)
    monkeypatch.setattr(shards, "jpeg_of", lambda *_: pytest.fail("drawn again"))
    told: list[tuple[int, int]] = []
    (kept,) = render_scenes(
        _four(), tmp_path / "out", undrawn, workers=1, on_progress=lambda *at: told.append(at)
    )
    assert (kept.was_there, kept.sha256) == (True, first.sha256)
    assert told == [(4, 4)]


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("face", {"units": {"nope": 1.0}}),
        ("face", {"units": {"genitals/long": 1.0}}),
        ("face", {"units": {"../../etc/passwd": 1.0}}),
        ("person", {"face_shape": {"../../etc/passwd": 0.1}}),
        ("person", {"face_shape": {"nose-of-gold": 0.1}}),
    ],
)
def test_nothing_is_drawn_where_a_later_scene_names_an_unknown_morph(
    part: str,
    change: dict[str, Any],
    tmp_path: Path,
    undrawn: Assets,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shards, "jpeg_of", lambda *_: pytest.fail("drawn"))
    *first, last = _four()
    figure = last.figures[0]
    figure = replace(figure, **{part: replace(getattr(figure, part), **change)})
    with pytest.raises(ValueError, match="Expected a known .* got .* MakeHuman's names"):
        render_scenes([*first, replace(last, figures=(figure,))], tmp_path / "out", undrawn)
    assert not (tmp_path / "out").exists()


def test_known_units_are_drawn(tmp_path: Path, undrawn: Assets) -> None:
    scene = _four()[0]
    face = replace(scene.figures[0].face, units={"mouth-open": 0.3, "cheek/l-cheek-trans-up": 1.0})
    spoken = replace(scene, figures=(replace(scene.figures[0], face=face),))
    assert render_scenes([spoken], tmp_path / "out", undrawn, workers=1)[0].rows == 1


def test_no_scenes_are_refused(tmp_path: Path, undrawn: Assets) -> None:
    with pytest.raises(ValueError, match="at least one scene, got none"):
        render_scenes([], tmp_path / "out", undrawn)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "manifest",
    ["[]", "3", "{}", '{"spec": {"scenes": 4}}', '{"spec": {}, "files": []}', "{broken",
     '{"spec": {}, "files": {"scenes.parquet": {"sha256": "a"}}}',
     '{"spec": {}, "files": {"scenes.parquet": {"sha256": 1, "rows": 4, "size_bytes": 9}}}'],
)  # fmt: skip
def test_a_manifest_that_is_none_is_refused(
    manifest: str, tmp_path: Path, undrawn: Assets, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "jpeg_of", lambda *_: pytest.fail("drawn"))
    for kind in ("scenes", "portraits"):
        (tmp_path / f"{kind}.manifest.json").write_text(manifest)
    with pytest.raises((DataError, ArtifactCorrupt), match="Expected"):
        render_scenes(_four(), tmp_path, undrawn, workers=1)
    with pytest.raises((DataError, ArtifactCorrupt), match="Expected"):
        render_collection(SPEC, tmp_path, undrawn, workers=1)
    assert (tmp_path / "scenes.manifest.json").read_text() == manifest


@pytest.mark.people
def test_two_workers_draw_what_one_draws(assets: Assets, tmp_path: Path) -> None:
    scenes = [sample_scene(0, identity, 0, size_px=16) for identity in range(10)]
    one, two = (
        render_scenes(scenes, tmp_path / str(workers), assets, workers=workers)
        for workers in (1, 2)
    )
    assert one[0].sha256 == two[0].sha256
    first = pq.read_table(one[0].path).to_pylist()[0]
    expected = encode_jpeg(render(scenes[0], assets), scenes[0].sensor.jpeg_quality)
    assert first["image"]["bytes"] == expected
    assert Image.open(io.BytesIO(expected)).size == (16, 16)
