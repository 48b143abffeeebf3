"""Whether two paired answers are alike enough: equivalence, not merely that nothing was found.

A test that finds no difference says little: it may have asked too few. Equivalence puts the burden
of proof on whoever says that all are served alike: the difference has to be shown to be smaller
than a margin that was chosen beforehand.

>>> alike = compare_pairs(np.array([0.1, -0.2, 0.1, 0.0, -0.1]), list("abcde"), margin=0.5)
>>> alike.is_equivalent, alike.is_different
(True, False)
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import t

from discreet.fairness.people import means_of_people

Numbers = npt.NDArray[np.float64]
LEVEL = 0.05


@dataclass(frozen=True, kw_only=True, slots=True)
class Equivalence:
    """How far one of a pair is served otherwise than the other."""

    difference: float
    """Mean over people of their mean difference, in the unit of what was measured."""
    low: float
    high: float
    """95 % interval of `difference`."""
    margin: float
    """What is still called alike, in the same unit."""
    p_equivalent: float
    """Chance to look as alike as this if the difference were `margin` or more."""
    p_different: float
    """Chance to look as different as this if there were none."""
    people: int
    pairs: int

    @property
    def is_equivalent(self) -> bool:
        """Return whether the difference is shown to be below the margin, at 5 %."""
        return self.p_equivalent < LEVEL

    @property
    def is_different(self) -> bool:
        """Return whether there is one, at 5 %; it may be below the margin all the same."""
        return self.p_different < LEVEL

    @property
    def in_words(self) -> str:
        """Return the verdict."""
        if self.is_equivalent:
            return "different, but by less than the margin" if self.is_different else "alike"
        return "different" if self.is_different else "undecided: ask more people"


def compare_pairs(
    differences: Numbers, people: Sequence[Hashable], *, margin: float
) -> Equivalence:
    """Return whether paired measurements are equivalent, by two one-sided t-tests over people.

    Pairs of one person depend on each other: each person counts once, with their mean.

    Args:
        differences: (N,) the second of a pair less the first: words, grade levels, losses.
        people: Whose each pair is; three people or more.
        margin: Above 0, chosen before anybody looks.

    Raises:
        ValueError: if numbers do not fit, are not finite, or there are too few people.

    Source: Schuirmann 1987, *Journal of Pharmacokinetics and Biopharmaceutics* 15(6).
    """
    if not (np.isfinite(margin) and margin > 0):
        raise ValueError(f"Expected a margin above 0, got {margin}. Say what is still alike.")
    own = means_of_people(differences, people)
    mean, freedom = float(own.mean()), len(own) - 1
    error = max(float(own.std(ddof=1)) / np.sqrt(len(own)), np.finfo(float).tiny)
    reach = float(t.ppf(0.975, freedom)) * error
    return Equivalence(
        difference=mean,
        low=mean - reach,
        high=mean + reach,
        margin=margin,
        p_equivalent=float(t.sf((margin - abs(mean)) / error, freedom)),
        p_different=float(2 * t.sf(abs(mean) / error, freedom)),
        people=len(own),
        pairs=len(differences),
    )
