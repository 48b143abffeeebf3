"""When a head may speak: thresholds whose errors are tested on people it has not seen.

The tests know which pictures show the same people. A unit is a person, or a group of people who
share pictures; pictures of one unit may depend on each other in any way, units may not.

Guarantee:
    With probability `1 - delta` over the draw of the units, the error among what is said is at most
    `level` for units drawn like them: expected wrong answers over expected answers, every unit
    counting the same. It holds for the thresholds that `certified` returns and for the mix of
    people as a whole, not for a part of them.

Method: Learn then Test (Angelopoulos et al. 2021, arXiv:2110.01052) in a fixed sequence, with
betting against each threshold's null hypothesis (Waudby-Smith and Ramdas 2024, arXiv:2010.09686).
Risk with a reject option is that of Geifman and El-Yaniv 2017 (arXiv:1705.08500), Eq. 2.

    >>> right = torch.zeros(60, dtype=torch.bool)
    >>> units = torch.arange(60)
    >>> evidence(risk_by_unit(~right, right, units, level=0.1), level=0.1) > 10
    True
"""

from collections.abc import Iterable, Sequence

import torch

NEVER = 1.0
"""A threshold that no confidence exceeds."""
_GRID = torch.linspace(0.0, NEVER, 201)
"""Thresholds that are tried."""
_BETS = torch.linspace(0.05, 0.95, 19, dtype=torch.float64)
"""Stakes, as shares of the largest that cannot lose more than everything."""


def is_said(
    confidence: torch.Tensor, guess: torch.Tensor, thresholds: Sequence[float]
) -> torch.Tensor:
    """Return (N,) bool: does a guess exceed the threshold of what it would say."""
    return confidence > torch.tensor(thresholds)[guess]


def risk_by_unit(
    said: torch.Tensor, wrong: torch.Tensor, units: torch.Tensor, *, level: float
) -> torch.Tensor:
    """Return the risk of each unit in [0, 1], (U,) float64: the mean over its pictures.

    A wrong answer costs 1, a right one 0, silence exactly `level`. So the expected risk is at most
    `level` if and only if the error among what is said is.

    Args:
        said: (N,) bool, whether a picture is answered.
        wrong: (N,) bool, whether the answer would be wrong.
        units: (N,) int64, who is in the picture.
        level: The error allowed among what is said.
    """
    cost = torch.where(said, wrong.double(), torch.full(said.shape, level, dtype=torch.float64))
    _, place, counts = units.unique(return_inverse=True, return_counts=True)
    sums = torch.zeros(len(counts), dtype=torch.float64).index_add(0, place, cost)
    return torch.div(sums, counts)


def evidence(risks: torch.Tensor, *, level: float) -> float:
    """Return an e-value against "the expected risk is above `level`".

    A gambler who stakes a share on each unit's risk being below `level` does not win on average if
    it is above; so a capital of `1 / delta` has probability `delta` at most (Markov). The capital
    is the mean over several stakes, and does not depend on the order of the units.

    Args:
        risks: (U,) in [0, 1], independent.
        level: In (0, 1).
    """
    stakes = _BETS[:, None] / (1 - level)
    capital = torch.log1p(stakes * (level - risks.double()[None])).sum(1)
    return float(torch.logsumexp(capital, 0).exp()) / len(_BETS)


def thresholds_for(
    confidence: torch.Tensor,
    guess: torch.Tensor,
    target: torch.Tensor,
    *,
    classes: int,
    error: float,
) -> tuple[float, ...]:
    """Return for each class a threshold, so that errors are at most so frequent in every class.

    They start where what names a class errs so often at most, and are raised until what is said of
    pictures that truly are of a class does, too. The second is for a class between two others: its
    pictures are taken for either, and neither shows it alone.

    Args:
        confidence: (N,) of the likeliest class.
        guess: (N,) int64, the likeliest class.
        target: (N,) int64, the true class.
        classes: How many classes there are.
        error: Share of wrong answers allowed.
    """
    wrong = guess != target
    steps = [_least(confidence[guess == c], wrong[guess == c], error) for c in range(classes)]
    while True:
        said = confidence > _GRID[torch.tensor(steps)][guess]
        missed = said & wrong
        answers, errors = (
            part.bincount(minlength=classes).tolist() for part in (target[said], target[missed])
        )
        rates = [
            wrong_ones / max(1, ones) for wrong_ones, ones in zip(errors, answers, strict=True)
        ]
        worst = max(range(classes), key=lambda c: rates[c])
        if rates[worst] <= error:
            return tuple(_GRID[torch.tensor(steps)].tolist())
        taken_for = guess[missed & (target == worst)].bincount(minlength=classes)
        steps[int(taken_for.argmax())] += 1


def _least(confidence: torch.Tensor, wrong: torch.Tensor, error: float) -> int:
    """Return the place in the grid of the least threshold with at most this error."""
    for step, threshold in enumerate(_GRID.tolist()):
        spoken = confidence > threshold
        if float(wrong[spoken].double().sum()) <= error * int(spoken.sum()):
            return step
    return len(_GRID) - 1


def certified(
    candidates: Iterable[Sequence[float]],
    confidence: torch.Tensor,
    guess: torch.Tensor,
    wrong: torch.Tensor,
    units: torch.Tensor,
    *,
    level: float,
    delta: float,
    coverage: float = 1.0,
) -> tuple[float, ...] | None:
    """Return the boldest thresholds that pass before any fails; None if the first fail.

    Those after the first that answer enough are not tried.

    Args:
        candidates: One threshold for each class, from careful to bold. They and their order may
            not depend on the units that are tested here.
        confidence: (N,) of the likeliest class.
        guess: (N,) int64, the likeliest class.
        wrong: (N,) bool.
        units: (N,) int64.
        level: The error promised.
        delta: Probability that the promise is broken.
        coverage: Share of pictures answered that is enough.
    """
    passed = None
    for candidate in candidates:
        said = is_said(confidence, guess, candidate)
        if evidence(risk_by_unit(said, wrong, units, level=level), level=level) * delta < 1:
            break
        passed = tuple(candidate)
        if float(said.double().mean()) >= coverage:
            break
    return passed
