"""What is timed is what it says: the same step, whole, in every way."""

from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from torch import nn

from discreet.bench import (
    WAYS,
    Setting,
    Workload,
    as_table,
    build_workload,
    clipped_sum,
    made_by,
    measure,
    peak_bytes,
)
from discreet.bench.performance import MAX_GRAD_NORM, OURS, PLAIN, SAME_SUM
from discreet.model import FAMILIES
from discreet.privacy import ExampleLosses, OpacusStep

TINY = Setting(model="llava", adapter="all_linear", batch=4)


def one_by_one(work: Workload, max_grad_norm: float) -> torch.Tensor:
    """Return the clipped sum by one backward pass for each example."""
    total = torch.zeros(sum(p.numel() for p in work.parameters))
    for loss in work.losses().values:
        found = torch.autograd.grad(loss, work.parameters, retain_graph=True)
        gradient = torch.cat([g.flatten() for g in found])
        total += gradient * min(1.0, max_grad_norm / float(gradient.norm()))
    return total


@pytest.mark.parametrize("way", SAME_SUM)
@pytest.mark.parametrize("family", ["llava", "qwen2_vl", "gemma3"])
def test_every_way_clips_as_a_loop_over_examples_does(family: str, way: str) -> None:
    work = build_workload(replace(TINY, model=family))
    wanted = one_by_one(work, MAX_GRAD_NORM)
    found = clipped_sum(work, way)
    given_away = 1e-3 if way == OURS else 0.0  # ours is clipped by what its grid may add
    assert float((found - wanted).norm() / wanted.norm()) <= given_away + 1e-4


def test_the_plain_step_is_the_gradient_of_the_mean_loss() -> None:
    work = build_workload(TINY)
    wanted = torch.autograd.grad(work.losses().values.mean(), work.parameters)
    found = clipped_sum(work, PLAIN)
    torch.testing.assert_close(found, torch.cat([g.flatten() for g in wanted]))


def test_every_example_is_clipped() -> None:
    """Otherwise the ways would agree without doing what they are timed for."""
    work = build_workload(TINY)
    for loss in work.losses().values:
        found = torch.autograd.grad(loss, work.parameters, retain_graph=True)
        assert float(torch.cat([g.flatten() for g in found]).norm()) > MAX_GRAD_NORM


def test_a_step_of_every_way_leaves_the_model_as_it_was() -> None:
    work = build_workload(TINY)
    work.losses()  # transformers puts hooks of its own on the vision tower at its first use
    before = {name: set(vars(module)) for name, module in work.model.named_modules()}
    weights = [p.detach().clone() for p in work.model.parameters()]
    for way in WAYS:
        clipped_sum(work, way)
        assert {name: set(vars(module)) for name, module in work.model.named_modules()} == before
        assert all(p.grad is None for p in work.model.parameters())
        assert not any(hasattr(p, "grad_sample") for p in work.model.parameters())
    assert all(torch.equal(a, b) for a, b in zip(weights, work.model.parameters(), strict=True))


def test_a_setting_gives_rows_that_can_be_written_and_read() -> None:
    steps: list[str] = []
    rows = measure(TINY, rounds=2, memory=False, on_step=steps.append)
    assert len(steps) == 3 * len(WAYS)
    assert [row.way for row in rows if row.ratio is not None] == list(WAYS)
    by_way = {row.way: row for row in rows}
    assert by_way[PLAIN].ratio == by_way[PLAIN].ratio_low == by_way[PLAIN].ratio_high == 1
    for row in rows:
        if row.ratio is None:
            assert row.note == "not installed"
            continue
        assert row.ratio_low is not None
        assert row.ratio_high is not None
        assert 0 < row.ratio_low <= row.ratio <= row.ratio_high
        assert row.structure_only
    assert by_way[OURS].sum_difference == 0
    assert by_way["grouped"].sum_difference is None
    assert as_table(rows).count("\n") == len(rows) + 1
    assert asdict(by_way[OURS])["setting"]["model"] == "llava"


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="Linux says peaks")
def test_the_peak_is_of_the_step_alone_and_grows_with_the_batch() -> None:
    """The interpreter and the model take hundreds of MB, and are not counted."""
    few, many = (peak_bytes(replace(TINY, batch=batch), OURS) for batch in (2, 64))
    assert few is not None
    assert many is not None
    assert few < many < 200e6


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"model": "other"}, "Expected a model of small, llava"),
        ({"adapter": "none"}, "Expected an adapter of"),
        ({"batch": 0}, "batch and threads of 1 or more"),
        ({"device": "cuda"}, "families are for the CPU"),
    ],
    ids=str,
)
def test_settings_that_cannot_be_built_are_refused(changes: dict, error: str) -> None:
    with pytest.raises(ValueError, match=error):
        replace(TINY, **changes)


def test_an_unknown_opacus_way_is_refused() -> None:
    with pytest.raises(ValueError, match="Expected a way of"):
        OpacusStep(nn.Linear(1, 1), torch.optim.SGD([nn.Parameter(torch.ones(1))]), None, way="x")  # type: ignore[arg-type]


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_can_be_timed(family: str) -> None:
    losses = build_workload(replace(TINY, model=family, batch=2)).losses()
    assert isinstance(losses, ExampleLosses)
    assert losses.values.shape == (2,)


def test_the_machine_is_described_and_not_named() -> None:
    assert set(made_by()) == {"commit", "hardware"}
    assert set(made_by()["hardware"]) == {"cpu", "cores", "gpu", "torch"}
