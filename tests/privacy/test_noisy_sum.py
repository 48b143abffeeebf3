"""What a step releases: noise of the promised shape, and a clipping norm that follows privately."""

import math

import pytest
import torch
from torch import nn

from discreet.privacy import CounterGenerator, ExampleGradients, ExampleLosses, PrivacyPlan
from discreet.privacy.clipping import grid_of
from discreet.privacy.gaussian import CLIP_RATE
from discreet.privacy.noisy_sum import NoisySum

SIZE = 1000
NO_NOISE = 1e-12


def plan_of(**changes: object) -> PrivacyPlan:
    values = {
        "target_epsilon": 8.0,
        "delta": 1e-5,
        "max_grad_norm": 1.0,
        "noise_multiplier": 1.0,
        "sample_rate": 0.1,
        "steps": 100,
        "expected_batch_size": 4,
    }
    return PrivacyPlan(**{**values, **changes})  # type: ignore[arg-type]


class Setting:
    """A linear layer whose examples have gradients of chosen lengths."""

    def __init__(self, plan: PrivacyPlan, generator: CounterGenerator | None = None) -> None:
        self.model = nn.Linear(SIZE, 1, bias=False).double()
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=1.0)
        self.sums = ExampleGradients(self.model, capacity=16)
        self.noisy = NoisySum(
            self.sums, self.optimizer, plan, generator or CounterGenerator.seeded("noise")
        )

    def step(self, lengths: list[float]) -> torch.Tensor:
        """Return the noisy mean that a step releases, (SIZE,)."""
        before = self.model.weight.detach().clone()
        if lengths:
            inputs = torch.zeros(len(lengths), SIZE, dtype=torch.float64)
            inputs[:, 0] = torch.tensor(lengths, dtype=torch.float64)
            rows = torch.arange(len(lengths))
            losses = self.model(inputs).squeeze(1)
            self.noisy.accumulate(ExampleLosses(values=losses, rows=rows))
        self.noisy.update()
        return (before - self.model.weight.detach()).flatten()


def test_a_step_is_the_clipped_sum_and_the_noise_over_a_public_number() -> None:
    setting = Setting(plan_of(noise_multiplier=0.7, max_grad_norm=2.0))
    with setting.noisy:
        found = setting.step([1.0, 5.0]) * 4
    noise = CounterGenerator.seeded("noise").normal(SIZE) * 0.7 * 2.0
    noise[0] += 3.0
    torch.testing.assert_close(found, noise, rtol=0, atol=2.0 / 400)
    assert (found[1:] - noise[1:]).abs().max() <= grid_of(2.0, SIZE) / 2 * 1.001


def test_every_step_starts_a_new_sum() -> None:
    setting = Setting(plan_of(noise_multiplier=1e-12))
    with setting.noisy:
        first, second, empty = setting.step([0.5]), setting.step([0.5]), setting.step([])
    torch.testing.assert_close(first, second)
    assert first[0] > 0
    assert not empty.any()


def test_banded_noise_times_its_factor_is_independent_noise() -> None:
    """C (C^-1 z) = z: the factor applied to what three bands release gives the draws back."""
    bands, steps = 3, 8
    setting = Setting(plan_of(bands=bands, sampler="cyclic"))
    with setting.noisy:
        released = torch.stack([setting.step([]) * 4 for _ in range(steps)])  # (steps, SIZE)
    raw = torch.tensor([1.0, 1 / 2, 3 / 8], dtype=torch.float64)  # (1 - x)^(-1/2)
    factor = raw / raw.norm()
    dense = sum(factor[j] * torch.diag(torch.ones(steps - j).double(), -j) for j in range(bands))
    fresh = CounterGenerator.seeded("noise")
    wanted = torch.stack([fresh.normal(SIZE) for _ in range(steps)])
    torch.testing.assert_close(dense @ released, wanted, rtol=0, atol=2 * grid_of(1.0, SIZE))


def test_sums_of_banded_noise_over_steps_are_smaller() -> None:
    """What it is for: later noise takes back earlier noise, so that the adapter drifts less."""

    def drift(**changes: object) -> float:
        setting = Setting(plan_of(**changes))
        with setting.noisy:
            return float(sum(setting.step([]) for _ in range(32)).norm())  # type: ignore[union-attr]

    assert drift(bands=8, sampler="cyclic") < 0.75 * drift()


def test_the_clipping_norm_moves_as_published() -> None:
    """One step by hand: two of three gradients within 1, expected batch 4, quantile 0.5."""
    setting = Setting(plan_of(noise_multiplier=1e-6, clip_quantile=0.5, clip_count_noise=1e-3))
    with setting.noisy:
        setting.step([0.5, 0.9, 7.0])
    noise = CounterGenerator.seeded("noise")
    noise.normal(SIZE)
    count_noise = round(1e-3 * float(noise.normal(1)) * 2**20) / 2**20
    share = (2 - 3 / 2 + count_noise) / 4 + 0.5
    assert setting.noisy.max_grad_norm == pytest.approx(math.exp(-CLIP_RATE * (share - 0.5)))


def test_the_clipping_norm_finds_the_quantile() -> None:
    setting = Setting(plan_of(noise_multiplier=1e-6, clip_quantile=0.5, clip_count_noise=1e-3))
    with setting.noisy:
        for _ in range(60):
            setting.step([3.0, 6.0, 9.0, 12.0])
    assert 6.0 <= setting.noisy.max_grad_norm <= 9.0


def test_sum_and_noise_stay_on_one_grid_while_the_clipping_norm_moves() -> None:
    setting = Setting(plan_of(noise_multiplier=0.5, clip_quantile=0.9, clip_count_noise=2.0))
    grids = set()
    with setting.noisy:
        for _ in range(30):
            grid = grid_of(setting.noisy.max_grad_norm, SIZE)
            in_steps = setting.step([50.0, 60.0, 70.0]) * 4 / grid
            torch.testing.assert_close(in_steps, in_steps.round(), rtol=0, atol=1e-3)
            grids.add(grid)
    assert len(grids) > 2


def test_nothing_of_a_step_that_failed_is_left_for_the_next() -> None:
    setting = Setting(plan_of(clip_quantile=0.5, clip_count_noise=2.0))
    with setting.noisy:  # a step that never comes to its update
        losses = setting.model(torch.ones(3, SIZE).double()).squeeze(1)
        setting.noisy.accumulate(ExampleLosses(values=losses, rows=torch.arange(3)))
    fresh = Setting(plan_of(clip_quantile=0.5, clip_count_noise=2.0))
    with setting.noisy, fresh.noisy:
        torch.testing.assert_close(setting.step([1.0]), fresh.step([1.0]))
    assert setting.noisy.max_grad_norm == fresh.noisy.max_grad_norm


def test_sum_and_count_together_cost_what_the_plan_says() -> None:
    """Andrew et al. 2021, Theorem 1: precisions of sum and of count (sensitivity 1/2) add up."""
    plan = plan_of(noise_multiplier=1.0, clip_quantile=0.5, clip_count_noise=2.0)
    of_sum, of_count = plan.gradient_noise_multiplier, 2 * plan.clip_count_noise
    assert of_sum**-2 + of_count**-2 == pytest.approx(plan.noise_multiplier**-2)
    setting = Setting(plan)
    with setting.noisy:
        released = setting.step([]) * 4
    assert float(released.std()) == pytest.approx(of_sum, rel=5 / (2 * SIZE) ** 0.5)


class HalfAsLoud(CounterGenerator):
    """A broken source of noise."""

    def normal(self, count: int) -> torch.Tensor:
        """Return (count,) from N(0, 1/4)."""
        return super().normal(count) / 2


def test_noise_that_is_not_as_strong_as_promised_stops_the_run() -> None:
    setting = Setting(plan_of(), HalfAsLoud.seeded("noise"))
    before = setting.model.weight.detach().clone()
    with setting.noisy, pytest.raises(RuntimeError, match="variance 1"):
        setting.step([1.0])
    assert torch.equal(setting.model.weight, before)
    assert setting.model.weight.grad is None
