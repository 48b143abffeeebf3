"""Commands as a person types them, run in this process."""

import sys
from collections.abc import Callable

import pytest

from discreet.cli import main

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def discreet(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run `discreet` with some words; return its exit status, stdout and stderr."""

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["discreet", *map(str, words)])
        try:
            main()
            status = 0
        except SystemExit as end:
            status = int(end.code or 0)
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run
