"""A process that is killed, at any line of the code or any byte of a write, loses nothing."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import discreet
from discreet.errors import ArtifactCorrupt
from discreet.journal import Journal
from tests.journal.logs import ANNA, BILAL, DAY, EVENT, NOON, Clock, content, log_at, restore

Files = dict[str, bytes]
WATCHED = ("discreet/journal/", "discreet/artifacts.py", "discreet/keys.py")
ADDING = """
import sys
from pathlib import Path
from discreet.journal import Event, Journal, Kind
journal = Journal(Path(sys.argv[1]))
for number in range(1, 100_000):
    journal.add(Event(kind=Kind.ANSWERED, person=sys.argv[2], milliseconds=1))
    print(number, flush=True)
"""


@contextmanager
def every_state(folder: Path) -> Iterator[list[Files]]:
    """Collect what a folder holds before each line of code that writes it."""
    states: list[Files] = []

    def watch(frame: FrameType, event: str, argument: Any) -> Any:
        if not any(part in frame.f_code.co_filename for part in WATCHED):
            return None
        if event == "line" and (state := content(folder)) not in states:
            states.append(state)
        return watch

    before = sys.gettrace()
    sys.settrace(watch)
    try:
        yield states
    finally:
        sys.settrace(before)
        states.append(content(folder))


def assert_goes_on(folder: Path, files: Files) -> int:
    """Assert that a log is sound and goes on; return how many events of two days are in it."""
    journal = log_at(restore(folder, files), keep_days=1)
    found = 0
    if any(name.endswith(".jsonl") for name in files):
        assert (verdict := journal.verify()).is_sound, verdict
        found = young(journal)
    journal.add(replace(EVENT, person=BILAL))
    assert (verdict := journal.verify()).is_sound, verdict
    assert young(journal) == found + 1
    return found


def young(journal: Journal) -> int:
    """Return how many events are not old enough to be deleted."""
    return sum(entry.time.timestamp() >= NOON - DAY for entry in journal.events())


def first_event(folder: Path) -> Callable[[], None]:
    return lambda: log_at(folder).add(EVENT)


def next_event(folder: Path) -> Callable[[], None]:
    journal = log_at(folder)
    journal.add(EVENT)
    return lambda: journal.add(EVENT)


def next_day(folder: Path) -> Callable[[], None]:
    """Return what opens the third file and deletes the first, with an event of each day."""
    clock = Clock(-2)
    journal = log_at(folder, clock, keep_days=1)
    for clock.days in (-2, -1):
        journal.add(EVENT)
    clock.days = 0
    return lambda: journal.add(EVENT)


def forget(folder: Path) -> Callable[[], None]:
    journal = log_at(folder)
    journal.add(EVENT)

    def act() -> None:
        assert journal.forget(ANNA) == 1

    return act


@pytest.mark.parametrize(
    ("case", "before", "after"),
    [(first_event, 0, 1), (next_event, 1, 2), (next_day, 1, 2), (forget, 1, 1)],
)
def test_a_log_is_sound_whenever_its_process_is_killed(
    tmp_path: Path, case: Callable[[Path], Callable[[], None]], before: int, after: int
) -> None:
    folder = tmp_path / "log"
    act = case(folder)
    with every_state(folder) as states:
        act()
    counts = [assert_goes_on(tmp_path / str(n), state) for n, state in enumerate(states)]
    assert len(counts) > 2
    assert counts == sorted(counts)
    assert (counts[0], counts[-1]) == (before, after)


def test_a_line_torn_at_any_byte_is_cut_off(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    journal = log_at(folder)
    journal.add(EVENT)
    before = content(folder)
    journal.add(EVENT)
    after = content(folder)["000001.jsonl"]
    start = len(before["000001.jsonl"])
    for end in range(start, len(after), 7):
        torn = {**before, "000001.jsonl": after[:end]}
        assert assert_goes_on(tmp_path / str(end), torn) == 1
    whole = {**before, "000001.jsonl": after}
    assert assert_goes_on(tmp_path / "whole", whole) == 2, "written, not yet in the head"


def test_the_check_would_find_a_head_that_is_written_too_early(tmp_path: Path) -> None:
    """Were it written before its line, a kill between the two would look like an edit."""
    journal = log_at(tmp_path / "log")
    journal.add(EVENT)
    lines = content(journal.folder)["000001.jsonl"]
    journal.add(EVENT)
    early = {**content(journal.folder), "000001.jsonl": lines}
    with pytest.raises(AssertionError):
        assert_goes_on(tmp_path / "early", early)
    with pytest.raises(ArtifactCorrupt):
        log_at(tmp_path / "early").add(EVENT)


def test_processes_that_are_killed_while_they_add_lose_no_event_that_they_reported(
    tmp_path: Path,
) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(discreet.__file__).parents[1])}
    reported = 0
    for turn in range(3):
        children = [
            subprocess.Popen(
                [sys.executable, "-c", ADDING, str(tmp_path / "log"), person],
                env=environment,
                stdout=subprocess.PIPE,
                text=True,
            )
            for person in (ANNA, BILAL)
        ]
        for child in children:
            assert child.stdout is not None
            assert child.stdout.readline() == "1\n"
        time.sleep(0.05 + 0.03 * turn)
        for child in children:
            child.send_signal(signal.SIGKILL)
        said = [child.communicate()[0].split() for child in children]
        reported += sum(1 + len(lines) for lines in said)
        verdict = Journal(tmp_path / "log").verify()
        assert verdict.is_sound
        assert reported <= verdict.events <= reported + 2 * (turn + 1)
    assert len({entry.pseudonym for entry in Journal(tmp_path / "log").events()}) == 2
