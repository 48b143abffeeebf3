"""Shares of noise in whole numbers: their distribution, their sum, and what the sum promises."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from dp_accounting import GaussianDpEvent, SelfComposedDpEvent
from dp_accounting.rdp import RdpAccountant
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import logsumexp
from scipy.stats import chi2, chisquare

from discreet.privacy import CounterGenerator, OwnerShare, PrivacyPlan, calibrate
from discreet.privacy.discrete import MODULUS, concentrated_epsilon, discrete_gaussian

Words = NDArray[np.uint32]

SHAPES = {"layer.lora_B.default.weight": (40, 25), "0.weight": (500,)}
SIZE = 1500
ALARM = 1e-6
"""Chance of a false alarm of each statistical test here."""


def plan_of(**changes: object) -> PrivacyPlan:
    values = {
        "target_epsilon": 50.0,
        "delta": 1e-5,
        "max_grad_norm": 1.0,
        "noise_multiplier": 1.0,
        "sample_rate": 1.0,
        "steps": 100,
        "expected_batch_size": 8,
        "unit": "owner",
        "sampled": "owner",
        "neighbouring_relation": "zero_out_one",
        "accountant": "rdp",
    }
    return PrivacyPlan(**{**values, **changes})  # type: ignore[arg-type]


def share_of(owners: int = 8, threshold: int = 5, **changes: object) -> OwnerShare:
    return OwnerShare(plan=plan_of(**changes), shapes=SHAPES, owners=owners, threshold=threshold)


def seeded(text: object = "noise") -> CounterGenerator:
    return CounterGenerator.seeded(str(text))


def update_of(seed: int, length: float) -> dict[str, torch.Tensor]:
    numbers = seeded(f"update {seed}").normal(SIZE)
    parts = (numbers * length / numbers.norm()).split([1000, 500])
    return {
        name: part.view(shape) for (name, shape), part in zip(SHAPES.items(), parts, strict=True)
    }


def zeros() -> dict[str, torch.Tensor]:
    return {name: torch.zeros(shape) for name, shape in SHAPES.items()}


def signed(words: Words) -> NDArray[np.int64]:
    return words.view(np.int32).astype(np.int64)


def log_chances(deviation: float, reach: int) -> NDArray[np.float64]:
    """Return the logarithm of each chance from -reach to reach."""
    exponents = -(np.arange(-reach, reach + 1.0) ** 2) / (2 * deviation**2)
    return exponents - logsumexp(exponents)


# The sampler


@pytest.mark.parametrize("deviation", [0.5, 0.7, 1.0, 2.7, 9.0])
def test_numbers_come_with_their_exact_chances(deviation: float) -> None:
    """Chi-square against the definition; cells with fewer than 20 expected are joined."""
    count, reach = 300_000, math.ceil(7 * deviation)
    drawn = discrete_gaussian(deviation, count, seeded(deviation)).numpy()
    expected = count * np.exp(log_chances(deviation, reach))
    found = np.bincount(np.clip(drawn, -reach, reach) + reach, minlength=2 * reach + 1)
    usual = expected >= 20
    cells = [np.append(x[usual], x[~usual].sum()) for x in (found, expected)]
    keep = cells[1] > 0.1
    wanted = cells[1][keep] * cells[0][keep].sum() / cells[1][keep].sum()
    assert chisquare(cells[0][keep], wanted).pvalue > ALARM


def test_the_sampler_would_be_found_out() -> None:
    """The same test on a Gaussian that is rounded: close, and not the same."""
    count, deviation, reach = 300_000, 0.7, 5
    rounded = (seeded("rounded").normal(count) * deviation).round().long().numpy()
    found = np.bincount(np.clip(rounded, -reach, reach) + reach, minlength=2 * reach + 1)
    expected = count * np.exp(log_chances(deviation, reach))
    middle = slice(reach - 2, reach + 3)
    wanted = expected[middle] * found[middle].sum() / expected[middle].sum()
    assert chisquare(found[middle], wanted).pvalue < ALARM


@pytest.mark.parametrize("deviation", [40.0, 5e4, 3e8])
def test_wide_noise_has_the_variance_and_is_even_in_its_lowest_bit(deviation: float) -> None:
    count = 200_000
    drawn = discrete_gaussian(deviation, count, seeded(deviation))
    squares = float((drawn.double() / deviation).square().sum())
    assert chi2.ppf(ALARM / 2, count) <= squares <= chi2.ppf(1 - ALARM / 2, count)
    for coins in (drawn % 2, (drawn > 0)[drawn != 0]):
        assert abs(float(coins.double().mean()) - 0.5) <= 4.9 * 0.5 / len(coins) ** 0.5


@pytest.mark.parametrize("count", [0, 1, 7, 2**18 + 1])
def test_as_many_numbers_come_as_are_asked_for(count: int) -> None:
    drawn = discrete_gaussian(2.0, count, seeded())
    assert (drawn.shape, drawn.dtype) == ((count,), torch.int64)


@pytest.mark.parametrize("deviation", [0.0, 0.49, 2.0**31, math.inf, math.nan])
def test_a_deviation_beyond_what_is_known_is_refused(deviation: float) -> None:
    with pytest.raises(ValueError, match="deviation"):
        discrete_gaussian(deviation, 3, seeded())


# The bound


@pytest.mark.parametrize("deviation", [0.5, 0.7, 1.0, 2.0])
@pytest.mark.parametrize("shares", [1, 2, 3, 4])
@pytest.mark.parametrize("shift", [1, 3])
def test_the_bound_is_no_less_than_the_exact_divergence(
    deviation: float, shares: int, shift: int
) -> None:
    """Renyi divergence of one number by direct summation, in logarithms."""
    reach = 400
    one = log_chances(deviation, reach)
    sums = one
    for _ in range(shares - 1):
        sums = np.array(
            [
                logsumexp(sums[max(0, k - reach) : k + reach + 1][::-1] + _window(one, k, reach))
                for k in range(2 * reach + 1)
            ]
        )
    epsilon = concentrated_epsilon(float(shift), deviation, shares, 1)
    exact = []
    for order in (1.1, 2.0, 8.0, 24.0):
        moved = order * sums[shift:] + (1 - order) * sums[:-shift]
        exact.append(float(logsumexp(moved)) / (order - 1) / order)
        assert exact[-1] <= epsilon**2 / 2 * (1 + 1e-9)
    if deviation == 2.0:
        assert max(exact) >= 0.99 * epsilon**2 / 2, "the bound is tight where noise is wide"


def _window(one: NDArray[np.float64], place: int, reach: int) -> NDArray[np.float64]:
    """Return the chances of one share that lead from each sum, last first, to a place."""
    low, high = max(0, place - reach), min(2 * reach, place + reach)
    return one[place - high + reach : place - low + reach + 1]


def test_shares_that_are_too_coarse_do_not_add_up_to_a_gaussian() -> None:
    assert concentrated_epsilon(1.0, 0.5, 4, 1) > 2 * concentrated_epsilon(1.0, 1.0, 1, 1)
    with pytest.raises(ValueError, match="add up to a Gaussian"):
        share_of(owners=1000, threshold=1000, noise_multiplier=5e-4, target_epsilon=1e9)
    share_of(owners=1000, threshold=1, noise_multiplier=5e-4, target_epsilon=1e9)


def test_rounds_cost_what_the_gaussian_costs() -> None:
    plan = plan_of(steps=30, noise_multiplier=7.0)
    event = SelfComposedDpEvent(GaussianDpEvent(7.0), 30)
    by_google = RdpAccountant().compose(event).get_epsilon(plan.delta)
    assert plan.epsilon == pytest.approx(by_google, rel=0.02)
    assert (
        plan.epsilon
        > replace(plan, neighbouring_relation="add_or_remove_one", accountant="pld").epsilon
    )
    share = OwnerShare(plan=plan, shapes=SHAPES, owners=40, threshold=30)
    epsilon = concentrated_epsilon(share.norm, share.deviation, 30, share.size)
    assert 0.999 / 7 < epsilon <= 1 / 7


# From an update to a sum and back


@pytest.mark.parametrize("owners", [5, 8])
def test_shares_of_the_honest_add_up_to_the_planned_noise(owners: int) -> None:
    """Owners with nothing to say: what is opened is noise, as planned by five, more by eight."""
    share = share_of(noise_multiplier=0.8)
    total = np.zeros(SIZE, np.uint32)
    for owner in range(owners):
        total += share.encode(zeros(), seeded(owner))
    planned = (0.8 * share.norm) ** 2 * owners / 5
    squares = float((signed(total).astype(float) ** 2).sum()) / planned
    assert chi2.ppf(ALARM / 2, SIZE) <= squares <= chi2.ppf(1 - ALARM / 2, SIZE)


@settings(deadline=None, max_examples=50)
@given(
    lengths=st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=6),
    max_grad_norm=st.floats(1e-3, 1e3),
)
def test_one_owner_moves_the_sum_by_at_most_the_norm(
    lengths: list[float], max_grad_norm: float
) -> None:
    """By brute force: each update against zero, under the same noise, in whole numbers."""
    share = share_of(max_grad_norm=max_grad_norm)
    for seed, length in enumerate(lengths):
        with_it = signed(share.encode(update_of(seed, length), seeded()))
        without = signed(share.encode(zeros(), seeded()))
        squares = sum(int(x) ** 2 for x in with_it - without)
        assert squares <= (max_grad_norm / share.grid) ** 2
    assert squares > 0 or length < max_grad_norm / 100


@settings(deadline=None, max_examples=50)
@given(
    owners=st.integers(1, 6),
    seed=st.integers(0, 2**31),
    share=st.floats(0, 1, exclude_max=True),
)
def test_sums_within_half_of_the_modulus_decode_exactly(
    owners: int, seed: int, share: float
) -> None:
    chance = np.random.default_rng(seed)
    most = int(share * 2**31) // owners
    numbers = chance.integers(-most, most, size=(owners, SIZE), endpoint=True)
    total = np.zeros(SIZE, np.uint32)
    for row in numbers:
        total += (row % MODULUS).astype(np.uint32)
    coder = share_of(owners=6, threshold=1)
    found = coder.decode(total, owners)
    wanted = torch.from_numpy(numbers.sum(0)).double() * coder.grid / owners
    flat = torch.cat([found[name].flatten() for name in sorted(SHAPES)])
    assert torch.equal(flat, wanted.float())


def test_the_mean_is_that_of_the_clipped_updates() -> None:
    """In the order of names, whatever order they come in; noise is subtracted by drawing again."""
    share = share_of(noise_multiplier=0.5)
    updates = [update_of(seed, length) for seed, length in enumerate((0.2, 0.7, 5.0, 30.0, 1e-3))]
    total, noise = np.zeros(SIZE, np.uint32), torch.zeros(SIZE)
    for owner, update in enumerate(updates):
        turned = {name: update[name] for name in reversed(update)}
        total += share.encode(turned, seeded(owner))
        noise += discrete_gaussian(share.deviation, SIZE, seeded(owner)) * share.grid / 5
    found = share.decode(total, 5)
    flat = torch.cat([found[name].flatten() for name in sorted(SHAPES)]) - noise
    expected = torch.zeros(SIZE, dtype=torch.float64)
    for update in updates:
        row = torch.cat([update[name].flatten() for name in sorted(SHAPES)])
        expected += row / row.norm().clamp(min=1) / 5
    assert float((flat - expected).norm()) <= 3e-3
    assert {name: tuple(tensor.shape) for name, tensor in found.items()} == SHAPES


def test_masks_cancel_and_the_sum_stays() -> None:
    """What secure aggregation does: whole numbers modulo 2**32 that add up to zero."""
    share = share_of()
    words = [share.encode(update_of(owner, 0.5), seeded(owner)) for owner in range(5)]
    mask = np.random.default_rng(0).integers(0, MODULUS, SIZE, dtype=np.uint32)
    masked = [words[0] + mask, *words[1:4], words[4] - mask]
    plain, hidden = (sum(some, np.zeros(SIZE, np.uint32)) for some in (words, masked))
    assert np.array_equal(plain, hidden)


@pytest.mark.parametrize("poison", [math.nan, math.inf])
def test_an_update_that_is_not_finite_is_sent_as_noise(poison: float) -> None:
    share, bad = share_of(), update_of(0, 0.5)
    bad["0.weight"][0] = poison
    assert np.array_equal(share.encode(bad, seeded()), share.encode(zeros(), seeded()))


class HalfAsLoud(CounterGenerator):
    """A broken source of noise."""

    def exponential(self, count: int) -> torch.Tensor:
        """Return (count,) numbers of mean 1/2."""
        return super().exponential(count) / 2


def test_noise_that_is_not_as_strong_as_promised_is_not_sent() -> None:
    with pytest.raises(RuntimeError, match="variance 1"):
        share_of().encode(zeros(), HalfAsLoud.seeded("noise"))


# What is refused when a plan is made


@pytest.mark.parametrize(
    ("owners", "threshold", "noise", "match"),
    [
        (100_000, 50_000, 1.0, "wrap around"),
        (8, 5, 1e6, "wrap around"),
        (8, 9, 1.0, "threshold <= owners"),
        (0, 1, 1.0, "owners >= 1"),
        (8, 0, 1.0, "threshold >= 1"),
    ],
)
def test_sums_that_could_wrap_around_or_lack_noise_are_refused(
    owners: int, threshold: int, noise: float, match: str
) -> None:
    with pytest.raises(ValueError, match=match):
        share_of(owners, threshold, noise_multiplier=noise)


def test_the_largest_sums_that_are_let_through_do_not_wrap_around() -> None:
    """All owners at their longest in one place, at the most that a plan of this noise allows."""
    owners = next(n for n in range(110_000, 0, -1000) if _is_planned(n))
    share = share_of(owners, owners)
    assert 0.9 * 2**31 < share.reach < 2**31
    peak = {name: torch.zeros(shape) for name, shape in SHAPES.items()}
    peak["0.weight"][0] = 1e9
    alone = signed(share.encode(peak, seeded()))
    assert abs(alone).max() * owners < 2**31
    noise = share.deviation * math.sqrt(owners)
    assert (share.reach - owners * share.norm) / noise > 8, "standard deviations of the noise"


def _is_planned(owners: int) -> bool:
    try:
        share_of(owners, owners)
    except ValueError:
        return False
    return True


def test_a_plan_with_noise_added_by_the_server_is_refused() -> None:
    central = plan_of(neighbouring_relation="add_or_remove_one")
    with pytest.raises(ValueError, match="OwnerSum"):
        OwnerShare(plan=central, shapes=SHAPES, owners=8, threshold=5)


@pytest.mark.parametrize("count", [4, 9])
def test_a_sum_of_too_few_or_too_many_is_not_decoded(count: int) -> None:
    with pytest.raises(ValueError, match="5 to 8 owners"):
        share_of().decode(np.zeros(SIZE, np.uint32), count)


@pytest.mark.parametrize("words", [np.zeros(SIZE, np.int64), np.zeros(SIZE - 1, np.uint32)])
def test_something_else_than_a_sum_is_not_decoded(words: Words) -> None:
    with pytest.raises(ValueError, match="1500 numbers uint32"):
        share_of().decode(words, 5)


def test_a_calibrated_plan_makes_shares() -> None:
    plan = calibrate(
        target_epsilon=8.0,
        delta=1e-5,
        sample_rate=1.0,
        steps=20,
        expected_batch_size=8,
        unit="owner",
        sampled="owner",
        neighbouring_relation="zero_out_one",
        accountant="rdp",
    )
    share = OwnerShare(plan=plan, shapes=SHAPES, owners=8, threshold=5)
    assert share.deviation * math.sqrt(5) >= plan.noise_multiplier * share.norm
