"""`discreet law` shows every article, and says when it was checked too long ago."""

import json
from datetime import timedelta

import pytest

from discreet.cli.law import STALE, stale
from discreet.law import LAW_CHECKED_ON, load_law
from tests.cli.conftest import Run


def test_law_shows_every_article(discreet: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    status, _, told = discreet("law")
    assert status == 0
    assert [one.id for one in load_law() if one.id not in told] == []


def test_law_is_printed_for_machines(discreet: Run) -> None:
    status, out, _ = discreet("law", "--json")
    assert status == 0
    read = json.loads(out)
    assert [one["id"] for one in read] == [one.id for one in load_law()]
    assert read[0]["checked_on"] == str(load_law()[0].checked_on)


def test_what_was_checked_too_long_ago_is_said_with_the_way_out() -> None:
    assert stale(load_law(), LAW_CHECKED_ON + STALE) is None
    told = stale(load_law(), LAW_CHECKED_ON + STALE + timedelta(days=1))
    assert told is not None
    assert str(LAW_CHECKED_ON) in told
    assert "checked_on" in told
