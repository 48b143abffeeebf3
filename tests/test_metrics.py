"""What lines of a run folder say, one by one, and that nonsense in them is found."""

import math
from typing import Any

import pytest

from discreet.metrics import (
    last_number,
    number_of,
    reason_of_end,
    released,
    rounds_done,
    statement_of,
)
from discreet.types import PrivacyStatement


def line(server_round: int, name: str, value: object = 1, **more: object) -> dict[str, Any]:
    return {"round": server_round, "name": name, "value": value, "visibility": "released", **more}


def test_the_number_that_was_said_last_of_no_node_counts() -> None:
    lines = [line(1, "loss", 3.0), line(1, "loss", 2.0), line(1, "loss", 9.0, node=4)]
    assert last_number(lines, "loss") == 2.0
    assert last_number(lines, "seconds") is None


@pytest.mark.parametrize("value", [True, "7", None, math.nan, math.inf])
def test_what_is_no_finite_number_is_refused(value: object) -> None:
    with pytest.raises(TypeError, match="finite number as value"):
        number_of(line(1, "seconds", value))


def test_a_line_of_epsilon_is_a_whole_statement_or_none() -> None:
    spent = PrivacyStatement(
        epsilon=3.0, delta=1e-5, unit="example", neighbouring_relation="add_or_remove_one"
    )
    said = line(1, "epsilon", 3.0, delta=1e-5, unit="example")
    with pytest.raises(KeyError):
        statement_of(said)
    assert statement_of({**said, "neighbouring_relation": "add_or_remove_one"}) == spent


def test_a_round_is_done_where_somebody_replied_also_if_that_is_local() -> None:
    lines = [
        line(1, "replies", 4),
        line(2, "replies", 3, visibility="local"),
        line(3, "replies", 0),
    ]
    assert rounds_done(lines) == 2
    assert rounds_done([]) == 0
    assert released(lines) == [lines[0], lines[2]]


def test_a_run_that_went_on_since_has_not_ended() -> None:
    ended = line(2, "ended", "budget_exhausted", reason="spent")
    assert reason_of_end([line(1, "replies", 4), ended]) == "spent"
    assert reason_of_end([line(1, "replies", 4), ended, line(2, "replies", 4)]) is None
