"""`discreet people` as a person types it; drawing itself is tested in tests/studio."""

import json
from pathlib import Path

import pytest
from PIL import Image

from discreet.artifacts import sha256_of_file
from discreet.cli import people
from discreet.figures import Assets
from discreet.people import Scene, sample_scene
from discreet.studio import shards
from discreet.studio.sensor import encode_jpeg
from tests.cli.conftest import Run
from tests.studio.conftest import named_assets

SPEC = 'kind = "portraits"\nseed = 3\nidentities = 240\nsize_px = 32\nshots = 1\n'


@pytest.fixture
def discreet(discreet: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Run a command without drawing: every picture is grey."""

    def jpeg_of(scene: Scene, assets: Assets) -> bytes:
        side = scene.camera.size_px
        return encode_jpeg(Image.new("RGB", (side, side), "grey"), scene.sensor.jpeg_quality)

    monkeypatch.setattr(shards, "jpeg_of", jpeg_of)
    made = named_assets(tmp_path / "assets")
    monkeypatch.setattr(people, "fetch", lambda cache: made)
    return discreet


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    path = tmp_path / "mine.toml"
    path.write_text(SPEC)
    return path


def test_render_prints_the_hash_of_every_file(discreet: Run, spec: Path, tmp_path: Path) -> None:
    status, out, _ = discreet("people", "render", spec, "--out", tmp_path / "o", "--workers", 1)
    assert status == 0
    told = dict(line.split("  ")[::-1] for line in out.splitlines())
    assert {Path(name).name for name in told} == {
        "train.parquet", "validation.parquet", "test.parquet",
    }  # fmt: skip
    assert all(sha256_of_file(Path(name)) == digest for name, digest in told.items())


def test_render_goes_on_and_says_so_in_json(discreet: Run, spec: Path, tmp_path: Path) -> None:
    words = ("people", "render", spec, "--out", tmp_path / "o", "--workers", 1, "--json")
    first = json.loads(discreet(*words)[1])
    (tmp_path / "o" / "train.parquet").unlink()
    second = json.loads(discreet(*words)[1])
    assert [file["was_there"] for file in first] == [False, False, False]
    assert [file["was_there"] for file in second] == [False, True, True]
    assert [file["sha256"] for file in first] == [file["sha256"] for file in second]


def test_render_takes_scenes(discreet: Run, tmp_path: Path) -> None:
    path = tmp_path / "scenes.jsonl"
    path.write_text("".join(sample_scene(0, n, 0, size_px=16).to_json() + "\n" for n in range(3)))
    status, out, _ = discreet("people", "render", path, "--out", tmp_path / "o", "--workers", 1)
    assert status == 0
    assert out.strip().endswith("scenes.parquet")


@pytest.mark.parametrize("content", ["[" * 100_000, "[]", "{", "[NaN]", "3", "huge"])
def test_render_says_in_one_line_what_is_no_scene(
    content: str, discreet: Run, tmp_path: Path
) -> None:
    path = tmp_path / "scenes.json"
    good = sample_scene(0, 0, 0).to_json()
    path.write_text(good.replace('"undertone":', '"undertone":1' + "0" * 400) if
                    content == "huge" else content)  # fmt: skip
    status, out, err = discreet("people", "render", path, "--out", tmp_path / "o")
    assert (status, out) == (1, "")
    assert err.startswith("DataError: Expected")
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "o").exists()


def test_render_leaves_other_scenes_alone(discreet: Run, tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 5)):
        lines = [sample_scene(seed, n, 0, size_px=16).to_json() for n in range(3)]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines))
    words = ("--out", tmp_path / "o", "--workers", 1)
    assert discreet("people", "render", tmp_path / "a.jsonl", *words)[0] == 0
    status, _, err = discreet("people", "render", tmp_path / "b.jsonl", *words)
    assert status == 1
    assert "those of another" in err
    assert "1 of them were there" in discreet("people", "render", tmp_path / "a.jsonl", *words)[2]


def test_an_unknown_spec_names_those_that_ship(discreet: Run, tmp_path: Path) -> None:
    status, _, err = discreet("people", "render", "faces", "--out", tmp_path / "o")
    assert status == 1
    assert "portraits-2" in err
    assert "twins-2" in err


def test_sheet_writes_a_picture(discreet: Run, spec: Path, tmp_path: Path) -> None:
    discreet("people", "render", spec, "--out", tmp_path / "o", "--workers", 1)
    sheet = tmp_path / "sheet.png"
    status, _, _ = discreet(
        "people", "sheet", tmp_path / "o" / "test.parquet", "--out", sheet, "--count", 16
    )
    assert status == 0
    with Image.open(sheet) as image:
        assert image.size == (1024, 256)


def test_export_writes_shipped_portraits(discreet: Run, tmp_path: Path) -> None:
    status, out, _ = discreet("people", "export", tmp_path / "faces", "--limit", 2)
    assert status == 0
    assert len(out.splitlines()) == 2
    assert all(Path(line).is_file() for line in out.splitlines())
