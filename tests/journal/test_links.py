"""Links are found by who has the visit's id, and leave nothing behind."""

from datetime import date
from pathlib import Path

from discreet.journal.links import Links
from tests.journal.logs import ANNA, BILAL, content

DAYS = [date(2026, 3, day) for day in (1, 2, 3)]


def test_a_link_is_found_with_the_id_and_the_key_alone(tmp_path: Path) -> None:
    pseudonyms = [Links(tmp_path, b"key").pseudonym(ANNA, day) for day in DAYS]
    assert len(set(pseudonyms)) == 3
    assert Links(tmp_path, b"key").of(ANNA) == pseudonyms
    assert Links(tmp_path, b"key").of(BILAL) == []
    assert Links(tmp_path, b"another key").of(ANNA) == []
    names = [name for path in content(tmp_path) for name in path.split("/")[1:]]
    assert len(set(names)) == 3, "days are not linked by the names of their files"


def test_links_that_are_forgotten_are_overwritten_before_they_are_removed(tmp_path: Path) -> None:
    links = Links(tmp_path, b"key")
    for day in DAYS:
        links.pseudonym(ANNA, day)
    links.pseudonym(BILAL, DAYS[0])
    for number, path in enumerate(sorted(tmp_path.rglob("*"))):
        if path.is_file():
            (tmp_path / f"inode-{number}").hardlink_to(path)  # what an unlinked file would hold
    assert links.forget(ANNA) == 3
    held = [path.read_bytes() for path in tmp_path.glob("inode-*")]
    assert sorted(held)[:3] == [b"\0" * 17] * 3
    assert sum(b"\0" not in data for data in held) == 1, "nobody else's"


def test_links_of_earlier_days_are_dropped(tmp_path: Path) -> None:
    links = Links(tmp_path, b"key")
    pseudonyms = [links.pseudonym(ANNA, day) for day in DAYS]
    links.drop_before(DAYS[1])
    assert links.of(ANNA) == pseudonyms[1:]
