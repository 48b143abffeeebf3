"""Switches are there inside the block, whatever was there before, and gone after it."""

import os
import subprocess
import sys

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


@pytest.mark.parametrize("first", ["", "quiet_warnings()"])
def test_a_program_may_silence_libraries_before_they_are_imported(first: str) -> None:
    lines = [
        "import logging, warnings",
        "from discreet.quiet import quiet_warnings",
        first,
        "logging.getLogger('bitsandbytes.backends').warning('no kernels')",
        "warnings.warn('`is_gradient_checkpointing` is deprecated and', FutureWarning)",
        "logging.getLogger('discreet').warning('clinic-a did not train')",
    ]
    command = [sys.executable, "-c", "\n".join(lines)]
    found = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    assert "clinic-a did not train" in found
    assert ("no kernels" in found, "deprecated" in found) == (
        (False,) * 2 if first else (True,) * 2
    )
