import os
import subprocess
import sys
from pathlib import Path

from discreet.cli.private_folder import private_folder, sweep


def test_only_its_owner_may_enter_and_it_goes_with_what_is_in_it(tmp_path: Path) -> None:
    with private_folder(tmp_path) as folder:
        (folder / "photo.jpg").write_bytes(b"face")
        assert folder.stat().st_mode & 0o777 == 0o700
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_goes_and_what_is_in_use_stays(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    left = tmp_path / f"discreet-pages-{ended.pid}-abc"
    used = tmp_path / f"discreet-pages-{os.getpid()}-abc"
    other = tmp_path / "discreet-pages-notes"
    for folder in (left, used, other):
        folder.mkdir()
        (folder / "file").touch()
    sweep(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted([used, other])


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "file").touch()
    where = tmp_path / "where"
    where.mkdir()
    (where / f"discreet-pages-{ended.pid}-abc").symlink_to(elsewhere)
    sweep(where)
    assert (elsewhere / "file").exists()
