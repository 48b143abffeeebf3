"""What a person sees of a run, on terminals of several sizes and where there is none."""

import doctest
from dataclasses import replace
from io import StringIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from discreet.cli import live
from discreet.cli.live import View, watching
from discreet.federated import (
    Event,
    OwnerDropped,
    OwnerHindered,
    OwnerReplied,
    RoundDone,
    RoundStarted,
    StepTaken,
)
from discreet.types import PrivacyStatement

TITLE = (
    "10 owners, 200 rounds of 10 private steps; each owner spends at most epsilon = 8.00 at delta "
    "= 1e-05 (unit: example, neighbours: add_or_remove_one)."
)
ROUNDS, ASKED = 200, 10


class Clock:
    """Seconds that pass only when the test says so."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def spent(epsilon: float) -> PrivacyStatement:
    return PrivacyStatement(
        epsilon=epsilon, delta=1e-5, unit="example", neighbouring_relation="add_or_remove_one"
    )


def a_round(number: int, *, dropped: int = 0, loss: float | None = None) -> list[Event]:
    """A whole round of ten owners."""
    events: list[Event] = [RoundStarted(server_round=number, num_rounds=ROUNDS, asked=ASKED)]
    replies = ASKED - dropped
    for node in range(replies):
        owner = f"owner-{node}"
        if loss is not None:
            events.append(
                StepTaken(server_round=number, owner=owner, step=1, steps=1, loss=loss + node)
            )
        events.append(OwnerReplied(server_round=number, node=node, size_bytes=9, seconds=0.1))
    for node in range(replies, ASKED):
        events.append(OwnerDropped(server_round=number, node=node, reason="NoReply"))
    done = RoundDone(
        server_round=number,
        num_rounds=ROUNDS,
        replies=replies,
        dropped=dropped,
        bytes_down=45_000_000,
        bytes_up=4_500_000,
        seconds=12.3,
        spent=spent(number / 4),
    )
    return [*events, done]


def terminal(width: int = 80, height: int = 24) -> Console:
    return Console(
        width=width,
        height=height,
        file=StringIO(),
        force_terminal=True,
        force_interactive=True,
        record=True,
        _environ={},
    )


def drawn(view: View, console: Console | None = None) -> str:
    console = console or terminal()
    console.print(view)
    return console.export_text()


def shown(events: list[Event], clock: Clock | None = None) -> str:
    view = View(TITLE, clock or Clock())
    for event in events:
        view.take(event)
    return drawn(view)


def test_a_round_that_is_done_is_a_row_with_what_it_cost() -> None:
    text = shown(a_round(1, dropped=2, loss=3.0))
    (row,) = (line.split() for line in text.splitlines() if "NoReply" in line)
    assert row == ["1", "8", "2", "NoReply", "0.25", "45.0", "4.50", "12.3", "6.500"]
    assert "local loss" in text
    assert "8 done, 2 failed, 0 waiting" in text


def test_epsilon_is_drawn_with_delta_unit_and_relation() -> None:
    words = " ".join(shown(a_round(1)).split())
    assert "worst owner so far, at delta = 1e-05 (unit: example, neighbours: add_or_rem" in words


def test_a_loss_that_was_released_is_told_from_the_local_one() -> None:
    *events, done = a_round(1, loss=3.0)
    assert isinstance(done, RoundDone)
    view = View(TITLE, Clock())
    for event in [*events, replace(done, loss=2.25)]:
        view.take(event)
    (row,) = (line for line in drawn(view, terminal(width=120)).splitlines() if "12.3" in line)
    assert row.split()[-2:] == ["2.250", "7.500"]
    assert "released loss  local loss" in drawn(view, terminal(width=120))
    assert view.rows[0].line.endswith("released loss 2.250; local loss 7.500")


def test_who_hindered_the_opening_of_a_sum_is_named_in_the_line_and_below_the_table() -> None:
    *events, done = a_round(1)
    hindered = [OwnerHindered(server_round=1, node=n, reason="NoReply") for n in (3, 7)]
    view = View(TITLE, Clock())
    for event in [*events, *hindered, done, *a_round(2)]:
        view.take(event)
    assert "; opening hindered by node 3, node 7; " in view.rows[0].line
    assert "hindered" not in view.rows[1].line
    assert "Round 1: opening hindered by node 3, node 7." in " ".join(drawn(view).split())


def test_two_scales_of_loss_are_said_once() -> None:
    console = Console(file=StringIO(), width=80)
    with watching(TITLE, console) as on_event:
        for number in (1, 2):
            *events, done = a_round(number, loss=3.0)
            assert isinstance(done, RoundDone)
            for event in [*events, replace(done, loss=2.25)]:
                on_event(event)
    assert isinstance(console.file, StringIO)
    text = console.file.getvalue()
    assert text.count("released loss 2.250; local loss 7.500") == 2
    assert text.count("Their scales differ") == 1


def test_where_no_loss_is_known_there_is_no_word_of_it() -> None:
    assert "loss" not in shown(a_round(1)).lower()


def test_owners_of_the_round_that_runs_are_done_failed_or_waiting() -> None:
    events = a_round(2)[:4]  # started, three replies
    dropped = OwnerDropped(server_round=2, node=9, reason="NoReply")
    step = StepTaken(server_round=2, owner="owner-5", step=3, steps=8, loss=None)
    text = shown([*a_round(1), *events, dropped, step])
    assert "1 of 200" in text
    assert "3 done, 1 failed, 6 waiting; owner-5 step 3/8" in text


def test_an_owner_who_trained_here_counts_before_the_reply_is_read() -> None:
    steps = [
        StepTaken(server_round=1, owner=f"owner-{n}", step=8, steps=8, loss=1.0) for n in range(4)
    ]
    assert "4 done, 0 failed, 6 waiting" in shown([a_round(1)[0], *steps])


def test_the_time_left_is_that_of_the_rounds_since_the_start() -> None:
    clock = Clock()
    view = View(TITLE, clock)
    for number in (101, 102):  # resumed after 100 rounds
        for event in a_round(number):
            view.take(event)
        clock.seconds += 60.0
    assert "102 of 200, about 1 h 38 min left" in drawn(view)


def test_a_finished_run_has_no_time_left() -> None:
    assert "left" not in shown([e for number in range(1, ROUNDS + 1) for e in a_round(number)])


@given(
    width=st.integers(20, 200),
    height=st.integers(4, 60),
    rounds=st.integers(0, 70),
    so_far=st.integers(0, 11),
    loss=st.none() | st.floats(0, 1e6),
)
def test_it_is_never_higher_than_the_terminal_nor_wider(
    width: int, height: int, rounds: int, so_far: int, loss: float | None
) -> None:
    view = View(TITLE, Clock())
    for number in range(1, rounds + 1):
        for event in a_round(number, dropped=number % 3, loss=loss):
            view.take(event)
    for event in a_round(rounds + 1)[:so_far]:
        view.take(event)
    lines = drawn(view, terminal(width, height)).splitlines()
    assert len(lines) < height
    assert max(map(len, lines)) <= width


def test_eighty_columns_hold_the_whole_table_but_long_reasons() -> None:
    events = a_round(200, dropped=1, loss=3.0)
    events[-2] = OwnerDropped(server_round=200, node=9, reason="Expected finite values in it")
    text = shown(events)
    assert all(name in text for name in ("replies", "epsilon", "MB up", "seconds", "local loss"))
    (row,) = (line for line in text.splitlines() if "Expected" in line)
    assert "…" in row
    assert row.split()[-1] == "7.000"


@pytest.mark.parametrize("why", ["no terminal", "NO_COLOR"])
def test_elsewhere_each_round_is_one_line_that_can_be_read_alone(why: str) -> None:
    is_terminal = why == "NO_COLOR"
    console = Console(
        file=StringIO(),
        width=80,
        highlight=False,
        force_terminal=is_terminal,
        _environ={"NO_COLOR": "1"} if is_terminal else {},
    )
    with watching(TITLE, console) as on_event:
        for event in [*a_round(1, dropped=2, loss=3.0), *a_round(2)]:
            on_event(event)
    assert isinstance(console.file, StringIO)
    assert console.file.getvalue().splitlines() == [
        TITLE,
        f"round 1 of 200: 8 replies, 2 dropped (2 NoReply); worst owner so far {spent(0.25)}; "
        "45.0 MB down, 4.50 MB up; 12.3 s; local loss 6.500",
        "Local loss: mean of who was drawn, without noise; it stays in this process.",
        f"round 2 of 200: 10 replies, 0 dropped; worst owner so far {spent(0.5)}; 45.0 MB down, "
        "4.50 MB up; 12.3 s",
    ]


def test_on_a_terminal_the_last_picture_stays() -> None:
    console = terminal()
    with watching(TITLE, console) as on_event:
        for event in a_round(1):
            on_event(event)
    assert "1 of 200" in console.export_text()


def test_the_examples_in_the_file_run() -> None:
    result = doctest.testmod(live)
    assert result.attempted >= 2
    assert not result.failed
