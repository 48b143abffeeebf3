"""A check counts what is in a set and what is wrong with it, and shows nobody's name."""

import hashlib
import subprocess
from dataclasses import asdict
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from discreet.errors import DataError
from discreet.sources import NOT_HASHED, check_source
from discreet.sources import check as check_module

from .small import encoded, picture, put, table

HEADER = ("file", "age", "gender", "race", "service_test")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    rows = [
        (f"train/{n}.jpg", "3-9", "Male" if n % 3 else "Female", "White", True) for n in range(12)
    ]
    files: dict[str, bytes | str] = {f"train/{n}.jpg": picture(n) for n in range(12)}
    return put(tmp_path / "FairFace", files | {"fairface_label_train.csv": table(HEADER, *rows)})


def test_a_check_counts_records_files_and_groups(root: Path) -> None:
    found = check_source(root)
    assert (found.layout, found.records, found.files) == ("fairface", 12, 12)
    assert found.bytes == sum(path.stat().st_size for path in root.rglob("*.jpg"))
    assert (found.kinds, found.splits) == ({"picture": 12}, {"train": 12})
    assert (found.people, found.without_person) == (0, 12)
    assert (found.pictures, found.opened) == (12, 12)
    told = {counts.label: counts.counts for counts in found.balance.labels}
    assert told["gender"] == {"Male": 8, "Female": 4}
    assert told["age"]["3-9"] == 12
    listed = (root / "fairface_label_train.csv").read_bytes()
    assert found.lists == {"fairface_label_train.csv": hashlib.sha256(listed).hexdigest()}
    assert found.problems == {}


def test_names_and_sizes_of_files_are_noticed_without_hashing(root: Path) -> None:
    before = check_source(root).names_sha256
    assert check_source(root).names_sha256 == before
    (root / "train" / "3.jpg").write_bytes(picture(3, size=(64, 64)))
    assert check_source(root).names_sha256 != before


def test_hashes_are_those_of_sha256sum(root: Path) -> None:
    out = BytesIO()
    found = check_source(root, hashes_to=out)
    lines = out.getvalue().decode().splitlines()
    assert found.hashed == len(lines) == 12
    for line in lines:
        digest, name = line.split("  ")
        assert digest == hashlib.sha256((root / name).read_bytes()).hexdigest()


def test_sha256sum_reads_the_hashes_also_of_odd_names(tmp_path: Path) -> None:
    root = put(tmp_path / "set", {"a\nb.jpg": picture(1), "c\\d é.jpg": picture(2)})
    with (tmp_path / "sums").open("wb") as out:
        check_source(root, hashes_to=out)
    words = ["sha256sum", "--check", "--strict", str(tmp_path / "sums")]
    assert subprocess.run(words, cwd=root, capture_output=True).returncode == 0


def test_the_same_bytes_under_two_names_are_found_by_hashing(root: Path) -> None:
    (root / "train" / "5.jpg").write_bytes(picture(4))
    assert check_source(root, hashes_to=BytesIO()).problems["duplicate_content"] == 1


def test_pictures_that_look_the_same_are_found_by_opening(root: Path) -> None:
    image = Image.open(BytesIO(picture(4)))
    (root / "train" / "5.jpg").write_bytes(encoded(image, quality=96))
    found = check_source(root, open_all=True)
    assert found.problems == {"near_duplicate": 1}
    assert found.first_problems[0].line == 7


def test_damaged_pictures_are_found_in_a_sample_or_in_all(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(12):
        (root / "train" / f"{number}.jpg").write_bytes(b"damaged")
    monkeypatch.setattr(check_module, "SAMPLE", 5)
    sample, whole = check_source(root), check_source(root, open_all=True)
    assert (sample.opened, sample.problems) == (5, {"picture": 5})
    assert (whole.opened, whole.problems) == (12, {"picture": 12})


def test_a_sample_takes_every_picture_alike(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every place is in some sample of other seeds: no picture is never or always opened."""
    for number in range(12):
        (root / "train" / f"{number}.jpg").write_bytes(b"damaged")
    monkeypatch.setattr(check_module, "SAMPLE", 3)
    counts = dict.fromkeys(range(2, 14), 0)
    for seed in range(120):
        draw = check_module.random.Random(seed)
        monkeypatch.setattr(check_module.random, "Random", lambda _, draw=draw: draw)
        for problem in check_source(root).first_problems:
            counts[problem.line or 0] += 1
    # 30 expected, standard deviation 4.7: outside 9 to 51 one of 12 is once in 30,000 runs.
    assert all(9 < count < 51 for count in counts.values()), counts


def test_refusing_stops_at_the_first_problem(root: Path) -> None:
    (root / "train" / "7.jpg").write_bytes(b"")
    with pytest.raises(DataError, match=r"fairface_label_train.csv, line 9: a file of zero bytes"):
        check_source(root, on_problem="refuse")


def test_a_check_shows_no_names_and_no_words(tmp_path: Path) -> None:
    rows = [
        {"file_name": f"{n}.jpg", "person": f"Grace {n}", "note": f"words {n}"} for n in range(8)
    ]
    listed = table(tuple(rows[0]), *(tuple(row.values()) for row in rows))
    files: dict[str, bytes | str] = {f"{n}.jpg": picture(n) for n in range(7)}
    put(tmp_path, files | {"metadata.csv": listed})
    found = check_source(tmp_path)
    assert found.people == 7
    said = str(asdict(found))
    assert not any(word in said for word in ("Grace", "words", "7.jpg"))


def test_a_large_table_is_hashed_on_request_only(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check_module, "MAX_LIST_BYTES", 10)
    assert list(check_source(root).lists.values()) == [NOT_HASHED]
    assert NOT_HASHED not in check_source(root, hashes_to=BytesIO()).lists.values()


def test_progress_is_told(root: Path) -> None:
    steps: list[tuple[str, int, int | None]] = []
    check_source(root, hashes_to=BytesIO(), on_step=lambda *step: steps.append(step))
    assert ("reading", 12, 12) in steps
    assert steps[-1] == ("hashing", 12, 12)
