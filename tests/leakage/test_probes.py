"""Probes find what is planted, each in its own way, and nothing in noise."""

import numpy as np
import numpy.typing as npt
import pytest

from discreet.intervals import ratio_interval
from discreet.leakage import PROBES, Pictures, prepare, score_probe, teach
from discreet.leakage.probes import Labels, ProbeName

SHOTS = 4
Floats = npt.NDArray[np.float64]


def drawn(persons: int, width: int, seed: int) -> tuple[Floats, Labels]:
    """Return noise for four pictures of each person, half of it the person's own, and who it is."""
    draw = np.random.default_rng(seed)
    people = np.repeat(np.arange(persons), SHOTS)
    return draw.normal(size=(persons, width))[people] + draw.normal(
        size=(len(people), width)
    ), people


def planted(kind: str, persons: int, seed: int) -> tuple[Floats, Labels, Labels]:
    """Return features, labels and people: the label in a direction, in an XOR of two, nowhere.

    All four corners are equally frequent, so that no linear probe profits from a rare one.
    """
    x, people = drawn(persons, 6, seed)
    corners = np.random.default_rng(seed + 1).permutation(np.arange(persons) % 4)
    signs = np.stack([corners % 2, corners // 2], 1) * 2 - 1
    is_so = {"direction": signs[:, 0] > 0, "xor": signs.prod(1) > 0, "nowhere": signs[:, 0] > 0}
    if kind != "nowhere":
        x[:, :2] += 5 * signs[people]
    return x, np.where(is_so[kind][people], "yes", "no"), people


def accuracy(probe: ProbeName, kind: str, *, seed: int = 0, persons: int = 80) -> float:
    x, labels, people = planted(kind, persons, seed)
    others, truth, who = planted(kind, persons, seed + 100)
    taught, read = prepare(x, others)
    return score_probe(probe, teach(probe, taught, labels, people)(read), truth, who).accuracy


@pytest.mark.parametrize("probe", PROBES)
def test_every_probe_finds_a_direction(probe: ProbeName) -> None:
    assert accuracy(probe, "direction") > 0.95


def test_an_xor_is_found_by_probes_that_bend_and_by_no_linear_one() -> None:
    """One probe that finds nothing is no safety: this is why there are three."""
    assert accuracy("linear", "xor") < 0.65
    assert accuracy("mlp", "xor") > 0.95
    assert accuracy("knn", "xor") > 0.95


def test_noise_is_seldom_taken_for_a_finding() -> None:
    """Each probe is above chance in about 1 of 30 cases, so few people are an interval's; 9 of 60
    or more have chance 0.03 if the three of a draw always agree, and far less if they do not."""
    alarms = 0
    for seed in range(20):
        x, labels, people = planted("nowhere", 24, seed)
        others, truth, who = planted("nowhere", 24, seed + 100)
        taught, read = prepare(x, others)
        for probe in PROBES:
            said = teach(probe, taught, labels, people)(read)
            alarms += score_probe(probe, said, truth, who).is_above_chance
    assert alarms < 9


@pytest.mark.parametrize("probe", ["linear", "knn"])
def test_a_person_is_known_again(probe: ProbeName) -> None:
    x, people = drawn(60, 40, 0)
    x += 3 * drawn(60, 40, 1)[0].reshape(60, SHOTS, 40).mean(1)[people]
    even = np.arange(len(x)) % 2 == 0
    taught, read = prepare(x[even], x[~even])
    said = teach(probe, taught, people[even], np.arange(even.sum()))(read)
    assert score_probe(probe, said, people[~even], people[~even]).accuracy > 0.9


def test_more_features_than_pictures_change_no_distance_among_the_taught() -> None:
    draw = np.random.default_rng(0)
    x = draw.normal(size=(20, 300)) + 7
    (seen,) = prepare(x)
    scaled = (x - x.mean(0)) / x.std(0)
    assert seen.whole.shape == (20, 20)
    assert np.allclose(seen.whole @ seen.whole.T, scaled @ scaled.T, atol=1e-3)


def test_the_taught_pictures_alone_decide_the_scale() -> None:
    draw = np.random.default_rng(0)
    x, others = draw.normal(size=(50, 5)), 9 + 4 * draw.normal(size=(30, 5))
    alone, (first, second) = prepare(x)[0], prepare(x, others)
    assert np.array_equal(alone.whole, first.whole)
    assert np.allclose(second.whole, (others - x.mean(0)) / x.std(0), atol=1e-4)
    assert np.allclose(first.whitened.std(0, ddof=1), 1, atol=1e-3)


def test_a_feature_that_never_changes_says_nothing() -> None:
    x = np.random.default_rng(0).normal(size=(50, 3))
    x[:, 1] = 4
    others = x.copy()
    others[:, 1] = 1e6
    assert np.array_equal(*(part.whole for part in prepare(x, others)))


def test_where_no_feature_changes_every_probe_guesses() -> None:
    """As of a model that answers everybody the same."""
    x = np.tile([7.0, 0.1, 1 / 3], (40, 1))
    assert x.std(0).any(), "rounding errors, of which none is a difference"
    taught, seen = prepare(x, x[:9] + 1)
    for part in (taught, seen):
        assert not part.whole.any()
        assert not part.leading.any()
        assert not part.whitened.any()
    labels, people = np.array(["a", "a", "b", "a"] * 10), np.repeat(np.arange(20), 2)
    for probe in PROBES.values():
        assert set(probe(taught, labels, people)(seen)) == {"a"}


def test_scores_of_four_pictures_by_hand() -> None:
    said, truth = np.array(["a", "a", "a", "b"]), np.array(["a", "a", "b", "b"])
    score = score_probe("linear", said, truth, np.array(["x", "x", "y", "y"]))
    assert (score.accuracy, score.chance) == (0.75, 0.5)
    assert (score.classes, score.pictures, score.people) == (2, 4, 2)
    assert (score.low, score.high) == ratio_interval(
        np.array([2.0, 1]), np.full(2, 2.0), draws=1000
    )
    assert score.balanced_accuracy == 0.75


def test_a_constant_guess_is_chance_and_no_finding() -> None:
    truth = np.array(["a"] * 30 + ["b"] * 10)
    score = score_probe("constant", np.full(40, "a"), truth, np.arange(40))
    assert score.accuracy == score.chance == 0.75
    assert score.balanced_accuracy == 0.5
    assert not score.is_above_chance


def test_people_are_never_split_when_a_setting_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neighbours look good among pictures of the same people when a label is a person's own."""
    from discreet.leakage import probes

    seen: list[tuple[Labels, Labels]] = []
    split = probes._split

    def spy(labels: Labels, groups: Labels) -> tuple[Labels, Labels]:
        inner, outer = split(labels, groups)
        seen.append((groups[inner], groups[outer]))
        return inner, outer

    monkeypatch.setattr(probes, "_split", spy)
    x, labels, people = planted("direction", 30, 0)
    for probe in PROBES:
        teach(probe, prepare(x)[0], labels, people)
    assert len(seen) == len(PROBES)
    assert not any(set(inner) & set(outer) for inner, outer in seen)


def test_what_cannot_be_taught_is_refused() -> None:
    x, labels, people = planted("direction", 10, 0)
    pictures: Pictures = prepare(x)[0]
    with pytest.raises(ValueError, match="at least two labels"):
        teach("knn", pictures, np.full(len(x), "yes"), people)
    with pytest.raises(ValueError, match="at least two labels and two groups"):
        teach("knn", pictures, labels, np.zeros(len(x)))
    with pytest.raises(ValueError, match="one width"):
        prepare(x, x[:, :2])
    with pytest.raises(ValueError, match="at least 4 pictures"):
        prepare(x[:3])
