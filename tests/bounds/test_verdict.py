import numpy as np
import pytest

from discreet.bounds import judge
from discreet.types import PrivacyStatement


def stated(epsilon: float, delta: float = 1e-5) -> PrivacyStatement:
    return PrivacyStatement(
        epsilon=epsilon, delta=delta, unit="example", neighbouring_relation="add_or_remove_one"
    )


def played(mu: float, count: int = 600) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(0)
    included = draw.random(count) < 0.5
    return mu * included + draw.normal(size=count), included


def test_a_sound_statement_is_above_what_was_found() -> None:
    verdict = judge(*played(1.0), stated(4.38))
    by_counts, by_curve = verdict.bounds
    assert by_counts.epsilon < by_curve.epsilon < 4.38
    assert verdict.estimate is not None
    assert verdict.estimate.epsilon_low < 4.38 < verdict.estimate.epsilon_high
    assert not verdict.is_contradicted
    assert not verdict.is_doubtful


def test_a_statement_below_a_certified_bound_is_contradicted() -> None:
    verdict = judge(*played(6.0), stated(1.0))
    assert verdict.bounds[0].epsilon > 1
    assert verdict.is_contradicted
    assert verdict.is_doubtful


def test_a_bound_that_assumes_something_only_casts_doubt() -> None:
    by_counts, by_curve = (bound.epsilon for bound in judge(*played(2.0), stated(1.0)).bounds)
    assert by_counts < by_curve
    verdict = judge(*played(2.0), stated((by_counts + by_curve) / 2))
    assert verdict.is_doubtful
    assert not verdict.is_contradicted


def test_it_says_at_least_about_and_at_most_with_all_that_belongs_to_an_epsilon() -> None:
    lines = judge(*played(1.0), stated(4.38)).lines()
    assert [line.split()[0] + " " + line.split()[1] for line in lines[:2]] == ["at least"] * 2
    assert lines[2].startswith("about ")
    assert "no certificate" in lines[2]
    assert lines[3].startswith("at most 4.38: what was stated")
    for line in lines[:4]:
        assert "delta = 1e-05 (unit: example, neighbours: add_or_remove_one)" in line
    assert "assuming nothing but fair coins" in lines[0]
    assert "a third to a half" in lines[4]


def test_a_delta_near_one_over_canaries_is_noted_and_beyond_it_refused() -> None:
    scores, included = played(1.0)
    assert len(judge(scores, included, stated(4.0, 1e-5)).notes) == 1
    notes = judge(scores, included, stated(4.0, 1e-3)).notes
    assert "100 canaries or fewer" in notes[0]
    with pytest.raises(ValueError, match="fewer than 1 / delta = 500"):
        judge(scores, included, stated(4.0, 2e-3))


def test_broken_scores_are_refused() -> None:
    scores, included = played(1.0, 30)
    scores[3] = np.inf
    with pytest.raises(ValueError, match="finite"):
        judge(scores, included, stated(4.0))
    with pytest.raises(ValueError, match="at least 20"):
        judge(*played(1.0, 15), stated(4.0))
