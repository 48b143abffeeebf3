"""Which candidates cannot be told from each other, so that no share is split between them.

Two draws of one data set do not make the same update. Candidates are told apart only where they
differ by more than that: products of *different* draws alone are used, in which chance has the mean
0. Candidates of one law, with other samples, come out as one group, and shares are of the group.

>>> from discreet.attribution.updates import Change
>>> draw = np.random.default_rng(0)
>>> laws = {"a": draw.normal(size=(40, 9)), "b": draw.normal(size=(40, 9))}
>>> laws["twin of a"] = laws["a"]
>>> noisy = lambda law: Change(left=law + draw.normal(size=law.shape) / 2)
>>> draws = {k: [Update(changes={"w": noisy(v)}) for _ in range(2)] for k, v in laws.items()}
>>> tell_apart(draws).warning
'Cannot be told apart, and count as one: a = twin of a. No share is split between them.'
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from discreet.attribution.grams import BLOCKS, grams
from discreet.attribution.updates import Numbers, Update

Places = npt.NDArray[np.int64]
LEAST_DIFFERENCE = 0.05
"""Of the size of both; candidates that surely differ by no more are one group: a share would turn
from one to the other with an error of a few per cent in the update."""
BLOCKS_NEEDED = 16
DRAWS = 1000


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """How far two candidates differ."""

    candidates: tuple[str, str]
    difference: float
    """Squared distance over the mean squared size, both without chance: 0 where the laws are one,
    2 where they are at right angles. A little below 0 by chance."""
    low: float
    high: float
    """95 % interval of `difference`, rows of matrices drawn in blocks."""

    @property
    def is_told_apart(self) -> bool:
        """Return whether they surely differ by more than `LEAST_DIFFERENCE`."""
        return self.low > LEAST_DIFFERENCE


@dataclass(frozen=True, kw_only=True, slots=True)
class Identifiability:
    """Which candidates can be told apart, and how hard that is."""

    groups: tuple[tuple[str, ...], ...]
    """Candidates that cannot be told from each other, in the order that they came in."""
    pairs: tuple[Pair, ...]
    coherence: float
    """Largest cosine of two groups, chance included; 1: the same direction. 0 for one group."""
    condition: float
    """Largest over smallest stretch of the groups' directions; errors of shares grow with it."""

    @property
    def warning(self) -> str | None:
        """Return which candidates cannot be told apart, or None."""
        merged = [" = ".join(group) for group in self.groups if len(group) > 1]
        if not merged:
            return None
        return (
            f"Cannot be told apart, and count as one: {'; '.join(merged)}. No share is split "
            "between them."
        )


def tell_apart(
    candidates: Mapping[str, Sequence[Update]], *, blocks: int = BLOCKS
) -> Identifiability:
    """Return which candidates can be told apart, by two independent draws or more of each.

    The difference is the squared distance of means estimated from products of different draws only
    (Walther et al. 2016, *NeuroImage* 137, "crossnobis", without whitening), over the mean squared
    size estimated in the same way: for unit vectors, 2 (1 - cosine), with the cosine corrected for
    what the draws do not share (Spearman 1904). Groups are what is connected by pairs that are not
    told apart.

    Args:
        candidates: For each, references of other seeds and samples, or gradients of parts of its
            data set that share no example.
        blocks: Of rows for each matrix.

    Raises:
        ValueError: if a candidate has fewer than two draws, there is none, or there are too few
            blocks for an interval.
    """
    if not candidates or min(map(len, candidates.values())) < 2:
        raise ValueError(
            "Expected candidates with two draws or more of each: one does not show what chance "
            "does. Split each data set into halves, or train another reference."
        )
    names = list(candidates)
    found = grams([u for n in names for u in candidates[n]], blocks=blocks).levelled()
    check_blocks(len(found.products))
    owner = np.repeat(np.arange(len(names)), [len(candidates[n]) for n in names])
    means = _means_without_chance(found.products, owner)
    times = drawn_blocks(len(means), DRAWS)
    pairs = [_pair((i, j), names, means, times) for j in range(len(names)) for i in range(j)]
    groups = _connected(names, [pair for pair in pairs if not pair.is_told_apart])
    coherence, condition = _difficulty(groups, names, owner, found.products.sum(0))
    return Identifiability(
        groups=groups, pairs=tuple(pairs), coherence=coherence, condition=condition
    )


def check_blocks(count: int) -> None:
    """Refuse an interval of too few blocks."""
    if count < BLOCKS_NEEDED:
        raise ValueError(
            f"Expected {BLOCKS_NEEDED} blocks of rows or more, got {count}: an interval of fewer "
            "is too short. Compare more or larger matrices, or raise `blocks`."
        )


def drawn_blocks(count: int, draws: int) -> Numbers:
    """Return how often each block is drawn, (draws, count), the same in each call."""
    draw = np.random.default_rng(0)
    return draw.multinomial(count, np.full(count, 1 / count), size=draws).astype(np.float64)


def _means_without_chance(products: Numbers, owner: Places) -> Numbers:
    """Return mean products of candidates by block, (U, K, K), of different draws only."""
    belongs = (owner[:, None] == np.unique(owner)).astype(np.float64)
    others = products * (1 - np.eye(len(owner)))
    counts = belongs.T @ (1 - np.eye(len(owner))) @ belongs
    return np.asarray(belongs.T @ others @ belongs / counts)


def _pair(places: tuple[int, int], names: list[str], means: Numbers, times: Numbers) -> Pair:
    """Return how far two candidates differ, with a percentile bootstrap over blocks."""
    i, j = places
    sizes = (means[:, i, i] + means[:, j, j]) / 2
    distances = means[:, i, i] + means[:, j, j] - 2 * means[:, i, j]
    low, high = np.quantile(_ratio(times @ distances, times @ sizes), (0.025, 0.975))
    return Pair(
        candidates=(names[i], names[j]),
        difference=float(_ratio(distances.sum(), sizes.sum())),
        low=float(low),
        high=float(high),
    )


def _ratio(distances: Numbers, sizes: Numbers) -> Numbers:
    """Return distances in sizes; 0 where draws of a candidate share nothing that could differ."""
    return np.where(sizes > 0, distances / np.where(sizes > 0, sizes, 1), 0.0)


def _connected(names: list[str], joined: list[Pair]) -> tuple[tuple[str, ...], ...]:
    """Return groups of names that pairs connect."""
    group = {name: {name} for name in names}
    for pair in joined:
        one, other = (group[name] for name in pair.candidates)
        if one is not other:
            one |= other
            for name in other:
                group[name] = one
    whole = {id(members): members for members in group.values()}
    return tuple(tuple(n for n in names if n in members) for members in whole.values())


def _difficulty(
    groups: tuple[tuple[str, ...], ...], names: list[str], owner: Places, products: Numbers
) -> tuple[float, float]:
    """Return the largest cosine between columns, and the condition number of unit columns."""
    by = np.array([[names[place] in group for place in owner] for group in groups], np.float64)
    gram = by @ products @ by.T
    lengths = np.sqrt(np.diag(gram))
    cosines = gram / np.outer(lengths, lengths)
    stretches = np.linalg.eigvalsh(cosines).clip(np.finfo(float).eps)
    apart = cosines - np.eye(len(groups))
    return float(np.abs(apart).max()), float(np.sqrt(stretches[-1] / stretches[0]))
