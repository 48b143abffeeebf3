"""`discreet log`: what is said of a sound log, of a damaged one, and what is handed on."""

import json
from pathlib import Path

import pytest

from discreet.journal import Event, Journal, Kind
from tests.cli.conftest import Run
from tests.journal.logs import ANNA, BILAL, EVENT, log_at, three_days


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return three_days(tmp_path / "log").folder


def test_a_sound_log_is_called_so_with_a_head_to_note(discreet: Run, log: Path) -> None:
    status, out, said = discreet("log", "verify", log)
    assert (status, out) == (0, "")
    assert "Sound: 9 events in 3 files, 2026-03-02 to 2026-03-04." in said
    head = said.split("Head ")[1].split(".")[0]
    assert discreet("log", "verify", log, "--head", head)[0] == 0
    status, _, said = discreet("log", "verify", log, "--head", f"{head[:-1]}x")
    assert status == 1
    assert "is not the log of which that head was noted" in said


def test_a_damaged_log_ends_with_status_1_and_says_where(discreet: Run, log: Path) -> None:
    path = log / "000003.jsonl"
    path.write_bytes(path.read_bytes().replace(b"disclosed", b"emergency"))
    status, _, said = discreet("log", "verify", log)
    assert status == 1
    assert "Not sound" in said
    assert "file 3, line 3: changed" in said
    status, out, _ = discreet("log", "verify", log, "--json")
    told = json.loads(out)
    assert (status, told["is_sound"], len(told["found"])) == (1, False, 1)
    for command in (("show", log), ("export", log, log.parent / "out.json")):
        status, out, said = discreet("log", *command)
        assert (status, out) == (1, "")
        assert "ArtifactCorrupt" in said
    assert not (log.parent / "out.json").exists()


def test_much_damage_is_counted_and_not_listed(discreet: Run, tmp_path: Path) -> None:
    journal = log_at(tmp_path)
    for _ in range(25):
        journal.add(EVENT)
    path = tmp_path / "000001.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"healthcare"', b'"education"'))
    _, _, said = discreet("log", "verify", tmp_path)
    assert said.count("file 1, line") == 20
    assert "and 6 more" in said, "five lines, and that the head is not met"


def test_events_are_shown_oldest_first_with_visits_as_numbers(
    discreet: Run, tmp_path: Path
) -> None:
    journal = log_at(tmp_path)
    journal.add(EVENT)
    for person in (BILAL, ANNA):
        journal.add(Event(kind=Kind.DISCLOSED, person=person, context="home"))
    status, out, _ = discreet("log", "show", tmp_path, "--json")
    shown = json.loads(out)
    assert status == 0
    assert [(one["number"], one["visit"]) for one in shown] == [(2, 1), (3, 2), (4, 1)]
    assert shown[0]["used"] == [["age_band", "declared"]]
    status, _, said = discreet("log", "show", tmp_path, "--last", 3)
    assert status == 0
    for word in ("2026-03-01", "answered", "healthcare", "reference", "age_band", "1000"):
        assert word in said
    assert discreet("log", "show", tmp_path, "--last", 1, "--json")[1].count("number") == 1


def test_a_copy_to_hand_on_has_the_verdict_and_all_events(discreet: Run, log: Path) -> None:
    out = log.parent / "out.json"
    assert discreet("log", "export", log, out)[:2] == (0, f"{out}\n")
    told = json.loads(out.read_text())
    assert (told["events"], told["files"], told["found"], len(told["entries"])) == (9, 3, [], 9)
    assert {entry["visit"] for entry in told["entries"]} == {1, 2, 3}


def test_where_there_is_no_log_the_way_out_is_said(discreet: Run, tmp_path: Path) -> None:
    status, _, said = discreet("log", "verify", tmp_path / "nothing")
    assert status == 1
    assert "'head' is not there" in said
    assert not (tmp_path / "nothing").exists()


def test_what_is_shown_and_handed_on_has_no_pseudonym_and_no_key(
    discreet: Run, tmp_path: Path
) -> None:
    journal = Journal(tmp_path / "log")
    journal.add(Event(kind=Kind.ANSWERED, person=ANNA))
    secrets = {journal.events()[0].pseudonym or "", (tmp_path / "log" / "key").read_bytes().hex()}
    out = tmp_path / "out.json"
    told = [discreet("log", "export", tmp_path / "log", out)[1], out.read_text()]
    for words in (("show",), ("show", "--json"), ("verify",), ("verify", "--json")):
        told += discreet("log", words[0], tmp_path / "log", *words[1:])[1:]
    assert not [text for text in told for secret in secrets if secret in text]
