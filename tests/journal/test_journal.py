"""A log grows, turns over, forgets, and refuses to go on from what is damaged."""

import stat
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from discreet.errors import ArtifactCorrupt
from discreet.journal import Damage, Event, Harm, Journal, Kind, journal
from tests.journal.logs import ANNA, BILAL, EVENT, Clock, content, log_at, restore, three_days
from tests.nursery import full_disk


def test_events_come_back_in_order_with_their_time(tmp_path: Path) -> None:
    clock = Clock()
    log = log_at(tmp_path, clock)
    for kind in Kind:
        clock.days += 1 / 86_400
        log.add(replace(EVENT, kind=kind))
    entries = log_at(tmp_path).events()
    assert [entry.event for entry in entries] == [
        replace(EVENT, kind=kind, person=None) for kind in Kind
    ]
    assert [entry.time.second for entry in entries] == list(range(1, len(Kind) + 1))
    assert [entry.number for entry in entries] == list(range(2, len(Kind) + 2))


def test_a_name_that_the_journal_was_not_opened_with_is_refused_and_not_repeated(
    tmp_path: Path,
) -> None:
    for changes in (
        {"purpose": "mothers"},
        {"context": "mothers"},
        {"adapter": "mothers"},
        {"used": (("mothers", "declared"),)},
        {"withheld": (("mothers", "unsure"),)},
        {"withheld": (("age_band", "mothers"),)},
    ):
        with pytest.raises(ValueError, match="`names`") as refused:
            log_at(tmp_path).add(replace(EVENT, **changes))  # type: ignore[arg-type]
        assert "mothers" not in str(refused.value)
    assert not content(tmp_path)
    Journal(tmp_path, names={"mothers"}).add(Event(kind=Kind.STARTED, purpose="mothers"))


def test_only_its_owner_reads_it_and_the_visit_is_nowhere(tmp_path: Path) -> None:
    log_at(tmp_path / "log").add(EVENT)
    paths = [tmp_path / "log", *(tmp_path / "log").iterdir()]
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in paths}
    assert modes.pop("links") == 0o755, "inside of a folder that nobody else may enter"
    assert modes == {"log": 0o700, "head": 0o600, "key": 0o600, "000001.jsonl": 0o600}
    for name, data in content(tmp_path).items():
        assert ANNA not in name
        assert ANNA.encode() not in data
        assert bytes.fromhex(ANNA) not in data


def test_one_visit_has_one_pseudonym_a_day_and_another_the_next(tmp_path: Path) -> None:
    clock = Clock()
    log = log_at(tmp_path, clock)
    for days, person in ((0, ANNA), (0, BILAL), (0, ANNA), (1, ANNA), (1, None)):
        clock.days = days
        log.add(replace(EVENT, person=person))
    first, second, third, fourth, fifth = (entry.pseudonym for entry in log.events())
    assert first == third
    assert fifth is None
    assert len({first, second, fourth}) == 3
    assert [entry.number for entry in log.of(ANNA)] == [2, 4, 6]


def test_what_is_forgotten_is_linked_by_nothing_and_the_lines_stay(tmp_path: Path) -> None:
    log = log_at(tmp_path)
    for person in (ANNA, BILAL, ANNA):
        log.add(replace(EVENT, person=person))
    before = log.events()
    assert (len(log.of(ANNA)), log.forget(ANNA), log.of(ANNA), log.forget(ANNA)) == (2, 1, [], 0)
    assert log.events() == before
    assert log.verify().is_sound
    assert len(log.of(BILAL)) == 1, "nobody else was forgotten"
    log.add(EVENT)
    assert [entry.number for entry in log.of(ANNA)] == [5], "it is another visitor to the log"


def test_links_are_dropped_two_days_later_without_being_asked(tmp_path: Path) -> None:
    clock = Clock()
    log = log_at(tmp_path, clock)
    log.add(EVENT)
    for days, left in ((1, 1), (2, 0)):
        clock.days = days
        log.add(replace(EVENT, person=BILAL))
        assert len(log.of(ANNA)) == left


def test_old_files_are_deleted_and_the_newest_says_so(tmp_path: Path) -> None:
    clock = Clock()
    log = log_at(tmp_path, clock, keep_days=3)
    for days in (0, 1, 2, 3, 4, 9):
        clock.days = days
        log.add(EVENT)
        assert log.verify().is_sound
        kept = {entry.time.day - 1 for entry in log.events()}
        assert kept == {day for day in (0, 1, 2, 3, 4, 9) if days - 3 <= day <= days}
    assert sorted(path.name for path in tmp_path.glob("*.jsonl")) == ["000006.jsonl"]
    assert b'"kept_from":6' in (tmp_path / "000006.jsonl").read_bytes()


def test_a_clock_that_jumps_ahead_deletes_no_file(tmp_path: Path) -> None:
    clock = Clock()
    log = log_at(tmp_path, clock, keep_days=30)
    for days in (0, 1, 4000, 4001, 2, 4000, 3):
        clock.days = days
        log.add(EVENT)
    assert log.verify().events == 7
    for days in range(4, 40):
        clock.days = days
        log.add(EVENT)
    kept = [entry.time.date() for entry in log.events()]
    assert len([day for day in kept if day.year == 2026]) == 38, "time that has passed deletes"
    assert log.verify().is_sound


def test_after_a_pause_files_go_week_by_week(tmp_path: Path) -> None:
    clock = Clock()
    log = log_at(tmp_path, clock, keep_days=3)
    left, noon = [], clock()
    for days in (0, 100, 101):
        clock.days = days
        log.add(EVENT)
        left.append(min(entry.time for entry in log.events()).timestamp())
    assert left == [noon, noon + 100 * 86_400, noon + 100 * 86_400]


@pytest.mark.parametrize("way", ["gone", "changed"])
def test_damage_is_not_passed_off_as_age(tmp_path: Path, way: str) -> None:
    """If files that are damaged were dropped with the old ones, nobody would ever find out."""
    clock = Clock()
    log = log_at(tmp_path, clock, keep_days=3)
    for days in range(3):
        clock.days = days
        log.add(EVENT)
    first = tmp_path / "000001.jsonl"
    if way == "gone":
        first.unlink()
    else:
        first.write_bytes(first.read_bytes().replace(b"2026-03-01", b"2026-02-01"))
    for days in (30, 31):
        clock.days = days
        log.add(EVENT)
        assert not log.verify().is_sound


def test_a_full_file_is_followed_by_another_on_the_same_day(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "MOST_SEGMENT_BYTES", 1000)
    log = log_at(tmp_path)
    for _ in range(10):
        log.add(EVENT)
    sizes = [path.stat().st_size for path in tmp_path.glob("*.jsonl")]
    assert len(sizes) > 2
    assert max(sizes) < 1000 + len(log.verify().head) + 600
    assert len(log.events()) == log.verify().events == len(log.of(ANNA)) == 10


def test_it_does_not_go_on_from_an_end_that_was_changed(tmp_path: Path) -> None:
    log = three_days(tmp_path)
    good = content(tmp_path)["000004.jsonl"]
    newest = tmp_path / "000004.jsonl"
    line = good.splitlines(keepends=True)[-1]
    for bad in (good[: -len(line)], good + line, good[:-3] + b"}}\n", b""):
        newest.write_bytes(bad)
        for other in (log, log_at(tmp_path, Clock(3))):
            with pytest.raises(ArtifactCorrupt, match=r"as it was written.*log verify"):
                other.add(EVENT)
        assert newest.read_bytes() == bad, "nothing was added"
        with pytest.raises(ArtifactCorrupt):
            log.events()
        newest.write_bytes(good)
        assert len(log.events()) == 9, "a backup was put back"
    log.add(EVENT)


def test_a_file_of_another_past_of_the_same_log_is_refused(tmp_path: Path) -> None:
    """Such as a copy that was put back, and used, has left."""
    clock = Clock()
    log = log_at(tmp_path / "log", clock)
    log.add(EVENT)
    restore(tmp_path / "copy", content(tmp_path / "log"))
    clock.days = 1
    log_at(tmp_path / "copy", clock).add(EVENT)
    log_at(tmp_path / "log").add(EVENT)
    second = content(tmp_path / "copy")["000002.jsonl"]
    (tmp_path / "log" / "000002.jsonl").write_bytes(second)
    assert Damage(harm=Harm.MOVED, segment=2) in log.verify().found
    with pytest.raises(ArtifactCorrupt, match="does not follow"):
        log.add(EVENT)


def test_a_disk_that_is_full_leaves_the_log_as_it_was(tmp_path: Path) -> None:
    log = log_at(tmp_path)
    log.add(EVENT)
    with (
        full_disk((tmp_path / "000001.jsonl").stat().st_size + 100),
        pytest.raises(OSError, match="."),
    ):
        log.add(EVENT)
    assert log.verify().events == 1
    log.add(EVENT)
    assert log.verify().events == 2


def test_a_log_that_was_emptied_but_for_its_head_does_not_begin_anew(tmp_path: Path) -> None:
    log_at(tmp_path / "log").add(EVENT)
    for path in (tmp_path / "log" / "key", *(tmp_path / "log").glob("*.jsonl")):
        path.unlink()
    with pytest.raises(ArtifactCorrupt, match="key and lines are gone"):
        log_at(tmp_path / "log").add(EVENT)


def test_a_folder_moved_aside_is_followed_by_a_new_log(tmp_path: Path) -> None:
    log = log_at(tmp_path / "log")
    log.add(EVENT)
    (tmp_path / "log").rename(tmp_path / "aside")
    log.add(replace(EVENT, kind=Kind.STARTED))
    assert [entry.event.kind for entry in log.events()] == [Kind.STARTED]
    assert log_at(tmp_path / "aside").verify().is_sound


def test_files_are_kept_for_a_day_at_least(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="keep_days of 1 or more, got 0"):
        log_at(tmp_path, keep_days=0)


def test_threads_may_share_one(tmp_path: Path) -> None:
    """Also several journals of one folder, as of several processes."""
    logs = [log_at(tmp_path) for _ in range(2)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: logs[number % 2].add(EVENT), range(100)))
    assert [entry.number for entry in logs[0].events()] == list(range(2, 102))
    assert logs[0].verify().is_sound
