import torch
from torch import nn

from discreet.privacy import StepRecord, draw_poisson, run_steps


def test_batches_are_poisson_and_not_shuffled() -> None:
    """Mean and variance of the size within 5 standard errors: false alarm below 2e-6."""
    generator = torch.Generator().manual_seed(0)
    n, rate, draws = 50, 0.2, 2000
    batches = [draw_poisson(n, rate, generator) for _ in range(draws)]
    sizes = torch.tensor([len(batch) for batch in batches], dtype=torch.float64)
    variance = n * rate * (1 - rate)
    assert abs(sizes.mean() - n * rate) < 5 * (variance / draws) ** 0.5
    assert abs(sizes.var() - variance) < 5 * variance * (2 / draws) ** 0.5
    counts = torch.bincount(torch.tensor([i for batch in batches for i in batch]), minlength=n)
    assert (counts - draws * rate).abs().max() < 5 * (draws * rate * (1 - rate)) ** 0.5


def test_every_example_is_drawn_at_rate_one_and_none_from_none() -> None:
    generator = torch.Generator().manual_seed(0)
    assert draw_poisson(5, 1.0, generator) == [0, 1, 2, 3, 4]
    assert draw_poisson(0, 1.0, generator) == []


def test_a_batch_is_fed_in_parts_and_updated_once() -> None:
    weight = nn.Parameter(torch.tensor(1.0))
    calls: list[object] = []
    records: list[StepRecord] = []

    def loss_of(drawn: list[int]) -> torch.Tensor:
        calls.append(list(drawn))
        return weight * torch.tensor([float(index) for index in drawn])

    run_steps(
        loss_of,
        lambda losses: len(losses.values) - 1,
        lambda: calls.append("update"),
        num_examples=5,
        sample_rate=1.0,
        steps=2,
        sampling_generator=torch.Generator().manual_seed(0),
        max_physical_batch=2,
        on_step=records.append,
    )
    assert calls == [[0, 1], [2, 3], [4], "update"] * 2
    assert records[-1] == StepRecord(step=2, steps=2, batch_size=5, loss=2.0, rejected=2)


def test_an_empty_batch_updates_without_a_forward_pass() -> None:
    records: list[StepRecord] = []
    updates: list[None] = []
    run_steps(
        lambda drawn: 1 / 0,
        lambda losses: 1 / 0,
        lambda: updates.append(None),
        num_examples=0,
        sample_rate=0.5,
        steps=3,
        sampling_generator=torch.Generator().manual_seed(0),
        on_step=records.append,
    )
    assert len(updates) == 3
    assert records[0] == StepRecord(step=1, steps=3, batch_size=0, loss=None, rejected=0)
