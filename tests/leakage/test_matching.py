"""What is learned from people who are known helps with people who are not, and noise does not."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from discreet.leakage import identify, is_first_of_person, learn_map, learn_metric

Floats = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.int64]
WIDTH, HIDDEN, SHOTS = 30, 4, 4


def pictured(people: int, seed: int, *, signal: float = 1.0) -> tuple[Floats, Numbers, Floats]:
    """Return features, whose they are, and the four numbers by which a person can be known.

    Four directions tell the person; all others change from picture to picture, and far more.
    """
    draw = np.random.default_rng(seed)
    who = np.repeat(np.arange(people), SHOTS)
    own = draw.normal(size=(people, HIDDEN))[who]
    seen = np.c_[
        signal * own + 0.2 * draw.normal(size=own.shape),
        5 * draw.normal(size=(len(who), WIDTH - HIDDEN)),
    ]
    turn = np.linalg.qr(np.random.default_rng(77).normal(size=(WIDTH, WIDTH)))[0]
    return seen @ turn, who, own


def named(x: Floats, who: Numbers) -> float:
    first = is_first_of_person(who)
    return identify(x[first], who[first], x[~first], who[~first], metric="euclidean").first.share


def test_a_metric_finds_what_a_plain_distance_does_not() -> None:
    x, who, _ = pictured(100, 0)
    others, unknown, _ = pictured(50, 1)
    assert named(others, unknown) < 0.2
    assert named(learn_metric(x, who)(others), unknown) > 0.7


def test_a_metric_knows_in_which_directions_people_differ() -> None:
    """Pictures of one person vary by as much in all of them."""

    def drawn(people: int, seed: int) -> tuple[Floats, Numbers]:
        draw, who = np.random.default_rng(seed), np.repeat(np.arange(people), SHOTS)
        own = np.c_[2 * draw.normal(size=(people, HIDDEN)), np.zeros((people, 36))]
        return own[who] + draw.normal(size=(len(who), 40)), who

    others, unknown = drawn(50, 1)
    plain, learned = named(others, unknown), named(learn_metric(*drawn(150, 0))(others), unknown)
    assert learned > plain + 0.1


def test_a_metric_finds_nothing_in_noise() -> None:
    """Two draws of 50 people looked up three times: above 0.06 with chance below 0.001."""
    shares = []
    for seed in range(2):
        x, who, _ = pictured(60, seed, signal=0)
        others, unknown, _ = pictured(50, seed + 50, signal=0)
        shares.append(named(learn_metric(x, who)(others), unknown))
    assert np.mean(shares) < 0.06


@pytest.mark.parametrize("bend", [lambda own: own, lambda own: own[:, :2] * own[:, 2:]])
def test_a_map_finds_what_a_recogniser_says(bend: Callable[[Floats], Floats]) -> None:
    """Linear in features, or in products of two: few features are multiplied with each other."""
    draw = np.random.default_rng(0)
    x, others = draw.normal(size=(400, 6)), draw.normal(size=(200, 6))
    told = learn_map(x, bend(x[:, :4]), np.arange(400) // 4)(others)
    truth = bend(others[:, :4])
    assert ((told - truth) ** 2).mean() < 0.1 * truth.var()


def test_a_map_of_noise_falls_back_to_the_mean() -> None:
    draw = np.random.default_rng(0)
    x, others = draw.normal(size=(400, 6)), draw.normal(size=(200, 6))
    told = learn_map(x, draw.normal(size=(400, 3)), np.arange(400) // 4)(others)
    assert told.var() < 0.1


def test_those_who_are_looked_for_decide_nothing() -> None:
    x, who, own = pictured(30, 0)
    others = pictured(20, 1)[0]
    for learned in (learn_metric(x, who), learn_map(x, own, who)):
        assert np.allclose(learned(others)[:5], learned(others[:5]), atol=1e-4)


def test_what_teaches_nothing_is_refused() -> None:
    x, who, own = pictured(10, 0)
    with pytest.raises(ValueError, match="eight people"):
        learn_metric(x[:20], who[:20])
    with pytest.raises(ValueError, match="two pictures of somebody"):
        learn_metric(x, np.arange(len(x)))
    with pytest.raises(ValueError, match="a person for each"):
        learn_map(x, own, who[:3])
    with pytest.raises(ValueError, match="targets"):
        learn_map(x, own[:5], who)
    with pytest.raises(ValueError, match="finite features"):
        learn_metric(np.full_like(x, np.inf), who)
