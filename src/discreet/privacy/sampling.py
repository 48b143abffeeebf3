"""Who is in a step: three ways to draw, each with the accounting that `PrivacyPlan` binds it to.

Every example (or user) decides by coins of its own, so that one more changes nothing for the
others; nothing is shuffled, padded or cut to a size.

    >>> draw = poisson(1000, 0.01, CounterGenerator.seeded("a test"))
    >>> [len(draw()) for _ in range(4)]
    [7, 11, 15, 5]
"""

import itertools
from collections.abc import Callable

import torch

from discreet.privacy.plan import PrivacyPlan
from discreet.privacy.randomness import CounterGenerator

Draw = Callable[[], list[int]]
"""Returns the indices that are in the next step, ascending; often none."""


def draw_as_planned(plan: PrivacyPlan, count: int, generator: CounterGenerator) -> Draw:
    """Return the sampling that the plan is accounted by, over `count` examples or users."""
    if plan.sampler == "cyclic":
        return cyclic(count, plan.sample_rate, plan.bands, generator)
    if plan.sampler == "bins":
        return bins(count, plan.sample_rate, generator)
    return poisson(count, plan.sample_rate, generator)


def poisson(count: int, sample_rate: float, generator: CounterGenerator) -> Draw:
    """Each joins each step with chance `sample_rate`, on a coin of its own."""
    return lambda: _heads(generator.uniform(count) < sample_rate)


def cyclic(count: int, sample_rate: float, bands: int, generator: CounterGenerator) -> Draw:
    """Each belongs to one of `bands` groups, drawn once; step t draws from group t mod bands.

    Members of the group join with chance `bands * sample_rate`, so that over time everybody is
    drawn as often as by `poisson`, and never twice within `bands` steps.

    Source: cyclic Poisson sampling, Choquette-Choo et al. 2023 (arXiv:2306.08153).
    """
    groups = generator.integers_below(bands, count)
    turns = itertools.cycle(range(bands))
    return lambda: _heads(
        (generator.uniform(count) < bands * sample_rate) & (groups == next(turns))
    )


def bins(count: int, sample_rate: float, generator: CounterGenerator) -> Draw:
    """Each is in exactly one step of every epoch, drawn anew; an epoch is 1 / rate steps."""
    steps = round(1 / sample_rate)

    def epochs() -> "itertools.chain[list[int]]":
        return itertools.chain.from_iterable(one_epoch() for _ in itertools.count())

    def one_epoch() -> list[list[int]]:
        places = generator.integers_below(steps, count)
        return [_heads(places == step) for step in range(steps)]

    drawn = epochs()
    return lambda: next(drawn)


def _heads(coins: torch.Tensor) -> list[int]:
    """Return the indices at which a vector of bools is true."""
    return [int(index) for index in coins.nonzero().flatten()]
