"""A stage learns, can be stopped anywhere, and refuses what is not its own."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from discreet.errors import ArtifactCorrupt, DataError
from discreet.recipes.stages import (
    SAVE_EVERY,
    Course,
    batch_of,
    checkpoint_beside,
    generator_of,
    read_settings,
    run_stage,
)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Settings of a stage of the tests."""

    seed: int = 0
    rate: float = 0.1


COURSE = Course(steps=50, learning_rate=0.1, warm_steps=5)


class Stopped(Exception):
    """The machine is switched off."""


def train(
    path: Path, *, stop_after: int = 10**6, plan: Plan = Plan(), course: Course = COURSE
) -> tuple[torch.Tensor, list[list[float]], list[int]]:
    """Fit a line to noisy points; return its weights, the curve and the steps that were taken."""
    line = nn.Linear(3, 1)
    with torch.no_grad():
        line.weight.fill_(0.5)
        line.bias.zero_()
    x = torch.randn(40, 3, generator=generator_of(7))
    y = x @ torch.tensor([[1.0], [-2.0], [3.0]])
    taken = []

    def descend(step: int) -> list[float]:
        index = [place for _, place in batch_of(40, size=8, seed=plan.seed, step=step)]
        loss = (line(x[index]) - y[index]).square().mean()
        loss.backward()
        return [float(loss.detach())]

    def tell(step: int, steps: int, loss: float) -> None:
        taken.append(step)
        if step == stop_after:
            raise Stopped

    curve = run_stage(
        dict(line.named_parameters()),
        descend,
        course,
        checkpoint=path,
        settings=plan,
        on_step=tell,
    )
    return line.weight.detach().clone(), curve, taken


def test_a_stage_that_was_stopped_ends_where_it_would_have(tmp_path: Path) -> None:
    whole, curve, _ = train(tmp_path / "a")
    with pytest.raises(Stopped):
        train(tmp_path / "b", stop_after=SAVE_EVERY + 7)
    again, same, taken = train(tmp_path / "b")
    assert torch.equal(whole, again)
    assert curve == same
    assert taken == list(range(SAVE_EVERY + 1, COURSE.steps + 1))
    assert not list(tmp_path.iterdir()), "checkpoints are removed at the end"
    assert curve[-1][0] < 0.2 * curve[0][0]


def test_a_checkpoint_of_other_settings_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Stopped):
        train(tmp_path / "a", stop_after=SAVE_EVERY)
    with pytest.raises(ArtifactCorrupt, match="Remove the file to begin anew"):
        train(tmp_path / "a", plan=Plan(seed=1))
    with pytest.raises(ArtifactCorrupt, match="another"):
        train(tmp_path / "a", course=Course(steps=51, learning_rate=0.1))


@pytest.mark.parametrize("keep", [0, 10, 200])
def test_a_damaged_checkpoint_is_refused(tmp_path: Path, keep: int) -> None:
    with pytest.raises(Stopped):
        train(tmp_path / "a", stop_after=SAVE_EVERY)
    path = tmp_path / "a"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ArtifactCorrupt):
        train(path)


@settings(max_examples=60)
@given(count=st.integers(1, 30), size=st.integers(1, 20), seed=st.integers(0, 99))
def test_each_index_comes_once_in_each_epoch(count: int, size: int, seed: int) -> None:
    steps = 3 * count // size + 1
    drawn = [
        one for step in range(steps) for one in batch_of(count, size=size, seed=seed, step=step)
    ]
    assert [epoch for epoch, _ in drawn] == [n // count for n in range(len(drawn))]
    whole = drawn[: len(drawn) // count * count]
    assert set(Counter(whole).values()) <= {1}
    assert {place for _, place in whole} == (set(range(count)) if whole else set())


def test_the_rate_rises_then_falls_to_nearly_nothing() -> None:
    rates = [COURSE.rate(step) for step in range(COURSE.steps)]
    assert rates[0] == pytest.approx(0.02)
    assert max(rates) == rates[4]
    assert sorted(rates[4:], reverse=True) == rates[4:]
    assert rates[-1] < 1e-3 * 0.1 * 2


def test_generators_of_different_keys_differ() -> None:
    drawn = {
        tuple(torch.randint(2**30, (4,), generator=generator_of(*key)).tolist())
        for key in [(0,), (1,), (0, 0), (0, 1), (1, 0), (0, 0, 1), (0, 1, 0)]
    }
    assert len(drawn) == 7


def test_settings_come_from_toml_and_mistakes_are_told(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text("seed = 3\nrate = 1")
    assert read_settings(Plan, path) == Plan(seed=3, rate=1)
    for text, said in {
        "sed = 3": "seed, rate, got 'sed'",
        "seed = 'x'": "seed as int",
        "seed = true": "seed as int",
        "seed =": "TOML",
    }.items():
        path.write_text(text)
        with pytest.raises(DataError, match=said):
            read_settings(Plan, path)
    assert checkpoint_beside(tmp_path / "a.safetensors") == tmp_path / "a.checkpoint"
