"""What a step releases: noise of the promised shape, and a clipping norm that follows privately."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
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

    def step(self, lengths: list[float], values: list[float] | None = None) -> torch.Tensor:
        """Return the noisy mean that a step releases, (SIZE,); losses are `values` if given."""
        before = self.model.weight.detach().clone()
        if lengths:
            inputs = torch.zeros(len(lengths), SIZE, dtype=torch.float64)
            inputs[:, 0] = torch.tensor(lengths, dtype=torch.float64)
            rows = torch.arange(len(lengths))
            losses = self.model(inputs).squeeze(1)
            if values is not None:
                losses = losses - losses.detach() + torch.tensor(values, dtype=torch.float64)
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


def test_the_released_loss_is_the_clipped_mean_where_noise_is_tiny() -> None:
    """By hand, losses out of range and one that is no number among them; none in the next step."""
    setting = Setting(plan_of(noise_multiplier=1e-9, loss_noise=1e-8, loss_clip=3.0))
    values = [0.5, 1.25, 100.0, -7.0, math.nan]
    with setting.noisy:
        assert setting.noisy.released_loss is None
        setting.step([1.0] * 5, values)
        first = setting.noisy.released_loss
        setting.step([])
    assert first == pytest.approx((0.5 + 1.25 + 3.0) / 4, abs=1e-6)
    assert setting.noisy.released_loss == pytest.approx(0, abs=1e-6)


def test_without_the_field_no_loss_is_released_and_no_noise_is_drawn_for_one() -> None:
    setting, other = Setting(plan_of()), Setting(plan_of(loss_noise=1e6))
    with setting.noisy, other.noisy:
        first, second = setting.step([1.0]), setting.step([1.0])
        assert setting.noisy.released_loss is None
        torch.testing.assert_close(first, other.step([1.0]))
        assert not torch.allclose(second, other.step([1.0]))


def test_the_noise_of_the_released_loss_is_as_strong_as_promised() -> None:
    """Over 1,000 empty steps; a variance 5 standard errors off has a chance below 1e-5."""
    plan = plan_of(loss_noise=2.5, loss_clip=3.0)
    setting, found = Setting(plan), []
    with setting.noisy:
        for _ in range(SIZE):
            setting.step([])
            found.append(setting.noisy.released_loss)
    whitened = torch.tensor(found, dtype=torch.float64) * 4 / (2.5 * 3.0)
    assert abs(float(whitened.mean())) < 5 / SIZE**0.5
    assert abs(float(whitened.square().mean()) - 1) < 5 * (2 / SIZE) ** 0.5


def test_losses_and_their_noise_are_on_one_grid() -> None:
    """A power of two, so that no low-order bit comes from the losses alone."""
    setting = Setting(plan_of(loss_noise=2.5, loss_clip=3.0))
    with setting.noisy:
        for _ in range(20):
            setting.step([1.0, 1.0], [1 / 3, 1 / 7])
            assert setting.noisy.released_loss is not None
            assert (setting.noisy.released_loss * 4 * 2**19).is_integer()


@given(
    examples=st.lists(
        st.tuples(
            st.floats(-1e3, 1e3) | st.sampled_from([0.0, 1.0, 1e12]),
            st.floats(-10, 10) | st.sampled_from([2.9999999, 3.1, 1e300, math.inf, math.nan]),
        ),
        min_size=1,
        max_size=6,
    )
)
@settings(max_examples=60, deadline=None)
def test_one_example_moves_gradients_and_loss_by_the_planned_sensitivity_together(
    examples: list[tuple[float, float]],
) -> None:
    """With the same noise, with and without one: the difference is what that one added.

    Over the noise of each part it is no longer than 1 / noise_multiplier.
    """
    plan = plan_of(noise_multiplier=1.1, loss_noise=2.0, loss_clip=3.1, max_grad_norm=2.0)

    def released(those: list[tuple[float, float]]) -> torch.Tensor:
        setting = Setting(plan)
        setting.model.weight.data.zero_()
        with setting.noisy:
            gradient = setting.step([a for a, _ in those], [b for _, b in those])
        assert setting.noisy.released_loss is not None
        loss = torch.tensor([setting.noisy.released_loss * 4 / (2.0 * 3.1)], dtype=torch.float64)
        return torch.cat([gradient * 4 / (plan.gradient_noise_multiplier * 2.0), loss])

    moved = (released(examples) - released(examples[1:])).norm()
    assert moved <= 1 / 1.1 * (1 + 1e-9)
    length, loss = examples[0]
    if abs(length) >= 2.0 and 3.1 <= loss < math.inf:
        assert moved >= 0.998 / 1.1, "or the noise is larger than it need be"


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
