"""Are two pictures of the same person? True and false matches at a threshold.

Each picture is held against everybody in a gallery. The threshold is where a set share of the
comparisons with others passes (the false-positive rate); the share of comparisons with the own
person that passes there is the true-positive rate. It knows neither pictures nor models.

>>> draw = np.random.default_rng(0)
>>> people, own = np.repeat(np.arange(40), 3), draw.normal(size=(40, 8))
>>> seen = own[people] + 0.1 * draw.normal(size=(120, 8))
>>> found = verify(own, np.arange(40), seen, people)
>>> [(rate.fpr, rate.tpr, rate.needed) for rate in found]
[(0.01, 1.0, 15), (0.001, None, 46)]
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from discreet.leakage.reidentification import Metric, People, Vectors, places_of, score_people
from discreet.leakage.shares import Numbers, person_interval, person_means

FPRS = (0.01, 0.001)
DRAWS = 200
_TAIL = 20
"""Of comparisons with others, so many times the asked share are looked at, the nearest ones."""
_FEW = 20_000
"""Fewer comparisons are all looked at."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MatchRate:
    """How many true matches pass where a share of false ones does."""

    fpr: float
    """Share of comparisons with others that passes; also what a blind attacker's `tpr` is."""
    tpr: float | None
    """Share of comparisons with the own person that passes, each person counting the same; None:
    the gallery is smaller than `needed`."""
    low: float | None
    high: float | None
    """95 % interval over people, of both the threshold and the share that passes it."""
    needed: int
    """People in a gallery whose pairs can show so low a rate: one pair in 1 / fpr."""


def verify(
    gallery: Vectors,
    gallery_people: People,
    probes: Vectors,
    probe_people: People,
    *,
    metric: Metric = "cosine",
    fprs: Sequence[float] = FPRS,
) -> tuple[MatchRate, ...]:
    """Return the share of true matches that passes at each false-positive rate.

    Args:
        gallery: (M, D) of known people; the best of somebody's vectors counts.
        gallery_people: (M,) who each is of.
        probes: (N, D) of other pictures of them.
        probe_people: (N,) who each is of; all of them are in the gallery.
        metric: How near two vectors are.
        fprs: Between 0 and 1; many of them are a ROC curve.

    Raises:
        ValueError: as `identify`, or if a rate is not between 0 and 1.
    """
    if not all(0 < fpr < 1 for fpr in fprs):
        raise ValueError(f"Expected rates between 0 and 1, got {list(fprs)}. Correct them.")
    names, scores = score_people(gallery, gallery_people, probes, metric=metric)
    comparisons = _Comparisons.of(scores, places_of(probe_people, names))
    return tuple(_rate(comparisons, fpr, len(names)) for fpr in fprs)


def people_needed(fpr: float) -> int:
    """Return of how many people there are at least 1 / fpr pairs.

    >>> people_needed(0.01), people_needed(0.001)
    (15, 46)
    """
    return math.ceil((1 + math.sqrt(1 + 8 / fpr)) / 2)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Comparisons:
    """Scores of pictures with their own person and, from the nearest on, with others."""

    own: npt.NDArray[np.int64]
    """(N,) place of each picture's person in the gallery."""
    weight: Numbers
    """(N,) of each picture: 1 over the pictures of its person."""
    genuine: Numbers
    """(N,) score with the own person."""
    impostor: Numbers
    """(C,) scores with others, falling."""
    rows: npt.NDArray[np.int64]
    """(C,) whose picture, as a place in the gallery; `columns`: with whom; `weights`: its own."""
    columns: npt.NDArray[np.int64]
    weights: Numbers
    people: int

    @classmethod
    def of(cls, scores: Numbers, own: npt.NDArray[np.int64]) -> "_Comparisons":
        """Return the comparisons of a table of scores, (N, G)."""
        weight = 1 / np.bincount(own)[own]
        others = np.ones(scores.shape, dtype=np.bool_)
        others[np.arange(len(own)), own] = False
        pictures, columns = np.nonzero(others)
        falling = np.argsort(-scores[others], kind="stable")
        return cls(
            own=own,
            weight=weight,
            genuine=scores[np.arange(len(own)), own],
            impostor=scores[others][falling],
            rows=own[pictures][falling],
            columns=columns[falling],
            weights=weight[pictures][falling],
            people=scores.shape[1],
        )

    def passing(self, fpr: float, times: Numbers) -> Numbers:
        """Return the chance that each picture passes with its own person, (N,).

        Of comparisons at the threshold itself as many pass, by lot, as the rate leaves room for.

        Args:
            fpr: The share of comparisons with others that passes.
            times: (G,) how often each person was drawn; whoever was drawn twice is no other.
        """
        count = len(self.impostor)
        count = count if count < _FEW else min(count, math.ceil(_TAIL * fpr * count))
        drawn = self.weights[:count] * times[self.rows[:count]] * times[self.columns[:count]]
        whole = float((self.weight * times[self.own] * (times.sum() - times[self.own])).sum())
        passed, allowed = np.cumsum(drawn), fpr * whole
        last = min(int(np.searchsorted(passed, allowed)), count - 1)
        threshold = self.impostor[last]
        equal = self.impostor[:count] == threshold
        before, at = (
            float(drawn[self.impostor[:count] > threshold].sum()),
            float(drawn[equal].sum()),
        )
        lot = min(max((allowed - before) / at, 0.0), 1.0) if at > 0 else 0.0
        return np.asarray((self.genuine > threshold) + lot * (self.genuine == threshold))


def _rate(comparisons: _Comparisons, fpr: float, people: int) -> MatchRate:
    needed = people_needed(fpr)
    if people < needed:
        return MatchRate(fpr=fpr, tpr=None, low=None, high=None, needed=needed)
    once = np.ones(people)
    shares, _ = person_means(comparisons.passing(fpr, once), comparisons.own)
    low, high = _interval(comparisons, fpr, shares)
    return MatchRate(fpr=fpr, tpr=float(shares.mean()), low=low, high=high, needed=needed)


def _interval(comparisons: _Comparisons, fpr: float, shares: Numbers) -> tuple[float, float]:
    """Return the wider, at each end, of two intervals.

    A bootstrap over people moves the threshold, too, and ends at 0 where nothing passed; the
    interval of a share over people holds where nothing passed and takes the threshold as given.
    """
    draw = np.random.default_rng(0)
    tpr = []
    for _ in range(DRAWS):
        times = np.bincount(
            draw.integers(comparisons.people, size=comparisons.people),
            minlength=comparisons.people,
        ).astype(np.float64)
        weight = comparisons.weight * times[comparisons.own]
        if weight.any() and np.count_nonzero(times) > 1:
            tpr.append(float(weight @ comparisons.passing(fpr, times) / weight.sum()))
    low, high = np.quantile(tpr, (0.025, 0.975))
    given = person_interval(np.clip(shares, 0, 1), trials=len(comparisons.own))
    return min(float(low), given[0]), max(float(high), given[1])
