"""Readings beside a yardstick: what is slower is told, what is noise is not."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from discreet.bench.readings import (
    Pair,
    Reading,
    SpeedRun,
    append_run,
    as_comparison,
    as_readings,
    compare_runs,
    read_history,
    read_pairs,
)
from discreet.errors import ArtifactError
from discreet.fairness import adjusted


def run_of(*ratios: list[float], hardware: str = "a CPU") -> SpeedRun:
    readings = [
        Reading(
            name=f"reading {place}",
            beside="yardstick",
            ratios=tuple(own),
            cpu_seconds=1.0,
            wall_seconds=1.0,
        )
        for place, own in enumerate(ratios)
    ]
    return SpeedRun(
        commit="abc",
        hardware={"cpu": hardware},
        at="2026-01-01T00:00:00+00:00",
        base="tiny",
        readings=tuple(readings),
    )


def spin(times: int) -> None:
    sum(range(times))


def test_twice_the_work_takes_about_twice_as_long() -> None:
    pair = Pair(
        name="two",
        beside="one",
        work=lambda: spin(4_000_000),
        yardstick=lambda: spin(2_000_000),
    )
    (found,) = read_pairs([pair], rounds=9)
    assert 1.5 < found.ratio < 2.7
    assert len(found.ratios) == 9
    assert "| two | one |" in as_readings([found])


def test_a_slower_reading_is_told_and_a_noisy_one_is_not() -> None:
    before = run_of([1.0, 1.1, 0.9, 1.05, 0.95, 1.02], [1.0, 2.0, 1.5, 0.7, 1.1, 0.9])
    after = run_of([2.0, 2.1, 1.9, 2.05, 1.95, 2.02], [1.2, 1.8, 1.3, 0.8, 1.0, 0.95])
    slower, same = compare_runs(before, after)
    assert slower.times == pytest.approx(2, abs=0.05)
    assert slower.in_words.startswith("slower by ")
    assert same.in_words == "no difference beyond noise"
    back, _ = compare_runs(after, before)
    assert back.in_words.startswith("faster by ")
    assert back.times == pytest.approx(0.5, abs=0.02)


def test_of_runs_of_the_same_speed_at_most_one_in_twenty_differs() -> None:
    draw = np.random.default_rng(0)
    wrong = 0
    for _ in range(300):
        first, second = (run_of(*draw.normal(1, 0.1, (6, 7)).tolist()) for _ in range(2))
        wrong += any(one.p < 0.05 for one in compare_runs(first, second))
    assert wrong <= 300 * 0.05 + 2 * (300 * 0.05 * 0.95) ** 0.5


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_holm_is_that_of_the_definition(chances: list[float]) -> None:
    """Rejected at a level are those before the first, in order, that is above level / left."""
    corrected = list(adjusted(dict(enumerate(chances))).values())
    for level in (0.01, 0.05, 0.3):
        kept, rejected = sorted(range(len(chances)), key=lambda i: chances[i]), set()
        for rank, place in enumerate(kept):
            if chances[place] * (len(chances) - rank) > level:
                break
            rejected.add(place)
        told = {place for place, p in enumerate(corrected) if p <= level}
        assert told == rejected


def test_a_history_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "speed.jsonl"
    runs = [run_of([1.0, 1.1]), run_of([1.2, 1.3])]
    for one in runs:
        append_run(path, one)
    assert read_history(path) == runs
    assert SpeedRun.from_dict(json.loads(json.dumps(asdict(runs[0])))) == runs[0]
    with path.open("a") as file:
        file.write("{}\n")
    with pytest.raises(ArtifactError, match="line 3"):
        read_history(path)


def test_what_limits_a_comparison_is_said() -> None:
    short = run_of([1.0, 1.1, 1.2])
    told = as_comparison(short, replace(short, hardware={"cpu": "another"}))
    assert "machines differ" in told
    assert "Fewer than 5 rounds" in told
    with pytest.raises(ValueError, match="in common"):
        compare_runs(short, replace(short, readings=()))


def test_runs_with_different_bases_are_not_compared() -> None:
    one = run_of([1.0, 1.1])
    with pytest.raises(ValueError, match="one base"):
        compare_runs(one, replace(one, base="small"))
