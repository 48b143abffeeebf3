"""A promise is tested on people, and broken no more often than it says."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from discreet.recipes.selection import (
    NEVER,
    certified,
    evidence,
    risk_by_unit,
    thresholds_for,
)

pictures = st.lists(
    st.tuples(st.booleans(), st.booleans(), st.integers(0, 4)), min_size=1, max_size=30
)


@given(rows=pictures, level=st.floats(0.01, 0.9))
def test_the_risk_is_below_the_level_exactly_where_the_error_is(
    rows: list[tuple[bool, bool, int]], level: float
) -> None:
    """Two routes: the mean risk, and wrong answers over answers, both with equal units."""
    said, wrong, units = (torch.tensor(column) for column in zip(*rows, strict=True))
    risks = risk_by_unit(said, wrong, units, level=level)
    answers = errors = 0.0
    for unit in sorted(set(units.tolist())):
        own = [(s, w) for s, w, u in rows if u == unit]
        answers += sum(s for s, _ in own) / len(own)
        errors += sum(s and w for s, w in own) / len(own)
    assert len(risks) == len(set(units.tolist()))
    assert float(risks.mean() - level) == pytest.approx(
        (errors - level * answers) / len(risks), abs=1e-9
    )


def test_evidence_is_a_gamblers_mean_capital() -> None:
    risks, level = [0.0, 0.1, 0.4, 1.0, 0.05], 0.2
    capitals = []
    for share in np.linspace(0.05, 0.95, 19):
        capital = 1.0
        for risk in risks:
            capital *= 1 + share / (1 - level) * (level - risk)
        capitals.append(capital)
    found = evidence(torch.tensor(risks, dtype=torch.float64), level=level)
    assert found == pytest.approx(np.mean(capitals), rel=1e-9)


@given(level=st.floats(0.02, 0.5), count=st.integers(1, 60))
def test_no_evidence_grows_without_answers(level: float, count: int) -> None:
    nothing = torch.zeros(count, dtype=torch.bool)
    silent = risk_by_unit(nothing, nothing, torch.arange(count), level=level)
    assert evidence(silent, level=level) == pytest.approx(1)


def people(draw: np.random.Generator, error: float, persons: int = 60) -> tuple[torch.Tensor, ...]:
    """Seven pictures a person, and all of one person are right, or all are wrong."""
    wrong = torch.from_numpy(np.repeat(draw.random(persons) < error, 7))
    confidence = torch.full((7 * persons,), 0.8)
    return (
        confidence,
        torch.zeros_like(wrong).long(),
        wrong,
        torch.arange(persons).repeat_interleave(7),
    )


def broken(error: float, *, delta: float = 0.1, by_person: bool = True) -> int:
    """How often of 400 times a head that errs so often is allowed to speak at a level of 0.1."""
    draw, count = np.random.default_rng(0), 0
    for _ in range(400):
        confidence, guess, wrong, units = people(draw, error)
        if not by_person:
            units = torch.arange(len(wrong))
        found = certified([(0.5,)], confidence, guess, wrong, units, level=0.1, delta=delta)
        count += found is not None
    return count


@pytest.mark.parametrize("delta", [0.02, 0.1, 0.3])
def test_a_false_promise_is_no_more_frequent_than_delta(delta: float) -> None:
    """At an error just above the level; 3 sigma more than expected would be one run in 700."""
    assert broken(0.101, delta=delta) <= 400 * delta + 3 * math.sqrt(400 * delta * (1 - delta))


def test_pictures_taken_for_people_would_break_the_promise() -> None:
    """8 are expected at most; 3 sigma are 8.4."""
    assert broken(0.101, delta=0.02, by_person=False) > 8 + 8.4


def test_a_head_that_errs_seldom_may_speak() -> None:
    assert broken(0.01) > 300


def test_candidates_after_a_failure_are_not_tried() -> None:
    confidence = torch.tensor([0.9] * 60 + [0.6] * 60 + [0.3] * 60)
    wrong = torch.tensor([False] * 60 + [True] * 60 + [False] * 60)
    guess, units = torch.zeros(180).long(), torch.arange(180)
    given = {"level": 0.2, "delta": 0.1}
    careful, bold, all_of_them = (0.8,), (0.5,), (0.0,)
    order = [careful, bold, all_of_them]
    assert certified(order, confidence, guess, wrong, units, **given) == careful
    assert certified([bold, careful], confidence, guess, wrong, units, **given) is None


def test_those_after_the_first_that_answer_enough_are_not_needed() -> None:
    confidence, units = torch.linspace(0.005, 0.995, 100), torch.arange(100)
    right, guess = torch.zeros(100, dtype=torch.bool), torch.zeros(100).long()
    order = [(0.8,), (0.5,), (0.2,), (0.0,)]
    found = certified(order, confidence, guess, right, units, level=0.3, delta=0.1, coverage=0.7)
    assert found == (0.2,)


@given(seed=st.integers(0, 200), error=st.floats(0.0, 0.6))
def test_thresholds_bound_the_error_in_every_true_class(seed: int, error: float) -> None:
    draw = torch.Generator().manual_seed(seed)
    confidence = torch.rand(80, generator=draw)
    guess = torch.randint(3, (80,), generator=draw)
    noise = torch.rand(80, generator=draw) < 1 - confidence
    target = torch.where(noise, torch.randint(3, (80,), generator=draw), guess)
    found = thresholds_for(confidence, guess, target, classes=3, error=error)
    said = confidence > torch.tensor(found)[guess]
    for c in range(3):
        answers = int((said & (target == c)).sum())
        errors = int((said & (target == c) & (guess != target)).sum())
        assert errors <= error * answers + 1e-9


def test_a_class_that_is_never_right_is_never_said_and_others_are() -> None:
    confidence = torch.tensor([0.9, 0.8, 0.7, 0.6])
    guess, target = torch.tensor([0, 0, 1, 1]), torch.tensor([0, 0, 0, 0])
    first, second = thresholds_for(confidence, guess, target, classes=2, error=0.1)
    assert first == 0
    assert not bool((confidence[guess == 1] > second).any())
    assert NEVER == 1
