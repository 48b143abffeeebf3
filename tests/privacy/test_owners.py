"""Whole owners: what one may change, what noise is added, what is charged."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from dp_accounting import GaussianDpEvent, SelfComposedDpEvent
from dp_accounting.pld import PLDAccountant
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.stats import chi2, norm

from discreet.errors import BudgetExhausted
from discreet.privacy import (
    CounterGenerator,
    OwnerSum,
    PrivacyLedger,
    PrivacyPlan,
    calibrate,
    draw_batches,
    fuzz_sensitivity,
    spend_round,
)
from discreet.privacy.clipping import grid_of
from discreet.privacy.gaussian import CLIP_RATE
from discreet.types import OwnerId

Update = Mapping[str, torch.Tensor]

SHAPES = {"layer.lora_B.default.weight": (4, 3), "0.weight": (5,), "layer.lora_A.bias": ()}
SIZE = 18
SERVER = OwnerId("federation")


def plan_of(**changes: object) -> PrivacyPlan:
    values = {
        "target_epsilon": 8.0,
        "delta": 1e-5,
        "max_grad_norm": 1.0,
        "noise_multiplier": 1.0,
        "sample_rate": 0.1,
        "steps": 100,
        "expected_batch_size": 4,
        "unit": "owner",
        "sampled": "owner",
    }
    return PrivacyPlan(**{**values, **changes})  # type: ignore[arg-type]


def quiet(**changes: object) -> PrivacyPlan:
    """Return a plan whose noise rounds to zero."""
    return plan_of(**{"noise_multiplier": 1e-9, "expected_batch_size": 1, **changes})


def seeded(text: str = "noise") -> CounterGenerator:
    return CounterGenerator.seeded(text)


def update_of(seed: int, length: float) -> dict[str, torch.Tensor]:
    """Return an update of a given L2 norm over all tensors."""
    numbers = seeded(f"update {seed}").normal(SIZE)
    parts = (numbers * length / numbers.norm()).split([12, 5, 1])
    return {
        name: part.view(shape) for (name, shape), part in zip(SHAPES.items(), parts, strict=True)
    }


def row(update: Update) -> torch.Tensor:
    return torch.cat([update[name].double().flatten() for name in SHAPES])


def sum_of(updates: Sequence[Update], plan: PrivacyPlan | None = None) -> torch.Tensor:
    """Return the released mean as one row, in the order of `SHAPES`."""
    total = OwnerSum(plan or quiet(), SHAPES, seeded())
    for update in updates:
        total.add(update)
    return row(total.result())


# What one owner may change


def test_one_owner_moves_the_sum_by_at_most_the_norm() -> None:
    owners = [update_of(seed, 10.0 ** (seed - 4)) for seed in range(9)]
    bad = {name: torch.full(shape, math.nan) for name, shape in SHAPES.items()}

    def clipped(batch: Sequence[int]) -> torch.Tensor:
        return sum_of([[*owners, bad][place] for place in batch])

    report = fuzz_sensitivity(
        clipped, draw_batches(10), max_grad_norm=1.0, trials=60, seed=0, tolerance=1e-6
    )
    assert report.is_bounded, report
    assert report.largest > 0.99, "somebody is clipped, and to no less than needed"


@settings(deadline=None, max_examples=60)
@given(
    lengths=st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=5),
    place=st.integers(0, 4),
    max_grad_norm=st.floats(1e-3, 1e3),
)
def test_without_any_one_of_them_the_sum_is_no_further_than_the_norm(
    lengths: list[float], place: int, max_grad_norm: float
) -> None:
    """By brute force, on the exact multiples of the grid before the division."""
    updates = [update_of(seed, length) for seed, length in enumerate(lengths)]
    sums = []
    for given_ in (
        updates,
        [*updates[: place % len(updates)], *updates[place % len(updates) + 1 :]],
    ):
        total = OwnerSum(quiet(max_grad_norm=max_grad_norm), SHAPES, seeded())
        for update in given_:
            total.add(update)
        sums.append(total._mean.total.clone())
    difference = math.sqrt(math.fsum(float(x) ** 2 for x in sums[0] - sums[1]))
    assert difference <= max_grad_norm


def test_an_update_is_clipped_over_all_tensors_together_and_by_name() -> None:
    """The slow way: one norm, one factor. Keys in another order are the same update."""
    update = update_of(1, 7.0)
    expected = row(update) / 7.0
    assert (sum_of([update]) - expected).abs().max() <= grid_of(1.0, SIZE) + 2e-3
    turned = {name: update[name] for name in reversed(update)}
    assert torch.equal(sum_of([turned]), sum_of([update]))
    total = OwnerSum(quiet(), dict(reversed(SHAPES.items())), seeded())
    total.add(update)
    assert torch.equal(row(total.result()), sum_of([update]))


def test_clipping_each_tensor_alone_would_break_the_bound() -> None:
    """What the test above would find: three tensors, each as long as the norm."""
    update = update_of(1, 100.0)
    apart = torch.cat([update[name].flatten() / update[name].norm() for name in SHAPES])
    assert apart.norm() > 1.7
    assert sum_of([update]).norm() <= 1 + 1e-6


def test_an_update_of_zeros_is_added_and_changes_nothing() -> None:
    zeros = {name: torch.zeros(shape) for name, shape in SHAPES.items()}
    total = OwnerSum(quiet(), SHAPES, seeded())
    assert total.add(zeros)
    assert total.count == 1
    assert not row(total.result()).any()


@pytest.mark.parametrize("dtype", [torch.int64, torch.int8, torch.float16, torch.bfloat16])
def test_whole_numbers_and_short_floats_are_clipped_like_others(dtype: torch.dtype) -> None:
    update = {name: torch.ones(shape, dtype=dtype) * 3 for name, shape in SHAPES.items()}
    same = {name: tensor.double() for name, tensor in update.items()}
    assert torch.equal(sum_of([update]), sum_of([same]))
    assert sum_of([update]).norm() == pytest.approx(1, abs=2e-3)
    assert all(bool((tensor == 3).all()) for tensor in update.values()), "it is not changed"


def test_numbers_too_large_to_square_in_float32_are_clipped() -> None:
    update = {name: torch.full(shape, 3e38) for name, shape in SHAPES.items()}
    assert sum_of([update]).norm() == pytest.approx(1, abs=2e-3)


@pytest.mark.parametrize("poison", [math.nan, math.inf, -math.inf])
def test_an_update_that_is_not_finite_is_nothing(poison: float) -> None:
    bad = update_of(2, 0.5)
    bad["0.weight"][3] = poison
    adaptive = quiet(clip_quantile=0.5, clip_count_noise=1e-3)
    with_it, without = (OwnerSum(adaptive, SHAPES, seeded()) for _ in range(2))
    for total in (with_it, without):
        assert total.add(update_of(1, 0.5))
    assert not with_it.add(bad)
    assert with_it.count == without.count == 1
    assert torch.equal(row(with_it.result()), row(without.result()))
    assert with_it.max_grad_norm == without.max_grad_norm


@pytest.mark.parametrize("fault", ["missing", "more", "shape"])
def test_another_update_is_refused_and_the_sum_stays(fault: str) -> None:
    wrong = update_of(2, 0.5)
    if fault == "missing":
        del wrong["0.weight"]
    elif fault == "more":
        wrong["1.weight"] = torch.zeros(1)
    else:
        wrong["0.weight"] = wrong["0.weight"][:4]
    total = OwnerSum(quiet(), SHAPES, seeded())
    total.add(update_of(1, 0.5))
    with pytest.raises(ValueError, match="Drop this update"):
        total.add(wrong)
    assert torch.equal(row(total.result()), sum_of([update_of(1, 0.5)]))


# What is added


def test_noise_is_as_strong_as_planned_whoever_fails() -> None:
    """Chi-square over 20,000 numbers, false-alarm rate 1e-6 for each of three tests.

    Flower drops a round, or changes its noise, where a client fails; here nobody moves it.
    """
    size = 20_000
    plan = plan_of(noise_multiplier=0.7, max_grad_norm=2.0, expected_batch_size=5)
    bounds = chi2.ppf([5e-7, 1 - 5e-7], size)
    for answered in (0, 1, 5):
        total = OwnerSum(plan, {"0.weight": (size,)}, seeded(f"strength {answered}"))
        for _ in range(answered):
            total.add({"0.weight": torch.zeros(size)})
        noise = total.result()["0.weight"].double() * 5
        assert bounds[0] <= float((noise / 1.4).square().sum()) <= bounds[1]


def test_noise_of_short_floats_does_not_vanish_and_global_chance_has_no_part() -> None:
    """Flower draws from numpy's global generator, and casts noise to the dtype of the update."""
    released = []
    for _ in range(2):
        np.random.seed(0)
        torch.manual_seed(0)
        total = OwnerSum(plan_of(max_grad_norm=1e-6), SHAPES, CounterGenerator.from_os())
        total.add({name: torch.zeros(shape).half() for name, shape in SHAPES.items()})
        released.append(row(total.result()))
    assert all(bool(numbers.all()) for numbers in released)
    assert not torch.equal(*released)


def test_sum_and_noise_are_on_one_grid() -> None:
    plan = plan_of(noise_multiplier=0.5, expected_batch_size=1)
    total = OwnerSum(plan, SHAPES, seeded())
    total.add(update_of(1, 3.0))
    in_steps = (total._mean.total + total._mean._noise()) / grid_of(1.0, SIZE)
    assert torch.equal(in_steps, in_steps.round())


def test_the_divisor_is_the_expected_number_of_owners() -> None:
    updates = [update_of(seed, 0.5) for seed in range(3)]
    once, thrice = sum_of(updates, quiet()), sum_of(updates, quiet(expected_batch_size=3))
    torch.testing.assert_close(thrice, once / 3)


def test_every_round_starts_anew() -> None:
    total = OwnerSum(quiet(), SHAPES, seeded())
    for _ in range(2):
        total.add(update_of(1, 0.5))
        first = row(total.result())
        assert total.count == 0
    assert not row(total.result()).any()
    assert torch.equal(first, sum_of([update_of(1, 0.5)]))


def test_the_norm_follows_the_owners_and_goes_on_after_a_restart() -> None:
    """Andrew et al. 2021, by hand: two of three within 1, four expected, quantile 0.5."""
    plan = plan_of(noise_multiplier=1e-6, clip_quantile=0.5, clip_count_noise=1e-3)
    total = OwnerSum(plan, SHAPES, seeded())
    assert [total.add(update_of(i, length)) for i, length in enumerate((0.5, 0.9, 7.0))] == [
        True,
        True,
        False,
    ]
    total.result()
    noise = seeded()
    noise.normal(SIZE)
    share = (2 - 3 / 2 + round(1e-3 * float(noise.normal(1)) * 2**20) / 2**20) / 4 + 0.5
    assert total.max_grad_norm == pytest.approx(math.exp(-CLIP_RATE * (share - 0.5)))
    resumed = OwnerSum(plan, SHAPES, seeded())
    resumed.max_grad_norm = total.max_grad_norm
    resumed.add(update_of(0, 70.0))
    assert row(resumed.result()).norm() * 4 == pytest.approx(total.max_grad_norm, rel=3e-3)
    with pytest.raises(ValueError, match="max_grad_norm > 0"):
        resumed.max_grad_norm = 0.0
    resumed.add(update_of(0, 1.0))
    with pytest.raises(ValueError, match="before the first update"):
        resumed.max_grad_norm = 1.0


# What is promised and charged


@pytest.mark.parametrize(
    "changes",
    [
        {"sampled": "example"},
        {"unit": "user", "examples_per_user": 2},
        {"unit": "example"},
        {"sampler": "bins"},
        {"sampler": "cyclic", "bands": 2},
        {"examples_per_user": 3},
        {"neighbouring_relation": "zero_out_one"},
        {"neighbouring_relation": "zero_out_one", "accountant": "rdp"},
        {"neighbouring_relation": "zero_out_one", "sample_rate": 1.0},
        {
            **{"neighbouring_relation": "zero_out_one", "sample_rate": 1.0, "accountant": "rdp"},
            **{"clip_quantile": 0.5, "clip_count_noise": 2.0},
        },
        {"unit": "example", "sampled": "example", "neighbouring_relation": "zero_out_one"},
    ],
    ids=str,
)
def test_a_plan_for_owners_that_nothing_accounts_for_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="Expected"):
        plan_of(**changes)


def test_a_plan_for_owners_is_stored_and_read() -> None:
    plan = plan_of(neighbouring_relation="zero_out_one", sample_rate=1.0, accountant="rdp")
    assert PrivacyPlan.from_dict(plan.to_dict()) == plan
    assert str(plan.state(1.0)).endswith("(unit: owner, neighbours: zero_out_one)")


def test_rounds_that_everybody_takes_part_in_cost_what_the_closed_form_says() -> None:
    """Balle and Wang 2018 (arXiv:1805.06530), Theorem 8; and dp-accounting."""
    plan = plan_of(sample_rate=1.0, steps=25, noise_multiplier=10.0)
    mu = math.sqrt(25) / 10.0

    def excess(epsilon: float) -> float:
        delta = norm.cdf(mu / 2 - epsilon / mu) - math.exp(epsilon) * norm.cdf(
            -mu / 2 - epsilon / mu
        )
        return float(delta) - plan.delta

    exact = brentq(excess, 0.1, 20)
    event = SelfComposedDpEvent(GaussianDpEvent(10.0), 25)
    by_google = PLDAccountant().compose(event).get_epsilon(plan.delta)
    assert exact <= plan.epsilon <= exact * 1.01
    assert plan.epsilon == pytest.approx(by_google, rel=1e-2)
    assert replace(plan, accountant="rdp").epsilon >= exact


def test_drawing_owners_takes_less_noise_than_asking_all() -> None:
    drawn, asked = (
        calibrate(
            target_epsilon=4.0,
            delta=1e-5,
            sample_rate=rate,
            steps=50,
            expected_batch_size=10,
            unit="owner",
            sampled="owner",
        )
        for rate in (0.01, 1.0)
    )
    assert drawn.noise_multiplier < asked.noise_multiplier / 5
    assert 0.98 * 4 <= drawn.epsilon <= 4


@pytest.fixture
def ledger(tmp_path: Path) -> PrivacyLedger:
    return PrivacyLedger.open(tmp_path / "ledger.jsonl")


def test_a_round_is_charged_once_however_it_ends(ledger: PrivacyLedger) -> None:
    plan = calibrate(
        target_epsilon=3.0,
        delta=1e-5,
        sample_rate=0.2,
        steps=3,
        expected_batch_size=4,
        unit="owner",
        sampled="owner",
    )
    ledger.open_account(SERVER, plan)
    with spend_round(ledger, SERVER, plan):
        assert not ledger.entries(SERVER)[0].is_settled, "it is charged before it begins"
    with pytest.raises(RuntimeError, match="too few"), spend_round(ledger, SERVER, plan):
        raise RuntimeError("too few")
    assert ledger.events(SERVER) == (plan.event(1), plan.event(1))
    with spend_round(ledger, SERVER, plan, is_private=False):
        pass
    assert [entry.is_private for entry in ledger.entries(SERVER)] == [True, True, False]
    assert ledger.spent(SERVER).epsilon == pytest.approx(plan.epsilon)
    with pytest.raises(BudgetExhausted), spend_round(ledger, SERVER, plan):
        pytest.fail("the round began")
    with pytest.raises(ValueError, match="as in the open account"):
        spend_round(ledger, SERVER, replace(plan, noise_multiplier=0.1)).__enter__()
    assert len(ledger.entries(SERVER)) == 3


def test_plans_that_hide_something_else_are_refused(ledger: PrivacyLedger) -> None:
    examples = plan_of(unit="example", sampled="example")
    with pytest.raises(ValueError, match="unit='owner'"):
        OwnerSum(examples, SHAPES, seeded())
    with pytest.raises(ValueError, match="unit='owner'"):
        spend_round(ledger, SERVER, examples).__enter__()
    theirs = plan_of(neighbouring_relation="zero_out_one", sample_rate=1.0, accountant="rdp")
    with pytest.raises(ValueError, match="OwnerShare"):
        OwnerSum(theirs, SHAPES, seeded())
    with pytest.raises(ValueError, match="at least one number"):
        OwnerSum(plan_of(), {}, seeded())
