"""Whatever is done to a log without its key is found, and what a crash leaves is not damage."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from discreet.errors import ArtifactCorrupt, DeploymentError
from discreet.journal import Damage, Harm, Journal
from discreet.journal.lines import OPENING, Head, written
from tests.journal.logs import ANNA, EVENT, Clock, content, log_at, restore, three_days

Files = dict[str, bytes]
Draw = Callable[[st.SearchStrategy[Any]], Any]
LOG = [f"{number:06d}.jsonl" for number in (2, 3, 4)]
"""What is kept of `three_days`."""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return content(three_days(tmp_path_factory.mktemp("log")).folder)


def lines_in(files: Files, name: str) -> list[bytes]:
    return files.get(name, b"").splitlines(keepends=True)


def what_counts(files: Files) -> Files:
    """Return what a log says: whole lines of the files that are kept, and the head."""
    whole = {n: d[: d.rfind(b"\n") + 1] for n, d in files.items() if n.endswith(".jsonl")}
    kept = {name: data for name, data in whole.items() if int(name[:-6]) >= 2}
    return {**kept, "head": files.get("head", b"none")}


def place(draw: Draw, files: Files) -> str:
    return draw(st.sampled_from(sorted(name for name in files if name.endswith(".jsonl"))))


def flip(draw: Draw, files: Files) -> None:
    name = draw(st.sampled_from([*LOG, "head"]))
    if files.get(name):
        data = bytearray(files[name])
        data[draw(st.integers(0, len(data) - 1))] ^= draw(st.integers(1, 255))
        files[name] = bytes(data)


def cut(draw: Draw, files: Files) -> None:
    name = place(draw, files)
    files[name] = files[name][: draw(st.integers(0, len(files[name])))]


def append(draw: Draw, files: Files) -> None:
    files[place(draw, files)] += draw(st.binary(max_size=80))


def edit_lines(draw: Draw, files: Files) -> None:
    """Take a line out of one place and put it, or nothing, or it twice, into another."""
    source, target = place(draw, files), place(draw, files)
    lines = lines_in(files, source)
    if lines:
        line = lines.pop(draw(st.integers(0, len(lines) - 1)))
        if draw(st.booleans()):
            files[source] = b"".join(lines)
        lines = lines_in(files, target)
        at = draw(st.integers(0, len(lines)))
        files[target] = b"".join([*lines[:at], *[line] * draw(st.integers(0, 2)), *lines[at:]])


def move_file(draw: Draw, files: Files) -> None:
    name = place(draw, files)
    other = f"{draw(st.integers(1, 7)):06d}.jsonl"
    data, before = files.pop(name), files.get(other)
    if draw(st.booleans()):
        files[other] = data
    if before is not None and draw(st.booleans()):
        files[name] = before
    files.setdefault("000002.jsonl", b"")


def write_anew(draw: Draw, files: Files) -> None:
    """Let somebody with another key write one line and all lines after it, in all files."""
    key, number = b"another key", draw(st.integers(1, 12))
    before = "f" * 64
    for name in LOG:
        lines = lines_in(files, name)
        for at, line in enumerate(lines):
            number -= 1
            try:
                record = {k: v for k, v in json.loads(line).items() if k != "mac"}
            except ValueError:
                continue
            if number <= 0:
                raw, before = written(key, record, before if at else OPENING)
                lines[at] = raw + b"\n"
        files[name] = b"".join(lines)
    files["head"] = Head(4, 16, before).to_bytes(key)


def remove_head(draw: Draw, files: Files) -> None:
    files["head"] = draw(st.sampled_from([b"", b"\0" * 150, files["head"][:-1]]))


WAYS: list[Callable[[Draw, Files], None]] = [
    flip,
    cut,
    append,
    edit_lines,
    move_file,
    write_anew,
    remove_head,
]


@settings(max_examples=500)
@given(data=st.data())
def test_any_damage_is_found_and_nothing_else(
    data: st.DataObject, files: Files, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The oracle compares bytes: it is sound if and only if whole lines and head are the same."""
    broken = dict(files)
    for way in data.draw(st.lists(st.sampled_from(WAYS), min_size=1, max_size=3)):
        way(data.draw, broken)
    verdict = Journal(restore(tmp_path_factory.mktemp("broken"), broken)).verify()
    assert verdict.is_sound == (what_counts(broken) == what_counts(files))


def found_in(folder: Path, files: Files, changes: dict[str, bytes | None]) -> tuple[Damage, ...]:
    """Return what is found where files have other bytes, or are not there."""
    left = {name: data for name, data in {**files, **changes}.items() if data is not None}
    return Journal(restore(folder, left)).verify().found


def test_a_log_says_what_is_in_it(tmp_path: Path) -> None:
    verdict = three_days(tmp_path).verify()
    assert (verdict.is_sound, verdict.events, verdict.segments) == (True, 9, 3)
    assert verdict.first is not None
    assert verdict.last is not None
    assert [str(t.date()) for t in (verdict.first, verdict.last)] == ["2026-03-02", "2026-03-04"]
    assert verdict.head.startswith("16:"), "four opening lines and twelve events"


def test_damage_is_told_by_its_place(files: Files, tmp_path: Path) -> None:
    lines = lines_in(files, LOG[1])
    edited = b"".join([*lines[:2], lines[2].replace(b"disclosed", b"emergency"), *lines[3:]])
    removed = b"".join([*lines[:2], *lines[3:]])
    third = Damage(harm=Harm.CHANGED, segment=3, line=3)
    for name, log in {"edited": edited, "removed": removed}.items():
        assert found_in(tmp_path / name, files, {LOG[1]: log}) == (third,)
    assert str(third).startswith("file 3, line 3: changed")
    cases: dict[str, tuple[dict[str, bytes | None], Damage]] = {
        "gone": ({LOG[1]: None}, Damage(harm=Harm.MISSING, segment=3)),
        "oldest": ({LOG[0]: None}, Damage(harm=Harm.MISSING, segment=2)),
        "empty": ({LOG[1]: b""}, Damage(harm=Harm.EMPTY, segment=3)),
        "newest": ({LOG[2]: None}, Damage(harm=Harm.CUT)),
        "doubled": ({"000005.jsonl": files[LOG[2]]}, Damage(harm=Harm.MOVED, segment=5)),
        "head": ({"head": b""}, Damage(harm=Harm.NO_HEAD)),
        "cut": ({LOG[2]: files[LOG[2]][:-1]}, Damage(harm=Harm.CUT)),
    }
    for name, (changes, damage) in cases.items():
        assert damage in found_in(tmp_path / name, files, changes), name


def test_files_that_take_the_names_of_those_before_are_found(files: Files, tmp_path: Path) -> None:
    """Without its first day a log of which nothing was deleted yet still follows line by line."""
    clock = Clock()
    journal = log_at(tmp_path / "log", clock)
    for clock.days in range(3):
        journal.add(EVENT)
    days = content(journal.folder)
    shifted = {"000001.jsonl": days["000002.jsonl"], "000002.jsonl": days.pop("000003.jsonl")}
    moved = {Damage(harm=Harm.MOVED, segment=segment) for segment in (1, 2)}
    assert moved <= set(found_in(tmp_path / "moved", days, dict(shifted)))


def test_a_number_that_no_file_has_takes_no_time(files: Files, tmp_path: Path) -> None:
    found = found_in(tmp_path, files, {f"{10**30}.jsonl": files[LOG[2]]})
    assert Damage(harm=Harm.MISSING, segment=5) in found


def test_a_log_put_back_to_an_older_state_is_found_by_a_head_that_was_noted(
    tmp_path: Path,
) -> None:
    journal = log_at(tmp_path / "log")
    journal.add(EVENT)
    older = content(journal.folder)
    first = journal.verify().head
    journal.add(EVENT)
    second = journal.verify(first)
    assert second.is_sound, "it has grown since"
    put_back = Journal(restore(tmp_path / "older", older))
    assert put_back.verify().is_sound, "nothing in the folder tells"
    assert put_back.verify(second.head).found == (Damage(harm=Harm.OTHER),)


def test_a_log_written_anew_with_another_key_is_found_by_a_head_that_was_noted(
    tmp_path: Path,
) -> None:
    noted = three_days(tmp_path / "one").verify().head
    assert three_days(tmp_path / "other").verify(noted).found == (Damage(harm=Harm.OTHER),)


@pytest.mark.parametrize("head", ["", "16", "16:", "x:1", "16:" + "0" * 15, "-1:" + "0" * 16])
def test_what_is_no_head_is_refused(files: Files, tmp_path: Path, head: str) -> None:
    with pytest.raises(ValueError, match="Expected a head"):
        Journal(restore(tmp_path, files)).verify(head)


def test_the_head_of_a_line_that_was_deleted_for_its_age_cannot_be_compared(
    files: Files, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="Expected the head of a line that is kept, from 5 on"):
        Journal(restore(tmp_path, files)).verify("2:" + "0" * 16)


def test_without_its_key_nothing_is_called_sound(files: Files, tmp_path: Path) -> None:
    journal = Journal(restore(tmp_path, {n: d for n, d in files.items() if n != "key"}))
    with pytest.raises(ArtifactCorrupt, match="private key"):
        journal.verify()
    with pytest.raises(ArtifactCorrupt, match="private key"):
        journal.add(EVENT)
    (tmp_path / "key").write_bytes(files["key"])
    (tmp_path / "key").chmod(0o644)
    with pytest.raises(DeploymentError, match="its owner alone"):
        journal.verify()


def test_nothing_is_verified_or_made_where_there_is_no_log(tmp_path: Path) -> None:
    for ask in (lambda j: j.verify(), lambda j: j.events(), lambda j: j.of(ANNA)):
        with pytest.raises(ArtifactCorrupt, match="'head' is not there"):
            ask(Journal(tmp_path))
    assert Journal(tmp_path).forget(ANNA) == 0
    assert not content(tmp_path)
