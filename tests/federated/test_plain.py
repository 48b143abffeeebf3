"""The plain trainer against a loop over examples that knows nothing of parts."""

import doctest

import pytest
import torch
from torch import nn

from discreet.federated import plain, train_plainly
from discreet.privacy import CounterGenerator, StepRecord, poisson

INPUTS = torch.randn(20, 3, generator=torch.Generator().manual_seed(1))


def fresh() -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(3, 1)


def losses_of(model: nn.Linear, drawn: list[int]) -> torch.Tensor:
    return (model(INPUTS[drawn]).squeeze(1) - INPUTS[drawn].sum(1)) ** 2


@pytest.mark.parametrize("sample_rate", [0.02, 0.5])
@pytest.mark.parametrize("max_physical_batch", [1, 3, 64])
def test_it_is_a_loop_over_the_examples_drawn(sample_rate: float, max_physical_batch: int) -> None:
    """At the low rate most steps are empty; they are steps of Adam without a gradient."""
    model = fresh()
    seen: list[StepRecord] = []
    train_plainly(
        lambda drawn: losses_of(model, list(drawn)),
        torch.optim.Adam(model.parameters(), lr=0.1),
        draw=poisson(20, sample_rate, CounterGenerator.seeded("draw")),
        steps=6,
        expected_batch_size=10,
        max_physical_batch=max_physical_batch,
        on_step=seen.append,
    )

    slow = fresh()
    adam = torch.optim.Adam(slow.parameters(), lr=0.1)
    draw = poisson(20, sample_rate, CounterGenerator.seeded("draw"))
    sizes = []
    for _ in range(6):
        adam.zero_grad()
        drawn = list(draw())
        sizes.append(len(drawn))
        for index in drawn:
            (losses_of(slow, [index]).sum() / 10).backward()
        adam.step()
    assert [step.batch_size for step in seen] == sizes
    for one, other in zip(model.parameters(), slow.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_gradients_that_another_owner_left_are_not_learnt_from() -> None:
    """One model serves all owners; training that failed half-way leaves its gradients in it."""
    ends = []
    for left in (None, 1e6):
        model = fresh()
        if left is not None:
            model.weight.grad = torch.full_like(model.weight, left)
        train_plainly(
            lambda drawn, model=model: losses_of(model, list(drawn)),  # type: ignore[misc]
            torch.optim.SGD(model.parameters(), lr=0.1),
            draw=lambda: [0, 1],
            steps=1,
            expected_batch_size=2,
        )
        assert model.weight.grad is None
        ends.append(model.weight.detach())
    assert torch.equal(*ends)


def test_the_example_in_the_docstring_runs() -> None:
    outcome = doctest.testmod(plain)
    assert outcome.attempted > 0
    assert outcome.failed == 0
