import json
import math
from collections.abc import Callable

import pytest
from dp_accounting import GaussianDpEvent, PoissonSampledDpEvent, SelfComposedDpEvent
from dp_accounting.pld import PLDAccountant

from discreet.privacy import PrivacyPlan, calibrate


@pytest.mark.parametrize(
    ("target", "sample_rate", "steps", "accountant"),
    [
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
    assert 0.95 * target <= plan.epsilon <= target
    step = PoissonSampledDpEvent(plan.sample_rate, GaussianDpEvent(plan.noise_multiplier))
    oracle = PLDAccountant().compose(SelfComposedDpEvent(step, plan.steps))
    assert oracle.get_epsilon(plan.delta) <= target


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
        ("unit", "user"),
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
    plan = make_plan(noise_multiplier=0.1 + 0.2)
    assert PrivacyPlan.from_dict(json.loads(json.dumps(plan.to_dict()))) == plan


def test_a_plan_with_another_key_is_refused(make_plan: Callable[..., PrivacyPlan]) -> None:
    values = make_plan().to_dict()
    with pytest.raises(ValueError, match=r"unknown \['epsilon'\]"):
        PrivacyPlan.from_dict({**values, "epsilon": 1.0})
    del values["unit"]
    with pytest.raises(ValueError, match=r"missing \['unit'\]"):
        PrivacyPlan.from_dict(values)
