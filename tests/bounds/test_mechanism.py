"""False alarms and finds of the test of the mechanism; breaks are made to the step that runs."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import kstest, norm

from discreet.bounds import (
    Release,
    check_mechanism,
    epsilon_of_mu,
    full_participation,
    owners_release,
    simulated_release,
    training_release,
)
from discreet.privacy import PrivacyPlan

PLAN = full_participation(noise_multiplier=1.0, max_grad_norm=0.7)
Make = type(training_release)


def noise_halved(make: Make, plan: PrivacyPlan) -> Release:
    return make(replace(plan, noise_multiplier=plan.noise_multiplier / 2))


def clip_skipped(make: Make, plan: PrivacyPlan) -> Release:
    """Gradients of ten times the norm pass as they are; the noise is that of the plan."""
    norm, noise = plan.max_grad_norm * 10, plan.noise_multiplier / 10
    return make(replace(plan, max_grad_norm=norm, noise_multiplier=noise))


def accountant_reset(make: Make, plan: PrivacyPlan) -> Release:
    """Four rounds of the plan's steps are taken, and those of one are stated."""
    release = make(plan)

    def rounds(gradients: np.ndarray, seed: int) -> np.ndarray:
        return np.concatenate([release(gradients, 1_000_000 * seed + round) for round in range(4)])

    return rounds


def divided_by_who_was_drawn(make: Make, plan: PrivacyPlan) -> Release:
    release = make(plan)

    def divided(gradients: np.ndarray, seed: int) -> np.ndarray:
        return release(gradients, seed) * plan.expected_batch_size / max(1, len(gradients))

    return divided


def rows_clipped_one_by_one(make: Make, plan: PrivacyPlan) -> Release:
    """Each row of an example is taken for an example of its own: twice the sensitivity."""
    release = make(plan)

    def apart(gradients: np.ndarray, seed: int) -> np.ndarray:
        return release(gradients.reshape(-1, 1, gradients.shape[2]), seed)

    return apart


BREAKS = [
    noise_halved,
    clip_skipped,
    accountant_reset,
    divided_by_who_was_drawn,
    rows_clipped_one_by_one,
]


def plays_for(broken: Make) -> int:
    """The second game is long; it has to be long where nothing else finds the break."""
    return 160 if broken is divided_by_who_was_drawn else 20


def test_the_step_that_training_runs_is_not_refuted() -> None:
    check = check_mechanism(PLAN)
    assert not check.is_refuted
    assert check.is_sharp
    assert check.at_least > 0.6 * check.at_most, "with everything in each step it is tight"
    assert check.at_most == pytest.approx(epsilon_of_mu(2**0.5, 1e-5), abs=2e-3)


@pytest.mark.parametrize("broken", BREAKS)
def test_a_break_of_the_step_that_training_runs_is_found(broken: Make) -> None:
    check = check_mechanism(PLAN, broken(training_release, PLAN), plays=plays_for(broken))
    assert check.is_refuted


@pytest.mark.parametrize("broken", BREAKS)
@pytest.mark.parametrize("noise_multiplier", [0.6, 1.0, 5.0])
def test_breaks_are_found_at_every_seed(broken: Make, noise_multiplier: float) -> None:
    """Ten of ten: a test that finds fewer than 63 % would pass once in a hundred."""
    plan = full_participation(noise_multiplier=noise_multiplier, max_grad_norm=0.7)
    release = broken(simulated_release, plan)
    for seed in range(10):
        assert check_mechanism(
            plan, release, seed=seed, canaries=1500, plays=plays_for(broken)
        ).is_refuted


OWNERS = full_participation(noise_multiplier=1.0, max_grad_norm=0.7, unit="owner")


def test_the_sum_of_owners_is_not_refuted_and_the_bound_is_tight() -> None:
    check = check_mechanism(OWNERS)
    assert not check.is_refuted
    assert check.at_least > 0.6 * check.at_most


@pytest.mark.parametrize(
    "broken", [noise_halved, clip_skipped, accountant_reset, divided_by_who_was_drawn]
)
def test_a_break_of_the_sum_of_owners_is_found(broken: Make) -> None:
    check = check_mechanism(OWNERS, broken(owners_release, OWNERS), plays=plays_for(broken))
    assert check.is_refuted


def test_false_alarms_are_at_most_five_of_a_hundred() -> None:
    """Counted over 240 seeds: more than 25 would have a chance below 1e-3 at 5 %."""
    release = simulated_release(PLAN)
    alarms = [
        check_mechanism(PLAN, release, canaries=200, plays=40, seed=seed) for seed in range(240)
    ]
    assert sum(check.is_refuted for check in alarms) <= 25
    assert max(check.at_least for check in alarms) > 0.7 * PLAN.epsilon, "it is not asleep"


def test_the_simulator_has_the_law_of_the_step_that_training_runs() -> None:
    draw = np.random.default_rng(0)
    gradients = draw.normal(0, [[[0.01]], [[0.2]], [[3.0]]], (3, 2, 500))
    one, other = (make(PLAN)(gradients, 0) for make in (training_release, simulated_release))
    assert one.shape == other.shape == (PLAN.steps, 500)
    whole = gradients.sum(1)
    lengths = np.linalg.norm(whole, axis=1)
    clipped = (whole * np.minimum(1, 0.7 / lengths)[:, None]).sum(0)
    for released in (one, other):
        noise = (released - clipped) / 0.7
        assert kstest(noise.ravel(), norm.cdf).pvalue > 1e-3
        assert abs(np.corrcoef(noise)[0, 1]) < 4 / 500**0.5
        assert abs(noise @ clipped / np.linalg.norm(clipped)).max() < 4
    quiet = replace(PLAN, noise_multiplier=1e-6)
    np.testing.assert_allclose(
        training_release(quiet)(gradients, 0), simulated_release(quiet)(gradients, 0), atol=5e-4
    )


def test_noise_so_small_that_no_count_refutes_it_is_said() -> None:
    plan = full_participation(noise_multiplier=0.1, max_grad_norm=1.0)
    check = check_mechanism(plan, simulated_release(plan), canaries=200, plays=40)
    assert not check.is_sharp
    assert not check.is_refuted


@pytest.mark.parametrize(
    "change", [{"sample_rate": 0.5}, {"clip_quantile": 0.5, "clip_count_noise": 5.0}]
)
def test_a_plan_that_hides_part_of_its_promise_is_refused(change: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="full_participation"):
        check_mechanism(replace(PLAN, **change))


@pytest.mark.parametrize(("canaries", "plays"), [(19, 40), (40, 19)])
def test_too_few_plays_are_refused(canaries: int, plays: int) -> None:
    with pytest.raises(ValueError, match="at least 20 of each"):
        check_mechanism(PLAN, simulated_release(PLAN), canaries=canaries, plays=plays)


def test_a_mechanism_that_releases_nonsense_is_refused() -> None:
    with pytest.raises(ValueError, match="finite"):
        check_mechanism(PLAN, lambda gradients, seed: np.full((2, gradients.shape[2]), np.nan))
