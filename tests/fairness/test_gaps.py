import numpy as np
import pytest
from fairlearn.metrics import MetricFrame, equalized_odds_difference, selection_rate

from discreet.fairness import measure_gap, odds_gap, rates_of

DRAW = np.random.default_rng(11)


def drawn(
    rates: dict[str, float], people: int, each: int = 2
) -> tuple[np.ndarray, list[str], list[str]]:
    """Return hits of people in groups, as many of each."""
    groups = [group for group in rates for _ in range(people * each)]
    whose = [f"{group}{n // each}" for group in rates for n in range(people * each)]
    hits = np.array([DRAW.random() < rates[group] for group in groups], dtype=np.float64)
    return hits, groups, whose


def test_rates_are_means_and_small_groups_are_not_told() -> None:
    values = np.array([1.0, 0.0, 1.0, 1.0, 5.0])
    rates = rates_of(values, ["x"] * 4 + ["y"], list("abcad"), min_people=3)
    assert rates["y"] is None
    assert rates["x"] is not None
    assert (rates["x"].value, rates["x"].examples, rates["x"].people) == (0.75, 4, 3)


def test_a_planted_gap_is_found_and_named() -> None:
    hits, groups, people = drawn({"dark": 0.5, "medium": 0.8, "light": 0.85}, 100)
    gap = measure_gap(hits, groups, people)
    assert gap is not None
    assert gap.lowest == "dark"
    assert gap.p < 0.01
    assert gap.low <= gap.value <= gap.high
    means = {group: np.mean(hits[[g == group for g in groups]]) for group in set(groups)}
    assert gap.value == pytest.approx(max(means.values()) - min(means.values()))


def test_groups_that_are_served_alike_rarely_seem_unlike() -> None:
    p_values = []
    for _ in range(60):
        chance = np.repeat(DRAW.beta(2, 2, size=120), 3)  # three examples of one person are alike
        hits = (DRAW.random(360) < chance).astype(np.float64)
        groups = np.repeat(np.repeat(list("abcd"), 30), 3).tolist()
        gap = measure_gap(hits, groups, np.repeat(np.arange(120), 3).tolist())
        assert gap is not None
        assert gap.value > 0  # by chance alone, of four groups
        p_values.append(gap.p)
    assert np.mean(np.array(p_values) < 0.05) < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 60)


def test_the_interval_holds_the_difference_of_two_groups() -> None:
    covered = 0
    for _ in range(60):
        hits, groups, people = drawn({"a": 0.4, "b": 0.7}, 60)
        gap = measure_gap(hits, groups, people)
        assert gap is not None
        covered += gap.low <= 0.3 <= gap.high
    assert covered / 60 > 0.95 - 4 * np.sqrt(0.05 * 0.95 / 60)


def test_of_groups_with_few_people_no_gap_is_told() -> None:
    hits, groups, people = drawn({"a": 0.1, "b": 0.9}, 29)
    assert measure_gap(hits, groups, people) is None
    hits, groups, people = drawn({"a": 0.1, "b": 0.9, "c": 0.5}, 30)
    few = [group for group, person in zip(groups, people, strict=True) if person != "c0"]
    left = [person for person in people if person != "c0"]
    gap = measure_gap(hits[[person != "c0" for person in people]], few, left)
    assert gap is not None
    assert gap.untold == ("c",)


def test_equal_odds_are_asked_of_each_truth_apart() -> None:
    truth = ["child", "adult"] * 60
    groups = ["x"] * 60 + ["y"] * 60
    people = [str(n) for n in range(120)]
    hits = [
        true == "child" and (group == "x" or n % 4 == 0)
        for n, (true, group) in enumerate(zip(truth, groups, strict=True))
    ]
    gaps = odds_gap(hits, truth, groups, people)
    assert gaps["adult"] is not None
    assert gaps["child"] is not None
    assert gaps["adult"].value == 0
    assert gaps["child"].value == pytest.approx(1 - 15 / 30)


def test_nobody_is_in_two_groups_and_everything_fits() -> None:
    with pytest.raises(ValueError, match="in two"):
        rates_of(np.ones(3), ["x", "y", "y"], ["a", "a", "b"])
    with pytest.raises(ValueError, match="got 2, 3 and 3"):
        rates_of(np.ones(2), list("xyy"), list("abc"))
    with pytest.raises(ValueError, match="3 people or more in a group, got 2"):
        rates_of(np.ones(3), list("xxx"), list("abc"), min_people=2)
    with pytest.raises(ValueError, match="a truth for each of 3"):
        odds_gap([True] * 3, ["child"], list("xxx"), list("abc"))


def test_rates_and_gaps_are_those_that_fairlearn_computes() -> None:
    hits, groups, people = drawn({"a": 0.4, "b": 0.7, "c": 0.6}, 100)
    frame = MetricFrame(metrics=selection_rate, y_true=hits, y_pred=hits, sensitive_features=groups)
    rates = rates_of(hits, groups, people)
    assert {name: rate.value for name, rate in rates.items() if rate} == pytest.approx(
        frame.by_group.to_dict()
    )
    gap = measure_gap(hits, groups, people)
    assert gap is not None
    assert gap.value == pytest.approx(frame.difference())

    truth = DRAW.random(len(hits)) < 0.5
    said = truth ^ (DRAW.random(len(hits)) < 0.3 * np.array([g == "b" for g in groups]))
    right = [one == other for one, other in zip(truth, said, strict=True)]
    names = ["yes" if one else "no" for one in truth]
    gaps = odds_gap(right, names, groups, people)
    worst = max(gap.value for gap in gaps.values() if gap is not None)
    assert worst == pytest.approx(equalized_odds_difference(truth, said, sensitive_features=groups))
