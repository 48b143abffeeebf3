import json
import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from dp_accounting import (
    ComposedDpEvent,
    GaussianDpEvent,
    PoissonSampledDpEvent,
    SelfComposedDpEvent,
)
from dp_accounting.pld import PLDAccountant
from hypothesis import given, settings
from hypothesis import strategies as st

from discreet.errors import BudgetExhausted
from discreet.privacy import Event, PrivacyPlan, calibrate, epsilon_of


@pytest.mark.parametrize(
    ("target", "sample_rate", "steps", "accountant"),
    [
        (4.0, 0.1, 50, "pld"),
        (0.02, 0.05, 100, "pld"),
        (4.0, 0.1, 50, "prv"),
        (1.0, 0.1, 300, "prv"),
        (0.1, 0.05, 100, "prv"),
        (3.0, 1.0, 20, "prv"),
        (2.0, 0.1, 100, "rdp"),
    ],
)
def test_a_calibrated_plan_spends_its_target_and_no_more(
    target: float, sample_rate: float, steps: int, accountant: str
) -> None:
    plan = calibrate(
        target_epsilon=target,
        delta=1e-5,
        sample_rate=sample_rate,
        steps=steps,
        expected_batch_size=8,
        accountant=accountant,
    )
    assert 0.98 * target <= plan.epsilon <= target
    step = PoissonSampledDpEvent(plan.sample_rate, GaussianDpEvent(plan.noise_multiplier))
    oracle = PLDAccountant().compose(SelfComposedDpEvent(step, plan.steps))
    assert oracle.get_epsilon(plan.delta) <= target * (1 + 1e-6)


@settings(max_examples=6, deadline=None, derandomize=True)
@given(
    target=st.floats(0.5, 8.0),
    delta=st.floats(1e-7, 1e-4),
    rate=st.floats(0.01, 0.2),
    steps=st.integers(1, 300),
    settings_=st.sampled_from(
        [
            {},
            {"unit": "user", "examples_per_user": 3},
            {"unit": "user", "sampled": "user", "examples_per_user": 3},
            {"sampler": "cyclic", "bands": 4},
            {"sampler": "cyclic", "bands": 4, "steps_per_call": 6},
            {"sampler": "bins"},
            {"sampler": "bins", "unit": "user", "examples_per_user": 3, "steps_per_call": 7},
        ]
    ),
)
def test_any_calibrated_plan_spends_98_to_100_percent(
    target: float, delta: float, rate: float, steps: int, settings_: dict[str, object]
) -> None:
    plan = calibrate(
        target_epsilon=target,
        delta=delta,
        sample_rate=rate,
        steps=steps,
        expected_batch_size=8,
        **settings_,  # type: ignore[arg-type]
    )
    assert 0.98 * target <= plan.epsilon <= target


def test_calibrating_on_a_partly_spent_account_uses_what_is_left() -> None:
    spent = [
        Event(noise_multiplier=1.0, sample_rate=0.05, steps=100),
        Event(noise_multiplier=2.0, sample_rate=0.1, steps=30, contributions=2),
    ]
    common = {"delta": 1e-5, "sample_rate": 0.05, "steps": 100, "expected_batch_size": 8}
    before = epsilon_of(spent, 1e-5, "pld")
    for target in (before + 0.05, before + 1.0):
        plan = calibrate(target_epsilon=target, already=spent, **common)  # type: ignore[arg-type]
        total = epsilon_of([*spent, plan], 1e-5, "pld")
        assert target - 0.02 * (target - before) <= total <= target
        fresh = calibrate(target_epsilon=target, **common)  # type: ignore[arg-type]
        assert plan.noise_multiplier > fresh.noise_multiplier


def test_an_account_with_nothing_left_is_not_calibrated_for() -> None:
    spent = [Event(noise_multiplier=0.6, sample_rate=0.05, steps=100)]
    with pytest.raises(BudgetExhausted, match=r"unit: example, neighbours: add_or_remove_one"):
        calibrate(
            target_epsilon=1.0,
            delta=1e-5,
            sample_rate=0.05,
            steps=10,
            expected_batch_size=8,
            already=spent,
        )


@pytest.mark.parametrize(
    ("changes", "steps", "expected"),
    [
        ({}, 7, (0.1, 7, 1)),
        ({"unit": "user", "examples_per_user": 4}, 7, (0.1, 7, 4)),
        ({"unit": "user", "sampled": "user", "examples_per_user": 4}, 7, (0.1, 7, 1)),
        ({"sampler": "cyclic", "bands": 4}, 8, (0.4, 2, 1)),
        ({"sampler": "cyclic", "bands": 4}, 9, (0.4, 3, 1)),
        ({"sampler": "cyclic", "bands": 10}, 1, (1.0, 1, 1)),
        ({"sampler": "bins"}, 10, (1.0, 1, 1)),
        ({"sampler": "bins"}, 11, (1.0, 2, 1)),
        ({"sampler": "bins", "unit": "user", "examples_per_user": 4}, 21, (1.0, 3, 4)),
    ],
)
def test_what_steps_of_a_plan_are_to_an_accountant(
    make_plan: Callable[..., PrivacyPlan],
    changes: dict[str, object],
    steps: int,
    expected: tuple[float, int, int],
) -> None:
    rate, compositions, contributions = expected
    assert make_plan(sample_rate=0.1, **changes).event(steps) == Event(
        noise_multiplier=1.0,
        sample_rate=rate,
        steps=compositions,
        contributions=contributions,
    )


def test_calls_begin_groups_and_bins_anew(make_plan: Callable[..., PrivacyPlan]) -> None:
    plan = make_plan(sample_rate=0.1, sampler="cyclic", bands=4, steps=22, steps_per_call=5)
    assert [event.steps for event in plan.events()] == [4 * 2, 1]
    assert [event.steps for event in replace(plan, steps_per_call=None).events()] == [6]
    even = make_plan(sample_rate=0.1, steps=22, steps_per_call=5)
    assert even.epsilon == replace(even, steps_per_call=None).epsilon


def test_bins_claim_no_amplification_and_say_so(make_plan: Callable[..., PrivacyPlan]) -> None:
    poisson = make_plan(sample_rate=0.1, noise_multiplier=2.0)
    bins = replace(poisson, sampler="bins")
    assert poisson.is_amplified
    assert make_plan(sample_rate=0.1, sampler="cyclic", bands=4).is_amplified
    assert not bins.is_amplified
    assert not make_plan(sample_rate=0.1, sampler="cyclic", bands=10).is_amplified
    assert not make_plan(sample_rate=1.0).is_amplified
    assert bins.epsilon > poisson.epsilon
    oracle = PLDAccountant().compose(SelfComposedDpEvent(GaussianDpEvent(2.0), 10))
    assert bins.epsilon == pytest.approx(oracle.get_epsilon(1e-5), rel=1e-3)


def test_sum_and_count_together_are_one_gaussian_of_the_noise_multiplier(
    make_plan: Callable[..., PrivacyPlan],
) -> None:
    """Andrew et al. 2021, Theorem 1: the whitened shift of both has length 1 / noise_multiplier.

    An example moves the sum by up to one clipping norm and the shifted count by one half.
    """
    plan = make_plan(noise_multiplier=1.3, clip_quantile=0.5, clip_count_noise=0.8)
    shift = np.array([1.0 / plan.gradient_noise_multiplier, 0.5 / plan.clip_count_noise])
    assert np.linalg.norm(shift) == pytest.approx(1 / 1.3)
    assert plan.gradient_noise_multiplier > 1.3
    assert plan.event(5) == make_plan(noise_multiplier=1.3).event(5)
    assert make_plan(noise_multiplier=1.3).gradient_noise_multiplier == 1.3


def test_sum_count_and_losses_are_one_gaussian_of_the_noise_multiplier(
    make_plan: Callable[..., PrivacyPlan],
) -> None:
    """Three precisions add up; what is accounted for is what a plan without losses accounts for."""
    adaptive = {"clip_quantile": 0.5, "clip_count_noise": 1.6}
    plan = make_plan(noise_multiplier=1.3, loss_noise=4.0, loss_clip=7.0, **adaptive)
    precisions = [plan.gradient_noise_multiplier**-2, (2 * 1.6) ** -2, 4.0**-2]
    assert sum(precisions) == pytest.approx(1.3**-2)
    assert plan.event(5) == make_plan(noise_multiplier=1.3).event(5)
    alone = make_plan(noise_multiplier=1.3, loss_noise=4.0)
    assert 1.3 < alone.gradient_noise_multiplier < plan.gradient_noise_multiplier
    usual = make_plan(noise_multiplier=1.3, loss_noise=3 * 1.3)
    assert usual.gradient_noise_multiplier == pytest.approx(1.06 * 1.3, rel=1e-3)


def test_gradients_and_losses_cost_together_what_two_releases_cost_one_after_the_other(
    make_plan: Callable[..., PrivacyPlan],
) -> None:
    """By an accountant of others, who is told of two Gaussians a step and not of one."""
    plan = make_plan(noise_multiplier=2.0, loss_noise=5.0, steps=10)
    both = ComposedDpEvent(
        [GaussianDpEvent(plan.gradient_noise_multiplier), GaussianDpEvent(plan.loss_noise)]
    )
    composed = PLDAccountant().compose(SelfComposedDpEvent(both, 10)).get_epsilon(1e-5)
    assert plan.epsilon == pytest.approx(composed, rel=1e-3)


def test_of_a_sampled_step_gradient_and_loss_reach_delta_at_the_epsilon_that_is_accounted(
    make_plan: Callable[..., PrivacyPlan],
) -> None:
    """The hockey-stick divergence of one step in two dimensions, by integration over a grid."""
    plan = make_plan(noise_multiplier=0.8, loss_noise=1.5, sample_rate=0.1, steps=1)
    axis = np.arange(-8, 10, 0.01)
    bell = np.exp(-(axis**2) / 2) / math.sqrt(2 * math.pi)
    moved = [
        np.exp(-((axis - shift) ** 2) / 2) / math.sqrt(2 * math.pi)
        for shift in (1 / plan.gradient_noise_multiplier, 1 / plan.loss_noise)
    ]
    without = np.outer(bell, bell)
    with_one = 0.9 * without + 0.1 * np.outer(*moved)
    reached = [
        float(np.maximum(0, one - math.exp(plan.epsilon) * other).sum()) * 0.01**2
        for one, other in ((with_one, without), (without, with_one))
    ]
    assert max(reached) == pytest.approx(plan.delta, rel=0.01)


def test_a_calibrated_plan_may_adapt_its_clipping() -> None:
    common = {"target_epsilon": 4.0, "delta": 1e-5, "sample_rate": 0.02, "steps": 100}
    fixed = calibrate(**common, expected_batch_size=64)  # type: ignore[arg-type]
    adapts = calibrate(**common, expected_batch_size=64, clip_quantile=0.5, clip_count_noise=3.2)  # type: ignore[arg-type]
    assert adapts.noise_multiplier == fixed.noise_multiplier
    assert adapts.gradient_noise_multiplier == pytest.approx(fixed.noise_multiplier, rel=0.03)
    with pytest.raises(ValueError, match=r"Expected clip_count_noise > noise_multiplier / 2"):
        calibrate(**common, expected_batch_size=64, clip_quantile=0.5, clip_count_noise=0.1)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sampled": "user"}, "sampled='example' for unit='example'"),
        ({"examples_per_user": 2}, "no examples_per_user for unit='example'"),
        ({"unit": "user"}, "examples_per_user for unit='user'"),
        ({"unit": "user", "examples_per_user": 2, "accountant": "prv"}, "accountant='pld' or"),
        ({"bands": 2}, "sampler='cyclic' together with bands > 1"),
        ({"sampler": "cyclic"}, "sampler='cyclic' together with bands > 1"),
        ({"sampler": "bins", "bands": 2}, "sampler='cyclic' together with bands > 1"),
        ({"sampler": "cyclic", "bands": 11}, "bands \\* sample_rate <= 1"),
        (
            {"sampler": "cyclic", "bands": 2, "unit": "user", "examples_per_user": 2},
            "one sampled thing a user with bands > 1",
        ),
        ({"clip_count_noise": 1.0}, "clip_count_noise=0 for a fixed"),
        ({"clip_quantile": 1.0, "clip_count_noise": 1.0}, "0 < clip_quantile < 1"),
        ({"clip_quantile": 0.5}, "clip_count_noise > noise_multiplier / 2"),
        ({"clip_quantile": 0.5, "clip_count_noise": 0.5}, "clip_count_noise > noise_multiplier"),
        ({"loss_noise": 1.0}, "loss_noise > 1, got loss_noise=1:"),
        ({"loss_noise": -9.0}, "loss_noise > 1, got loss_noise=-9:"),
        (
            {"clip_quantile": 0.5, "clip_count_noise": 0.6, "loss_noise": 1.8},
            "loss_noise > 1.80907, got loss_noise=1.8:",
        ),
        ({"sampler": "cyclic", "bands": 2, "loss_noise": 9.0}, "no loss_noise with bands > 1"),
        ({"unit": "owner", "sampled": "owner", "loss_noise": 9.0}, "no loss_noise with"),
        ({"loss_clip": 0.0}, "loss_clip from"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(
    make_plan: Callable[..., PrivacyPlan], changes: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=f"Expected {message}"):
        make_plan(**{"sample_rate": 0.1, **changes})


@pytest.mark.parametrize("target", [0.005, 1000.0])
def test_a_target_that_cannot_be_met_is_named(target: float) -> None:
    with pytest.raises(ValueError, match=f"target_epsilon={target:g}"):
        calibrate(
            target_epsilon=target,
            delta=1e-5,
            sample_rate=0.1,
            steps=5,
            expected_batch_size=8,
            accountant="rdp",
        )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[(name, bad) for name in ("target_epsilon", "max_grad_norm") for bad in (0, -1, math.inf)],
        *[("noise_multiplier", bad) for bad in (0.0, -1.0, math.nan, "1", True)],
        *[("delta", bad) for bad in (0.0, 1.0, -1e-5, math.nan, None)],
        *[("sample_rate", bad) for bad in (0.0, 1.5, math.nan)],
        *[("steps", bad) for bad in (0, 1.5, True)],
        *[("expected_batch_size", bad) for bad in (0, 8.0)],
        *[(name, bad) for name in ("bands", "steps_per_call") for bad in (0, 2.0, True)],
        *[("examples_per_user", bad) for bad in (0, 2.0)],
        *[("clip_count_noise", bad) for bad in (math.nan, "1")],
        *[("loss_noise", bad) for bad in (math.nan, math.inf, "9", True)],
        *[("loss_clip", bad) for bad in (math.nan, math.inf, "5", -5.0)],
        ("unit", "person"),
        ("sampled", "token"),
        ("sampler", "shuffled"),
        ("neighbouring_relation", "replace_one"),
        ("accountant", "moments"),
    ],
)
def test_a_setting_without_a_guarantee_is_refused(
    make_plan: Callable[..., PrivacyPlan], name: str, value: object
) -> None:
    with pytest.raises(ValueError, match=rf"Expected .*{name}.*, got {name}="):
        make_plan(**{name: value})


def test_a_plan_survives_json(make_plan: Callable[..., PrivacyPlan]) -> None:
    plan = make_plan(
        noise_multiplier=0.1 + 0.2,
        sample_rate=0.1,
        unit="user",
        sampled="user",
        examples_per_user=3,
        sampler="cyclic",
        bands=4,
        steps_per_call=8,
        clip_quantile=0.5,
        clip_count_noise=1 / 3,
        loss_clip=7.5,
    )
    assert PrivacyPlan.from_dict(json.loads(json.dumps(plan.to_dict()))) == plan
    plan = make_plan(loss_noise=1 + 1 / 3)
    assert PrivacyPlan.from_dict(json.loads(json.dumps(plan.to_dict()))) == plan


def test_a_plan_with_another_key_is_refused(make_plan: Callable[..., PrivacyPlan]) -> None:
    values = make_plan().to_dict()
    with pytest.raises(ValueError, match=r"unknown \['epsilon'\]"):
        PrivacyPlan.from_dict({**values, "epsilon": 1.0})
    del values["unit"]
    with pytest.raises(ValueError, match=r"missing \['unit'\]"):
        PrivacyPlan.from_dict(values)


def test_a_plan_of_an_older_file_means_the_defaults(make_plan: Callable[..., PrivacyPlan]) -> None:
    plan = make_plan()
    older = dict(list(plan.to_dict().items())[:10])
    assert list(older)[-1] == "accountant"
    assert PrivacyPlan.from_dict(older) == plan
    with pytest.raises(ValueError, match="unknown"):
        PrivacyPlan.from_dict({**older, "epsilon": 1.0})
