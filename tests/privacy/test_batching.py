import torch
from torch import nn

from discreet.privacy import StepRecord, run_steps


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
        draw=lambda: [0, 1, 2, 3, 4],
        steps=2,
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
        draw=lambda: [],
        steps=3,
        on_step=records.append,
    )
    assert len(updates) == 3
    assert records[0] == StepRecord(step=1, steps=3, batch_size=0, loss=None, rejected=0)
