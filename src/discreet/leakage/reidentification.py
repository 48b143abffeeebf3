"""Is this the same person? Pictures of unknown people are looked up in a gallery of known ones.

Closed-set identification: everybody who is looked for has a place in the gallery; how often the
right place comes first, among the first k, and first in smaller galleries. It takes vectors of any
kind (visual tokens, cached features, words of answers, what an attacker made of them) and knows
neither pictures nor models. What finds nobody says nothing about stronger attackers.
Equal scores are common where few bits are handed on: there the mean over all orders of them counts,
so that one who sees nothing gets chance. `verification.py` asks of two pictures at
a time.

>>> people = np.array([0, 1, 2])
>>> found = identify(np.eye(3), people, np.eye(3)[[0, 1, 0]], people)
>>> found.cumulative.round(2).tolist()  # two of three come first, the third is tied for the rest
[0.67, 0.83, 1.0]
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy.special import gammaln

from discreet.leakage.shares import Numbers, person_interval, person_means

Metric = Literal["cosine", "euclidean"]
Vectors = npt.NDArray[Any]
People = npt.NDArray[Any]
RANKS = (1, 5, 10)
"""Places of the gallery that are told with an interval."""
_SAME = 9
"""Decimals, of the largest score, to which two scores have to agree to be equal."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RankShare:
    """How often the right person is among the first k of the gallery."""

    rank: int
    share: float
    """Mean over people of the share of their pictures."""
    low: float
    high: float
    """95 % interval over people who are looked for, in this gallery."""
    chance: float
    """What any order of the gallery gets that does not depend on the picture."""

    @property
    def advantage(self) -> float:
        """Return the share above chance."""
        return self.share - self.chance

    @property
    def is_above_chance(self) -> bool:
        """Tell whether the whole interval is; where there is nothing, 1 time in 40 at most."""
        return self.low > self.chance


@dataclass(frozen=True, kw_only=True, slots=True)
class Identification:
    """How well pictures are matched with the people of a gallery."""

    cumulative: Numbers = field(repr=False)
    """(G,) share of pictures whose person is among the first 1, 2, ... G: the CMC curve."""
    ranks: tuple[RankShare, ...]
    """Those of the asked ranks that the gallery has, with intervals."""
    first_of_people: Numbers = field(repr=False)
    """(U,) how often each person who is looked for comes first, in the order of their names."""
    by_gallery: tuple[tuple[int, float], ...]
    """Sizes of smaller galleries, and how often the right person comes first there: the mean over
    all galleries of that size that hold this person."""
    gallery: int
    """People in it."""
    people: int
    """People looked for."""
    pictures: int
    """Pictures of these."""

    @property
    def first(self) -> RankShare:
        """Return how often the right person comes first."""
        return self.ranks[0]


def identify(
    gallery: Vectors,
    gallery_people: People,
    probes: Vectors,
    probe_people: People,
    *,
    metric: Metric = "cosine",
    ranks: Sequence[int] = RANKS,
) -> Identification:
    """Return how often the nearest person of a gallery is the right one.

    Args:
        gallery: (M, D) of known people; the best of somebody's vectors counts.
        gallery_people: (M,) who each is of.
        probes: (N, D) of people whose name is looked for.
        probe_people: (N,) who each is of; all of them are in the gallery.
        metric: How near two vectors are.
        ranks: Which places are told with an interval; rank 1 always is.

    Raises:
        ValueError: if a vector is not finite, widths or lengths differ, somebody is not in the
            gallery, or there are fewer than two people.

    Source: Phillips, Moon, Rizvi, Rauss 2000, *The FERET Evaluation Methodology for
        Face-Recognition Algorithms*, IEEE TPAMI 22(10): gallery, probes and cumulative match curve.
    """
    names, scores = score_people(gallery, gallery_people, probes, metric=metric)
    own = places_of(probe_people, names)
    better, tied = _beaten_by(scores, own)
    size = len(names)
    within = np.tril(np.ones((size, size)))
    held = [person_means(_mean_over_ties(row, better, tied), probe_people)[0] for row in within]
    asked = sorted({1} | {rank for rank in ranks if 1 <= rank <= size})
    return Identification(
        cumulative=np.array([shares.mean() for shares in held]),
        ranks=tuple(_rank(rank, held[rank - 1], len(probes), size) for rank in asked),
        first_of_people=held[0],
        by_gallery=tuple(
            (part, _first_of(part, size, better, tied, probe_people)) for part in _sizes(size)
        ),
        gallery=size,
        people=len(held[0]),
        pictures=len(probes),
    )


def is_first_of_person(people: People) -> npt.NDArray[np.bool_]:
    """Return (N,) bool: the first picture of each person, which is a gallery of everybody."""
    first = np.zeros(len(people), dtype=np.bool_)
    first[np.unique(people, return_index=True)[1]] = True
    return first


def score_people(
    gallery: Vectors, gallery_people: People, probes: Vectors, *, metric: Metric = "cosine"
) -> tuple[People, Numbers]:
    """Return the people of a gallery, (G,), and how near each probe is to each, (N, G).

    Raises:
        ValueError: if a vector is not finite, widths or lengths differ, or there is one person.
    """
    names, place = np.unique(gallery_people, return_inverse=True)
    _check(gallery, place, probes, len(names))
    near = _SCORES[metric](probes.astype(np.float64), gallery.astype(np.float64))
    best = np.full((len(names), len(probes)), -np.inf)
    np.maximum.at(best, place, near.T)
    scale = max(float(np.abs(best).max()), 1e-300)
    return names, np.round(best.T / scale, _SAME)


def places_of(people: People, names: People) -> npt.NDArray[np.int64]:
    """Return the place in the gallery of each picture's person, (N,).

    Raises:
        ValueError: if somebody has none, or there are fewer than two people.
    """
    place = np.minimum(np.searchsorted(names, people), len(names) - 1)
    if len(np.unique(people)) < 2 or not (names[place] == people).all():
        raise ValueError(
            "Expected two people or more to look for, all of them in the gallery, got fewer or "
            "somebody else. Leave out pictures of people of whom nothing is known."
        )
    return place


def _check(gallery: Vectors, place: npt.NDArray[np.int64], probes: Vectors, people: int) -> None:
    """Refuse what cannot be compared."""
    if gallery.ndim != 2 or probes.ndim != 2 or gallery.shape[1] != probes.shape[1]:
        raise ValueError(
            f"Expected vectors (N, D) of one width, got {gallery.shape} and {probes.shape}. "
            "Flatten tokens first."
        )
    if len(place) != len(gallery) or people < 2 or not len(probes):
        raise ValueError(
            f"Expected a person for each of {len(gallery)} vectors, two people or more and a "
            f"picture to look up, got {len(place)}, {people} and {len(probes)}. Add people."
        )
    if not (np.isfinite(gallery).all() and np.isfinite(probes).all()):
        raise ValueError("Expected finite vectors, got others. Leave out pictures without them.")


def _cosine(probes: Numbers, gallery: Numbers) -> Numbers:
    lengths = np.outer(np.linalg.norm(probes, axis=1), np.linalg.norm(gallery, axis=1))
    return np.asarray(probes @ gallery.T / np.maximum(lengths, 1e-300))


def _euclidean(probes: Numbers, gallery: Numbers) -> Numbers:
    """Return squares of distances, less than 0: a root would make errors of rounding large."""
    squares = (probes**2).sum(1)[:, None] + (gallery**2).sum(1)
    return np.asarray(2 * probes @ gallery.T - squares)


_SCORES = {"cosine": _cosine, "euclidean": _euclidean}


def _beaten_by(
    scores: Numbers, own: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return how many others are nearer to each probe than its own person, and how many as near."""
    mate = scores[np.arange(len(scores)), own][:, None]
    return (scores > mate).sum(1), (scores == mate).sum(1) - 1


def _mean_over_ties(
    worth: Numbers, better: npt.NDArray[np.int64], tied: npt.NDArray[np.int64]
) -> Numbers:
    """Return what each probe is worth, (N,): the mean over all orders of equal scores.

    Args:
        worth: (G,) of a probe with 0, 1, ... others before its own person.
        better: (N,) others that are nearer.
        tied: (N,) others that are as near: own persons stand after 0 to all of these alike.
    """
    total = np.concatenate([[0.0], np.cumsum(worth)])
    return np.asarray((total[better + tied + 1] - total[better]) / (tied + 1))


def _rank(rank: int, shares: Numbers, pictures: int, size: int) -> RankShare:
    low, high = person_interval(np.clip(shares, 0, 1), trials=pictures)
    return RankShare(rank=rank, share=float(shares.mean()), low=low, high=high, chance=rank / size)


def _sizes(size: int) -> list[int]:
    """Return 2, 5, 10, 20, ... up to the size of a gallery, and the size itself."""
    steps = [step * 10**power for power in range(len(str(size))) for step in (1, 2, 5)]
    return [*(step for step in steps if 2 <= step < size), size]


def _first_of(
    part: int,
    size: int,
    better: npt.NDArray[np.int64],
    tied: npt.NDArray[np.int64],
    people: People,
) -> float:
    """Return how often one's own person comes first in a gallery with `part` of `size` people.

    It does if none of the m others before it is drawn: C(size - 1 - m, part - 1) of all
    C(size - 1, part - 1) draws of the others.
    """
    others = np.arange(size, dtype=np.float64)
    worth = np.zeros(size)
    can = others <= size - part
    free = size - 1 - others[can]
    worth[can] = np.exp(
        gammaln(free + 1) - gammaln(free - part + 2) - gammaln(size) + gammaln(size - part + 1)
    )
    return float(person_means(_mean_over_ties(worth, better, tied), people)[0].mean())
