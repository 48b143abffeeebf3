"""Twins are measured as a person asks for it, on few of them."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from discreet.cli import bench_twins
from discreet.model import Vlm
from discreet.people import TWIN_KINDS

Run = Callable[..., tuple[int, str, str]]


def test_twins_of_few_people_are_compared_and_nothing_is_told_of_so_few(
    discreet: Run, tmp_path: Path
) -> None:
    out_file = tmp_path / "twins.json"
    words = ("bench", "twins", "--people", 1, "--questions", 0, "--out", out_file)
    status, out, err = discreet(*words)
    assert status == 0, err
    for kind in TWIN_KINDS:
        assert f"| healthcare | {kind} |" in out
    assert "fewer than 30 people" in out
    record = json.loads(out_file.read_text())
    assert record["pairs"] == len(TWIN_KINDS)
    assert set(record["lines"]) == {"healthcare", "education"}
    assert record["lines"]["education"]["unwarranted"]["by_kind"]["expression"] is None
    assert record["answers"] == {}


def test_a_model_is_asked_where_words_differ(
    discreet: Run, tiny: Vlm, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Expressions are changed, so that words differ in healthcare and not in education."""
    monkeypatch.setattr(bench_twins, "load_responder", lambda *words, **more: tiny)
    monkeypatch.setattr(bench_twins, "is_warranted", lambda kind, gate: False)
    words = ("bench", "twins", "none", "--kind", "expression", "--people", 2)
    status, out, err = discreet(*words, "--questions", 1, "--guidance", 1, "--json")
    assert status == 0, err
    answers = json.loads(out)["answers"]
    assert answers["healthcare"]["questions"] == 1
    assert answers["healthcare"]["asked"] >= 2
    assert set(answers["education"]["parts"]) == {"words", "form", "facts", "refusal"}


def test_a_kind_that_nobody_has_is_refused_before_anything_is_loaded(discreet: Run) -> None:
    status, _, err = discreet("bench", "twins", "--kind", "shoe_size")
    assert status == 1
    assert "Expected kind in age" in err
