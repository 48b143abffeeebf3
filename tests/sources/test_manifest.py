"""A manifest says what is known, what is open, and what changed since it was written."""

from dataclasses import replace
from datetime import date
from io import BytesIO
from pathlib import Path

import pytest

from discreet.artifacts import read_toml, write_toml
from discreet.errors import ArtifactCorrupt
from discreet.sources import (
    NOT_HASHED,
    UNKNOWN,
    Declared,
    Manifest,
    changed_files,
    changes,
    check_source,
    manifest_of,
    open_points,
    read_manifest,
    write_manifest,
)

from .small import picture, put, table

HEADER = ("file", "age", "gender", "race", "service_test")
SAID = Declared(name="FairFace", licence="CC BY 4.0", consent="none asked")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    rows = [
        ("train/1.jpg", "3-9", "Male", "White", True),
        ("train/2.jpg", "0-2", "Male", "nan", True),
    ]
    files: dict[str, bytes | str] = {"train/1.jpg": picture(1), "train/2.jpg": picture(2)}
    return put(tmp_path / "set", files | {"fairface_label_train.csv": table(HEADER, *rows)})


def manifest(root: Path, declared: Declared = SAID, files_sha256: str = NOT_HASHED) -> Manifest:
    found = check_source(root)
    return manifest_of(found, declared, files_sha256=files_sha256, today=date(2026, 11, 21))


def test_a_manifest_is_read_back_as_it_was_written(root: Path, tmp_path: Path) -> None:
    written = manifest(root)
    write_manifest(tmp_path / "manifest.toml", written)
    assert read_manifest(tmp_path / "manifest.toml") == written
    told = read_toml(tmp_path / "manifest.toml")
    assert told["declared"]["licence"] == "CC BY 4.0"
    assert told["balance"]["race"] == {"White": 1, "(missing)": 1} | dict.fromkeys(
        ("Black", "Latino_Hispanic", "East Asian", "Southeast Asian", "Indian", "Middle Eastern"), 0
    )
    assert told["problems"] == {"missing_label": 1}
    assert "age = 10-19" in told["gaps"]
    assert told["audit_labels"] == ["gender", "race"]
    assert told["date"] == "2026-11-21"


def test_an_unchanged_set_has_no_changes(root: Path) -> None:
    later = manifest_of(
        check_source(root), Declared(), files_sha256="0" * 64, today=date(2027, 1, 1)
    )
    assert changes(manifest(root), later) == []


def test_changes_say_what_changed(root: Path) -> None:
    old = manifest(root)
    (root / "train" / "1.jpg").write_bytes(picture(1, size=(64, 64)))
    assert changes(old, manifest(root))[-1] == "names or sizes of files differ"
    listed = root / "fairface_label_train.csv"
    listed.rename(root / "fairface_label_val.csv")
    said = changes(old, manifest(root))
    assert said[:2] == [
        "list 'fairface_label_train.csv' is gone",
        "list 'fairface_label_val.csv' is new",
    ]
    put(root, {"fairface_label_val.csv": table(HEADER)})
    old = manifest(root)
    put(root, {"fairface_label_val.csv": table(HEADER) + "\n"})
    assert changes(old, manifest(root)) == ["list 'fairface_label_val.csv' changed"]


def test_bytes_that_changed_are_found_by_hashes_alone(root: Path) -> None:
    old = manifest(root, files_sha256="a" * 64)
    assert changes(old, manifest(root, files_sha256="b" * 64)) == ["bytes of files differ"]
    assert changes(old, manifest(root)) == [], "what was not hashed says nothing"


def test_files_are_compared_by_their_hashes(root: Path, tmp_path: Path) -> None:
    def hashes(name: str) -> Path:
        out = BytesIO()
        check_source(root, hashes_to=out)
        (tmp_path / name).write_bytes(out.getvalue())
        return tmp_path / name

    old = hashes("old")
    (root / "train" / "1.jpg").write_bytes(picture(7))
    (root / "train" / "2.jpg").unlink()
    row = ("train/3.jpg", "3-9", "Male", "White", True)
    with (root / "fairface_label_train.csv").open("a") as file:
        file.write(table(row))
    put(root, {"train/3.jpg": picture(3)})
    assert changed_files(old, hashes("new")) == {
        "changed": ["train/1.jpg"],
        "missing": ["train/2.jpg"],
        "new": ["train/3.jpg"],
    }


def test_what_nobody_said_is_an_open_point(root: Path) -> None:
    points = open_points(manifest(root, Declared(name="x")))
    assert points == ["origin", "licence", "legal_basis", "consent", "purpose"]
    everything = Declared(**dict.fromkeys(Declared.__dataclass_fields__, "said"))
    assert open_points(manifest(root, everything)) == []
    assert Declared().consent == UNKNOWN


def test_a_manifest_with_other_keys_is_refused(root: Path, tmp_path: Path) -> None:
    path = tmp_path / "manifest.toml"
    write_manifest(path, manifest(root))
    good = read_toml(path)
    for changed in (
        good | {"schema": 2},
        good | {"licence": "mine"},
        {key: value for key, value in good.items() if key != "lists"},
        good | {"declared": good["declared"] | {"owner": "me"}},
        good | {"declared": good["declared"] | {"name": 3}},
        good | {"counts": {"records": "many"}},
        good | {"lists": {"a.csv": 3}},
        good | {"lists": 3},
    ):
        write_toml(path, changed)
        with pytest.raises(ArtifactCorrupt, match="Expected a manifest"):
            read_manifest(path)


def test_a_manifest_says_nothing_of_single_people(root: Path) -> None:
    said = str(replace(manifest(root), declared=Declared()))
    assert "1.jpg" not in said
    assert "2.jpg" not in said
