"""What an attacker learns from people they know, to match pictures of people they do not.

Two lessons. `learn_metric`: which differences between features are between people, and which are
between pictures of one person. `learn_map`: what a face recogniser would say of a picture of which
only the features were handed on. Settings are chosen on people kept aside. The attacker has
labelled pictures of others; nothing is learned from those who are looked for.

>>> draw = np.random.default_rng(0)
>>> people = np.repeat(np.arange(60), 4)
>>> seen = np.c_[draw.normal(size=(60, 3))[people], 9 * draw.normal(size=(240, 3))]
>>> told = learn_metric(seen, people)(seen)
>>> bool(told[people == 0].std() < 0.5 * told[::4].std())
True
"""

from collections.abc import Callable, Iterable
from itertools import product
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from scipy.linalg import eigh
from sklearn.linear_model import Ridge
from sklearn.model_selection import GroupShuffleSplit
from sklearn.neighbors import KNeighborsRegressor

from discreet.leakage.probes import Pictures, prepare
from discreet.leakage.reidentification import People, Vectors, identify, is_first_of_person
from discreet.leakage.shares import Numbers

Matcher = Callable[[Vectors], Numbers]
"""What was learned: features (N, D) to vectors that can be compared."""
_Reading = Callable[[Pictures], Numbers]
S = TypeVar("S")
_WIDTHS = (8, 32, 256)
_SHRINKAGE = (0.001, 0.03, 1.0)
_PENALTIES = (1.0, 1e2, 1e3, 1e4)
_NEIGHBOURS = (5, 25)
_KEPT_ASIDE = 0.25
_PAIRS = 64
"""Features of which products are seen, too, if there are no more than so many."""


def learn_metric(features: Vectors, people: People) -> Matcher:
    """Return a map in which pictures of one person are near: they are compared by plain distance.

    It keeps the directions in which people differ most for how much pictures of one person do, each
    as far as it can be trusted. How many, and whether lengths are kept, is chosen.

    Args:
        features: (N, D) of people whom the attacker knows.
        people: (N,) who each picture is of.

    Raises:
        ValueError: if there are fewer than eight people, or nobody has two pictures.

    Source: Belhumeur, Hespanha, Kriegman 1997, *Eigenfaces vs. Fisherfaces*, IEEE TPAMI 19(7).
    """
    _check(features, people)
    if len(np.unique(people)) == len(people):
        raise ValueError(
            "Expected two pictures of somebody, got one of each person. Without them nothing tells "
            "what changes between pictures of one person."
        )

    def fit(setting: tuple[int, float, bool], taught: Pictures, own: People) -> _Reading:
        width, shrinkage, is_turned_only = setting
        map_ = _discriminants(taught.leading.astype(np.float64), own, width, shrinkage)

        def read(seen: Pictures) -> Numbers:
            vectors = np.asarray(seen.leading @ map_)
            return _of_one_length(vectors) if is_turned_only else vectors

        return read

    def judge(matcher: _Reading, held: Pictures, own: People) -> float:
        vectors, first = matcher(held), is_first_of_person(own)
        if first.all():
            return 0.0
        compared = (vectors[first], own[first], vectors[~first], own[~first])
        return identify(*compared, metric="euclidean").first.share

    settings = product(_WIDTHS, _SHRINKAGE, (False, True))
    return _learn(fit, judge, settings, features, people, people)


def learn_map(features: Vectors, targets: Vectors, people: People) -> Matcher:
    """Return a map from features to what a recogniser says of the same pictures.

    A linear map with a penalty, the same with products of few features, or the mean of the nearest
    known pictures: whichever comes nearest to the targets of people kept aside.

    Args:
        features: (N, D) of people whom the attacker knows.
        targets: (N, K) what the recogniser says of the same pictures.
        people: (N,) who each is of.

    Raises:
        ValueError: if there are fewer than eight people, lengths differ or a number is not finite.
    """
    _check(features, people)
    if targets.ndim != 2 or len(targets) != len(features) or not np.isfinite(targets).all():
        raise ValueError(
            f"Expected finite targets (N, K) of {len(features)} pictures, got {targets.shape}. "
            "Leave out pictures without a face."
        )

    def fit(
        setting: tuple[Ridge | KNeighborsRegressor, bool], taught: Pictures, own: Numbers
    ) -> _Reading:
        kind, multiplies = setting
        see = _with_products if multiplies else _whitened
        model = type(kind)(**kind.get_params()).fit(see(taught), own)
        return lambda seen: np.asarray(model.predict(see(seen)))

    def judge(matcher: _Reading, held: Pictures, own: Numbers) -> float:
        return -float(((matcher(held) - own) ** 2).mean())

    settings = [(Ridge(penalty), False) for penalty in _PENALTIES]
    settings += [(KNeighborsRegressor(count, algorithm="brute"), False) for count in _NEIGHBOURS]
    if features.shape[1] <= _PAIRS:
        settings += [(Ridge(penalty), True) for penalty in _PENALTIES]
    return _learn(fit, judge, settings, features, people, targets.astype(np.float64))


def _discriminants(x: Numbers, people: People, width: int, shrinkage: float) -> Numbers:
    """Return linear discriminants as columns, (D, at most `width`).

    A direction in which people vary v times as much as pictures of one person counts by the square
    root of v / (1 + v): one that tells nothing counts nothing. Of v it is known what the finite
    number of pictures adds.
    """
    _, place, shots = np.unique(people, return_inverse=True, return_counts=True)
    means = np.stack([np.bincount(place, weights=column) for column in x.T], 1) / shots[:, None]
    rest = x - means[place]
    within = rest.T @ rest / max(len(x) - len(means), 1)
    within += shrinkage * max(float(x.var(0).mean()), 1e-12) * np.eye(x.shape[1])
    ratios, directions = eigh(np.cov(means.T), within)
    ratios, directions = ratios[::-1][:width], directions[:, ::-1][:, :width]
    true = np.maximum(ratios - (1 / shots).mean(), 0)
    return np.asarray(directions * np.sqrt(true / (1 + true)))


def _of_one_length(x: Numbers) -> Numbers:
    return np.asarray(x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-300))


def _whitened(pictures: Pictures) -> Numbers:
    return pictures.whitened.astype(np.float64)


def _with_products(pictures: Pictures) -> Numbers:
    """Return components, and squares and products of them."""
    x = _whitened(pictures)
    first, second = np.triu_indices(x.shape[1])
    return np.concatenate([x, x[:, first] * x[:, second]], axis=1)


def _learn(
    fit: Callable[[S, Pictures, npt.NDArray[Any]], _Reading],
    judge: Callable[[_Reading, Pictures, npt.NDArray[Any]], float],
    settings: Iterable[S],
    features: Vectors,
    people: People,
    targets: npt.NDArray[Any],
) -> Matcher:
    """Return what is learned from everybody, with the setting that does best on people aside."""
    (seen,) = prepare(features)
    inner, outer = next(
        GroupShuffleSplit(1, test_size=_KEPT_ASIDE, random_state=0).split(people, groups=people)
    )
    part, held = seen.at(inner), seen.at(outer)

    def right(setting: S) -> float:
        return judge(fit(setting, part, targets[inner]), held, targets[outer])

    matcher = fit(max(settings, key=right), seen, targets)
    return lambda others: matcher(prepare(features, others)[1])


def _check(features: Vectors, people: People) -> None:
    if len(features) != len(people) or len(np.unique(people)) < 8:
        raise ValueError(
            f"Expected a person for each of {len(features)} pictures and eight people or more, got "
            f"{len(people)} and {len(np.unique(people))}. Add people."
        )
    if not np.isfinite(features).all():
        raise ValueError("Expected finite features, got others. Leave out pictures without them.")
