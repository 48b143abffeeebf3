"""Switches are there inside the block, whatever was there before, and gone after it."""

import os

import pytest

from discreet.quiet import QUIET, quietly


def test_a_block_sets_every_switch_and_puts_back_what_there_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FLWR_TELEMETRY_ENABLED", "1")
    monkeypatch.delenv("RAY_USAGE_STATS_ENABLED", raising=False)
    before = dict(os.environ)
    with quietly(ANOTHER="0"):
        assert {name: os.environ[name] for name in QUIET} == QUIET
        assert os.environ["ANOTHER"] == "0"
    assert dict(os.environ) == before
