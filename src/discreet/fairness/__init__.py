"""Whom it serves worse: gaps between groups, flips between twins, and when they mean something."""

from discreet.fairness.equivalence import Equivalence, compare_pairs
from discreet.fairness.flips import PairedFlips, measure_flips
from discreet.fairness.gaps import MIN_PEOPLE, Gap, GroupRate, measure_gap, odds_gap, rates_of
from discreet.fairness.multiplicity import adjusted

__all__ = [
    "MIN_PEOPLE",
    "Equivalence",
    "Gap",
    "GroupRate",
    "PairedFlips",
    "adjusted",
    "compare_pairs",
    "measure_flips",
    "measure_gap",
    "odds_gap",
    "rates_of",
]
