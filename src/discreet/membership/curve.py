"""Whether losses tell who was trained on: the area under the ROC curve, and its tail.

Losses in, a result out; it knows no model, no owner and no file. The attack says "member" where the
loss fell most from a reference model to the one that is asked (Yeom et al. 2018, arXiv:1709.01604,
section 3.2; the reference takes out that some examples are easier than others, Watson et al. 2022,
arXiv:2111.08440). It is one attack, and not the strongest: an area of 0.5 says that this one finds
nothing, and not that nothing is there.

>>> fell = membership_scores(np.array([3.0, 3.0, 3.0]), np.array([1.0, 2.5, 2.0]))
>>> stayed = membership_scores(np.array([3.0, 3.0]), np.array([3.0, 2.25]))
>>> measure_membership(fell, stayed, ["a", "b", "b"], ["c", "d"]).auc
0.8333333333333334
"""

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from discreet.intervals import share_interval

Numbers = npt.NDArray[np.float64]
FPR = 0.01
"""Rate of false alarms at which the tail is read (Carlini et al. 2022, arXiv:2112.03570)."""
FPRS = (FPR, 0.001)
OTHERS_NEEDED = math.ceil(1 / FPR)
"""Fewer non-members cannot show so low a rate: one false alarm would be more."""
DRAWS = 2000


@dataclass(frozen=True, kw_only=True, slots=True)
class Tail:
    """What is found where few of the others may be accused."""

    fpr: float
    """Rate of false alarms that is allowed."""
    needed: int
    """Non-members without whom so low a rate cannot be seen."""
    tpr: float | None
    """Share of members found; None: there are fewer others than `needed`."""
    low: float = 0.0
    high: float = 1.0
    """95 % interval of `tpr` at the threshold, exact; a person counts once, however many examples
    there are, as if all of them were alike."""
    fpr_high: float = 1.0
    """What the rate of false alarms at this threshold may be, at 97.5 % confidence."""
    by_chance: float | None = None
    """Share of members that is expected to pass where members are as others; None: `fpr`."""

    @property
    def times_chance(self) -> float | None:
        """Return how many times as many members as others are found; 1 is chance."""
        return None if self.tpr is None else self.tpr / (self.by_chance or self.fpr)

    def is_beyond(self, most: float) -> bool:
        """Return whether more members are found than `most`, with 97.5 % confidence."""
        return self.tpr is not None and self.low > most


@dataclass(frozen=True, kw_only=True, slots=True)
class Membership:
    """How well members are told from others."""

    auc: float
    """Chance that a member scores above another example; 0.5: no better than a coin."""
    low: float
    high: float
    """95 % interval of `auc`, of all attacks at once; whole people are drawn."""
    members: int
    others: int
    """Examples of each kind."""
    people: tuple[int, int]
    """Persons among members, and among others."""
    tails: tuple[Tail, ...]
    """At each of `FPRS`."""

    @property
    def tpr(self) -> float | None:
        """Return the share of members found at `FPR`; None: fewer than `OTHERS_NEEDED` others."""
        return self.tails[0].tpr

    @property
    def is_chance(self) -> bool:
        """Return whether the interval holds 0.5: nothing was found."""
        return self.low <= 0.5 <= self.high


def membership_of(record: Mapping[str, Any]) -> Membership:
    """Return what `dataclasses.asdict` made a record of.

    Raises:
        TypeError: if a field is missing, or is another.
    """
    tails = tuple(Tail(**tail) for tail in record["tails"])
    return Membership(**{**record, "people": tuple(record["people"]), "tails": tails})


def membership_scores(reference_losses: Numbers, losses: Numbers) -> Numbers:
    """Return how far each loss fell below that of a reference model, (N,); higher: a member."""
    return reference_losses - losses


def measure_membership(
    members: Numbers,
    others: Numbers,
    people_of_members: Sequence[Hashable],
    people_of_others: Sequence[Hashable],
    *,
    attacks: int = 1,
) -> Membership:
    """Return how well scores tell members from others of the same distribution.

    Args:
        members: (M,) scores of examples that were trained on, or are said to be.
        others: (N,) scores of examples that were not.
        people_of_members: Whose each member is; examples of one person depend on each other.
        people_of_others: Whose each other example is; nobody is in both.
        attacks: How many are tried, of which the strongest is told: intervals are so much wider
            that those of all attacks hold at once (Bonferroni).

    Raises:
        ValueError: if one kind has fewer than two people, a score is not finite, lengths differ, or
            a person is in both.
    """
    _check(members, others, people_of_members, people_of_others)
    wins, sizes = _won(members, others, people_of_members, people_of_others)
    missed = 0.05 / attacks
    low, high = _interval(wins, sizes, missed)
    return Membership(
        auc=float(wins.sum() / sizes.sum()),
        low=low,
        high=high,
        members=len(members),
        others=len(others),
        people=(len(wins), wins.shape[1]),
        tails=tuple(
            _tail(members, others, fpr, (len(wins), wins.shape[1]), missed / len(FPRS))
            for fpr in FPRS
        ),
    )


def tpr_at(members: Numbers, others: Numbers, fpr: float = FPR) -> float:
    """Return the share of members above a threshold that at most `fpr` of the others pass."""
    return float((members > threshold_at(others, fpr)).mean())


def threshold_at(others: Numbers, fpr: float) -> float:
    """Return the lowest score that at most a share `fpr` of the others pass."""
    return float(np.sort(others)[::-1][math.floor(fpr * len(others))])


def _tail(
    members: Numbers, others: Numbers, fpr: float, people: tuple[int, int], missed: float
) -> Tail:
    """Return what is found at a rate of false alarms, of how many people of each kind."""
    needed = math.ceil(1 / fpr)
    if len(others) < needed:
        return Tail(fpr=fpr, needed=needed, tpr=None)
    threshold = threshold_at(others, fpr)
    tpr, accused = float((members > threshold).mean()), float((others > threshold).mean())
    low, high = share_interval(tpr * people[0], people[0], confidence=1 - missed)
    fpr_high = share_interval(accused * people[1], people[1], confidence=1 - missed)[1]
    passed = math.floor(fpr * len(others))
    return Tail(
        fpr=fpr,
        needed=needed,
        tpr=tpr,
        low=low,
        high=high,
        fpr_high=fpr_high,
        by_chance=(passed + 1) / (len(others) + 1),
    )


def _check(
    members: Numbers,
    others: Numbers,
    people_of_members: Sequence[Hashable],
    people_of_others: Sequence[Hashable],
) -> None:
    """Refuse what no area or no interval can be made of."""
    for scores, people in ((members, people_of_members), (others, people_of_others)):
        if len(scores) != len(people) or not np.isfinite(scores).all():
            raise ValueError(
                f"Expected a finite score and a person for each example, got {len(scores)} scores "
                f"and {len(people)} people. Leave out examples without a loss."
            )
        if len(set(people)) < 2:
            raise ValueError(
                f"Expected examples of two people or more, got {len(set(people))}: no interval can "
                "draw whole people. Ask of more."
            )
    if set(people_of_members) & set(people_of_others):
        raise ValueError(
            "Expected nobody among members and others, got somebody in both. Hold out whole people."
        )


def _won(
    members: Numbers,
    others: Numbers,
    people_of_members: Sequence[Hashable],
    people_of_others: Sequence[Hashable],
) -> tuple[Numbers, Numbers]:
    """Return comparisons that members won, and all, by person and person, (P, Q) each.

    A tie is half a win: the sum over all people is the statistic of Mann and Whitney.
    """
    rows, columns = _numbered(people_of_members), _numbered(people_of_others)
    wins = np.zeros((rows.max() + 1, columns.max() + 1))
    sizes = np.outer(np.bincount(rows), np.bincount(columns)).astype(np.float64)
    for column in range(wins.shape[1]):
        ranked = np.sort(others[columns == column])
        below = np.searchsorted(ranked, members, "left")
        up_to = np.searchsorted(ranked, members, "right")
        wins[:, column] = np.bincount(rows, (below + up_to) / 2)
    return wins, sizes


def _interval(wins: Numbers, sizes: Numbers, missed: float) -> tuple[float, float]:
    """Return an interval that misses as often as said; people of both kinds are drawn.

    A percentile bootstrap.

    Source: Efron and Tibshirani 1993, *An Introduction to the Bootstrap*, ch. 13.
    """
    draw = np.random.default_rng(0)
    times = [draw.multinomial(n, np.full(n, 1 / n), size=DRAWS) for n in wins.shape]
    won, all_of = (((times[0] @ part) * times[1]).sum(1) for part in (wins, sizes))
    low, high = np.quantile(won / all_of, (missed / 2, 1 - missed / 2))
    return float(low), float(high)


def _numbered(people: Sequence[Hashable]) -> npt.NDArray[np.int64]:
    """Return a number for each person, from 0, in the order of their first example."""
    number = {person: place for place, person in enumerate(dict.fromkeys(people))}
    return np.array([number[person] for person in people])
