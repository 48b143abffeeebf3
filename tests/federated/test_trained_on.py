"""A run knows its own data again, and keeps nothing by which others could."""

from pathlib import Path

import pytest

from discreet.artifacts import RunFolder, sha256_of_file
from discreet.errors import ArtifactCorrupt, DataError
from discreet.federated import require_trained_on, seal_data


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunFolder.create(tmp_path / "run")


def test_the_file_it_was_trained_on_is_known_and_another_is_refused(
    run: RunFolder, tmp_path: Path
) -> None:
    own, other = tmp_path / "own.parquet", tmp_path / "other.parquet"
    own.write_bytes(b"own")
    other.write_bytes(b"other")
    assert not require_trained_on(run, other), "an older run says nothing"
    seal_data(run, own)
    assert require_trained_on(run, own)
    with pytest.raises(DataError, match="got a file: name its own file with --data"):
        require_trained_on(run, other)
    with pytest.raises(DataError, match="got none: name its own"):
        require_trained_on(run, None)
    seal_data(run, other)
    assert require_trained_on(run, own), "what was kept first stays"


def test_what_ships_is_known_too(run: RunFolder, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a")
    seal_data(run, None)
    assert require_trained_on(run, None)
    with pytest.raises(DataError, match="Leave out --data"):
        require_trained_on(run, tmp_path / "a")


def test_the_hash_is_salted_so_that_two_runs_do_not_say_that_they_share_a_file(
    tmp_path: Path,
) -> None:
    path = tmp_path / "own.parquet"
    path.write_bytes(b"own")
    kept = []
    for name in ("one", "two"):
        run = RunFolder.create(tmp_path / name)
        seal_data(run, path)
        kept.append((run.path / "trained_on.json").read_text())
    assert kept[0] != kept[1]
    assert sha256_of_file(path) not in "".join(kept)


def test_a_damaged_record_is_said(run: RunFolder) -> None:
    (run.path / "trained_on.json").write_text("[]")
    with pytest.raises(ArtifactCorrupt, match="trained_on.json"):
        require_trained_on(run, None)
